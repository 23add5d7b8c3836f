# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The trigger: its way through the database, its timing, its event."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.triggers import HealthOmicsRunTrigger, base
from airflow_healthomics.triggers.wait import ended_summary
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks, calls_of

ARGUMENTS: dict[str, Any] = {
    "run_id": "1234567",
    "uuid": "96c57683-74bf-9d6d-ae7e-f09b097db14a",
    "waiter_delay": 30,
    "creation_time": "2026-11-22T03:04:05+00:00",
    "grace": 60.0,
    "cancel_on_kill": True,
    "aws_conn_id": "my_aws",
    "region_name": "eu-west-1",
    "verify": "/etc/ca.pem",
    "botocore_config": {"connect_timeout": 5},
}


# --- serialization ---


def test_its_class_path_never_moves() -> None:
    """Users' databases hold it."""
    path, _ = HealthOmicsRunTrigger(run_id="1").serialize()
    assert path == "airflow_healthomics.triggers.run.HealthOmicsRunTrigger"


@pytest.mark.parametrize(
    "arguments", [ARGUMENTS, {"run_id": "1"}, ARGUMENTS | {"verify": False, "uuid": None}]
)
def test_it_survives_the_database(arguments: dict[str, Any]) -> None:
    """By its class path and as JSON, every argument."""
    path, kwargs = HealthOmicsRunTrigger(**arguments).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert arguments.items() <= kwargs.items()


def test_every_argument_is_serialized() -> None:
    """An argument that is forgotten is lost in the triggerer."""
    names = {
        name
        for trigger in HealthOmicsRunTrigger.__mro__
        if trigger.__module__.startswith("airflow_healthomics")
        for name in inspect.signature(trigger).parameters
    } - {"connection"}
    assert set(HealthOmicsRunTrigger(**ARGUMENTS).serialize()[1]) == names == set(ARGUMENTS)


# --- timing ---


@pytest.fixture
def run_id(omics: Control, started: Callable[..., Any]) -> str:
    """A run that stays RUNNING until it is told."""
    omics.plan_run(seconds={"RUNNING": None})
    started_id: str = started()["id"]
    return started_id


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "DELETED"])
def test_it_does_not_fire_before_the_scheduler_has_seen_the_deferral(
    omics: Control, tasks: Tasks, clock: Clock, run_id: str, status: str
) -> None:
    """Not in the first ten seconds, even if the run has ended already."""
    omics.advance(status, run_id=run_id)
    event = tasks.fire(HealthOmicsRunTrigger(run_id=run_id))
    assert event["summary"]["status"] == status
    assert 10 <= clock.elapsed < 20


def test_an_error_does_not_fire_earlier(omics: Control, tasks: Tasks, clock: Clock, run_id: str) -> None:
    """The scheduler's race is the same for bad news."""
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    tasks.fire(HealthOmicsRunTrigger(run_id=run_id, botocore_config=ONE_ATTEMPT))
    assert clock.elapsed >= 10


def test_it_polls_at_once(omics: Control, tasks: Tasks, clock: Clock, run_id: str) -> None:
    """The first look does not wait for the delay."""
    polls: list[int] = []
    clock.at(0.001, lambda: polls.append(calls_of(omics, "GetRun")))
    clock.at(60, lambda: omics.advance("COMPLETED", run_id=run_id))
    tasks.fire(HealthOmicsRunTrigger(run_id=run_id, waiter_delay=60))
    assert polls == [1]


def test_the_end_is_not_delayed_after_that(omics: Control, tasks: Tasks, clock: Clock, run_id: str) -> None:
    """A run that ends later is told at the next poll."""
    clock.at(600, lambda: omics.advance("COMPLETED", run_id=run_id))
    tasks.fire(HealthOmicsRunTrigger(run_id=run_id, waiter_delay=60))
    assert 600 <= clock.elapsed <= 600 + 60 + 1


