# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The report on an ended batch that the triggerer makes: its calls, its files, and the cases without one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_healthomics.batches.report import ReportPlan
from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger, batch_report
from airflow_healthomics.waiting.events import summary_from_event
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.batch_attempts import (
    BUCKET,
    CANARY,
    PLACE,
    batch_of,
    crashing,
    fail_runs,
    object_at,
    objects,
)
from tests.unit.conftest import Clock, Crash, FakeTaskInstance, Tasks, calls_of, intercepting, try_of

#: Two pages of each list.
RUNS = 120

#: For a task that has started the batch, and for a sensor.
START = ReportPlan(
    success_policy="all",
    is_started_here=True,
    output_uris=True,
    is_last_attempt=True,
    folder={"uri": PLACE, "request_id": "a-request"},
)
SENSOR = ReportPlan(success_policy="all")
PLANS = pytest.mark.parametrize("plan", [START, SENSOR], ids=["start", "sensor"])

MANIFEST = f"{PLACE}/a-request/manifest.json"


@pytest.fixture
def batch_id(omics: Control, bucket: Any) -> str:
    """A batch that has ended, one of whose runs failed."""
    omics.set_options(batch_runs_per_second=None, tasks=0)
    fail_runs(omics, f"{CANARY}-7")
    settings = [{"run_setting_id": f"{CANARY}-{number}"} for number in range(RUNS)]
    task = batch_of(run_settings=settings, settings_s3_uri=f"s3://{BUCKET}/settings")
    batch_id = task.execute(try_of(FakeTaskInstance()))
    omics.advance_batch("PROCESSED")
    return str(batch_id)


def trigger_of(batch_id: str, plan: ReportPlan, **fields: Any) -> HealthOmicsRunBatchTrigger:
    """Return the trigger of a task."""
    return HealthOmicsRunBatchTrigger(batch_id=batch_id, report=plan.as_json(), **fields)


@contextmanager
def recorded_calls() -> Iterator[list[tuple[str, str]]]:
    """Record each AWS call with the name of its thread."""
    calls: list[tuple[str, str]] = []
    one_at_a_time = threading.Lock()

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        calls.append((operation, threading.current_thread().name.rpartition("_")[0]))
        # moto's S3 cannot write an object in two threads.
        with one_at_a_time:
            return call()

    with intercepting(respond):
        yield calls


def wait_for_threads() -> None:
    """Wait until no thread is making a report."""
    barrier = threading.Barrier(batch_report._AT_ONCE)
    wait([batch_report._threads.submit(barrier.wait, 30) for _ in range(barrier.parties)])


@PLANS
def test_the_event_has_only_figures(tasks: Tasks, batch_id: str, plan: ReportPlan) -> None:
    """Airflow logs and stores it, so it has no id of a run setting, and is small for any batch."""
    event = tasks.fire(trigger_of(batch_id, plan))
    assert summary_from_event(event)["id"] == batch_id
    assert event["plan"] == plan.as_json()
    report = event["report"]
    assert (report["counts"], report["is_success"]) == ({"COMPLETED": RUNS - 1, "FAILED": 1}, False)
    assert f"{RUNS - 1} of {RUNS} runs completed" in report["text"]
    assert CANARY not in json.dumps(event)
    assert len(json.dumps(event)) < 3000


