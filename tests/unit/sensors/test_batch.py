# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The sensor of batches does the same in each of its modes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    Context,
)
from airflow_healthomics.exceptions import (
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
    HealthOmicsRunBatchFailedError,
)
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor
from tests.healthomics import Control
from tests.sdk import BaseSensorOperator, TaskDeferred, timezone
from tests.unit.batch_attempts import CANARY, batch_of, fail_runs, hold_runs, some_settings
from tests.unit.conftest import (
    DAG_RUN_ID,
    HAS_STORE,
    ONE_ATTEMPT,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
    try_of,
)

try:
    from tests.sdk import AirflowRescheduleException
except ImportError:  # older releases of the provider
    from airflow.exceptions import AirflowRescheduleException

MODES = ["poke", "reschedule", "deferred"]
#: Seconds between two looks.
INTERVAL = 300
SOFT = [pytest.param(False, id="hard"), pytest.param(True, id="soft")]


class Sensing:
    """Runs a sensor to its end, in any mode, the way Airflow does."""

    def __init__(self, tasks: Tasks, ti: FakeTaskInstance, context: Context) -> None:
        self.tasks, self.ti, self.context = tasks, ti, context

    def run(self, mode: str, batch_id: str, **fields: Any) -> Any:
        """Return its result."""
        defaults: dict[str, Any] = {
            "botocore_config": ONE_ATTEMPT,
            "poke_interval": INTERVAL,
            "timeout": 7 * 24 * 3600,
        }

        def make() -> HealthOmicsRunBatchSensor:
            return HealthOmicsRunBatchSensor(
                task_id="a_task",
                batch_id=batch_id,
                deferrable=mode == "deferred",
                mode="reschedule" if mode == "reschedule" else "poke",
                **{**defaults, **fields},
            )

        began = self.tasks.clock.elapsed
        while True:
            try:
                return self.tasks.run(make, self.context)
            except AirflowRescheduleException as again:
                wait = (again.reschedule_date - timezone.utcnow()).total_seconds()
                self.tasks.clock.advance(round(wait))
                # As if the first look was so long ago; the database keeps real times.
                elapsed = timedelta(seconds=self.tasks.clock.elapsed - began)
                self.ti.first_reschedule = timezone.utcnow() - elapsed


@pytest.fixture
def sensing(
    tasks: Tasks,
    ti: FakeTaskInstance,
    context: Context,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> Sensing:
    """Run sensors."""
    module = sys.modules[BaseSensorOperator.__module__]
    if hasattr(module, "_orig_start_date"):  # Airflow 2 asks the database, Airflow 3 the task instance
        monkeypatch.setattr(module, "_orig_start_date", lambda **_: ti.first_reschedule)
    return Sensing(tasks, ti, try_of(ti, store if HAS_STORE else None))


@pytest.fixture
def batch_id(omics: Control) -> str:
    """A batch whose runs stay RUNNING until they are told."""
    hold_runs(omics)
    return str(batch_of().execute(try_of(FakeTaskInstance())))


def failed(sensing: Sensing, mode: str, batch_id: str, **fields: Any) -> HealthOmicsRunBatchFailedError:
    """Return why it failed, for good."""
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        sensing.run(mode, batch_id, **fields)
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.batch_id == batch_id
    return caught.value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
def test_a_batch_whose_runs_completed_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str, soft_fail: bool
) -> None:
    """It returns the batch's summary, as JSON values."""
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    summary = sensing.run(mode, batch_id, soft_fail=soft_fail)
    assert (summary["id"], summary["status"], summary["totalRuns"]) == (batch_id, "PROCESSED", 3)
    assert {"arn", "uuid", "name", "submissionSummary", "runSummary", "processedTime"} <= summary.keys()
    assert json.loads(json.dumps(summary)) == summary
    assert clock.elapsed <= 3600 + 2 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
