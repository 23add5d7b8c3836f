# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Failures of the service that the poller survives."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsOutcomeUnknownError
from tests.unit.simulated_omics import BROKEN, DENIED, INVALID, THROTTLED, Fault, Life, refusal
from tests.unit.waiting.scenes import HOUR, Make, running


def test_throttled_lists_are_not_replaced_by_a_thousand_calls(make: Make) -> None:
    """They would use the account's whole quota of GetRun, for longer than the throttling lasts."""
    lives = [running(number) for number in range(600)]
    scene = make(lives, faults=[Fault(1000, 1010, THROTTLED, ("ListRuns",))], latency=(0.09, 0.1))
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=900, until=2000) <= 20


def test_lists_with_other_errors_are_replaced(make: Make) -> None:
    """GetRun may work although ListRuns does not; the lists are soon used again."""
    lives = [running(number) for number in range(60)]
    scene = make(lives, faults=[Fault(1000, 1600, BROKEN, ("ListRuns",))])
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 60
    assert scene.omics.count("GetRun", since=1000, until=1600) >= 60
    assert scene.omics.count("GetRun", since=1700, until=HOUR - 100) <= 20


def test_lists_that_fail_three_times_are_skipped_for_a_minute(make: Make) -> None:
    """In each outage, which each wait logs once."""
    outages = [Fault(begin, begin + 60, BROKEN, ("ListRuns",)) for begin in (0, 600)]
    scene = make([running(number, 1200) for number in range(10)], faults=outages)

    async def main() -> list[dict[str, Any]]:
        waits = (scene.wait(life, creation_time=life.creation_time) for life in scene.lives)
        return list(await asyncio.gather(*waits))

    assert [each["status"] for each in scene.run(main())] == ["COMPLETED"] * 10
    for outage in outages:
        assert scene.omics.count("ListRuns", since=outage.begin, until=outage.end) == 3
        assert scene.omics.count("GetRun", since=outage.begin, until=outage.end) >= 10
        assert scene.omics.count("GetRun", since=outage.begin + 150, until=outage.begin + 450) == 0
    for life in scene.lives:
        lines = scene.logs[life.id].warnings
        assert len(lines) == len(outages)
        assert all(line.startswith(f"ListRuns for run {life.id}") for line in lines)
        assert all("InternalServerException" in line for line in lines)


@pytest.mark.parametrize(("count", "is_polled"), [(50, True), (51, False)])
def test_a_few_runs_whose_list_is_throttled_are_polled_one_by_one(
    make: Make, count: int, is_polled: bool
) -> None:
    """For more runs, waiting for the list costs less."""
    scene = make(
        [running(number, 600) for number in range(count)], faults=[Fault(100, 160, THROTTLED, ("ListRuns",))]
    )
    scene.run(scene.wait_for_all())
    calls = [call.operation for call in scene.omics.calls if 100 <= call.began < 500]
    assert ("GetRun" in calls) is is_polled
    if is_polled:
        assert calls[: 3 + count] == ["ListRuns"] * 3 + ["GetRun"] * count


@pytest.mark.parametrize(("jitter", "bound"), [(0.5, min), (1.0, max)])
def test_each_failure_doubles_the_pause(
    make: Make, monkeypatch: pytest.MonkeyPatch, jitter: float, bound: Callable[..., float]
) -> None:
    """At most to a minute, and a success halves it."""
    monkeypatch.setattr(random, "uniform", bound)
    scene = make([running(1, 900)])
    get_run, numbers = scene.omics.get_run, itertools.count(1)
    fails = {1, *range(3, 11), 12}

    def failing(**request: Any) -> Any:
        answer = get_run(**request)
        if next(numbers) in fails:
            raise BROKEN("GetRun")
        return answer

    monkeypatch.setattr(scene.omics, "get_run", failing)
    scene.run(scene.wait_for_all())
    pauses = [later.began - earlier.ended for earlier, later in pairwise(scene.omics.calls)]
    expected = [1, 60, *(2**doublings for doublings in range(6)), 60, 60, 60, 16, 60]
    expected = [each * jitter if number in fails else each for number, each in enumerate(expected, 1)]
    assert pauses[: len(expected)] == pytest.approx(expected, abs=0.01)