def test_the_event_loop_is_not_blocked(
    omics: Control, clock: Clock, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While AWS does not answer, other triggers go on."""
    monkeypatch.setattr(base, "EARLIEST_EVENT", 0.0)
    omics.advance("COMPLETED", run_id=run_id)
    omics.hold("GetRun", "slow")

    async def run() -> Any:
        async for event in HealthOmicsRunTrigger(run_id=run_id).run():
            return event.payload
        return None

    async def main() -> Any:
        trigger = asyncio.create_task(run())
        await asyncio.to_thread(omics.wait_until_held, "slow", timeout=5)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not trigger.done()
        assert omics.release("slow") == 1
        return await trigger

    rescue = threading.Timer(10, omics.release, ["slow"])  # else a loop that is blocked would stay so
    rescue.start()
    try:
        assert virtual_time.run(clock, main())["summary"]["status"] == "COMPLETED"
    finally:
        rescue.cancel()


def test_a_cancelled_trigger_cancels_no_run(omics: Control, run_id: str, clock: Clock) -> None:
    """A triggerer that stops, restarts or is taken over leaves the run alone."""

    async def main() -> None:
        generator = HealthOmicsRunTrigger(run_id=run_id).run()
        waiting = asyncio.ensure_future(anext(generator))
        while calls_of(omics, "GetRun") < 2:
            await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    virtual_time.run(clock, main())
    assert calls_of(omics, "CancelRun") == 0


# --- the event ---


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED", "DELETED"])
def test_the_event_carries_all_that_the_task_needs(
    omics: Control, tasks: Tasks, run_id: str, status: str
) -> None:
    """``dag.test()`` drops what the deferral itself carries, and the task is new."""
    omics.advance(status, run_id=run_id)
    summary = ended_summary(tasks.fire(HealthOmicsRunTrigger(run_id=run_id)))
    assert (summary["id"], summary["status"]) == (run_id, status)


def test_it_fires_once(omics: Control, clock: Clock, run_id: str) -> None:
    """And ends."""
    omics.advance("COMPLETED", run_id=run_id)

    async def events() -> list[Any]:
        return [event async for event in HealthOmicsRunTrigger(run_id=run_id).run()]

    assert len(virtual_time.run(clock, events())) == 1


def test_an_error_keeps_its_code(omics: Control, tasks: Tasks, run_id: str) -> None:
    """The resumed task raises what a task on a worker would have raised."""
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    event = tasks.fire(HealthOmicsRunTrigger(run_id=run_id, botocore_config=ONE_ATTEMPT))
    with pytest.raises(Exception, match="omics:GetRun") as caught:
        ended_summary(event)
    assert caught.value.code == "AccessDeniedException"  # type: ignore[attr-defined]


def test_another_run_with_the_same_id_is_an_error(omics: Control, tasks: Tasks, run_id: str) -> None:
    """The trigger knows its run by the uuid."""
    event = tasks.fire(HealthOmicsRunTrigger(run_id=run_id, uuid="96c57683-74bf-9d6d-ae7e-f09b097db14a"))
    with pytest.raises(Exception, match="uuid"):
        ended_summary(event)


@pytest.mark.parametrize("settings", [{}, {"aws_conn_id": None}, {"region_name": "us-east-1"}], ids=str)
def test_many_wait_together(omics: Control, clock: Clock, started: Callable[..., Any], settings: Any) -> None:
    """In one event loop, and each gets its own run's end."""
    omics.plan_run(times=None, seconds={"RUNNING": 300})
    ids = [started()["id"] for _ in range(8)]

    async def end_of(run_id: str) -> Any:
        async for event in HealthOmicsRunTrigger(run_id=run_id, waiter_delay=60, **settings).run():
            return event.payload["summary"]["id"]
        return None

    async def main() -> list[Any]:
        return list(await asyncio.gather(*map(end_of, ids)))

    assert virtual_time.run(clock, main()) == ids


def test_no_event_is_an_error() -> None:
    """Resumed with nothing, a task cannot say that its run has succeeded."""
    with pytest.raises(Exception, match="without an event"):
        ended_summary(None)


def test_a_trigger_that_cannot_make_a_client_fires_no_earlier(
    omics: Control, connection: Callable[..., None], tasks: Tasks, clock: Clock
) -> None:
    """An exception ends the deferral as an event does, and meets the same race of the scheduler."""
    connection(profile_name="there_is_no_such_profile")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the resumed task or the trigger raises
        ended_summary(tasks.fire(HealthOmicsRunTrigger(run_id="1")))
    assert clock.elapsed >= 10


def test_an_empty_event_is_one_of_our_errors() -> None:
    """And not a KeyError."""
    with pytest.raises(HealthOmicsOutcomeUnknownError):
        ended_summary({})
