# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Why a run failed, whether to retry it, and the text for a person."""

from __future__ import annotations

import itertools
import json
import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
import requests
from airflow.providers.amazon.aws.hooks.base_aws import SessionFactory

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.exceptions import Diagnosis, FailedTask, HealthOmicsRunFailedPermanentlyError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.hooks import best_effort as module
from airflow_healthomics.reports.diagnosis import describe_failure, diagnose, raise_for_status
from airflow_healthomics.reports.remedies import REMEDIES, remedy_for
from airflow_healthomics.service.summaries import summarize_run
from tests.healthomics import Control, HealthOmicsServer, JsonRESTError, LogsBackend, Runs
from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW, calls_of
from tests.unit.reports.conftest import Lines

GROUP = "/aws/omics/WorkflowLog"
SECRET = "canary-patient-7"

#: Written out from https://docs.aws.amazon.com/omics/latest/dev/workflows-run-errors.html: whether to retry.
DOCUMENTED = {
    "ASSUME_ROLE_FAILED": False,
    "CANNOT_START_CONTAINER_ERROR": False,
    "CANNOT_START_CONTAINER_SIZE_ERROR": False,
    "ECR_PERMISSION_ERROR": False,
    "EXPORT_FAILED": False,
    "FILE_SYSTEM_OUT_OF_SPACE": False,
    "IMAGE_VERIFICATION_FAILURE": False,
    "IMPORT_FAILED": False,
    "INACTIVE_OMICS_STORAGE_RESOURCE": False,
    "INPUT_URI_NOT_FOUND": False,
    "INSTANCE_RESERVATION_FAILED": True,
    "INVALID_ECR_IMAGE_URI": False,
    "INVALID_RUN_PARAMETERS": False,
    "INVALID_TASK_RESOURCE_VALUE": False,
    "INVALID_URI_INPUT": False,
    "MODIFIED_INPUT_RESOURCE": True,
    "OUT_OF_MEMORY_ERROR": False,
    "RUN_TASK_FAILED": True,
    "RUN_TIMED_OUT": False,
    "SERVICE_ERROR": True,
    "TASK_TIMED_OUT": False,
    "UNSUPPORTED_GPU_INSTANCE_TYPE": False,
    "UNSUPPORTED_INPUT_SIZE": False,
    "WORKFLOW_RUN_FAILED": True,
    "WORKFLOW_VER_VALIDATION_FAILED": False,
}