def test_passes_are_less_frequent_while_lists_are_throttled(make: Make) -> None:
    """Also those of waits that were due before, until five minutes without throttling."""
    scene = make(
        [running(number, 900) for number in range(60)], faults=[Fault(100, 120, THROTTLED, ("ListRuns",))]
    )

    async def main() -> None:
        waits = (scene.wait(life, 60 if number % 2 else 15) for number, life in enumerate(scene.lives))
        await asyncio.gather(*waits)

    scene.run(main())
    passes = [call.began for call in scene.omics.calls if call.operation == "ListRuns" and not call.error]
    throttled = [later - earlier for earlier, later in pairwise(passes) if 120 < earlier < later < 400]
    assert all(19 < gap < 25 for gap in throttled)
    assert any(later - earlier < 15 for earlier, later in pairwise(passes) if 450 < earlier < later < 890)


def test_new_waits_are_polled_at_once_while_lists_are_throttled(make: Make) -> None:
    """Only waits with a known status can be polled later."""
    lives = [running(number, 300) for number in range(20)]
    late = [running(number, 150) for number in range(1000, 1005)]
    scene = make([*lives, *late], faults=[Fault(100, 120, THROTTLED, ("ListRuns",))])

    async def main() -> None:
        waits = (scene.wait(life, 15) for life in lives)
        await asyncio.gather(*waits, *(scene.wait(life, 15, at=200) for life in late))

    scene.run(main())
    assert max(scene.ends[life.id] for life in late) <= 203


