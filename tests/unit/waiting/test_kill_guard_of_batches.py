# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Who cancels a batch when its task is killed, and who does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException, AirflowTaskTimeout, Context
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor
from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger, HealthOmicsStartTrigger
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import STORES, WAYS, Attempts, batch_of, hold_runs
from tests.unit.conftest import (
    ONE_ATTEMPT,
    TRIGGER_TIMEOUT,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
    try_of,
)
from tests.unit.waiting.test_kill_guard import (
    GOES_ON,
    OVER,
    end_by_a_person,
    kill_trigger,
    killed_while_waiting,
    timed_out,
)


@pytest.fixture(autouse=True)
def _runs_stay_on_their_way(omics: Control) -> None:
    hold_runs(omics)


def status_of(omics: Control) -> str:
    """Return the status of the only batch."""
    (batch,) = omics.batches()
    return str(batch["status"])


CANCELLED = ("STOPPING", "CANCELLED")


# --- on a worker ---


@pytest.mark.parametrize("cancel_on_kill", [True, False])
@pytest.mark.parametrize("at", [1, 100], ids=["early", "late"])
def test_a_killed_operator_cancels_its_batch(
    omics: Control, clock: Clock, context: Context, cancel_on_kill: bool, at: float
) -> None:
    """Unless the DAG author says otherwise."""
    task = batch_of(wait_for_completion=True, deferrable=False, cancel_on_kill=cancel_on_kill)
    clock.advance(at)
    killed_while_waiting(task, clock, context)
    assert (status_of(omics) in CANCELLED) == cancel_on_kill


@pytest.mark.parametrize("seconds", [1.2, 3.0])
def test_a_batch_that_is_being_created_is_cancelled_as_soon_as_it_can_be(
    omics: Control, clock: Clock, context: Context, seconds: float
) -> None:
    """HealthOmics refuses to cancel it before, and SIGKILL comes five seconds after the kill."""
    omics.set_options(batch_creating_seconds=seconds, batch_pending_seconds=100.0)
    killed_while_waiting(batch_of(wait_for_completion=True, deferrable=False), clock, context)
    assert status_of(omics) in CANCELLED


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_batch_that_stays_creating_continues(
    omics: Control, clock: Clock, context: Context, logged: Callable[[], str], code: str
) -> None:
    """As the log says."""
    omics.set_options(batch_creating_seconds=3600.0, cancel_error=code)
    killed_while_waiting(batch_of(wait_for_completion=True, deferrable=False), clock, context)
    assert "could not be cancelled" in logged()


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalServerException"])
def test_a_kill_never_raises(
    omics: Control, clock: Clock, context: Context, logged: Callable[[], str], code: str
) -> None:
    """It logs that the batch continues."""
    omics.inject_error("CancelRunBatch", code, times=None)
    killed_while_waiting(batch_of(wait_for_completion=True, deferrable=False), clock, context)
    assert "could not be cancelled" in logged()


@pytest.mark.parametrize("event", ["before-send", "after-call"])
def test_a_kill_while_the_batch_is_being_started_cancels_it(
    omics: Control, context: Context, event: str
) -> None:
    """As soon as StartRunBatch has answered and HealthOmics lets it be cancelled."""
    task = batch_of()
    events = task.hook.conn.meta.events
    events.register(f"{event}.omics.StartRunBatch", lambda **_: end_by_a_person(task, context))
    task.execute(context)
    assert status_of(omics) in CANCELLED


@pytest.mark.parametrize("with_store", STORES)
def test_a_killed_retry_cancels_the_batch_that_it_found(
    omics: Control, clock: Clock, tasks: Tasks, with_store: bool
) -> None:
    """Whichever try has started it."""
    attempts = Attempts(tasks, with_store=with_store)
    attempts.crash("GetBatch")
    clock.advance(10)
    attempts.ti.try_number += 1
    killed_while_waiting(batch_of(wait_for_completion=True, deferrable=False), clock, attempts.context)
    assert status_of(omics) in CANCELLED


@pytest.mark.parametrize("fields", [{"cancel_on_kill": True}, {}])
def test_a_killed_sensor_leaves_the_batch_unless_asked(
    omics: Control, clock: Clock, context: Context, fields: dict[str, Any]
) -> None:
    """Another task has started it."""
    batch_id = batch_of().execute(context)
    clock.advance(10)
    sensor = HealthOmicsRunBatchSensor(task_id="a_task", batch_id=batch_id, deferrable=False, **fields)
    killed_while_waiting(sensor, clock, context)
    assert (status_of(omics) in CANCELLED) == bool(fields)