@pytest.fixture
def failed(omics: Control, client: Any, started: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Return the summary of a run whose failure was planned."""

    def fail(request: dict[str, Any] | None = None, **plan: Any) -> dict[str, Any]:
        omics.plan_run(status="FAILED", **{"failure_reason": "RUN_TASK_FAILED", "tasks": [], **plan})
        run = started(**request or {})
        omics.advance("FAILED", run_id=run["id"])
        return summarize_run(client.get_run(id=run["id"]))

    return fail


def task(name: str, reason: str | None = "OUT_OF_MEMORY_ERROR", **more: Any) -> dict[str, Any]:
    """Return the plan of a task that fails."""
    return {"name": name, "failure_reason": reason, **more}


def look(summary: dict[str, Any], log: Lines, *, log_tail_lines: int = 10) -> Diagnosis:
    """Diagnose with the default connection."""
    return diagnose(HealthOmicsHook(), summary, log_tail_lines=log_tail_lines, log=log)


# --- the remedy ---


@pytest.mark.parametrize(
    ("reason", "retry"), [*DOCUMENTED.items(), ("A_REASON_OF_TOMORROW", True), ("", True), (None, True)]
)
def test_the_reason_decides_the_retry(reason: str | None, retry: bool) -> None:
    """Only a reason that the same input meets again is not retried; every reason has a next step."""
    remedy = remedy_for(reason)
    assert remedy.retry is retry
    assert remedy.next_step.endswith(".")


def test_every_documented_reason_has_its_remedy() -> None:
    """The table matches the user guide exactly."""
    assert set(REMEDIES) == set(DOCUMENTED)
    assert len({remedy.next_step for remedy in REMEDIES.values()}) == len(DOCUMENTED)


@pytest.mark.parametrize(
    ("task_reasons", "retry", "step_of"),
    [
        ([], True, "RUN_TASK_FAILED"),
        ([None], True, "RUN_TASK_FAILED"),
        (["exit code 1"], True, "RUN_TASK_FAILED"),
        (["SERVICE_ERROR"], True, "SERVICE_ERROR"),
        (["OUT_OF_MEMORY_ERROR"], False, "OUT_OF_MEMORY_ERROR"),
        (["TASK_TIMED_OUT", "OUT_OF_MEMORY_ERROR"], False, "TASK_TIMED_OUT"),
        (["SERVICE_ERROR", "OUT_OF_MEMORY_ERROR"], True, "OUT_OF_MEMORY_ERROR"),
        ([None, "OUT_OF_MEMORY_ERROR"], True, "OUT_OF_MEMORY_ERROR"),
    ],
)
def test_failed_tasks_decide_for_their_run(task_reasons: list[str | None], retry: bool, step_of: str) -> None:
    """RUN_TASK_FAILED is permanent only if the failure of every task is."""
    assert remedy_for("RUN_TASK_FAILED", task_reasons) == (retry, REMEDIES[step_of].next_step)


@pytest.mark.parametrize("reason", ["SERVICE_ERROR", "WORKFLOW_RUN_FAILED", "EXPORT_FAILED", None])
def test_failed_tasks_decide_for_no_other_reason(reason: str | None) -> None:
    """The engine may have repeated a failed task successfully, so only RUN_TASK_FAILED looks at tasks."""
    assert remedy_for(reason, ["OUT_OF_MEMORY_ERROR", "SERVICE_ERROR"]) == remedy_for(reason)


# --- the diagnosis ---


def test_a_failed_task_is_found_with_its_log(failed: Callable[..., Any], log: Lines) -> None:
    """The diagnosis has its reason, its message, and no more than the last lines of its log."""
    plan = task("align", status_message="killed", log=["one", "two", "three\nfour\r\n"])
    summary = failed(tasks=[task("fine", None), plan])
    found = look(summary, log, log_tail_lines=3)
    (only,) = found.failed_tasks
    assert only == FailedTask(
        task_id=only.task_id, name="align", failure_reason="OUT_OF_MEMORY_ERROR", status_message="killed"
    )
    assert found.log_stream == f"run/{summary['id']}/task/{only.task_id}"
    assert found.log_lines == ("two", "three", "four")
    assert (found.retry, found.failed_task_count) == (False, 1)
    assert log.lines == []


def test_the_first_failure_comes_first(
    omics: Control, failed: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others often follow from it, so its log is shown."""
    answer = Runs.list_run_tasks

    def list_run_tasks(self: Any, params: Any) -> Any:
        page = answer(self, params)
        page["items"][0]["stopTime"] = page["items"][0]["stopTime"].replace(year=2099)
        return page

    summary = failed(tasks=[task("last", log=["last"]), task("first", log=["first"])])
    monkeypatch.setattr(Runs, "list_run_tasks", list_run_tasks)
    found = look(summary, log)
    assert [each.name for each in found.failed_tasks] == ["first", "last"]
    assert found.log_lines[-1] == "first"


def test_the_task_in_the_message_comes_first(omics: Control, failed: Callable[..., Any], log: Lines) -> None:
    """A task that HealthOmics names itself needs no guess."""
    tasks = [task("align", seconds=1), task("align-2", log=["mine"])]
    summary = failed(tasks=tasks, status_message="Workflow task align-2 ran out of memory.")
    found = look(summary, log)
    assert [each.name for each in found.failed_tasks] == ["align-2", "align"]
    assert found.log_lines[-1] == "mine"


@pytest.mark.parametrize("status", ["CANCELLED", "DELETED"])
def test_a_run_that_did_not_fail_needs_no_calls(omics: Control, log: Lines, status: str) -> None:
    """A run that somebody ended has no reason to look for, and the DAG's retries apply."""
    found = look({"id": "1", "status": status}, log)
    assert (found.retry, found.log_lines, omics.call_counts(), log.lines) == (True, (), {}, [])
    assert "who" in found.next_step


def test_a_run_without_failed_tasks_shows_the_engine_log(failed: Callable[..., Any], log: Lines) -> None:
    """If no task failed, the engine's log says more."""
    summary = failed(failure_reason="WORKFLOW_RUN_FAILED", engine_log=["no such file: main.wdl"])
    found = look(summary, log)
    assert found.log_stream == f"run/{summary['id']}/engine"
    assert found.log_lines[-1] == "no such file: main.wdl"
    assert log.lines == []


def test_a_task_that_printed_nothing_shows_the_engine_log(failed: Callable[..., Any], log: Lines) -> None:
    """A task without output has no log stream."""
    summary = failed(tasks=[task("silent")], engine_log=["silent failed"])
    logs = boto3.client("logs")
    stream = look(summary, log).log_stream
    logs.delete_log_stream(logGroupName=GROUP, logStreamName=stream)
    found = look(summary, log)
    assert found.log_lines[-1] == "silent failed"
    assert [line for line in log.lines if "logs:GetLogEvents" in line] == log.lines
    assert len(log.lines) == 1


def test_a_run_without_logs_is_diagnosed(failed: Callable[..., Any], log: Lines) -> None:
    """With logLevel OFF there is no log group; the rest is found."""
    found = look(failed({"logLevel": "OFF"}, tasks=[task("align")]), log)
    assert (found.log_stream, found.log_lines, found.retry) == (None, (), False)
    assert found.failed_tasks[0].failure_reason == "OUT_OF_MEMORY_ERROR"


@pytest.mark.parametrize("healthomics_options", [{"reuse_run_ids": True}])
def test_the_log_of_an_earlier_run_with_the_id_is_not_shown(
    omics: Control, client: Any, failed: Callable[..., Any], log: Lines
) -> None:
    """AWS reuses the ids of deleted runs, and with them the names of log streams."""
    old = failed(engine_log=["an old secret"])
    client.delete_run(id=old["id"])
    omics.advance_clock(3600)
    new = failed(engine_log=["new"])
    assert new["id"] == old["id"]
    assert look(new, log, log_tail_lines=50).log_lines == (f"Workflow {WORKFLOW} started", "new")


@pytest.mark.parametrize("log_tail_lines", [0, -1])
def test_log_lines_can_be_turned_off(
    failed: Callable[..., Any], log: Lines, log_calls: list[str], log_tail_lines: int
) -> None:
    """CloudWatch is not called, and the reasons are found nevertheless."""
    found = look(failed(tasks=[task("align")]), log, log_tail_lines=log_tail_lines)
    assert (log_calls, found.log_lines, found.retry, log.lines) == ([], (), False, [])


def test_the_diagnosis_has_no_parameters(omics: Control, failed: Callable[..., Any], log: Lines) -> None:
    """The diagnosis, its text and the log have no value of the run's parameters."""
    omics.inject_error("GetRunTask", "AccessDeniedException")
    summary = failed({"parameters": {"sample": SECRET}}, tasks=[task("align", log=["oops"])])
    found = look(summary, log)
    assert SECRET not in "\n".join([repr(found), describe_failure(summary, found), *log.lines])


# --- its bounds ---


def test_thousands_of_failed_tasks_cost_a_few_calls(
    omics: Control, failed: Callable[..., Any], log: Lines, log_calls: list[str]
) -> None:
    """Of 5,000 failed tasks, one page is listed, five are described and one log is read."""
    summary = failed(tasks=[task("align")] * 5_000)
    before = omics.call_counts()
    found = look(summary, log)
    assert (found.failed_task_count, len(found.failed_tasks), len(log_calls)) == (100, 5, 1)
    after = omics.call_counts()
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)} == {
        "ListRunTasks": 1,
        "GetRunTask": 5,
    }
    assert "... and at least 95 more failed tasks" in describe_failure(summary, found)


