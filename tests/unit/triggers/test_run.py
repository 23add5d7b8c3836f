# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The behaviour that only the trigger of runs has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.triggers import HealthOmicsRunTrigger
from airflow_healthomics.waiting import deadlines
from airflow_healthomics.waiting.events import summary_from_event
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import Clock, Tasks, calls_of
from tests.unit.kinds import RUN


@pytest.fixture
def run_id(omics: Control) -> str:
    """A run that stays RUNNING."""
    return RUN.start(omics)


def test_the_event_loop_is_not_blocked(
    omics: Control, clock: Clock, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While AWS does not respond, other triggers continue."""
    monkeypatch.setattr(deadlines, "SHORTEST_PAUSE", 0.0)
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

    rescue = threading.Timer(10, omics.release, ["slow"])  # otherwise a blocked loop would stay blocked
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


def test_another_run_with_the_same_id_is_an_error(omics: Control, tasks: Tasks, run_id: str) -> None:
    """The trigger identifies its run by the uuid."""
    event = tasks.fire(HealthOmicsRunTrigger(run_id=run_id, uuid="96c57683-74bf-9d6d-ae7e-f09b097db14a"))
    with pytest.raises(Exception, match="uuid"):
        summary_from_event(event)


@pytest.mark.parametrize("settings", [{}, {"aws_conn_id": None}, {"region_name": "us-east-1"}], ids=str)
def test_many_wait_together(omics: Control, clock: Clock, started: Callable[..., Any], settings: Any) -> None:
    """In one event loop, each receives the end of its own run."""
    omics.plan_run(times=None, seconds={"RUNNING": 300})
    ids = [started()["id"] for _ in range(8)]

    async def end_of(run_id: str) -> Any:
        async for event in HealthOmicsRunTrigger(run_id=run_id, waiter_delay=60, **settings).run():
            return event.payload["summary"]["id"]
        return None

    async def main() -> list[Any]:
        return list(await asyncio.gather(*map(end_of, ids)))

    assert virtual_time.run(clock, main()) == ids
