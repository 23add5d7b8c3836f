# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Delayed starts are made in the triggerer, or wait their turn there, at a steady rate per connection."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.starting.outcome import start_patience
from airflow_healthomics.starting.sealed_request import seal, unseal
from airflow_healthomics.starting.turnstile import Turnstile
from airflow_healthomics.triggers import kill
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit import virtual_time
from tests.unit.batch_attempts import hold_runs
from tests.unit.conftest import Clock, FakeTaskInstance, Tasks, calls_of, try_of
from tests.unit.kinds import KINDS, RUN, Kind
from tests.unit.waiting.kills import STATE_OF, USER_ACTION, of_a_task


@given(rate=st.floats(0.1, 50), times=st.lists(st.floats(0, 1000), min_size=1, max_size=20).map(sorted))
@settings(deadline=None, max_examples=60)
def test_turns_are_spaced(rate: float, times: list[float]) -> None:
    """None is before its earliest time, and two are an interval apart."""
    turnstile = Turnstile(rate)
    turns = [turnstile.reserve(time) for time in times]
    assert all(turn >= time for turn, time in zip(turns, times, strict=True))
    assert all(b - a >= 1 / rate - 1e-6 for a, b in pairwise(turns))


@pytest.mark.parametrize(
    ("rate", "asked", "turns"),
    [
        (1, [10, 10, 10], [10, 11, 12]),
        (2, [10, 10, 10], [10, 10.5, 11]),
        (0.5, [0, 0], [0, 2]),
        (1, [10, 100, 100], [10, 100, 101]),
        (1, [10.7, 10.9], [10.7, 11.7]),
    ],
)
def test_a_turn_is_the_next_free_one(rate: float, asked: list[float], turns: list[float]) -> None:
    """An idle turnstile grants a turn at once, and saves up none."""
    turnstile = Turnstile(rate)
    assert [turnstile.reserve(time) for time in asked] == turns


def fire_all(clock: Clock, triggers: list[HealthOmicsStartTrigger]) -> list[float]:
    """Return the time at which each trigger fires, in one event loop, in seconds since the start."""
    fired: list[float] = []

    async def main() -> None:
        async def one(trigger: HealthOmicsStartTrigger) -> None:
            fired.extend([clock.elapsed async for _ in trigger.run()])

        await asyncio.gather(*map(one, triggers))

    virtual_time.run(clock, main())
    return fired


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_without_turns_is_refused(rate: float) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match="start_rate must be above 0"):
        Turnstile(rate)


def test_one_a_second_fires(clock: Clock) -> None:
    """StartRun's default quota; none fires before the scheduler has seen the deferral."""
    times = fire_all(clock, [HealthOmicsStartTrigger() for _ in range(5)])
    assert times == pytest.approx([10, 11, 12, 13, 14])


def test_connections_do_not_share_a_turnstile(clock: Clock) -> None:
    """Another account, or region, has its own rate."""
    connections: list[dict[str, Any]] = [{}, {"aws_conn_id": "b"}, {"region_name": "eu-west-1"}]
    triggers = [HealthOmicsStartTrigger(**connection) for connection in connections for _ in range(2)]
    assert fire_all(clock, triggers) == pytest.approx([10, 10, 10, 11, 11, 11])


def test_the_rate_is_a_setting(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account may have a higher quota."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__START_RATE", "4")
    times = fire_all(clock, [HealthOmicsStartTrigger() for _ in range(5)])
    assert times == pytest.approx([10, 10.25, 10.5, 10.75, 11])


def test_no_aws_call_is_made(omics: Control, clock: Clock) -> None:
    """The trigger only waits its turn."""
    fire_all(clock, [HealthOmicsStartTrigger()])
    assert omics.calls() == []


def test_the_event_carries_the_counts(clock: Clock) -> None:
    """The resumed task is a new instance."""

    async def first() -> Any:
        return [event.payload async for event in HealthOmicsStartTrigger(**counts).run()]

    counts: dict[str, Any] = {"turns": 3, "conflict_turns": 2, "failures": 0, "since": 1764000000.5}
    assert virtual_time.run(clock, first()) == [counts]


