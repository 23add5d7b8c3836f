# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The usage of a run is reported at its end, and never changes the outcome."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import boto3
import pytest

from airflow_healthomics.compat import AirflowTaskTimeout, Context
from airflow_healthomics.exceptions import HealthOmicsRunFailedError
from airflow_healthomics.hooks import HealthOmicsHook, best_effort
from airflow_healthomics.reports import usage_report as use_report
from airflow_healthomics.reports.usage_report import add_usage
from airflow_healthomics.sensors import HealthOmicsRunSensor
from airflow_healthomics.service.summaries import summarize_run
from tests.healthomics import Control, HealthOmicsServer, JsonRESTError, LogsBackend, LogStream, Runs
from tests.unit.conftest import ONE_ATTEMPT, OUTPUT, ROLE, WORKFLOW, Clock, FakeTaskInstance, Tasks, calls_of
from tests.unit.histories import WAYS, waiting
from tests.unit.reports.conftest import Lines

GROUP = "/aws/omics/WorkflowLog"

TASKS: list[dict[str, Any]] = [
    {"name": "align", "cpus": 16, "memory": 64, "seconds": 3600, "instance_type": "omics.m.4xlarge"},
    {
        "name": "call",
        "cpus": 8,
        "memory": 32,
        "gpus": 1,
        "seconds": 2700,
        "instance_type": "omics.g5.2xlarge",
    },
    {"name": "index", "cpus": 16, "memory": 64, "cache_hit": True},
    {"name": "qc", "cpus": 2, "memory": 4, "seconds": 600, "instance_type": "omics.c.large"},
    {"name": "sort", "cpus": 4, "memory": 8, "seconds": 300, "failure_reason": "OUT_OF_MEMORY_ERROR"},
]

#: Calculated in test_usage.py. The run lasts three hours here, and its tasks begin with it.
FIGURES: dict[str, Any] = {
    "tasks": {"COMPLETED": 4, "FAILED": 1},
    "cacheHits": 1,
    "taskHours": 2.0,
    "cpuHours": 22.6667,
    "gpuHours": 0.75,
    "memoryGiBHours": 89.3333,
    "isPartial": False,
}
SECONDS = {
    "total": 11400.0,
    "queued": 600.0,
    "running": 10800.0,
    "beforeTasks": 0.0,
    "tasks": 3600.0,
    "afterTasks": 7200.0,
}
STORAGE = {"type": "DYNAMIC", "maximumGiB": 340, "averageGiB": 120.5}

PLAN: dict[str, Any] = {
    "tasks": TASKS,
    "seconds": {"PENDING": 400, "STARTING": 200, "RUNNING": 10_800, "STOPPING": 0},
    "storage_maximum": 340,
    "storage_average": 120.5,
}


