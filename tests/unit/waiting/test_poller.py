# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The poller: which waits it notifies, and of which run."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsRunReplacedError
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.pace import DEFAULT_RATE
from tests.unit import virtual_time
from tests.unit.conftest import Clock
from tests.unit.simulated_omics import (
    DENIED,
    THROTTLED,
    Fault,
    Life,
    Records,
    assert_nothing_is_left,
    threads_of_others,
)
from tests.unit.waiting.scenes import HOUR, Make, Scene, running


def test_each_wait_is_notified_of_its_own_run(make: Make) -> None:
    """All runs end at once, and the next pass notifies all waits."""
    ends = ["COMPLETED", "FAILED", "CANCELLED", "DELETED"]
    scene = make([running(number, status=ends[number % 4]) for number in range(250)])
    summaries = scene.run(scene.wait_for_all())
    assert [(each["id"], each["uuid"], each["status"]) for each in summaries] == [
        (life.id, life.uuid, life.changes[-1][1]) for life in scene.lives
    ]
    seconds_of_confirmations = len(scene.lives) / DEFAULT_RATE
    assert max(scene.ends.values()) <= HOUR + 60 + seconds_of_confirmations


def test_a_shift_of_the_pages_loses_no_run(make: Make) -> None:
    """A run that ends between two pages moves the following ones up, so some are on no page."""
    scene = make(
        [running(number, end=300 + 7 * number) for number in range(40)], page_size=3, latency=(0.4, 0.6)
    )
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 40
    assert scene.omics.count("ListRuns") > 0
    sweep = 0.6 * (40 + 40 / 3 + 4)
    for life in scene.lives:
        assert scene.ends[life.id] - life.changes[-1][0] <= 60 + 2 * sweep


def test_a_run_that_has_ended_is_reported_at_once(make: Make) -> None:
    """A new wait does not wait for the interval of the others."""
    long, short = running(1), running(2, end=50)
    scene = make([long, short])

    async def main() -> None:
        await asyncio.gather(scene.wait(long, 1800), scene.wait(short, 1800, at=100))

    scene.run(main())
    assert scene.ends[short.id] <= 101


def test_a_new_run_is_polled_at_once(make: Make) -> None:
    """An active one is then polled in its own interval."""
    long, other = running(1), running(2)
    scene = make([long, other])

    async def main() -> None:
        await asyncio.gather(scene.wait(long, 1800), scene.wait(other, 30, at=100))

    scene.run(main())
    looks = [call.began for call in scene.omics.calls if call.subject == other.id]
    assert looks[0] <= 101
    assert all(later - earlier <= 31 for earlier, later in pairwise(looks))


def test_two_waits_for_one_run_are_both_notified(make: Make) -> None:
    """The run is still polled once in an interval."""
    life = running(1)
    scene = make([life])

    async def main() -> list[dict[str, Any]]:
        return list(await asyncio.gather(scene.wait(life), scene.wait(life)))

    assert [each["status"] for each in scene.run(main())] == ["COMPLETED"] * 2
    assert scene.omics.count() <= HOUR / 60 + 3


def test_a_cancelled_wait_leaves_the_others(make: Make) -> None:
    """Even one for the same run, whichever came first."""
    scene = make([running(1), running(2)])

    async def main() -> None:
        waits = [asyncio.ensure_future(scene.wait(life)) for life in (*scene.lives, *scene.lives)]
        await asyncio.sleep(100)
        for cancelled in waits[:2]:
            cancelled.cancel()
        done, _ = await asyncio.wait(waits[:2])
        assert all(each.cancelled() for each in done)
        assert [(await each)["status"] for each in waits[2:]] == ["COMPLETED"] * 2

    scene.run(main())
    assert scene.omics.count(since=101) > 50


def test_it_stops_with_the_last_wait_and_starts_again(make: Make) -> None:
    """Without waits it makes no calls."""
    first, second = running(1, end=100), running(2, end=2000)
    scene = make([first, second])

    async def main() -> None:
        threads = threads_of_others()
        await scene.wait(first)
        await assert_nothing_is_left(threads)
        await asyncio.sleep(1000)
        calls = scene.omics.count()
        await asyncio.sleep(300)
        assert scene.omics.count() == calls
        assert (await scene.wait(second))["status"] == "COMPLETED"

    scene.run(main())