def test_missing_runs_are_polled_while_a_list_is_throttled(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be in that list, but have probably ended."""
    pending = [
        Life(str(number), f"uuid-{number}", ((0, "PENDING"), (100, "CANCELLED"))) for number in range(30)
    ]
    lives = [*pending, *(running(number, 600) for number in range(30))]
    scene = make(lives)
    list_runs = scene.omics.list_runs

    def throttling(**request: Any) -> Any:
        page = list_runs(**request)
        if request["status"] == "RUNNING" and 100 < scene.clock.elapsed < 300:
            raise THROTTLED("ListRuns")
        return page

    monkeypatch.setattr(scene.omics, "list_runs", throttling)
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == [
        life.changes[-1][1] for life in lives
    ]
    assert max(scene.ends[life.id] for life in pending) <= 170


def test_a_wait_that_comes_when_lists_return_is_not_lost(make: Make) -> None:
    """Nor are those whose single calls are throttled."""
    faults = [Fault(100, 110, BROKEN, ("ListRuns",)), Fault(100, 260, THROTTLED, ("GetRun",))]
    scene = make([running(number, 600) for number in range(60)], faults=faults)
    late = running(1000, 150)
    scene.omics.add(late)

    async def main() -> None:
        await asyncio.gather(*map(scene.wait, scene.lives), scene.wait(late, at=230))

    scene.run(main())
    assert max(scene.ends.values()) <= 700


def test_waits_that_come_during_a_refused_list_are_not_lost(make: Make) -> None:
    """The others are searched in another list."""
    lives = [running(number, 300, group="7") for number in range(20)]
    faults = [Fault(0, math.inf, INVALID, ("ListRuns",), filtered=True)]
    scene = make(lives, faults=faults, latency=(1, 1))

    async def main() -> None:
        waits = (
            scene.wait(
                life, at=number % 2 / 2, creation_time=life.creation_time, list_filter=("runGroupId", "7")
            )
            for number, life in enumerate(lives)
        )
        await asyncio.gather(*waits)

    scene.run(main())
    assert max(scene.ends.values()) <= 400


def test_waits_that_come_before_a_refused_page_are_not_lost(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are due while the page before it is read. Their runs end at once, so no later list shows them."""
    early = [running(number, 300, group="7") for number in range(30)]
    late = [running(number, 0.9, group="7") for number in range(30, 40)]
    scene = make([*early, *late], page_size=20, latency=(1, 1))
    read = scene.omics.list_runs

    def list_runs(**arguments: Any) -> dict[str, Any]:
        if arguments.keys() >= {"startingToken", "runGroupId"}:
            raise INVALID("ListRuns")
        return read(**arguments)

    monkeypatch.setattr(scene.omics, "list_runs", list_runs)

    async def main() -> None:
        waits = (
            scene.wait(life, at=at, creation_time=life.creation_time, list_filter=("runGroupId", "7"))
            for lives, at in ((early, 0), (late, 0.5))
            for life in lives
        )
        await asyncio.wait_for(asyncio.gather(*waits), HOUR)

    scene.run(main())
    assert max(scene.ends[life.id] for life in late) <= 60


@pytest.mark.parametrize(("count", "operation"), [(3, "GetRun"), (60, "ListRuns")])
def test_only_a_delay_of_an_interval_is_logged(make: Make, count: int, operation: str) -> None:
    """With the run and the throttled operation."""
    faults = [Fault(100, 125, THROTTLED), Fault(1000, 1200, THROTTLED)]
    scene = make([running(number, 1500) for number in range(count)], faults=faults)
    early: list[Any] = []
    scene.clock.at(900, lambda: early.extend(scene.warnings("")))
    scene.run(scene.wait_for_all())
    assert not any(early)
    for life in scene.lives:
        (line,) = scene.logs[life.id].warnings
        assert f"run {life.id}" in line
        assert f"{operation} is throttled (ThrottlingException)" in line


def test_lists_that_fail_now_and_then_are_still_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only consecutive failures make single polls cheaper."""
    scene = make([running(number) for number in range(60)])
    read, numbers = scene.omics.list_runs, itertools.count(1)

    def list_runs(**arguments: Any) -> dict[str, Any]:
        if next(numbers) % 5 == 0:
            raise BROKEN("ListRuns")
        return read(**arguments)

    monkeypatch.setattr(scene.omics, "list_runs", list_runs)
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=100, until=HOUR - 100) <= 20


def test_a_page_that_is_refused_once_is_skipped_for_a_minute(make: Make) -> None:
    """Its token may have expired: no permission is missing."""
    lives = [running(number) for number in range(60)]
    scene = make(lives, faults=[Fault(1000, 1060, refusal("ValidationException", 400), ("ListRuns",))])
    scene.run(scene.wait_for_all())
    assert scene.omics.count("ListRuns", since=1000, until=1060) <= 2
    assert scene.omics.count("GetRun", since=1300, until=HOUR - 100) <= 20
    assert not any(scene.warnings("omics:ListRuns"))


def test_a_call_that_botocore_refuses_affects_only_its_run(make: Make) -> None:
    """No credentials are missing, and other waits continue."""
    lives = [running(number, 600 + number) for number in range(30)]

    def unsendable(operation: str) -> Exception:
        return ParamValidationError(report=f"{operation} cannot be sent")

    scene = make(lives, faults=[Fault(0, math.inf, unsendable, ("GetRun",), ids=frozenset({lives[0].id}))])
    first, *others = scene.run(scene.wait_for_all())
    assert isinstance(first, HealthOmicsApiError)
    assert [each["status"] for each in others] == ["COMPLETED"] * 29
    assert scene.connects == 1
    assert scene.omics.count() <= 1000


@pytest.mark.parametrize("answer", [{}, {"id": "1000000"}, {"status": "COMPLETED"}], ids=str)
def test_an_incomplete_response_affects_only_its_run(make: Make, answer: dict[str, Any]) -> None:
    """It comes from a proxy, so the poll is repeated, and the run is not another one."""
    lives = [running(number) for number in range(3)]
    scene = make(lives)
    get_run = scene.omics.get_run

    def by_proxy(**request: Any) -> dict[str, Any]:
        found: dict[str, Any] = get_run(**request)
        is_broken = request["id"] == lives[0].id and scene.clock.elapsed < HOUR + 300
        return answer if is_broken else found

    scene.omics.get_run = by_proxy  # type: ignore[method-assign]
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 3
    assert HOUR + 300 <= scene.ends[lives[0].id] <= HOUR + 500
    assert max(scene.ends[life.id] for life in lives[1:]) <= HOUR + 130


@pytest.mark.parametrize("answer", [{}, {"items": None}, {"items": [{"name": "no id"}]}, "<html>"], ids=str)
def test_a_page_without_items_ends_no_wait(make: Make, answer: Any) -> None:
    """It comes from a proxy; the page is read again."""
    lives = [running(number) for number in range(20)]
    scene = make(lives)
    list_runs = scene.omics.list_runs
    broken: list[float] = []

    def by_proxy(**request: Any) -> Any:
        page = list_runs(**request)
        if scene.clock.elapsed > 600 and len(broken) < 2:
            broken.append(scene.clock.elapsed)
            return answer
        return page

    scene.omics.list_runs = by_proxy  # type: ignore[method-assign]
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 20
    assert len(broken) == 2


def test_a_throttled_page_is_repeated_and_no_other(make: Make) -> None:
    """Earlier pages are not read again."""
    lives = [running(number) for number in range(60)]
    scene = make(lives, page_size=10)
    list_runs = scene.omics.list_runs
    requests: list[str] = []

    def throttling(**request: Any) -> Any:
        requests.append(request.get("startingToken", "0"))
        if len(requests) in (4, 5):
            raise THROTTLED("ListRuns")
        return list_runs(**request)

    scene.omics.list_runs = throttling  # type: ignore[method-assign]
    known = {life.id: life.creation_time for life in lives}

    async def main() -> None:
        waits = [asyncio.ensure_future(scene.wait(life, creation_time=known[life.id])) for life in lives]
        await asyncio.sleep(40)
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)

    scene.run(main())
    assert requests[:8] == ["0", "10", "20", "30", "30", "30", "40", "50"]


@pytest.mark.parametrize("group", [None, "7"])
def test_a_refusal_of_the_list_is_logged_once(make: Make, group: str | None) -> None:
    """In one log, although lists are tried again every hour; GetRun polls each run."""
    faults = [Fault(0, math.inf, DENIED, ("ListRuns",))]
    scene = make([running(number, 3 * HOUR, group=group) for number in range(10)], faults=faults)
    summaries = scene.run(scene.wait_for_all(600))
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 10
    (line,) = [line for lines in scene.warnings("") for line in lines]
    assert "AccessDeniedException" in line
    assert "omics:ListRuns" in line
    assert 3 <= scene.omics.count("ListRuns") <= 4
    assert scene.omics.count("GetRun") <= 1.2 * 10 * 3 * HOUR / 600


def test_throttling_is_logged_once_in_an_episode(make: Make) -> None:
    """An hour of throttling does not fill the logs."""
    faults = [Fault(100, 1000, THROTTLED), Fault(2000, 3000, THROTTLED)]
    scene = make([running(number) for number in range(3)], faults=faults)
    summaries = scene.run(scene.wait_for_all(30))
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3
    said = [len(lines) for lines in scene.warnings("Throttling")]
    assert max(said) == 2


def test_it_backs_off_when_throttled(make: Make) -> None:
    """For all waits together."""
    scene = make([running(number) for number in range(50)], faults=[Fault(100, 2000, THROTTLED)])
    scene.run(scene.wait_for_all())
    assert scene.omics.count(since=400, until=2000) <= 1600 / 60 * 50
    assert all(end <= HOUR + 60 + 10 for end in scene.ends.values())


def test_the_pauses_of_a_second_outage_are_short_again(make: Make) -> None:
    """The successful polls in between reset them."""
    scene = make([running(0)], faults=[Fault(100, 400, BROKEN), Fault(2000, 2061, BROKEN)])
    scene.run(scene.wait_for_all())
    first, second = [call for call in scene.omics.calls if call.began >= 2000][:2]
    assert first.code == "InternalServerException"
    assert second.began - first.ended <= 1


def test_a_run_that_may_not_be_read_fails_alone(make: Make) -> None:
    """After an hour of refusals, with AWS's code; other waits continue."""
    lives = [running(number, end=3 * HOUR) for number in range(6)]
    scene = make(lives, faults=[Fault(0, math.inf, DENIED, ("GetRun",), ids=frozenset({lives[0].id}))])
    refused, *others = scene.run(scene.wait_for_all())
    assert isinstance(refused, HealthOmicsOutcomeUnknownError)
    assert refused.code == "AccessDeniedException"
    assert "omics:GetRun" in str(refused)
    assert HOUR <= scene.ends[lives[0].id] < HOUR + 120
    assert [each["status"] for each in others] == ["COMPLETED"] * 5
    assert sum(call.subject == lives[0].id for call in scene.omics.calls) <= 70


def test_a_bug_ends_the_waits(make: Make) -> None:
    """An unexpected error is raised to all waits, and not lost with the poller's task."""
    scene = make(
        [running(number) for number in range(3)], faults=[Fault(100, math.inf, lambda _: KeyError("a bug"))]
    )
    errors = scene.run(scene.wait_for_all())
    assert all(isinstance(error, Exception) for error in errors)
