# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which kills of a deferred task cancel its run or batch, and which do not."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_healthomics.triggers import HealthOmicsStartTrigger, kill
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit import virtual_time
from tests.unit.batch_attempts import hold_runs
from tests.unit.conftest import ONE_ATTEMPT, Clock, FakeTaskInstance, calls_of, try_of
from tests.unit.kinds import BATCH, KINDS, RUN, Kind
from tests.unit.waiting.kills import (
    CONTINUES,
    OVER,
    STATE_OF,
    USER_ACTION,
    kill_trigger,
    kill_while_it_waits,
    of_a_task,
)

#: The batch is CREATING for 20 seconds, and cannot be cancelled then.
AGES = pytest.mark.parametrize(
    ("kind", "age"),
    [
        pytest.param(RUN, 30, id="run"),
        pytest.param(BATCH, 30, id="batch"),
        pytest.param(BATCH, 0, id="young"),
    ],
)


@pytest.fixture(autouse=True)
def _runs_stay_active(omics: Control) -> None:
    hold_runs(omics)
    omics.set_options(batch_creating_seconds=20.0)


@AGES
@pytest.mark.parametrize("state", [*OVER, *CONTINUES])
def test_a_killed_trigger_cancels_for_a_task_that_has_ended(
    omics: Control, clock: Clock, client: Any, kind: Kind, age: int, state: str
) -> None:
    """A takeover or a restart of the triggerer looks the same, and cancels nothing."""
    trigger = kind.trigger_of(kind.start_beside(client))
    clock.advance(age)
    kill_trigger(trigger, state, clock)
    assert kind.is_cancelled(omics) == (state in OVER)


@AGES
@pytest.mark.parametrize("state", ["failed", "deferred"])
def test_a_killed_start_cancels_the_run_of_a_lost_response(
    omics: Control, clock: Clock, client: Any, kind: Kind, age: int, state: str
) -> None:
    """It is found by its name, and no other one is."""
    omics.set_options(name_filter="contains")
    ids = {name: kind.start_beside(client, name)["id"] for name in ("b", "a", "ab")}
    clock.advance(age)
    targets = [{"kind": kind.name, "name": "a"}]
    kill_trigger(HealthOmicsStartTrigger(targets, botocore_config=ONE_ATTEMPT), state, clock)
    assert kind.cancelled(omics) == ([ids["a"]] if state == "failed" else [])


@KINDS
def test_a_killed_throttled_start_cancels_the_run_of_a_lost_response(
    omics: Control, clock: Clock, kind: Kind
) -> None:
    """The operator passes the name and the kind to the trigger."""
    omics.drop_connection(kind.operation("Start"), when="after", times=2)
    with pytest.raises(TaskDeferred) as caught:
        kind.task().execute(try_of(FakeTaskInstance()))
    kill_trigger(caught.value.trigger, "removed", clock)
    assert kind.is_cancelled(omics)


@KINDS
@pytest.mark.parametrize("trigger", ["wait", "start"])
def test_cancel_on_kill_false_leaves_it(
    omics: Control, clock: Clock, client: Any, kind: Kind, trigger: str
) -> None:
    """Both triggers leave it active."""
    killed: Any = kind.trigger_of(kind.start_beside(client, "a"), cancel_on_kill=False)
    if trigger == "start":
        killed = HealthOmicsStartTrigger([{"kind": kind.name, "name": "a"}], cancel_on_kill=False)
    kill_trigger(killed, "failed", clock)
    assert calls_of(omics, kind.operation("Cancel")) == 0


@KINDS
def test_a_killed_trigger_does_not_cancel_another_run(
    omics: Control, clock: Clock, client: Any, kind: Kind
) -> None:
    """The id was given to another one."""
    trigger = kind.trigger_of(kind.start_beside(client), uuid="another")
    clock.advance(30)
    kill_trigger(trigger, "failed", clock)
    assert calls_of(omics, kind.operation("Cancel")) == 0


@pytest.mark.parametrize(
    ("kind", "status"), [(RUN, "COMPLETED"), (BATCH, "PROCESSED"), (BATCH, "FAILED")], ids=str
)
def test_a_killed_trigger_leaves_ended_ones_alone(
    omics: Control, clock: Clock, client: Any, kind: Kind, status: str
) -> None:
    """There is nothing to cancel."""
    trigger = kind.trigger_of(kind.start_beside(client))
    kind.end(omics, status)
    kill_trigger(trigger, "failed", clock)
    assert calls_of(omics, kind.operation("Cancel")) == 0


@KINDS
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
@pytest.mark.parametrize("verb", ["Get", "Cancel"])
def test_a_throttled_cancellation_is_repeated(
    omics: Control, clock: Clock, client: Any, kind: Kind, verb: str, code: str
) -> None:
    """Many that are killed at once exceed the limit of ten calls a second."""
    trigger = kind.trigger_of(kind.start_beside(client))
    clock.advance(30)
    omics.inject_error(kind.get if verb == "Get" else kind.operation(verb), code, times=5)
    kill_trigger(trigger, "failed", clock)
    assert kind.is_cancelled(omics)


def test_a_cancellation_that_always_fails_ends(
    omics: Control, clock: Clock, started: Callable[..., Any]
) -> None:
    """After a few minutes."""
    omics.inject_error("CancelRun", "ThrottlingException", times=None)
    kill_trigger(RUN.trigger_of(started()), "failed", clock)
    assert 60 < clock.elapsed < 600


def test_an_aborted_on_kill_still_cancels(omics: Control, clock: Clock, started: Callable[..., Any]) -> None:
    """Airflow cancels it after a second, perhaps several times."""
    kill_trigger(RUN.trigger_of(started()), "failed", clock, aborts=3)
    assert calls_of(omics, "CancelRun") == 1