def test_another_event_loop_has_its_own_poller(make: Make, clock: Clock) -> None:
    """Also after the first one was closed during a wait."""
    scene = make([running(1)])

    async def left_behind() -> None:
        waiting = asyncio.ensure_future(scene.wait(scene.lives[0]))
        await asyncio.sleep(100)
        assert not waiting.done()

    virtual_time.run(clock, left_behind())
    again = Scene(clock, scene.lives)
    (summary,) = again.run(again.wait_for_all())
    assert summary["status"] == "COMPLETED"


@pytest.mark.parametrize("error", [None, DENIED, THROTTLED])
def test_each_wait_logs_in_its_own_context(make: Make, error: Any) -> None:
    """Airflow finds a task's log by it. Shared calls are made in no context."""
    faults = [Fault(0, 200, error, ("ListRuns",))] if error else []
    scene = make([running(number, 300) for number in range(20)], faults=faults)
    task: ContextVar[str] = ContextVar("task", default="nobody")
    seen: dict[str, set[str]] = defaultdict(set)

    class Log(Records):
        def info(self, message: str, *args: Any) -> None:
            seen[self.warnings[0]].add(task.get())

        warning = info

    async def wait(life: Life) -> None:
        task.set(life.id)
        scene.logs[life.id] = Log(warnings=[life.id])
        await scene.wait(life)

    async def main() -> None:
        scene.before_connect = lambda: seen["nobody"].add(task.get())
        await asyncio.gather(*map(wait, scene.lives))

    scene.run(main())
    assert seen == {name: {name} for name in ("nobody", *(life.id for life in scene.lives))}


def test_a_long_page_leaves_the_event_loop_to_others(make: Make) -> None:
    """Each of its runs may log a line."""
    lives = [running(number, 300) for number in range(100)]
    scene = make(lives)
    turns: list[int] = []
    items: list[int] = []
    times: list[float] = []

    class Log(Records):
        def info(self, message: str, *args: Any) -> None:
            items.append(len(turns))
            times.append(scene.clock.elapsed)
            asyncio.get_running_loop().call_soon(turns.append, 1)

    scene.logs = {life.id: Log() for life in lives}

    async def main() -> None:
        known = {life.id: life.creation_time for life in lives}
        await asyncio.gather(*(scene.wait(life, creation_time=known[life.id]) for life in lives))

    scene.run(main())
    assert len(items) >= 100
    assert max(number - turn for number, turn in enumerate(items[:100])) <= 10
    assert times[99] - times[0] < 0.1


