# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The event loop on which time passes only when there is nothing else to do."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from tests.unit import virtual_time
from tests.unit.conftest import Clock, DeadlineError


async def in_a_pool_of_its_own(function: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, function)


WAYS = [asyncio.to_thread, sync_to_async, in_a_pool_of_its_own]


def call(way: Any, function: Any) -> Any:
    """Return an awaitable of the call in a thread."""
    return sync_to_async(function)() if way is sync_to_async else way(function)


def test_timers_fire_in_their_order_and_at_their_time(clock: Clock) -> None:
    """Whatever they are used for."""
    seen: list[tuple[str, float]] = []

    async def main() -> None:
        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, clock.elapsed))

        event = asyncio.Event()
        asyncio.get_running_loop().call_later(50, event.set)
        tasks = [asyncio.create_task(sleeper("long", 90000)), asyncio.create_task(sleeper("short", 0.25))]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7):
                await event.wait()
        seen.append(("timeout", clock.elapsed))
        await event.wait()
        seen.append(("event", clock.elapsed))
        await asyncio.wait(tasks)

    began = time.perf_counter()
    virtual_time.run(clock, main())
    assert time.perf_counter() - began < 10
    assert [name for name, _ in seen] == ["short", "timeout", "event", "long"]
    assert [when for _, when in seen] == pytest.approx([0.25, 7, 50, 90000])
    assert clock.sleeps == []


@pytest.mark.parametrize("way", WAYS)
def test_time_stands_still_while_a_thread_works(clock: Clock, way: Any) -> None:
    """A timer does not overtake a call that takes no time of the clock."""

    async def main() -> tuple[int, float]:
        timer = asyncio.create_task(asyncio.sleep(3600))
        slow = time.perf_counter() + 0.05

        def work() -> int:
            while time.perf_counter() < slow:
                pass
            return 7

        answer = await call(way, work)
        elapsed = clock.elapsed
        timer.cancel()
        return answer, elapsed

    assert virtual_time.run(clock, main()) == (7, 0.0)


@pytest.mark.parametrize("way", WAYS)
def test_a_thread_that_sleeps_moves_the_clock(clock: Clock, way: Any) -> None:
    """The latency of a call is the loop's time too, and a timer that has expired meanwhile fires after it."""

    async def main() -> float:
        timer = asyncio.create_task(asyncio.sleep(5))
        began = asyncio.get_running_loop().time()
        await call(way, lambda: time.sleep(30))
        took = asyncio.get_running_loop().time() - began
        await timer
        return took

    assert virtual_time.run(clock, main()) == pytest.approx(30)
    assert (clock.elapsed, clock.sleeps) == (30, [30])


def test_a_call_begins_when_nothing_else_is_ready(clock: Clock) -> None:
    """A test is reproducible, however fast the thread is."""
    order: list[str] = []

    async def main() -> None:
        call = asyncio.ensure_future(asyncio.to_thread(order.append, "call"))
        for _ in range(100):
            await asyncio.sleep(0)
        order.append("loop")
        await call

    virtual_time.run(clock, main())
    assert order == ["loop", "call"]


def test_a_cancelled_call_runs_until_it_ends(clock: Clock) -> None:
    """Its thread does not notice the cancellation."""
    ended: list[float] = []

    def work() -> None:
        slow = time.perf_counter() + 0.05
        while time.perf_counter() < slow:
            pass
        ended.append(clock.elapsed)

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(3600)

    virtual_time.run(clock, main())
    assert ended == [0.0]
    assert clock.elapsed == 3600


def test_scheduled_callbacks_run_while_a_loop_waits(clock: Clock) -> None:
    """As in a wait on a worker."""
    seen: list[float] = []
    clock.at(10, lambda: seen.append(clock.elapsed))
    virtual_time.run(clock, asyncio.sleep(60))
    assert seen == [60]


def test_a_deadline_cancels_a_wait(clock: Clock) -> None:
    """As the triggerer cancels a trigger whose deferral has timed out."""
    ends: list[str] = []

    async def main() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    clock.deadline = 30
    with pytest.raises(DeadlineError):
        virtual_time.run(clock, main())
    assert ends == ["cancelled"]


def test_a_loop_that_nothing_will_wake_is_an_error(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for a lost response fails, and does not hang."""
    monkeypatch.setattr(virtual_time, "PATIENCE", 0.05)

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing is left"):
        virtual_time.run(clock, main())


def test_a_loop_that_spins_is_an_error(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that polls without letting time pass fails, and does not hang."""
    monkeypatch.setattr(virtual_time, "SPINS", 100)

    async def main() -> None:
        while clock.elapsed == 0:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="spins"):
        virtual_time.run(clock, main())


def test_the_end_of_a_loop_takes_no_time(clock: Clock) -> None:
    """Its threads are joined in real time."""
    virtual_time.run(clock, asyncio.to_thread(lambda: None))
    assert clock.elapsed == 0