# --- when Airflow cancels the trigger ---


def record_state_requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """
    Return a list that records the task instances whose state is requested; each of them has failed.

    The request is made in a background task, which would swallow a failure of the test.
    """
    requests: list[Any] = []

    def state_of(task_instance: Any) -> str:
        requests.append(task_instance)
        return "failed"

    monkeypatch.setattr(STATE_OF, state_of)
    return requests


@pytest.mark.parametrize("calls_on_kill", [True, False])
def test_a_cancelled_trigger_needs_no_on_kill(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    calls_on_kill: bool,
) -> None:
    """Airflow cancels a killed task's trigger every second, and may not call on_kill."""
    monkeypatch.setattr(STATE_OF, lambda _: "failed")
    kill_while_it_waits(RUN.trigger_of(started()), clock, USER_ACTION, calls_on_kill=calls_on_kill)
    assert calls_of(omics, "CancelRun") == 1


@pytest.mark.parametrize("is_aware", [True, False])
def test_a_trigger_that_has_timed_out_was_not_killed(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    is_aware: bool,
) -> None:
    """Airflow cancels it in the same way, without calling on_kill."""
    requests = record_state_requests(monkeypatch)
    trigger = RUN.trigger_of(started())
    past = datetime.now(UTC) - timedelta(hours=1)
    trigger.timeout_after = past if is_aware else past.replace(tzinfo=None)
    kill_while_it_waits(trigger, clock, USER_ACTION)
    assert (requests, calls_of(omics, "CancelRun")) == ([], 0)


@pytest.mark.skipif(
    not hasattr(BaseTrigger, "on_kill"), reason="Airflow does not call on_kill of a trigger before 3.3"
)
def test_airflow_cancels_with_a_message_when_a_person_ends_a_task() -> None:
    """A changed message or attribute in a new release fails here first."""
    source = inspect.getsource(import_module("airflow.jobs.triggerer_job_runner"))
    assert f'_USER_ACTION_CANCEL_MSG = "{USER_ACTION}"' in source
    assert "cancel(_USER_ACTION_CANCEL_MSG)" in source
    assert "trigger_instance.timeout_after = " in source


def test_a_triggerer_that_stops_cancels_nothing(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not even request the state of the task."""
    requests = record_state_requests(monkeypatch)
    kill_while_it_waits(RUN.trigger_of(started()), clock)
    assert (requests, calls_of(omics, "CancelRun")) == ([], 0)


def test_failed_state_requests_do_not_lose_a_kill(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    """They are repeated; if Airflow never returns the state, the log says so."""
    states: Iterator[str | Exception] = itertools.chain([RuntimeError(), RuntimeError()], ["failed"])

    def state(_: Any) -> str:
        found = next(states)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(STATE_OF, state)
    kill_while_it_waits(RUN.trigger_of(started()), clock, calls_on_kill=True)
    assert calls_of(omics, "CancelRun") == 1

    states = itertools.repeat(RuntimeError())
    kill_while_it_waits(RUN.trigger_of(started()), clock, calls_on_kill=True)
    assert calls_of(omics, "CancelRun") == 1
    assert "could not be cancelled: RuntimeError" in logged()


# --- threads ---


def test_slow_cancellations_do_not_use_the_loops_threads(
    omics: Control, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow writes its log in them, before it calls on_kill."""
    monkeypatch.setattr(STATE_OF, lambda _: "failed")
    triggers = [of_a_task(RUN.trigger_of(started())) for _ in range(40)]
    omics.hold("CancelRun", "slow", times=None)

    async def main() -> None:
        for trigger in triggers:
            await trigger.on_kill()
        await asyncio.to_thread(omics.wait_until_held, "slow", count=8, timeout=60)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "a line"), 60) == "a line"
        omics.release("slow")
        await asyncio.gather(*kill._running)

    asyncio.run(main())
    assert {run["status"] for run in omics.runs()} == {"STOPPING"}


def test_on_kill_does_not_wait(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns before any AWS call."""
    monkeypatch.setattr(STATE_OF, lambda _: "failed")
    trigger = of_a_task(RUN.trigger_of(started()))

    async def main() -> int:
        await trigger.on_kill()
        meanwhile = calls_of(omics, "CancelRun") + calls_of(omics, "GetRun")
        await asyncio.gather(*kill._running)
        return meanwhile

    assert virtual_time.run(clock, main()) == 0
    assert calls_of(omics, "CancelRun") == 1


def test_many_killed_at_once_are_all_cancelled(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only as many as a second allows."""
    monkeypatch.setattr(STATE_OF, lambda _: "removed")
    triggers = [of_a_task(RUN.trigger_of(started())) for _ in range(30)]

    async def main() -> None:
        await asyncio.gather(*(trigger.on_kill() for trigger in triggers))
        await asyncio.gather(*kill._running)

    virtual_time.run(clock, main())
    assert {run["status"] for run in omics.runs()} <= {"STOPPING", "CANCELLED"}


@KINDS
def test_a_killed_start_cancels_all_of_its_targets(
    omics: Control, clock: Clock, client: Any, kind: Kind
) -> None:
    """Both a discarded one and that of a lost response."""
    ids = [kind.start_beside(client, name)["id"] for name in ("a", "b")]
    clock.advance(30)
    targets = [{"kind": kind.name, "name": name} for name in ("a", "b")]
    kill_trigger(HealthOmicsStartTrigger(targets, botocore_config=ONE_ATTEMPT), "failed", clock)
    assert kind.cancelled(omics) == ids