@pytest.fixture
def ended(omics: Control, client: Any, started: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return the summary of a run that has ended as planned."""

    def end(**plan: Any) -> dict[str, Any]:
        omics.plan_run(**{**PLAN, **plan})
        run = started()
        omics.advance_clock(20_000)
        return summarize_run(client.get_run(id=run["id"]))

    return end


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make five tasks many: two on each page of ListRunTasks."""
    monkeypatch.setattr(use_report, "PAGE_SIZE", 2)


def look(summary: dict[str, Any], log: Lines, **more: Any) -> dict[str, Any]:
    """Read the usage with the default connection."""
    told, _ = add_usage(summary, hook=HealthOmicsHook(), log=log, **more)
    assert {key: value for key, value in told.items() if key != "usage"} == summary
    use: dict[str, Any] = told.get("usage", {})
    return use


def refuse_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away logs:GetLogEvents."""

    def refuse(self: Any, **request: Any) -> Any:
        raise JsonRESTError("AccessDeniedException", "not authorized to perform: logs:GetLogEvents")

    monkeypatch.setattr(LogsBackend, "get_log_events", refuse)


def forget_manifest(summary: dict[str, Any]) -> None:
    """Hide the manifest, as if it was not written yet."""
    stream = f"manifest/run/{summary['id']}/{summary['uuid']}"
    boto3.client("logs").delete_log_stream(logGroupName=GROUP, logStreamName=stream)


# --- where the figures come from ---


def test_a_run_costs_a_page_of_each(
    omics: Control, ended: Callable[..., Any], log: Lines, log_calls: list[str]
) -> None:
    """Tasks come from the list, storage from the manifest, and the text has two lines."""
    summary = ended()
    use = look(summary, log)
    assert {key: use[key] for key in FIGURES} == FIGURES
    assert (use["seconds"], use["storage"]) == (SECONDS, STORAGE)
    assert [task["name"] for task in use["longestTasks"]] == ["align", "call", "qc"]
    assert (calls_of(omics, "ListRunTasks"), len(log_calls)) == (1, 1)
    assert log.lines == [
        "Used 22.7 CPU hours, 0.75 GPU hours and 89.3 GiB hours of memory in 5 tasks, 1 of them from the run "
        "cache",
        "Running for 3 h 00 min after 10 min in the queue; longest tasks: align (1 h 00 min, "
        "omics.m.4xlarge), call (45 min, omics.g5.2xlarge), qc (10 min, omics.c.large)",
    ]


@pytest.mark.usefixtures("small_pages")
def test_many_tasks_come_from_the_manifest(
    omics: Control, ended: Callable[..., Any], log: Lines, log_calls: list[str]
) -> None:
    """The figures are the same, without a second page of the list."""
    use = look(ended(), log)
    assert {key: use[key] for key in FIGURES} == FIGURES
    assert (use["seconds"], use["storage"]) == (SECONDS, STORAGE)
    assert (calls_of(omics, "ListRunTasks"), len(log_calls)) == (1, 2)


@pytest.mark.usefixtures("small_pages")
def test_many_tasks_without_a_manifest_come_from_the_list(
    omics: Control, ended: Callable[..., Any], log: Lines, clock: Clock
) -> None:
    """It is not waited for; the pages are read slowly enough to leave quota to other callers."""
    summary = ended()
    forget_manifest(summary)
    use = look(summary, log)
    assert {key: use[key] for key in FIGURES} == FIGURES
    assert use["storage"] == {"type": "DYNAMIC", "maximumGiB": 340}
    assert calls_of(omics, "ListRunTasks") == 3
    assert clock.sleeps == pytest.approx([0.125] * 2)
    assert log.lines[0] == f"The usage report of run {summary['id']}: logs:GetLogEvents found nothing"


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(
    ("has_manifest", "pages", "names"),
    [
        (False, 80, {"align", "call", "index", "qc", "sort"}),
        (True, 80, None),
        (False, 2, None),
        (False, 0, None),
    ],
)
def test_listed_tasks_are_returned_only_if_they_are_all(
    omics: Control,
    ended: Callable[..., Any],
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
    has_manifest: bool,
    pages: int,
    names: set[str] | None,
) -> None:
    """The diagnosis must not overlook a failed task."""
    summary = ended()
    monkeypatch.setattr(use_report, "MAX_PAGES", pages)
    if not has_manifest:
        forget_manifest(summary)
    if not pages:
        omics.inject_error("ListRunTasks", "AccessDeniedException", times=None)
    _, tasks = add_usage(summary, hook=HealthOmicsHook(), log=log)
    assert (None if tasks is None else {task["name"] for task in tasks}) == names


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("lost", ["run/", "task/"])
def test_an_incomplete_manifest_is_not_used(
    omics: Control, ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """It is written some time after the end, perhaps in parts."""
    answer = LogStream.get_log_events

    def get_log_events(self: Any, *args: Any) -> Any:
        events, backward, forward = answer(self, *args)
        index = next((i for i, event in enumerate(events) if f":{lost}" in event["message"][:60]), None)
        return [event for i, event in enumerate(events) if i != index], backward, forward

    monkeypatch.setattr(LogStream, "get_log_events", get_log_events)
    use = look(ended(), log)
    assert {key: use[key] for key in FIGURES} == FIGURES
    assert calls_of(omics, "ListRunTasks") == 3


@pytest.mark.usefixtures("small_pages")
def test_empty_pages_of_the_manifest_are_followed(
    omics: Control, ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GetLogEvents may return an empty page although there are events behind its token."""
    answer, tokens = LogsBackend.get_log_events, []

    def get_log_events(self: Any, **request: Any) -> Any:
        tokens.append(request["next_token"])
        if len(tokens) <= 2:
            return [], "b/0", f"f/{len(tokens)}"
        return answer(self, **{**request, "next_token": tokens[-1] if len(tokens) > 3 else None})

    monkeypatch.setattr(LogsBackend, "get_log_events", get_log_events)
    use = look(ended(), log)
    assert {key: use[key] for key in FIGURES} == FIGURES
    assert calls_of(omics, "ListRunTasks") == 1


@pytest.mark.usefixtures("small_pages")
def test_a_duplicate_event_counts_once(
    ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task is identified by its id."""
    answer = LogStream.get_log_events

    def get_log_events(self: Any, *args: Any) -> Any:
        events, backward, forward = answer(self, *args)
        return events * 2, backward, forward

    monkeypatch.setattr(LogStream, "get_log_events", get_log_events)
    use = look(ended(), log)
    assert {key: use[key] for key in FIGURES} == FIGURES


@pytest.mark.parametrize(("has_manifest", "list_calls", "get_calls"), [(True, 1, 7), (False, 50, 1)])
def test_five_thousand_tasks_cost_a_few_calls(
    omics: Control,
    ended: Callable[..., Any],
    log: Lines,
    log_calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    has_manifest: bool,
    list_calls: int,
    get_calls: int,
) -> None:
    """A page is a megabyte of the manifest, or a hundred tasks."""
    summary = ended(tasks=[{"name": "align", "cpus": 2, "memory": 8, "seconds": 3600}] * 5_000)
    answer = LogStream.get_log_events
    if not has_manifest:
        forget_manifest(summary)
    monkeypatch.setattr(  # as in AWS, about 1 MB a page
        LogStream,
        "get_log_events",
        lambda self, start, end, limit, token, head: answer(self, start, end, 1_000, token, head),
    )
    monkeypatch.setattr(best_effort, "monotonic", lambda: 0.0)
    use = look(summary, log)
    assert (use["tasks"], use["cpuHours"], use["isPartial"]) == ({"COMPLETED": 5_000}, 10_000.0, False)
    assert (calls_of(omics, "ListRunTasks"), len(log_calls)) == (list_calls, get_calls)


def test_pages_beyond_the_limit_are_not_read(
    omics: Control, ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the list returns, reading ends."""
    answer = Runs.list_run_tasks

    def list_run_tasks(self: Any, params: Any) -> Any:
        return {**answer(self, {**params, "startingToken": "0"}), "nextToken": "0"}

    summary = ended()
    forget_manifest(summary)
    monkeypatch.setattr(Runs, "list_run_tasks", list_run_tasks)
    monkeypatch.setattr(best_effort, "monotonic", lambda: 0.0)
    assert look(summary, log)["isPartial"]
    assert calls_of(omics, "ListRunTasks") == use_report.MAX_PAGES


# --- failures ---


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InternalServerException"])
def test_without_the_list_the_manifest_is_used(
    omics: Control, ended: Callable[..., Any], log: Lines, code: str
) -> None:
    """Its figures are "at least", since nothing shows that it is complete; one line says what is missing."""
    summary = ended()
    omics.inject_error("ListRunTasks", code, times=None)
    use = look(summary, log)
    assert use["cpuHours"] == FIGURES["cpuHours"]
    assert use["isPartial"]
    missing, *told = log.lines
    assert "is incomplete: omics:ListRunTasks failed with" in missing
    assert ("The IAM policy must allow omics:ListRunTasks" in missing) is (code == "AccessDeniedException")
    assert told[0].startswith("Used at least 22.7 CPU hours")


def test_without_the_manifest_the_list_is_used(
    ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the missing permission; only the average of the storage is missing."""
    summary = ended()
    refuse_logs(monkeypatch)
    use = look(summary, log)
    assert {key: use[key] for key in FIGURES} == FIGURES
    assert use["storage"] == {"type": "DYNAMIC", "maximumGiB": 340}
    assert (
        "logs:GetLogEvents failed with AccessDeniedException. The IAM policy must allow logs:" in log.lines[0]
    )
    assert len(log.lines) == 3


def test_without_both_the_durations_are_reported(
    omics: Control, ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No figure of tasks is."""
    summary = ended()
    refuse_logs(monkeypatch)
    omics.inject_error("ListRunTasks", "AccessDeniedException", times=None)
    assert set(look(summary, log)) == {"seconds", "storage", "isPartial"}
    assert log.lines[2:] == ["Running for 3 h 00 min after 10 min in the queue"]


@pytest.mark.usefixtures("small_pages")
def test_an_interrupted_list_is_partial(
    omics: Control, ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tasks read so far are reported as "at least"."""
    answer = Runs.list_run_tasks

    def list_run_tasks(self: Any, params: Any) -> Any:
        if params.get("startingToken") == "2":
            omics.inject_error("ListRunTasks", "ThrottlingException", times=None)
        return answer(self, params)

    summary = ended()
    forget_manifest(summary)
    monkeypatch.setattr(Runs, "list_run_tasks", list_run_tasks)
    use = look(summary, log)
    assert (use["isPartial"], sum(use["tasks"].values())) == (True, 4)
    assert [line for line in log.lines if "ThrottlingException" in line] == log.lines[1:2]


@pytest.mark.usefixtures("small_pages")
def test_slow_responses_end_the_report(
    omics: Control, ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When time is up, the figures so far are reported, and one line says so."""
    summary = ended()
    forget_manifest(summary)
    seconds = itertools.count(step=3.0)
    monkeypatch.setattr(best_effort, "monotonic", lambda: next(seconds))
    assert look(summary, log)["isPartial"]
    assert calls_of(omics, "ListRunTasks") == 2
    assert [line for line in log.lines if "reached its time limit of 10.0 s" in line] == log.lines[1:2]


def test_any_failure_is_logged(ended: Callable[..., Any], log: Lines) -> None:
    """Even one of the look-up of the connection, which a resumed task makes for this only."""

    class BrokenHook(HealthOmicsHook):
        @property
        def conn_config(self) -> Any:
            raise RuntimeError("no way to the API server")

    summary = ended()
    assert add_usage(summary, hook=BrokenHook(), log=log) == (summary, None)
    assert log.lines == [f"The usage report of run {summary['id']} is skipped: RuntimeError"]


def test_a_deleted_run_is_not_requested(omics: Control, log: Lines) -> None:
    """HealthOmics does not know it."""
    assert look({"id": "7", "status": "DELETED"}, log) == {}
    assert (omics.call_counts(), log.lines) == ({}, [])


@pytest.mark.parametrize(("left", "reads"), [(5, False), (15, False), (18, True), (3600, True)])
def test_the_report_does_not_make_a_task_time_out(
    omics: Control, ended: Callable[..., Any], log: Lines, left: int, reads: bool
) -> None:
    """The timeout would fail a task whose run has completed."""
    summary = ended()
    assert bool(look(summary, log, time_left=timedelta(seconds=left))) is reads
    assert calls_of(omics, "ListRunTasks") == reads
    assert any("execution_timeout is left" in line for line in log.lines) is not reads


def test_a_timeout_of_the_report_changes_nothing(
    ended: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has ended, and its status is the outcome of the task."""
    summary = ended()

    def time_out(*_: Any, **__: Any) -> Any:
        raise AirflowTaskTimeout("from a signal handler")

    monkeypatch.setattr(best_effort.BestEffortClient, "call", time_out)
    assert add_usage(summary, hook=HealthOmicsHook(), log=log) == (summary, None)
    assert log.lines == [f"The usage report of run {summary['id']} is skipped: the task timed out"]


def test_a_hanging_call_is_given_up(
    server: HealthOmicsServer, connection: Callable[..., None], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the report's timeout, whatever the connection's is."""
    patient = {"read_timeout": 600, "retries": {"total_max_attempts": 100}}
    connection(endpoint_url=server.endpoint_url, region_name="us-west-2", config_kwargs=patient)
    monkeypatch.setattr(best_effort, "READ_TIMEOUT", 0.3)
    hook = HealthOmicsHook()
    run = hook.conn.start_run(roleArn=ROLE, outputUri=OUTPUT, workflowId=WORKFLOW, requestId="r")
    server.control.advance("COMPLETED")
    server.control.delay("ListRunTasks", 30, times=None)
    began = time.monotonic()
    use = add_usage(summarize_run(hook.get_run(run["id"])), hook=hook, log=log)[0]["usage"]
    assert time.monotonic() - began < 10
    assert sum(use["tasks"].values()) == 3
    assert "omics:ListRunTasks failed with ReadTimeoutError" in log.lines[0]
    server.control.clear_faults()


# --- in a task ---


def sensor(run_id: str, deferrable: bool, **fields: Any) -> Callable[[], HealthOmicsRunSensor]:
    return lambda: HealthOmicsRunSensor(
        task_id="a_task", run_id=run_id, deferrable=deferrable, botocore_config=ONE_ATTEMPT, **fields
    )


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_operator_reports_it(
    omics: Control,
    context: Context,
    ti: FakeTaskInstance,
    tasks: Tasks,
    logged: Callable[[], str],
    deferrable: bool,
) -> None:
    """In XCom ``summary`` and in the log, on a worker and after a deferral."""
    omics.plan_run(**PLAN)
    tasks.run(waiting(deferrable), context)
    assert {key: ti.xcoms["summary"]["usage"][key] for key in FIGURES} == FIGURES
    assert "Used 22.7 CPU hours" in logged()


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_operator_reports_it_for_a_failed_run(
    omics: Control, context: Context, ti: FakeTaskInstance, tasks: Tasks, deferrable: bool
) -> None:
    """A failed run has a cost, too; the error does not change."""
    omics.plan_run(**PLAN, status="FAILED", failure_reason="RUN_TASK_FAILED")
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        tasks.run(waiting(deferrable), context)
    assert caught.value.failure_reason == "RUN_TASK_FAILED"
    assert ti.xcoms["summary"]["usage"]["cpuHours"] == FIGURES["cpuHours"]


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("report_usage", [True, False])
def test_a_failed_run_is_listed_once(
    omics: Control, context: Context, tasks: Tasks, deferrable: bool, report_usage: bool
) -> None:
    """The diagnosis finds the failed tasks in the list of the usage."""
    failures = [{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR"}, {"name": "good"}]
    omics.plan_run(status="FAILED", failure_reason="RUN_TASK_FAILED", tasks=failures)
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        tasks.run(waiting(deferrable, report_usage=report_usage), context)
    error: Any = caught.value
    assert [task.name for task in error.diagnosis.failed_tasks] == ["bad"]
    assert (calls_of(omics, "ListRunTasks"), calls_of(omics, "GetRunTask")) == (1, 1)
    with pytest.raises(HealthOmicsRunFailedError) as caught:
        tasks.run(sensor(error.run_id, deferrable, report_usage=report_usage), context)
    assert caught.value.diagnosis == error.diagnosis._replace(next_step=ANY)
    assert (calls_of(omics, "ListRunTasks"), calls_of(omics, "GetRunTask")) == (2, 2)


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_sensor_reports_it(
    omics: Control,
    context: Context,
    tasks: Tasks,
    started: Callable[..., Any],
    logged: Callable[[], str],
    deferrable: bool,
) -> None:
    """In its return value and in the log."""
    omics.plan_run(**PLAN)
    summary = tasks.run(sensor(started()["id"], deferrable), context)
    assert {key: summary["usage"][key] for key in FIGURES} == FIGURES
    assert "Used 22.7 CPU hours" in logged()


@pytest.mark.parametrize("deferrable", WAYS)
def test_it_can_be_turned_off(
    omics: Control, context: Context, ti: FakeTaskInstance, tasks: Tasks, deferrable: bool
) -> None:
    """``report_usage=False`` makes no call."""
    tasks.run(waiting(deferrable, report_usage=False), context)
    assert "usage" not in ti.xcoms["summary"]
    run_id = ti.xcoms["run"]["id"]
    assert "usage" not in tasks.run(sensor(run_id, deferrable, report_usage=False), context)
    assert calls_of(omics, "ListRunTasks") == 0


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("fault", ["AccessDeniedException", "ThrottlingException", "drop", "bug"])
def test_its_failures_do_not_change_the_outcome(
    omics: Control,
    context: Context,
    tasks: Tasks,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
    fault: str,
) -> None:
    """Both tasks succeed, without figures."""
    match fault:
        case "drop":
            omics.drop_connection("ListRunTasks", times=None)
        case "bug":
            monkeypatch.setattr(use_report, "usage_of_run", lambda *_, **__: 1 / 0)
        case code:
            omics.inject_error("ListRunTasks", code, times=None)
            refuse_logs(monkeypatch)
    run_id = tasks.run(waiting(deferrable), context)
    assert tasks.run(sensor(run_id, deferrable), context)["status"] == "COMPLETED"
    assert clock.elapsed < 120


def test_a_try_without_time_left_ends_in_time(
    omics: Control, context: Context, ti: FakeTaskInstance, tasks: Tasks, clock: Clock
) -> None:
    """``execution_timeout`` leaves no time for figures, and the run has completed."""
    omics.plan_run(seconds={"PENDING": 0, "STARTING": 0, "RUNNING": 50, "STOPPING": 0})
    ti.start_date = datetime.fromtimestamp(clock.time(), UTC)
    timeout = timedelta(seconds=70)
    tasks.run(waiting(False, execution_timeout=timeout), context)
    assert ti.xcoms["summary"]["status"] == "COMPLETED"
    assert "usage" not in ti.xcoms["summary"]
    assert calls_of(omics, "ListRunTasks") == 0