# --- timeouts ---

LAST = [(1, 0), (3, 2)]
NOT_LAST = [(1, 2), (2, 2)]


@pytest.mark.parametrize("cancel_on_kill", [True, False])
@pytest.mark.parametrize(("try_number", "max_tries"), LAST + NOT_LAST)
def test_a_timeout_on_a_worker_cancels_the_batch_of_the_last_try(
    omics: Control,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    try_number: int,
    max_tries: int,
    cancel_on_kill: bool,
) -> None:
    """With tries left the next one goes on with it."""
    omics.set_options(batch_creating_seconds=0.0, batch_pending_seconds=0.0)
    task = batch_of(wait_for_completion=True, deferrable=False, cancel_on_kill=cancel_on_kill)
    ti = FakeTaskInstance(try_number=try_number, max_tries=max_tries)
    timed_out(task, try_of(ti), monkeypatch)
    is_last = (try_number, max_tries) in LAST
    assert (status_of(omics) in CANCELLED) == (cancel_on_kill and is_last)


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("cancel_on_kill", [True, False])
@pytest.mark.parametrize("is_young", [True, False])
@pytest.mark.parametrize(("try_number", "max_tries"), LAST + NOT_LAST)
def test_a_deferral_that_times_out_cancels_the_batch_of_the_last_try(
    omics: Control,
    clock: Clock,
    with_store: bool,
    try_number: int,
    max_tries: int,
    cancel_on_kill: bool,
    is_young: bool,
) -> None:
    """It comes back with ``__fail__``, in another process; one that is CREATING is given the time."""
    ti = FakeTaskInstance(try_number=try_number, max_tries=max_tries)
    context = try_of(ti, Store() if with_store else None)
    batch_of().execute(context)
    if is_young:
        omics.set_options(batch_creating_seconds=30.0)
    else:
        clock.advance(10)
    with pytest.raises(AirflowException):
        batch_of(cancel_on_kill=cancel_on_kill).resume_execution(
            "__fail__", {"error": TRIGGER_TIMEOUT}, context
        )
    is_last = (try_number, max_tries) in LAST
    assert (status_of(omics) in CANCELLED) == (cancel_on_kill and is_last)


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_retry_of_a_timed_out_try_goes_on_with_its_batch(
    omics: Control, clock: Clock, tasks: Tasks, with_store: bool, deferrable: bool
) -> None:
    """Hours of work are not lost."""
    attempts = Attempts(
        tasks, with_store=with_store, deferrable=deferrable, execution_timeout=timedelta(minutes=30)
    )
    with pytest.raises((AirflowException, AirflowTaskTimeout)):
        attempts.again()
    attempts.ti.start_date += timedelta(seconds=clock.elapsed)
    clock.at(clock.elapsed + 100, lambda: omics.advance("COMPLETED"))
    assert attempts.again() == omics.batches()[0]["id"]
    assert len(omics.batches()) == 1


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("kwargs", [{"error": "Trigger failure"}, {}, None])
def test_a_fault_of_the_triggerer_cancels_nothing(
    omics: Control, clock: Clock, with_store: bool, kwargs: dict[str, Any] | None
) -> None:
    """The batch has nothing to do with it."""
    context = try_of(FakeTaskInstance(), Store() if with_store else None)
    batch_of().execute(context)
    clock.advance(10)
    with pytest.raises((AirflowException, TypeError)):
        batch_of().resume_execution("__fail__", kwargs, context)
    assert status_of(omics) == "INPROGRESS"


@needs_store
@pytest.mark.parametrize("started", [True, False])
def test_a_start_that_times_out_at_the_turnstile(omics: Control, clock: Clock, started: bool) -> None:
    """What a lost answer has started is cancelled."""
    context = try_of(FakeTaskInstance(), Store())
    omics.inject_error(
        "StartRunBatch", "InternalServerException", times=None, when="after" if started else "before"
    )
    with pytest.raises(TaskDeferred):
        batch_of().execute(context)
    clock.advance(10)
    with pytest.raises(AirflowException, match="imeout"):
        batch_of().resume_execution("__fail__", {"error": TRIGGER_TIMEOUT}, context)
    assert [batch["status"] in CANCELLED for batch in omics.batches()] == [True] * started


# --- in the triggerer ---