def test_processed_is_not_success(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str
) -> None:
    """It fails at once and for good, and says why."""
    clock.at(
        600,
        lambda: omics.advance("FAILED", run_id=omics.runs()[0]["id"], failure_reason="SERVICE_ERROR"),
    )
    clock.at(601, lambda: omics.advance("COMPLETED"))
    error = failed(sensing, mode, batch_id)
    assert (error.status, error.counts) == ("PROCESSED", {"COMPLETED": 2, "FAILED": 1})
    assert "2 of 3 runs completed" in str(error)
    assert f"run {omics.runs()[0]['id']}: FAILED: SERVICE_ERROR" in str(error)
    assert clock.elapsed <= 600 + 2 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("policy", "is_met"), [("any", True), (2, True), ("60%", True), ("3", False)])
def test_the_policy_decides(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str, policy: Any, is_met: bool
) -> None:
    """As for the operator."""
    clock.at(600, lambda: omics.advance("FAILED", run_id=omics.runs()[0]["id"]))
    clock.at(601, lambda: omics.advance("COMPLETED"))
    if is_met:
        assert sensing.run(mode, batch_id, success_policy=policy)["status"] == "PROCESSED"
    else:
        failed(sensing, mode, batch_id, success_policy=policy)


def bring(omics: Control, client: Any, batch_id: str, end: str) -> None:
    """End a batch."""
    match end:
        case "FAILED":
            omics.advance_batch("FAILED")
        case "CANCELLED":
            omics.advance_batch("INPROGRESS")
            client.cancel_run_batch(batchId=batch_id)
            omics.advance_batch("CANCELLED")
        case "DELETED":
            omics.advance_batch("PROCESSED")
            client.delete_batch(batchId=batch_id)
        case "RUNS_DELETED":
            omics.advance_batch("PROCESSED")
            client.delete_run_batch(batchId=batch_id)
            omics.advance_batch("RUNS_DELETED")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("policy", "is_met"), [(2, True), ("all", False)])
def test_the_policy_decides_about_a_cancelled_batch_by_its_runs(
    omics: Control,
    sensing: Sensing,
    clock: Clock,
    client: Any,
    batch_id: str,
    mode: str,
    policy: Any,
    is_met: bool,
) -> None:
    """As for the operator: the counts of GetBatch are final for a batch that is PROCESSED only."""
    omics.set_options(batch_counts_lag_seconds=36000.0)

    def end_two_and_cancel() -> None:
        for run in omics.runs()[:2]:
            omics.advance("COMPLETED", run_id=run["id"])
        client.cancel_run_batch(batchId=batch_id)
        omics.advance_batch("CANCELLED")

    clock.at(600, end_two_and_cancel)
    if is_met:
        assert sensing.run(mode, batch_id, success_policy=policy)["status"] == "CANCELLED"
    else:
        error = failed(sensing, mode, batch_id, success_policy=policy)
        assert (error.status, error.counts) == ("CANCELLED", {"COMPLETED": 2, "CANCELLED": 1})


