# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The behaviour that only the sensor of batches has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowFailException, AirflowSkipException, AirflowTaskTimeout
from airflow_healthomics.exceptions import HealthOmicsRequestError, HealthOmicsRunBatchFailedError
from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.batch_attempts import (
    CANARY,
    batch_of,
    calls_on_worker,
    fail_runs,
    hold_runs,
    some_settings,
)
from tests.unit.conftest import Clock, FakeTaskInstance, Tasks, calls_of, try_of
from tests.unit.kinds import BATCH

from .conftest import INTERVAL, MODES, SOFT, Sensing


@pytest.fixture
def batch_id(omics: Control) -> str:
    """A batch whose runs stay RUNNING."""
    return BATCH.start(omics)


def failed(sensing: Sensing, mode: str, batch_id: str, **fields: Any) -> HealthOmicsRunBatchFailedError:
    """Return the permanent error of a sensor."""
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        sensing.run(BATCH, mode, batch_id, **fields)
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.batch_id == batch_id
    return caught.value


@MODES
def test_processed_is_not_success(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str
) -> None:
    """It fails at once and permanently, with the reason."""
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


@MODES
@pytest.mark.parametrize(("policy", "is_met"), [("any", True), (2, True), ("60%", True), ("3", False)])
def test_the_policy_decides(
    omics: Control, sensing: Sensing, clock: Clock, batch_id: str, mode: str, policy: Any, is_met: bool
) -> None:
    """As for the operator."""
    clock.at(600, lambda: omics.advance("FAILED", run_id=omics.runs()[0]["id"]))
    clock.at(601, lambda: omics.advance("COMPLETED"))
    if is_met:
        assert sensing.run(BATCH, mode, batch_id, success_policy=policy)["status"] == "PROCESSED"
    else:
        failed(sensing, mode, batch_id, success_policy=policy)


@MODES
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
        assert sensing.run(BATCH, mode, batch_id, success_policy=policy)["status"] == "CANCELLED"
    else:
        error = failed(sensing, mode, batch_id, success_policy=policy)
        assert (error.status, error.counts) == ("CANCELLED", {"COMPLETED": 2, "CANCELLED": 1})


@MODES
@pytest.mark.parametrize("operation", ["ListRuns", "ListRunsInBatch", "GetRun"])
@pytest.mark.parametrize("code", ["AccessDeniedException", "InternalServerException"])
def test_a_failure_whose_details_are_denied_is_reported(
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
    """The outcome is that of the batch, not of the calls about it."""
    # botocore's rate limiter would wait for real seconds until the test's clock moves.
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    omics.advance_batch("INPROGRESS")
    omics.advance("FAILED", run_id=omics.runs()[0]["id"])
    omics.advance("COMPLETED")
    omics.inject_error(operation, code, times=None)
    error = failed(sensing, mode, batch_id)
    assert (error.status, error.counts) == ("PROCESSED", {"COMPLETED": 2, "FAILED": 1})
    assert "2 of 3 runs completed" in str(error)
    assert code in logged()


@pytest.mark.parametrize("size", [100, 101])
@pytest.mark.parametrize("has_ended", [False, True])
def test_the_triggerer_lists_the_runs(
    omics: Control, sensing: Sensing, clock: Clock, bucket: Any, size: int, has_ended: bool
) -> None:
    """The sensor occupies no worker slot meanwhile, unless the batch has ended with one page to list."""
    omics.set_options(batch_runs_per_second=None, tasks=0)
    hold_runs(omics)
    task = batch_of(run_settings=some_settings(size), settings_s3_uri="s3://settings-bucket")
    batch_id = task.execute(try_of(FakeTaskInstance()))

    def end() -> None:
        omics.advance("FAILED", run_id=omics.runs()[0]["id"], failure_reason="SERVICE_ERROR")
        omics.advance("COMPLETED")

    clock.advance(60)
    if has_ended:
        end()
    clock.at(600, end)
    with calls_on_worker(sensing.tasks) as calls:
        error = failed(sensing, "deferred", batch_id)
    assert error.counts == {"COMPLETED": size - 1, "FAILED": 1}
    assert "FAILED: SERVICE_ERROR" in str(error)
    is_on_worker = has_ended and size == 100
    assert bool({"ListRuns", "ListRunsInBatch", "GetRun"} & {*calls}) == is_on_worker
    assert len(sensing.tasks.deferrals) == (not is_on_worker)


@MODES
@SOFT
def test_a_bad_policy_is_refused(omics: Control, sensing: Sensing, mode: str, soft_fail: bool) -> None:
    """Before any call, in every mode."""
    with pytest.raises(AirflowSkipException if soft_fail else HealthOmicsRequestError) as caught:
        sensing.run(BATCH, mode, "1", success_policy="most", soft_fail=soft_fail)
    assert soft_fail or "success_policy" in str(caught.value)
    assert omics.calls() == []


def test_a_timeout_of_the_diagnosis_ends_in_the_failure_of_the_batch(
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


@MODES
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


def test_many_sensors_share_a_poller(omics: Control, tasks: Tasks, clock: Clock) -> None:
    """Two waits for one batch cost one GetBatch call for each poll."""
    hold_runs(omics)
    batch_id = batch_of(run_settings=some_settings(10)).execute(try_of(FakeTaskInstance()))
    clock.at(3600, lambda: omics.advance("COMPLETED"))

    async def event(trigger: Any) -> Any:
        return (await anext(trigger.run())).payload["summary"]["status"]

    async def main() -> list[Any]:
        triggers = [HealthOmicsRunBatchTrigger(batch_id=batch_id, waiter_delay=60) for _ in range(5)]
        return await asyncio.gather(*map(event, triggers))

    assert virtual_time.run(clock, main()) == ["PROCESSED"] * 5
    assert calls_of(omics, "GetBatch") <= 70