def test_known_tasks_are_not_listed_again(omics: Control, failed: Callable[..., Any], log: Lines) -> None:
    """The failed tasks are found among them, and all are counted."""
    hook = HealthOmicsHook()
    summary = failed(tasks=[task("fine", None), *[task(f"t{number}") for number in range(150)]])
    tasks = list(hook.list_run_tasks(summary["id"]))
    before = calls_of(omics, "ListRunTasks")
    found = diagnose(hook, summary, log_tail_lines=0, log=log, tasks=tasks)
    assert calls_of(omics, "ListRunTasks") == before
    assert found == look(summary, log, log_tail_lines=0)._replace(failed_task_count=150)
    assert "... and 145 more failed tasks" in describe_failure(summary, found)


@pytest.mark.parametrize(("empty_pages", "calls", "found"), [(1, 2, 1), (1_000, 3, 0)])
def test_a_few_empty_pages_are_followed(
    omics: Control,
    failed: Callable[..., Any],
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
    empty_pages: int,
    calls: int,
    found: int,
) -> None:
    """A filtered list may have empty pages before the relevant one, but the number is limited."""
    answer, pages = Runs.list_run_tasks, itertools.count()

    def list_run_tasks(self: Any, params: Any) -> Any:
        if next(pages) < empty_pages:
            return {"items": [], "nextToken": "0"}
        return answer(self, params)

    summary = failed(tasks=[task("align")])
    monkeypatch.setattr(Runs, "list_run_tasks", list_run_tasks)
    assert len(look(summary, log).failed_tasks) == found
    assert omics.call_counts()["ListRunTasks"] == calls