ENDS = ["FAILED", "CANCELLED", "DELETED", "RUNS_DELETED"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("end", ENDS)
def test_any_other_end_fails_it(
    omics: Control,
    sensing: Sensing,
    clock: Clock,
    client: Any,
    batch_id: str,
    mode: str,
    soft_fail: bool,
    at_once: bool,
    end: str,
) -> None:
    """Or skips it, in every mode alike, whether it had ended before or while it was waited for."""
    omics.set_options(manual=True)
    clock.at(0 if at_once else 600, lambda: bring(omics, client, batch_id, end))
    clock.advance(0)
    if soft_fail:
        with pytest.raises(AirflowSkipException):
            sensing.run(mode, batch_id, soft_fail=True)
    else:
        error = failed(sensing, mode, batch_id)
        assert error.status == end
        assert " of 0" not in str(error)
    if at_once:
        assert (clock.elapsed, sensing.tasks.deferrals) == (0, [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
def test_a_timeout_ends_it(sensing: Sensing, clock: Clock, batch_id: str, mode: str, soft_fail: bool) -> None:
    """After the same time in every mode, as a failure or a skip."""
    with pytest.raises(AirflowException) as caught:
        sensing.run(mode, batch_id, timeout=1800, soft_fail=soft_fail)
    assert isinstance(caught.value, AirflowSkipException) == soft_fail
    assert 1800 <= clock.elapsed <= 1800 + 2 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_it_survives_a_service_that_refuses_for_a_while(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str, code: str
) -> None:
    """From the first look on."""
    omics.inject_error("GetBatch", code, times=5)
    clock.at(1200, lambda: omics.advance("COMPLETED"))
    assert sensing.run(mode, batch_id)["status"] == "PROCESSED"


@needs_store
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
def test_no_permission_ends_it(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str, soft_fail: bool, later: bool
) -> None:
    """After an hour and retryably, in every mode; ``soft_fail`` does not hide it."""
    clock.at(600, lambda: omics.inject_error("GetBatch", "AccessDeniedException", times=None))
    if not later:
        clock.advance(600)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetBatch") as caught:
        sensing.run(mode, batch_id, soft_fail=soft_fail)
    assert not isinstance(caught.value, AirflowFailException)
    assert 600 + 3600 <= clock.elapsed <= 600 + 3600 + 3 * INTERVAL


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", ["ListRuns", "ListRunsInBatch", "GetRun"])
@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServerException"])
def test_a_failure_that_may_not_be_looked_into_is_told_as_far_as_it_is_known(
    omics: Control,
    sensing: Sensing,
    client: Any,
    logged: Callable[[], str],
    batch_id: str,
    mode: str,
    operation: str,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The outcome is the batch's, and not that of the look."""
    # botocore's rate limiter would wait for real seconds to pass by the clock of the test.
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    omics.advance_batch("INPROGRESS")
    omics.advance("FAILED", run_id=omics.runs()[0]["id"])
    omics.advance("COMPLETED")
    omics.inject_error(operation, code, times=None)
    error = failed(sensing, mode, batch_id)
    assert (error.status, error.counts) == ("PROCESSED", {"COMPLETED": 2, "FAILED": 1})
    assert "2 of 3 runs completed" in str(error)
    assert code in logged()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", SOFT)
@pytest.mark.parametrize(
    ("fields", "word"),
    [({"batch_id": DAG_RUN_ID}, "batch_id"), ({"success_policy": "most"}, "success_policy")],
)
def test_bad_arguments_are_refused(
    omics: Control, sensing: Sensing, mode: str, soft_fail: bool, fields: dict[str, Any], word: str
) -> None:
    """Before any call, alike in every mode."""
    with pytest.raises(AirflowSkipException if soft_fail else HealthOmicsRequestError) as caught:
        sensing.run(mode, **{"batch_id": "1", "soft_fail": soft_fail, **fields})
    assert soft_fail or word in str(caught.value)
    assert omics.calls() == []


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_that_nobody_knows_ends_it(omics: Control, sensing: Sensing, mode: str) -> None:
    """A deleted batch and a wrong id look alike, and the message says both."""
    error = failed(sensing, mode, "999")
    assert error.status == "DELETED"
    assert "region" in str(error)


@pytest.mark.parametrize("mode", MODES)
def test_it_asks_once_in_each_interval(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str
) -> None:
    """A poll is one GetBatch, and a success costs nothing more."""
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    sensing.run(mode, batch_id)
    assert 3600 / INTERVAL <= calls_of(omics, "GetBatch") <= 3600 / INTERVAL + 3
    assert not {"ListRuns", "ListRunsInBatch", "GetRun"} & omics.call_counts().keys()


def test_it_defers_with_its_timeout(omics: Control, context: Context, batch_id: str) -> None:
    """And with the connection that it was given."""
    sensor = HealthOmicsRunBatchSensor(
        task_id="a_task",
        batch_id=batch_id,
        deferrable=True,
        timeout=1800,
        poke_interval=7,
        aws_conn_id=None,
        region_name="us-east-1",
        verify=False,
        botocore_config=ONE_ATTEMPT,
    )
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(context)
    assert caught.value.timeout == timedelta(seconds=1800)
    assert caught.value.trigger.serialize()[1] == {
        "batch_id": batch_id,
        "uuid": omics.batches()[0]["uuid"],
        "grace": 0.0,
        "is_deletion": False,
        "waiter_delay": 7,
        "cancel_on_kill": False,
        "aws_conn_id": None,
        "region_name": "us-east-1",
        "verify": False,
        "botocore_config": ONE_ATTEMPT,
    }


def test_a_timeout_while_the_runs_are_looked_into_ends_in_the_failure_of_the_batch(
    omics: Control, sensing: Sensing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow may retry a timeout, whereas the counts of a batch that is PROCESSED are final."""
    fail_runs(omics, "sample-0")
    batch_id = batch_of(run_settings=some_settings(3)).execute(try_of(FakeTaskInstance()))

    def time_out(*_: Any, **__: Any) -> Any:
        raise AirflowTaskTimeout("from a signal handler")

    monkeypatch.setattr("airflow_healthomics.sensors.batch.collect_outcomes", time_out)
    error = failed(sensing, "poke", batch_id)
    assert error.status == "PROCESSED"
    assert "runs completed" in str(error)


def test_it_never_cancels(omics: Control, sensing: Sensing, batch_id: str) -> None:
    """Whoever started the batch does that."""
    with pytest.raises(AirflowException):
        sensing.run("deferred", batch_id, timeout=600)
    assert calls_of(omics, "CancelRunBatch") == 0


@pytest.mark.parametrize("mode", MODES)
def test_it_names_no_patient(
    omics: Control, sensing: Sensing, clock: Clock, logged: Callable[[], str], mode: str
) -> None:
    """Neither a parameter's value nor the id of a run setting."""
    settings = [
        {"run_setting_id": f"{CANARY}-{number}", "parameters": {"sample": CANARY}, "name": "run"}
        for number in range(4)
    ]
    fail_runs(omics, f"{CANARY}-0")
    omics.fail_submission([f"{CANARY}-1"])
    batch_id = batch_of(run_settings=settings).execute(try_of(FakeTaskInstance()))
    error = failed(sensing, mode, batch_id)
    assert "1 not started" in str(error)
    assert CANARY not in f"{error} {vars(error)} {logged()} {sensing.tasks.events}"


@pytest.mark.parametrize("event", [None, {}], ids=str)
def test_a_resume_without_an_event_is_an_error(
    omics: Control, context: Context, batch_id: str, event: Any
) -> None:
    """And not a success."""
    sensor = HealthOmicsRunBatchSensor(task_id="a_task", batch_id=batch_id, deferrable=True)
    with pytest.raises(AirflowException):
        sensor.resume_execution("execute_complete", {"event": event}, context)


def test_many_sensors_share_a_poller(omics: Control, tasks: Tasks, clock: Clock) -> None:
    """Two that wait for one batch cost one GetBatch for each poll."""
    import asyncio

    from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger
    from tests.unit import virtual_time

    hold_runs(omics)
    batch_id = batch_of(run_settings=some_settings(10)).execute(try_of(FakeTaskInstance()))
    clock.at(3600, lambda: omics.advance("COMPLETED"))

    async def event(trigger: Any) -> Any:
        async for each in trigger.run():
            return each.payload["summary"]["status"]
        raise AssertionError("the trigger ended without an event")

    async def main() -> list[Any]:
        return await asyncio.gather(
            *(event(HealthOmicsRunBatchTrigger(batch_id=batch_id, waiter_delay=60)) for _ in range(5))
        )

    assert virtual_time.run(clock, main()) == ["PROCESSED"] * 5
    assert calls_of(omics, "GetBatch") <= 70