def test_the_calls_have_their_own_thread(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the event loop may be busy."""
    scene = make([running(1, 300)])
    get_run = scene.omics.get_run
    threads: set[threading.Thread] = set()

    def recording(**request: Any) -> Any:
        threads.add(threading.current_thread())
        return get_run(**request)

    monkeypatch.setattr(scene.omics, "get_run", recording)
    scene.run(scene.wait_for_all())
    (thread,) = threads
    assert not thread.name.startswith("asyncio")


def test_a_few_new_waits_are_polled_during_a_pass_over_the_lists(make: Make) -> None:
    """List pages and single calls alternate."""
    lives = [running(number) for number in range(100)]
    late = [running(number, 4) for number in range(1000, 1004)]
    scene = make([*lives, *late], page_size=2, latency=(0.2, 0.2))

    async def main() -> None:
        # Their next polls are not due during this pass.
        waits = [
            asyncio.ensure_future(scene.wait(life, 24 * HOUR, creation_time=life.creation_time))
            for life in lives
        ]
        await asyncio.gather(*(scene.wait(life, at=6) for life in late))
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)

    scene.run(main())
    assert scene.omics.count("ListRuns", since=4, until=6) >= 5
    assert max(scene.ends[life.id] for life in late) <= 8


def test_waits_that_are_cancelled_during_a_pass_shorten_it(make: Make) -> None:
    """A list that no remaining wait needs is given up."""
    first, second = ([running(number, 60) for number in numbers] for numbers in (range(60), range(60, 70)))
    scene = make([*first, *second], faults=[Fault(0, 20, THROTTLED, ("ListRuns",))])

    async def main() -> None:
        waits = [
            asyncio.ensure_future(scene.wait(life, creation_time=life.creation_time, at=at))
            for lives, at in ((first, 0), (second, 16))
            for life in lives
        ]
        await asyncio.sleep(15)
        for each in waits[:60]:
            each.cancel()
        assert [(await each)["status"] for each in waits[60:]] == ["COMPLETED"] * 10

    scene.run(main())


def test_a_list_for_cancelled_waits_is_not_read(make: Make) -> None:
    """A single wait costs a single call."""
    cancelled, other = [running(number) for number in range(60)], running(60, 60)
    scene = make([*cancelled, other], faults=[Fault(0, 20, THROTTLED, ("ListRuns",))])

    async def main() -> None:
        waits = [
            asyncio.ensure_future(scene.wait(each, creation_time=each.creation_time)) for each in cancelled
        ]
        await asyncio.sleep(15)
        for each in waits:
            each.cancel()
        assert (await scene.wait(other))["status"] == "COMPLETED"

    scene.run(main())
    assert 1 <= scene.omics.count("ListRuns") == scene.omics.count("ListRuns", until=15)


def test_a_listed_run_that_may_be_another_one_is_confirmed_at_once(make: Make) -> None:
    """The rest of the list may be long."""
    lives = [running(number, 60, deleted=1.0 if number == 0 else None) for number in range(60)]
    scene = make(lives, page_size=2, latency=(0.2, 0.2))
    scene.omics.add(Life(lives[0].id, "another", ((1.0, "RUNNING"), (HOUR, "COMPLETED"))))
    scene.omics._order.sort(key=lambda life: life.id)

    async def main() -> None:
        waits = (scene.wait(life, at=2, creation_time=life.creation_time) for life in lives)
        await asyncio.gather(*waits, return_exceptions=True)

    scene.run(main())
    assert scene.omics.count("ListRuns", until=9) >= 20
    assert scene.ends[lives[0].id] <= 4


def test_the_shortest_interval_is_a_second(make: Make) -> None:
    """Even if a task sets a shorter one."""
    scene = make([running(1, 20)])
    scene.run(scene.wait_for_all(0))
    assert 15 <= scene.omics.count() <= 21


def test_a_status_is_known_after_the_first_response(make: Make) -> None:
    """A wait can read it from its watch."""
    scene = make([running(1, end=300)])
    watch = RunWatch(scene.lives[0].id, log=Records())
    assert watch.status is None

    async def main() -> None:
        waiting = asyncio.ensure_future(scene.poller.wait(watch, 60))
        await asyncio.sleep(10)
        assert watch.status == "RUNNING"
        await waiting

    scene.run(main())
    assert watch.status == "COMPLETED"


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("knows", ["all", "uuid", "nothing"])
def test_another_run_with_the_id_is_reported(make: Make, count: int, knows: str) -> None:
    """Whether the uuid was given or learned, with and without lists."""
    lives = [running(number, deleted=700.0 if number == 0 else None) for number in range(count)]
    other = Life(lives[0].id, "another", ((700.0, "RUNNING"), (10 * HOUR, "COMPLETED")))
    scene = make(lives)
    scene.omics.add(other)

    async def main() -> list[Any]:
        facts: dict[str, dict[str, Any]] = {
            "all": {"creation_time": lives[0].creation_time},
            "uuid": {},
            "nothing": {"uuid": None},
        }
        known = facts[knows]
        waits = [scene.wait(lives[0], **known), *(scene.wait(life) for life in lives[1:])]
        return list(await asyncio.gather(*waits, return_exceptions=True))

    replaced, *others = scene.run(main())
    assert isinstance(replaced, HealthOmicsRunReplacedError)
    assert (replaced.uuid, replaced.found) == (lives[0].uuid, "another")
    assert scene.ends[lives[0].id] <= 700 + 60 + 10
    assert [each["status"] for each in others] == ["COMPLETED"] * (count - 1)


@pytest.mark.parametrize("count", [1, 12])
def test_a_run_that_is_not_found_was_deleted(make: Make, count: int) -> None:
    """Whoever deleted it."""
    scene = make([running(number, deleted=700.0) for number in range(count)])
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["DELETED"] * count
    assert max(scene.ends.values()) <= 700 + 60 + 10


@pytest.mark.parametrize(("visible", "status"), [(45.0, "COMPLETED"), (100.0, "DELETED")])
def test_a_new_run_may_be_found_later(make: Make, visible: float, status: str) -> None:
    """A new run that is not found has not ended."""
    (life,) = lives = [running(1, visible=visible)]
    scene = make(lives)
    summary = scene.run(scene.wait(life, 10, grace=60))
    assert summary["status"] == status
    assert scene.ends[life.id] <= (HOUR if status == "COMPLETED" else 60) + 10 + 1