@pytest.mark.parametrize(("empty_pages", "calls", "found"), [(1, 2, "lines"), (1_000, 3, "nothing")])
def test_a_few_empty_pages_of_a_log_are_followed(
    failed: Callable[..., Any],
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
    empty_pages: int,
    calls: int,
    found: str,
) -> None:
    """GetLogEvents may return an empty page although there are events behind its token."""
    answer, tokens = LogsBackend.get_log_events, []

    def get_log_events(self: Any, **request: Any) -> Any:
        tokens.append(request["next_token"])
        if len(tokens) <= empty_pages:
            return [], f"b/{len(tokens)}", "f/0"
        return answer(self, **{**request, "next_token": None})

    summary = failed(engine_log=["lines"])
    monkeypatch.setattr(LogsBackend, "get_log_events", get_log_events)
    assert (look(summary, log).log_lines or ["nothing"])[-1] == found
    assert tokens == [None, "b/1", "b/2"][:calls]


def test_long_logs_are_cut(failed: Callable[..., Any], log: Lines) -> None:
    """A person can read the result, however many lines are requested and however long they are."""
    long = "Caused by: " + "x" * 100_000 + " exit status 137"
    found = look(failed(engine_log=[long] * 200), log, log_tail_lines=10_000)
    assert len(found.log_lines) == 50
    assert {len(line) for line in found.log_lines} <= set(range(290, 301))
    assert found.log_lines[0].startswith("Caused by: xxx")
    assert found.log_lines[0].endswith("xxx exit status 137")


