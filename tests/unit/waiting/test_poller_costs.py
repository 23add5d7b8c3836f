# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The number of calls that the poller makes."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from tests.unit.simulated_omics import INVALID, Fault, Life
from tests.unit.waiting.scenes import HOUR, Make, running


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_runs_cost_a_call_each(make: Make, count: int) -> None:
    """ListRuns is not called, for which a small deployment may have no permission."""
    scene = make([running(number) for number in range(count)])
    scene.run(scene.wait_for_all())
    assert scene.omics.count("ListRuns") == 0
    for life in scene.lives:
        looks = [call for call in scene.omics.calls if call.subject == life.id]
        assert HOUR / 60 <= len(looks) <= HOUR / 60 + 2


def test_the_rate_is_limited(make: Make) -> None:
    """Other callers may share an account's quota."""
    scene = make([running(number) for number in range(3)], rate=0.01)
    scene.run(scene.wait_for_all())
    assert HOUR / 100 <= scene.omics.count() <= HOUR / 100 + 3


def test_a_list_is_read_no_further_than_needed(make: Make) -> None:
    """Runs of other users may fill the rest."""
    scene = make([running(number) for number in range(20)], page_size=20)
    for number in range(200):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    scene.omics._order.sort(key=lambda life: life.id)
    scene.run(scene.wait_for_all())
    assert 50 <= scene.omics.count("ListRuns", since=120, until=HOUR - 60) <= (HOUR - 180) / 60 / 0.75 + 2


def test_runs_in_two_states_cost_two_lists(make: Make) -> None:
    """Runs need no single calls."""
    pending = [
        Life(str(number), f"uuid-{number}", ((0, "PENDING"), (600, "CANCELLED"))) for number in range(30)
    ]
    scene = make([*pending, *(running(number, 600) for number in range(30))])
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=120, until=580) == 0
    assert scene.omics.count("ListRuns", since=120, until=580) <= 2 * (460 / 60 / 0.75 + 1)


@pytest.mark.parametrize("foreign", [0, 400])
def test_many_runs_cost_a_few_pages(make: Make, foreign: int) -> None:
    """The pages of the list, including runs of other users, and no single calls."""
    ours = [running(number) for number in range(250)]
    scene = make(ours)
    for number in range(foreign):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    scene.run(scene.wait_for_all())
    for interval in range(2, int(HOUR // 60) - 1):
        calls = scene.omics.count(since=60 * interval, until=60 * (interval + 1))
        assert 1 <= calls <= 2 * (math.ceil((250 + foreign) / 100) + 4)
    total = scene.omics.count(since=120, until=HOUR - 60)
    assert total <= (math.ceil((250 + foreign) / 100) + 4) * (HOUR - 180) / 60


def test_runs_with_similar_poll_intervals_share_their_lists(make: Make) -> None:
    """Ten intervals do not cost ten times as many pages as one."""
    scene = make([running(number) for number in range(1000)])

    async def main() -> None:
        waits = (scene.wait(life, 60 + number % 10) for number, life in enumerate(scene.lives))
        await asyncio.gather(*waits, return_exceptions=True)

    scene.run(main())
    calls = scene.omics.count(since=600, until=HOUR - 60) / (HOUR - 660) * 60
    assert calls < 16


@pytest.mark.parametrize("groups", [1, 5])
def test_a_run_group_costs_its_own_pages(make: Make, groups: int) -> None:
    """However many other runs the account has."""
    scene = make([running(number, group=str(number % groups)) for number in range(250)])
    for number in range(2000):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 250
    total = scene.omics.count(since=120, until=HOUR - 60)
    assert total <= (math.ceil(250 / 100) + groups) * (HOUR - 180) / 60 / 0.75


def test_a_run_group_with_many_other_runs_is_not_read(make: Make) -> None:
    """Single calls cost less, and the lists are rarely tried again."""
    scene = make([running(number, group="7") for number in range(10)], page_size=2, latency=(0.001, 0.002))
    for number in range(400):
        scene.omics.add(running(10000 + number, end=10 * HOUR, group="7"))
    scene.run(scene.wait_for_all())
    assert scene.omics.count(since=600, until=HOUR) <= 1.3 * 10 * (HOUR - 600) / 60


def test_a_list_that_is_longer_than_expected_is_given_up_for_shorter_ones(make: Make) -> None:
    """Runs are not polled by single calls, once all runs of a group are due together."""
    scene = make([running(number, group=str(number % 10)) for number in range(100)], page_size=10)
    for number in range(2000):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=60, until=HOUR - 60) == 0
    assert scene.omics.count(since=60, until=HOUR - 60) <= 15 * (HOUR - 120) / 60 / 0.75


def test_a_filter_that_is_refused_is_left_out(make: Make) -> None:
    """AWS documents that lists of batches accept one filter, but not whether those of runs do."""
    lives = [running(number, group="7") for number in range(60)]
    faults = [Fault(0, math.inf, INVALID, ("ListRuns",), filtered=True)]
    scene = make(lives, faults=faults, page_size=25)
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 60
    assert 1 <= len([call for call in scene.omics.calls if call.is_filtered]) <= 2
    assert scene.omics.count("GetRun", since=120, until=HOUR - 60) == 0
    total = scene.omics.count(since=120, until=HOUR - 60)
    assert total <= (math.ceil(60 / 25) + 4) * (HOUR - 180) / 60


def test_a_refused_second_page_skips_the_filter_for_a_minute(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token may have expired."""
    scene = make([running(number, group="7") for number in range(60)], page_size=20)
    read = scene.omics.list_runs
    refused: list[dict[str, Any]] = []

    def list_runs(**arguments: Any) -> dict[str, Any]:
        if "startingToken" in arguments and not refused:
            refused.append(arguments)
            raise INVALID("ListRuns")
        return read(**arguments)

    monkeypatch.setattr(scene.omics, "list_runs", list_runs)
    scene.run(scene.wait_for_all())
    assert len(refused) == 1
    assert all(
        call.is_filtered for call in scene.omics.calls if call.operation == "ListRuns" and call.began > 150
    )


def test_a_run_that_is_not_in_its_group_is_polled(make: Make) -> None:
    """GetRun shows its end, and its group."""
    lives = [running(number, end=HOUR if number else 100, group="7") for number in range(20)]
    scene = make(lives)

    async def main() -> list[dict[str, Any]]:
        waits = (
            scene.wait(life, creation_time=life.creation_time, list_filter=("runGroupId", "9"))
            for life in lives
        )
        return list(await asyncio.gather(*waits))

    assert [each["status"] for each in scene.run(main())] == ["COMPLETED"] * 20
    assert scene.ends[lives[0].id] <= 100 + 60
    assert scene.omics.count("GetRun", since=60, until=HOUR - 60) <= 2


def test_a_list_full_of_other_runs_is_not_read(make: Make) -> None:
    """If other users' runs fill more pages than we have runs, each of ours is polled."""
    scene = make([running(number) for number in range(10)], page_size=2, latency=(0.001, 0.002))
    for number in range(400):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    scene.run(scene.wait_for_all())
    assert scene.omics.count(since=600, until=HOUR) <= 1.2 * 10 * (HOUR - 600) / 60