def started(client: Any, **fields: Any) -> dict[str, Any]:
    """Start a batch beside the code under test."""
    from tests.unit.conftest import OUTPUT, ROLE, WORKFLOW

    batch: dict[str, Any] = client.start_run_batch(
        defaultRunSetting={"roleArn": ROLE, "outputUri": OUTPUT, "workflowId": WORKFLOW},
        batchRunSettings={"inlineSettings": [{"runSettingId": "a"}, {"runSettingId": "b"}]},
        **fields,
    )
    return batch


def trigger_of(batch: dict[str, Any], **fields: Any) -> HealthOmicsRunBatchTrigger:
    arguments = {"batch_id": batch["id"], "uuid": batch["uuid"], "cancel_on_kill": True}
    return HealthOmicsRunBatchTrigger(**{**arguments, "botocore_config": ONE_ATTEMPT, **fields})


@pytest.mark.parametrize("state", [*OVER, *GOES_ON])
@pytest.mark.parametrize("is_young", [True, False])
def test_a_killed_trigger_cancels_the_batch_of_a_task_that_is_over(
    omics: Control, clock: Clock, client: Any, monkeypatch: pytest.MonkeyPatch, state: str, is_young: bool
) -> None:
    """Also one that is still CREATING; a takeover or a restart cancels nothing."""
    omics.set_options(batch_creating_seconds=20.0)
    batch = started(client)
    if not is_young:
        clock.advance(30)
    kill_trigger(trigger_of(batch), state, clock, monkeypatch)
    assert (status_of(omics) in CANCELLED) == (state in OVER)


def test_a_killed_trigger_leaves_the_batch_if_told_to(
    omics: Control, clock: Clock, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cancel_on_kill=False``."""
    batch = started(client)
    kill_trigger(trigger_of(batch, cancel_on_kill=False), "failed", clock, monkeypatch)
    assert calls_of(omics, "CancelRunBatch") == 0


def test_a_killed_trigger_does_not_cancel_a_stranger(
    omics: Control, clock: Clock, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id was given to another batch."""
    batch = started(client)
    clock.advance(10)
    kill_trigger(trigger_of(batch, uuid="another"), "failed", clock, monkeypatch)
    assert calls_of(omics, "CancelRunBatch") == 0


@pytest.mark.parametrize("status", ["PROCESSED", "FAILED"])
def test_a_killed_trigger_leaves_an_ended_batch_alone(
    omics: Control, clock: Clock, client: Any, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """There is nothing to cancel."""
    batch = started(client)
    omics.advance_batch(status)
    kill_trigger(trigger_of(batch), "failed", clock, monkeypatch)
    assert calls_of(omics, "CancelRunBatch") == 0


@pytest.mark.parametrize("operation", ["GetBatch", "CancelRunBatch"])
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_a_throttled_cancellation_is_repeated(
    omics: Control, clock: Clock, client: Any, monkeypatch: pytest.MonkeyPatch, operation: str, code: str
) -> None:
    """Until it gets through."""
    batch = started(client)
    clock.advance(10)
    omics.inject_error(operation, code, times=5)
    kill_trigger(trigger_of(batch), "failed", clock, monkeypatch)
    assert status_of(omics) in CANCELLED


@pytest.mark.parametrize("is_young", [True, False])
@pytest.mark.parametrize("state", ["failed", "deferred"])
def test_a_killed_start_cancels_the_batch_of_a_lost_answer(
    omics: Control, clock: Clock, client: Any, monkeypatch: pytest.MonkeyPatch, state: str, is_young: bool
) -> None:
    """It is found by its name, and no other batch is."""
    omics.set_options(batch_creating_seconds=20.0, name_filter="contains")
    ids = {name: started(client, batchName=name, requestId=name)["id"] for name in ("a", "b", "ab")}
    if not is_young:
        clock.advance(30)
    trigger = HealthOmicsStartTrigger([{"kind": "batch", "name": "a"}], botocore_config=ONE_ATTEMPT)
    kill_trigger(trigger, state, clock, monkeypatch)
    stopping = [batch["id"] for batch in omics.batches() if batch["status"] in CANCELLED]
    assert stopping == ([ids["a"]] if state == "failed" else [])


def test_a_throttled_start_that_is_killed_cancels_what_its_answer_was_lost_of(
    omics: Control, clock: Clock, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trigger that the operator defers to knows the batch's name and kind."""
    omics.drop_connection("StartRunBatch", when="after", times=2)
    with pytest.raises(TaskDeferred) as caught:
        batch_of().execute(try_of(FakeTaskInstance()))
    kill_trigger(caught.value.trigger, "removed", clock, monkeypatch)
    assert status_of(omics) in CANCELLED