def test_slow_responses_end_the_diagnosis(
    omics: Control, failed: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When time is up, the facts so far are the diagnosis, and the log says so once."""
    summary = failed(tasks=[task("a"), task("b"), task("c")])
    seconds = itertools.count(step=5.0)
    monkeypatch.setattr(module, "monotonic", lambda: next(seconds))
    found = look(summary, log)
    assert omics.call_counts()["GetRunTask"] == 1
    assert [each.failure_reason for each in found.failed_tasks] == ["OUT_OF_MEMORY_ERROR", None, None]
    assert (found.retry, found.log_lines) == (True, ())
    assert log.lines == [
        f"The diagnosis of run {summary['id']} is incomplete: it reached its time limit of 15.0 s"
    ]


@pytest.mark.parametrize(("left", "calls"), [(5, 0), (15, 0), (20, 1), (3600, 1)])
def test_a_diagnosis_ends_before_the_task_times_out(
    omics: Control, failed: Callable[..., Any], log: Lines, left: int, calls: int
) -> None:
    """No call begins that may not end in time, and the run's own reason applies."""
    summary = failed(failure_reason="IMPORT_FAILED", tasks=[task("align", log=["oops"])])
    found = diagnose(HealthOmicsHook(), summary, log_tail_lines=5, log=log, time_left=timedelta(seconds=left))
    assert omics.call_counts().get("ListRunTasks", 0) == calls
    assert (found.retry, found.next_step) == REMEDIES["IMPORT_FAILED"]
    assert any("execution_timeout is left" in line for line in log.lines) is not bool(calls)


@pytest.mark.parametrize("method", ["ListRunTasks", "GetRunTask"])
def test_a_timeout_in_the_diagnosis_ends_in_the_failure_of_the_run(
    omics: Control, failed: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Airflow may retry a timeout, whereas this failure is permanent."""
    summary = failed(failure_reason="IMPORT_FAILED", tasks=[task("align", log=["oops"])])
    ask = module.BestEffortClient.call

    def time_out(self: Any, permission: str, **request: Any) -> Any:
        if permission == f"omics:{method}":
            raise AirflowTaskTimeout("from a signal handler")
        return ask(self, permission, **request)

    monkeypatch.setattr(module.BestEffortClient, "call", time_out)
    with pytest.raises(HealthOmicsRunFailedPermanentlyError) as caught:
        raise_for_status(summary, hook=HealthOmicsHook(), log_tail_lines=5, log=log)
    assert (caught.value.failure_reason, caught.value.run_id) == ("IMPORT_FAILED", summary["id"])
    assert REMEDIES["IMPORT_FAILED"].next_step in str(caught.value)
    assert any("timed out" in line for line in log.lines)


# --- failures ---


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException", "InternalServerException"])
@pytest.mark.parametrize(("operation", "tasks"), [("ListRunTasks", 0), ("GetRunTask", 2)])
def test_a_refused_call_is_logged(
    omics: Control,
    failed: Callable[..., Any],
    log: Lines,
    operation: str,
    code: str,
    tasks: int,
) -> None:
    """Without a response the run counts as ambiguous; a log is found nevertheless, and one line says why."""
    summary = failed(tasks=[task("a", log=["oops"]), task("b", log=["oops"])], engine_log=["oops"])
    omics.inject_error(operation, code, times=None)
    found = look(summary, log)
    assert (len(found.failed_tasks), found.retry, found.log_lines[-1]) == (tasks, True, "oops")
    (line,) = log.lines
    assert f"omics:{operation}" in line
    assert code in line
    assert ("IAM policy must allow" in line) is (code == "AccessDeniedException")


def test_a_refused_log_is_logged(
    failed: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without logs:GetLogEvents the reasons are found, and no second log is tried."""

    def refuse(self: Any, **request: Any) -> Any:
        raise JsonRESTError("AccessDeniedException", "not authorized to perform: logs:GetLogEvents")

    summary = failed(tasks=[task("align", log=["oops"])])
    monkeypatch.setattr(LogsBackend, "get_log_events", refuse)
    found = look(summary, log)
    assert (found.log_lines, found.retry) == ((), False)
    (line,) = log.lines
    assert "logs:GetLogEvents failed with AccessDeniedException. The IAM policy must allow logs:" in line


def test_a_lost_connection_is_logged(omics: Control, failed: Callable[..., Any], log: Lines) -> None:
    """An error without a response of AWS is no failure either."""
    omics.drop_connection("ListRunTasks", times=None)
    assert look(failed(tasks=[task("align")]), log).failed_tasks == ()
    (line,) = log.lines
    assert "omics:ListRunTasks failed with ConnectionClosedError" in line


def test_a_deleted_run_is_diagnosed(omics: Control, log: Lines) -> None:
    """Its reason is in the summary."""
    gone = {"id": "7654321", "status": "FAILED", "failureReason": "IMPORT_FAILED"}
    assert look(gone, log) == Diagnosis(*REMEDIES["IMPORT_FAILED"])


def test_an_identity_provider_that_is_down_is_no_failure(
    failed: Callable[..., Any], log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New credentials may require calls to other services than AWS, whose errors are not botocore's."""
    summary = failed(failure_reason="IMPORT_FAILED")
    hook = HealthOmicsHook()

    def refuse(self: Any, deferrable: bool = False) -> Any:
        raise requests.ConnectionError("no way to the identity provider")

    monkeypatch.setattr(SessionFactory, "create_session", refuse)
    assert diagnose(hook, summary, log_tail_lines=5, log=log) == Diagnosis(*REMEDIES["IMPORT_FAILED"])
    assert ["omics:ListRunTasks" in line for line in log.lines] == [True, False]


def test_the_connection_applies_and_its_timeouts_do_not(
    server: HealthOmicsServer,
    connection: Callable[..., None],
    log: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both clients use the hook's endpoint and region; a hanging call is given up soon."""
    connection(
        endpoint_url=server.endpoint_url,
        region_name="us-west-2",
        config_kwargs={"read_timeout": 600, "retries": {"total_max_attempts": 100}},
    )
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.3)
    control = server.control
    control.plan_run(status="FAILED", failure_reason="RUN_TASK_FAILED", engine_log=["from Ireland"])
    hook = HealthOmicsHook(region_name="eu-west-1")
    run = hook.conn.start_run(roleArn=ROLE, outputUri=OUTPUT, workflowId=WORKFLOW, requestId="r")
    control.advance("FAILED")
    control.delay("ListRunTasks", 30, times=None)
    began = time.monotonic()
    found = diagnose(hook, summarize_run(hook.get_run(run["id"])), log_tail_lines=5, log=log)
    assert time.monotonic() - began < 10
    assert found.log_lines[-1] == "from Ireland"
    (line,) = log.lines
    assert "omics:ListRunTasks failed with ReadTimeoutError" in line
    control.clear_faults()


# --- the text ---


def test_the_text_has_the_failure_and_the_next_step() -> None:
    """A person reads run, reason, failed tasks, log, link and next step, in this order."""
    found = Diagnosis(
        retry=False,
        next_step="Give the task more memory.",
        failed_tasks=(
            FailedTask(task_id="1", name="align", failure_reason="OUT_OF_MEMORY_ERROR", status_message="137"),
            FailedTask(task_id="2", name="sort"),
        ),
        failed_task_count=4,
        log_stream="run/7/task/1",
        log_lines=("bwa mem", "Killed"),
    )
    summary = {
        "id": "7",
        "status": "FAILED",
        "failureReason": "RUN_TASK_FAILED",
        "statusMessage": "A task failed",
    }
    assert describe_failure(summary, found, console_url="https://console/7").splitlines() == [
        "HealthOmics run 7 ended as FAILED: RUN_TASK_FAILED",
        "A task failed",
        "Failed task align (1): OUT_OF_MEMORY_ERROR: 137",
        "Failed task sort (2)",
        "... and 2 more failed tasks",
        "Last lines of the log run/7/task/1:",
        "    bwa mem",
        "    Killed",
        "See https://console/7",
        "Next step: Give the task more memory.",
    ]


def test_the_text_of_a_run_without_a_reason_is_short() -> None:
    """Unknown facts are omitted."""
    found = Diagnosis(retry=True, next_step="Look.")
    assert describe_failure({"id": "7", "status": "CANCELLED"}, found).splitlines() == [
        "HealthOmics run 7 ended as CANCELLED",
        "Next step: Look.",
    ]


def test_a_long_status_message_is_cut() -> None:
    """AWS does not limit a status message; the text does."""
    summary = {"id": "7", "status": "FAILED", "statusMessage": "x" * 50_000}
    assert len(describe_failure(summary, Diagnosis(retry=True, next_step="Look."))) < 1_200


def test_a_diagnosis_pickles(failed: Callable[..., Any], log: Lines) -> None:
    """The exception that has it must pickle, and it becomes JSON."""
    found = look(failed(tasks=[task("align", log=["oops"])]), log)
    assert pickle.loads(pickle.dumps(found)) == found
    assert json.loads(json.dumps(found.failed_tasks[0]._asdict()))["name"] == "align"