def test_a_start_that_cannot_reach_aws_waits_longer_each_time(clock: Clock) -> None:
    """Up to about five minutes, with jitter."""
    delays = [HealthOmicsStartTrigger(failures=failures, since=1.0).delay for failures in range(1, 9)]
    assert 132 <= delays[0] <= 156
    assert 264 <= delays[1] <= 312
    assert all(330 <= delay <= 390 for delay in delays[2:])
    others = {HealthOmicsStartTrigger(failures=3, since=float(since)).delay for since in range(20)}
    assert len(others) == 20
    assert sum(sum(delays[:count]) <= 3600 for count in range(len(delays))) <= 12
    assert fire_all(clock, [HealthOmicsStartTrigger(failures=1, since=1.0)]) == pytest.approx([delays[0]])


# --- starts that the triggerer makes ---


@pytest.fixture
def delayed(omics: Control) -> Callable[..., HealthOmicsStartTrigger]:
    """Return the trigger of a task whose start was throttled."""

    def defer(kind: Kind, **fields: Any) -> HealthOmicsStartTrigger:
        omics.inject_error(kind.operation("Start"), "ThrottlingException")
        with pytest.raises(TaskDeferred) as caught:
            kind.task(**fields).execute(try_of(FakeTaskInstance(max_tries=2)))
        trigger = caught.value.trigger
        assert isinstance(trigger, HealthOmicsStartTrigger)
        return trigger

    return defer


def answers_of(tasks: Tasks, trigger: HealthOmicsStartTrigger) -> Any:
    """Return the response of a start in the event of its trigger; None if there is none."""
    return tasks.fire(trigger).get("started")


@KINDS
def test_the_triggerer_makes_a_throttled_start(
    omics: Control, tasks: Tasks, delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind
) -> None:
    """Its event has the fields that the task records, after any number of throttled calls."""
    trigger = delayed(kind)
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=7)
    answer = answers_of(tasks, trigger)
    (only,) = kind.all(omics)
    assert (answer["id"], answer["requestId"]) == (only["id"], only["requestId"])
    assert {"arn", "uuid"} <= answer.keys()
    assert calls_of(omics, kind.operation("Start")) == 9


@KINDS
def test_the_resumed_task_does_not_start_again(omics: Control, tasks: Tasks, kind: Kind) -> None:
    """Two worker processes and one start, whose run is recorded."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=3)
    resource_id = tasks.run(kind.task, try_of(FakeTaskInstance(max_tries=2)))
    assert [each["id"] for each in kind.all(omics)] == [resource_id]
    assert (len(tasks.deferrals), calls_of(omics, kind.operation("Start"))) == (1, 4)


@KINDS
def test_the_parameters_are_encrypted(delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind) -> None:
    """Airflow's API and its database show the arguments of a trigger."""
    trigger = delayed(kind, parameters={"patient": "canary"})
    assert trigger.request is not None
    assert "canary" not in json.dumps(trigger.serialize()[1])
    assert "canary" in json.dumps(unseal(trigger.request))