def test_the_outcomes_are_in_s3(tasks: Tasks, client: Any, batch_id: str) -> None:
    """The manifest has all, and parts have the completed ones."""
    report = tasks.fire(trigger_of(batch_id, START))["report"]
    manifest = object_at(MANIFEST)
    assert [each["runSettingId"] for each in manifest] == [f"{CANARY}-{number}" for number in range(RUNS)]
    completed = [each for each in manifest if each["status"] == "COMPLETED"]
    assert completed == object_at(f"{PLACE}/a-request/successes-001.json")
    assert (report["successes"], report["output_uris"]) == (len(completed), "derived")
    for each in completed[:: RUNS // 3]:
        assert each["runOutputUri"] == client.get_run(id=each["runId"])["runOutputUri"]


@PLANS
def test_no_call_is_made_on_the_event_loop(tasks: Tasks, batch_id: str, plan: ReportPlan) -> None:
    """Nor in the thread that polls for all others."""
    with recorded_calls() as calls:
        tasks.fire(trigger_of(batch_id, plan))
    threads = {(operation, thread) for operation, thread in calls if thread != "healthomics-report"}
    assert threads == {("GetBatch", "healthomics-poller")}
    pages = Counter(operation for operation, _ in calls)
    assert (pages["ListRuns"], pages["ListRunsInBatch"]) == (2, 2)
    assert 1 <= pages["GetRun"] <= 9


def test_a_sensor_lists_no_run_of_a_success(omics: Control, tasks: Tasks, batch_id: str) -> None:
    """GetBatch's counts are enough."""
    event = tasks.fire(trigger_of(batch_id, ReportPlan(success_policy="90%")))
    assert "report" not in event
    assert calls_of(omics, "ListRuns") == 0


def test_calls_leave_half_of_the_quota_to_polls(
    tasks: Tasks, clock: Clock, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reports of a connection share the other half."""
    monkeypatch.setattr("airflow_healthomics.batches.output_uris.MAX_READ", RUNS)
    began = clock.elapsed

    async def main() -> None:
        triggers = [trigger_of(batch_id, START) for _ in range(2)]
        await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))

    with recorded_calls() as calls:
        virtual_time.run(clock, main())
    # Each has 4 pages and GetRun for each completed run, and then for the reason of the failed one.
    number = sum(operation in ("ListRuns", "ListRunsInBatch", "GetRun") for operation, _ in calls)
    assert number == 2 * (4 + RUNS)
    assert round(clock.elapsed - began, 3) >= (number - 1) / 5


def test_throttled_calls_are_repeated(
    omics: Control, tasks: Tasks, batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With longer retries than a poll."""
    # botocore's rate limiter would wait for real seconds until the test's clock moves.
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    omics.inject_error("ListRuns", "ThrottlingException", times=8)
    assert "report" in tasks.fire(trigger_of(batch_id, START))


@PLANS
@pytest.mark.parametrize("operation", ["ListRuns", "ListRunsInBatch"])
def test_refused_lists_are_left_to_the_task(
    omics: Control, tasks: Tasks, logged: Callable[[], str], batch_id: str, plan: ReportPlan, operation: str
) -> None:
    """It fails with the reason, or succeeds without the lists."""
    omics.inject_error(operation, "AccessDeniedException", times=None)
    event = tasks.fire(trigger_of(batch_id, plan))
    assert summary_from_event(event)["status"] == "PROCESSED"
    assert "report" not in event
    assert "could not report the outcomes" in logged()


@pytest.mark.parametrize(
    "place", ["s3://no-such-bucket/batches", "not an S3 URI"], ids=["no-bucket", "no-uri"]
)
def test_a_manifest_that_cannot_be_written_is_left_to_the_task(
    tasks: Tasks, batch_id: str, place: str
) -> None:
    """Its error names the bucket."""
    plan = ReportPlan(
        success_policy="all", is_started_here=True, folder={"uri": place, "request_id": "a-request"}
    )
    event = tasks.fire(trigger_of(batch_id, plan))
    assert summary_from_event(event)["status"] == "PROCESSED"
    assert "report" not in event


def test_an_unknown_plan_is_left_to_the_task(tasks: Tasks, batch_id: str) -> None:
    """A worker with another version may have written it."""
    trigger = HealthOmicsRunBatchTrigger(batch_id=batch_id, report={"of": "tomorrow"})
    event = tasks.fire(trigger)
    assert summary_from_event(event)["status"] == "PROCESSED"
    assert "report" not in event


def test_a_deleted_batch_has_no_report(omics: Control, tasks: Tasks, client: Any, batch_id: str) -> None:
    """There is no run to list."""
    client.delete_batch(batchId=batch_id)
    event = tasks.fire(trigger_of(batch_id, START))
    assert (event["summary"]["status"], "report" in event) == ("DELETED", False)
    assert calls_of(omics, "ListRuns") == 0


@pytest.mark.parametrize(("minutes", "has_report"), [(60, True), (0, False)])
def test_a_report_does_not_make_a_task_time_out(
    tasks: Tasks, clock: Clock, batch_id: str, minutes: int, has_report: bool
) -> None:
    """The batch has ended in time."""
    trigger: Any = trigger_of(batch_id, START)
    end = datetime.fromtimestamp(clock.time(), UTC) + timedelta(minutes=minutes, seconds=15)
    trigger.timeout_after = end

    async def main() -> Any:
        return (await anext(trigger.run())).payload

    assert ("report" in virtual_time.run(clock, main())) == has_report


def test_a_takeover_writes_the_same(tasks: Tasks, batch_id: str) -> None:
    """The triggerer died between two objects."""
    with crashing("PutObject", survives=1), pytest.raises(Crash):
        tasks.fire(trigger_of(batch_id, START))
    events = [tasks.fire(trigger_of(batch_id, START)) for _ in range(2)]
    written = objects()
    assert events[0] == events[1]
    assert [key for key in written if "a-request" in key] == [
        "batches/a-request/manifest.json",
        "batches/a-request/successes-001.json",
    ]


def test_two_concurrent_triggers_write_the_same(clock: Clock, batch_id: str) -> None:
    """After a takeover, there may be two for a moment."""

    async def main() -> list[Any]:
        triggers = [trigger_of(batch_id, START) for _ in range(2)]
        return await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))

    with recorded_calls():
        first, second = virtual_time.run(clock, main())
    assert first.payload == second.payload
    assert len(object_at(MANIFEST)) == RUNS


def test_a_cancelled_trigger_makes_no_further_call(clock: Clock, batch_id: str) -> None:
    """Its thread ends after its current call."""
    is_listing, may_continue = threading.Event(), threading.Event()
    operations: list[str] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        answer = call()
        operations.append(operation)
        if operation == "ListRuns":
            is_listing.set()
            may_continue.wait(30)
        return answer

    async def main() -> None:
        waiting = asyncio.ensure_future(anext(trigger_of(batch_id, START).run()))
        await asyncio.get_running_loop().run_in_executor(None, is_listing.wait, 30)
        waiting.cancel()
        await asyncio.wait([waiting])
        may_continue.set()

    with intercepting(respond):
        virtual_time.run(clock, main())
        wait_for_threads()
    assert operations == ["GetBatch", "ListRuns"]