@KINDS
@pytest.mark.usefixtures("without_key")
def test_without_a_key_the_task_makes_the_start(omics: Control, tasks: Tasks, kind: Kind) -> None:
    """Parameters are never stored unencrypted."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException")
    tasks.run(kind.task, try_of(FakeTaskInstance(max_tries=2)))
    (deferral,) = tasks.deferrals
    assert deferral.trigger.request is None
    assert len(kind.all(omics)) == 1


def test_a_request_that_a_trigger_cannot_hold_is_not_sealed() -> None:
    """MySQL truncates after 65,535 bytes."""
    noise = random.Random(0).randbytes(40_000).hex()
    assert seal({"parameters": noise}) is None
    assert seal({"parameters": "a" * 80_000}) is not None


def test_a_request_under_another_key_is_not_read(set_key: Callable[[str], None]) -> None:
    """Then the worker makes the start."""
    sealed = seal({"a": 1})
    assert sealed is not None
    assert unseal(sealed) == {"a": 1}
    set_key(Fernet.generate_key().decode())
    assert unseal(sealed) is None


@KINDS
@pytest.mark.parametrize("code", ["ValidationException", "AccessDeniedException", "ConflictException"])
def test_a_refusal_is_left_to_the_task(
    omics: Control, tasks: Tasks, delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind, code: str
) -> None:
    """It repeats the request and reports the refusal."""
    trigger = delayed(kind)
    omics.inject_error(kind.operation("Start"), code)
    assert answers_of(tasks, trigger) is None
    assert kind.all(omics) == []


@KINDS
def test_a_lost_response_is_looked_up(
    omics: Control, tasks: Tasks, delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind
) -> None:
    """By the name, and StartRun is not called again."""
    trigger = delayed(kind)
    omics.drop_connection(kind.operation("Start"), when="after")
    assert answers_of(tasks, trigger)["id"] == kind.all(omics)[0]["id"]
    assert calls_of(omics, kind.operation("Start")) == 2


@KINDS
def test_a_second_triggerer_finds_the_start_of_the_first(
    omics: Control, tasks: Tasks, delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind
) -> None:
    """The first was killed between StartRun and its event."""
    trigger = delayed(kind)
    first, second = answers_of(tasks, trigger), answers_of(tasks, trigger)
    assert first["id"] == second["id"]
    assert calls_of(omics, kind.operation("Start")) == 2


@KINDS
def test_the_patience_with_an_unreachable_service_ends(
    omics: Control, clock: Clock, tasks: Tasks, delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind
) -> None:
    """Then the task decides, and fails."""
    trigger = delayed(kind)
    clock.advance(start_patience())
    assert answers_of(tasks, trigger) is None
    assert kind.all(omics) == []


def kill_in_its_call(trigger: HealthOmicsStartTrigger, operation: str, clock: Clock, state: str) -> None:
    """Cancel a trigger while its first call of an operation is in flight."""
    of_a_task(trigger)

    async def main() -> None:
        hook = await trigger.connect()
        loop, is_cancelled = asyncio.get_running_loop(), threading.Event()

        def cancel(**_: Any) -> None:
            loop.call_soon_threadsafe(waiting.cancel, USER_ACTION)
            is_cancelled.wait(virtual_time.PATIENCE)

        hook.conn.meta.events.register_first(f"before-send.omics.{operation}", cancel)
        waiting = asyncio.ensure_future(anext(trigger.run()))
        with pytest.raises(asyncio.CancelledError):
            await waiting
        is_cancelled.set()
        if trigger._call is not None:
            await asyncio.wait([trigger._call])
        await asyncio.gather(*kill._running, return_exceptions=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STATE_OF, lambda _: state)
        virtual_time.run(clock, main())


@KINDS
@pytest.mark.parametrize(("state", "is_cancelled"), [("failed", True), ("deferred", False)])
def test_a_kill_waits_for_the_start_in_flight(
    omics: Control,
    clock: Clock,
    delayed: Callable[..., HealthOmicsStartTrigger],
    kind: Kind,
    state: str,
    is_cancelled: bool,
) -> None:
    """Then it cancels the run, but not if another triggerer took over."""
    hold_runs(omics)
    kill_in_its_call(delayed(kind), kind.operation("Start"), clock, state)
    assert kind.is_cancelled(omics) == is_cancelled


@KINDS
def test_a_cancelled_trigger_starts_nothing(
    omics: Control, clock: Clock, delayed: Callable[..., HealthOmicsStartTrigger], kind: Kind
) -> None:
    """When the task was cleared, its trigger was still searching for an earlier start."""
    operation = {"run": "ListRuns", "batch": "ListBatch"}[kind.name]
    kill_in_its_call(delayed(kind), operation, clock, "queued")
    assert kind.all(omics) == []


def test_the_triggers_of_a_connection_share_a_client(
    clock: Clock, delayed: Callable[..., HealthOmicsStartTrigger]
) -> None:
    """Botocore writes to the configuration of a client, which is part of the key."""
    trigger = delayed(RUN, botocore_config={"retries": {"total_max_attempts": 1}})
    before = trigger.connection_key
    virtual_time.run(clock, trigger.connect())
    assert trigger.connection_key == before
