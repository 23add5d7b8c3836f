# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The poller: how much it asks, whom it tells, what it survives."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError, ParamValidationError

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRunReplacedError,
)
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.pace import DEFAULT_RATE
from airflow_healthomics.waiting.poller import Poller
from tests.unit import virtual_time
from tests.unit.conftest import Clock
from tests.unit.simulated_omics import (
    BROKEN,
    DENIED,
    EXPIRED,
    INVALID,
    THROTTLED,
    Fault,
    Life,
    Records,
    SimulatedOmics,
    assert_nothing_is_left,
    refusal,
    threads_of_others,
    unreachable,
)

HOUR = 3600.0


def running(number: int, end: float = HOUR, status: str = "COMPLETED", **more: Any) -> Life:
    """Return a run that runs until its end."""
    run_id = str(1000000 + number)
    return Life(run_id, f"uuid-{run_id}", ((0.0, "RUNNING"), (end, status)), **more)


class Scene:
    """A poller and its HealthOmics."""

    def __init__(self, clock: Clock, lives: list[Life], **options: Any) -> None:
        self.clock = clock
        self.lives = lives
        self.omics = SimulatedOmics(clock, lives, **options)
        self.connects = 0
        self.before_connect: Callable[[], None] = lambda: None
        self.poller = Poller(self.connect)
        self.logs: dict[str, Records] = {}
        self.ends: dict[str, float] = {}

    async def connect(self) -> SimulatedOmics:
        """Make a client."""
        self.connects += 1
        self.before_connect()
        return self.omics

    async def wait(self, life: Life, interval: float = 60, *, at: float = 0, **known: Any) -> dict[str, Any]:
        """Wait for a run, as from a time."""
        await asyncio.sleep(at)
        watch = RunWatch(
            life.id, log=self.logs.setdefault(life.id, Records()), **{"uuid": life.uuid, **known}
        )
        try:
            return await self.poller.wait(watch, interval)
        finally:
            self.ends[life.id] = self.clock.elapsed

    async def wait_for_all(self, interval: float = 60) -> list[Any]:
        """Wait for every run, and return what came of each."""
        waits = (self.wait(life, interval) for life in self.lives)
        return list(await asyncio.gather(*waits, return_exceptions=True))

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Let it happen in an event loop that the poller leaves as it was."""

        async def all_of_it() -> Any:
            threads = threads_of_others()
            try:
                return await main
            finally:
                await assert_nothing_is_left(threads)

        answer = virtual_time.run(self.clock, all_of_it())
        assert self.omics.misuse == []
        return answer

    def warnings(self, word: str) -> list[list[str]]:
        """Return the warnings with a word, by log."""
        return [[line for line in log.warnings if word in line] for log in self.logs.values()]


Make = Callable[..., Scene]


@pytest.fixture
def make(clock: Clock) -> Make:
    """Make a scene of some runs."""

    def scene(lives: list[Life], **options: Any) -> Scene:
        return Scene(clock, lives, **{"latency": (0.01, 0.02), **options})

    return scene


# --- whom it tells ---


def test_each_of_many_is_told_of_its_own_run(make: Make) -> None:
    """All end at once, and the next sweep tells all."""
    ends = ["COMPLETED", "FAILED", "CANCELLED", "DELETED"]
    scene = make([running(number, status=ends[number % 4]) for number in range(250)])
    summaries = scene.run(scene.wait_for_all())
    assert [(each["id"], each["uuid"], each["status"]) for each in summaries] == [
        (life.id, life.uuid, life.changes[-1][1]) for life in scene.lives
    ]
    seconds_of_confirmations = len(scene.lives) / DEFAULT_RATE
    assert max(scene.ends.values()) <= HOUR + 60 + seconds_of_confirmations


def test_a_shift_of_the_pages_loses_nobody(make: Make) -> None:
    """A run that ends between two pages moves the next ones up, so that some are on none."""
    scene = make(
        [running(number, end=300 + 7 * number) for number in range(40)], page_size=3, latency=(0.4, 0.6)
    )
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 40
    assert scene.omics.count("ListRuns") > 0
    sweep = 0.6 * (40 + 40 / 3 + 4)
    for life in scene.lives:
        assert scene.ends[life.id] - life.changes[-1][0] <= 60 + 2 * sweep


def test_a_run_that_ended_is_told_at_once(make: Make) -> None:
    """A new subscriber does not wait for the interval of the others."""
    long, short = running(1), running(2, end=50)
    scene = make([long, short])

    async def main() -> None:
        await asyncio.gather(scene.wait(long, 1800), scene.wait(short, 1800, at=100))

    scene.run(main())
    assert scene.ends[short.id] <= 101


def test_a_new_run_is_looked_at_at_once(make: Make) -> None:
    """Also when it has not ended, and then in its own interval."""
    long, other = running(1), running(2)
    scene = make([long, other])

    async def main() -> None:
        await asyncio.gather(scene.wait(long, 1800), scene.wait(other, 30, at=100))

    scene.run(main())
    looks = [call.began for call in scene.omics.calls if call.subject == other.id]
    assert looks[0] <= 101
    assert all(later - earlier <= 31 for earlier, later in pairwise(looks))


def test_two_who_wait_for_one_run_are_both_told(make: Make) -> None:
    """And it is asked for once an interval all the same."""
    life = running(1)
    scene = make([life])

    async def main() -> list[dict[str, Any]]:
        return list(await asyncio.gather(scene.wait(life), scene.wait(life)))

    assert [each["status"] for each in scene.run(main())] == ["COMPLETED"] * 2
    assert scene.omics.count() <= HOUR / 60 + 3


def test_who_is_cancelled_leaves_the_others_waiting(make: Make) -> None:
    """Also one who waits for the same run, and whoever came first."""
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


def test_it_stops_with_the_last_one_and_starts_anew(make: Make) -> None:
    """Nothing is asked while nobody waits."""
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


def test_another_event_loop_has_its_own(make: Make, clock: Clock) -> None:
    """After the first one was closed, also in the middle of a wait."""
    scene = make([running(1)])

    async def left_behind() -> None:
        waiting = asyncio.ensure_future(scene.wait(scene.lives[0]))
        await asyncio.sleep(100)
        assert not waiting.done()

    virtual_time.run(clock, left_behind())
    again = Scene(clock, scene.lives)
    (summary,) = again.run(again.wait_for_all())
    assert summary["status"] == "COMPLETED"


def test_a_status_is_known_from_the_first_answer_on(make: Make) -> None:
    """Whoever waits may ask the watch."""
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


# --- what it costs ---


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_runs_cost_a_call_each(make: Make, count: int) -> None:
    """And no ListRuns, for which a small deployment may have no permission."""
    scene = make([running(number) for number in range(count)])
    scene.run(scene.wait_for_all())
    assert scene.omics.count("ListRuns") == 0
    for life in scene.lives:
        looks = [call for call in scene.omics.calls if call.subject == life.id]
        assert HOUR / 60 <= len(looks) <= HOUR / 60 + 2


@pytest.mark.parametrize("foreign", [0, 400])
def test_many_runs_cost_a_few_pages(make: Make, foreign: int) -> None:
    """As many as there are in the list, other people's included, and not a call each."""
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
    """Ten intervals do not cost ten times the pages of one."""
    scene = make([running(number) for number in range(1000)])

    async def main() -> None:
        waits = (scene.wait(life, 60 + number % 10) for number, life in enumerate(scene.lives))
        await asyncio.gather(*waits, return_exceptions=True)

    scene.run(main())
    calls = scene.omics.count(since=600, until=HOUR - 60) / (HOUR - 660) * 60
    assert calls < 16


@pytest.mark.parametrize("groups", [1, 5])
def test_a_run_group_costs_its_own_pages(make: Make, groups: int) -> None:
    """However many other runs there are in the account."""
    scene = make([running(number, group=str(number % groups)) for number in range(250)])
    for number in range(2000):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 250
    total = scene.omics.count(since=120, until=HOUR - 60)
    assert total <= (math.ceil(250 / 100) + groups) * (HOUR - 180) / 60 / 0.78


def test_a_run_group_with_many_other_runs_is_not_read(make: Make) -> None:
    """A call for each run is cheaper, and the lists are tried again only now and then."""
    scene = make([running(number, group="7") for number in range(10)], page_size=2, latency=(0.001, 0.002))
    for number in range(400):
        scene.omics.add(running(10000 + number, end=10 * HOUR, group="7"))
    scene.run(scene.wait_for_all())
    assert scene.omics.count(since=600, until=HOUR) <= 1.3 * 10 * (HOUR - 600) / 60


def test_a_list_that_is_longer_than_expected_is_given_up_for_shorter_ones(make: Make) -> None:
    """And not for a call for each run."""
    scene = make([running(number, group=str(number % 10)) for number in range(100)], page_size=10)
    for number in range(2000):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=30, until=HOUR - 60) == 0
    assert scene.omics.count(since=30, until=HOUR - 60) <= 15 * (HOUR - 90) / 60 / 0.78


def test_a_filter_that_is_refused_is_left_out(make: Make) -> None:
    """AWS documents that lists of batches accept one filter, and nothing about those of runs."""
    lives = [running(number, group="7") for number in range(250)]
    scene = make(lives, faults=[Fault(0, math.inf, INVALID, ("ListRuns",), filtered=True)])
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["COMPLETED"] * 250
    assert 1 <= len([call for call in scene.omics.calls if call.is_filtered]) <= 2
    total = scene.omics.count(since=120, until=HOUR - 60)
    assert total <= (math.ceil(250 / 100) + 4) * (HOUR - 180) / 60


def test_a_further_page_that_is_refused_leaves_the_filter_out_for_a_minute(
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


def test_a_run_that_is_not_in_its_group_is_polled_all_the_same(make: Make) -> None:
    """GetRun tells its end, and what its group is."""
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


def test_a_drowned_list_is_not_read(make: Make) -> None:
    """Where other people's runs fill more pages than we have runs, each of ours is asked for."""
    scene = make([running(number) for number in range(10)], page_size=2, latency=(0.001, 0.002))
    for number in range(400):
        scene.omics.add(running(10000 + number, end=10 * HOUR))
    scene.run(scene.wait_for_all())
    assert scene.omics.count(since=600, until=HOUR) <= 1.2 * 10 * (HOUR - 600) / 60


# --- what it survives ---


def test_throttled_lists_are_not_made_up_for_by_a_thousand_calls(make: Make) -> None:
    """They would take the account's whole quota of GetRun, and longer than the throttling lasts."""
    lives = [running(number) for number in range(600)]
    scene = make(lives, faults=[Fault(1000, 1010, THROTTLED, ("ListRuns",))], latency=(0.09, 0.1))
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=900, until=2000) <= 20


def test_lists_that_fail_otherwise_are_made_up_for(make: Make) -> None:
    """GetRun may work though ListRuns does not; and the lists come back soon."""
    lives = [running(number) for number in range(60)]
    scene = make(lives, faults=[Fault(1000, 1600, BROKEN, ("ListRuns",))])
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=1000, until=1600) >= 60
    assert scene.omics.count("GetRun", since=1700, until=HOUR - 100) <= 20


def test_lists_that_fail_now_and_then_are_still_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only consecutive failures make individual polls cheaper."""
    scene = make([running(number) for number in range(60)])
    read, numbers = scene.omics.list_runs, itertools.count(1)

    def list_runs(**arguments: Any) -> dict[str, Any]:
        if next(numbers) % 5 == 0:
            raise BROKEN("ListRuns")
        return read(**arguments)

    monkeypatch.setattr(scene.omics, "list_runs", list_runs)
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=100, until=HOUR - 100) <= 20


def test_a_page_that_is_refused_once_costs_a_minute(make: Make) -> None:
    """A token of a page may have expired: that is no lack of a permission."""
    lives = [running(number) for number in range(60)]
    scene = make(lives, faults=[Fault(1000, 1060, refusal("ValidationException", 400), ("ListRuns",))])
    scene.run(scene.wait_for_all())
    assert scene.omics.count("GetRun", since=1300, until=HOUR - 100) <= 20
    assert not any(scene.warnings("omics:ListRuns"))


def test_a_call_that_botocore_refuses_concerns_its_own_run(make: Make) -> None:
    """It is no lack of credentials, and others go on."""
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
def test_an_incomplete_answer_concerns_its_own_run(make: Make, answer: dict[str, Any]) -> None:
    """A proxy on the way has answered, so the poll is repeated, and the run is no other one."""
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
    """A proxy on the way has answered; the page is read again."""
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
    """The pages before it are not read again."""
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


def test_credentials_that_come_back_within_minutes_end_no_wait(make: Make) -> None:
    """However often they were asked for meanwhile."""
    scene = make([running(number) for number in range(3)], faults=[Fault(1000, 1250, EXPIRED)])
    summaries = scene.run(scene.wait_for_all(interval=10))
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3


def test_a_short_refusal_of_the_list_is_said_once(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """And GetRun goes on for each."""
    faults = [Fault(0, math.inf, DENIED, ("ListRuns",))]
    scene = make([running(number) for number in range(30)], faults=faults)
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 30
    lines = scene.warnings("ListRuns")
    assert max(map(len, lines)) <= 1
    assert sum(map(len, lines)) + caplog.text.count("ListRuns") >= 1
    assert scene.omics.count("ListRuns") <= 10


def test_throttling_is_said_once_an_episode(make: Make) -> None:
    """A storm of an hour does not fill the logs."""
    faults = [Fault(100, 1000, THROTTLED), Fault(2000, 3000, THROTTLED)]
    scene = make([running(number) for number in range(3)], faults=faults)
    summaries = scene.run(scene.wait_for_all(30))
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3
    said = [len(lines) for lines in scene.warnings("Throttling")]
    assert max(said) == 2


def test_it_does_not_storm_a_service_that_throttles(make: Make) -> None:
    """It backs off, for all together."""
    scene = make([running(number) for number in range(50)], faults=[Fault(100, 2000, THROTTLED)])
    scene.run(scene.wait_for_all())
    assert scene.omics.count(since=400, until=2000) <= 1600 / 60 * 50
    assert all(end <= HOUR + 60 + 10 for end in scene.ends.values())


def test_the_pauses_of_a_second_outage_begin_short_again(make: Make) -> None:
    """The polls that succeed in between reset them."""
    scene = make([running(0)], faults=[Fault(100, 400, BROKEN), Fault(2000, 2061, BROKEN)])
    scene.run(scene.wait_for_all())
    first, second = [call for call in scene.omics.calls if call.began >= 2000][:2]
    assert first.code == "InternalServerException"
    assert second.began - first.ended <= 1


def test_a_run_that_may_not_be_read_fails_alone(make: Make) -> None:
    """After an hour of refusals, with AWS's code, and the others are waited for."""
    lives = [running(number, end=3 * HOUR) for number in range(6)]
    scene = make(lives, faults=[Fault(0, math.inf, DENIED, ("GetRun",), ids=frozenset({lives[0].id}))])
    refused, *others = scene.run(scene.wait_for_all())
    assert isinstance(refused, HealthOmicsOutcomeUnknownError)
    assert refused.code == "AccessDeniedException"
    assert "omics:GetRun" in str(refused)
    assert HOUR <= scene.ends[lives[0].id] < HOUR + 120
    assert [each["status"] for each in others] == ["COMPLETED"] * 5
    assert sum(call.subject == lives[0].id for call in scene.omics.calls) <= 70


def test_expired_credentials_are_looked_up_anew(make: Make) -> None:
    """They last an hour, a run lasts a day."""
    scene = make([running(number) for number in range(3)], faults=[Fault(1000, math.inf, EXPIRED)])

    def refresh() -> None:
        if scene.connects > 1:
            scene.omics.faults.clear()

    scene.before_connect = refresh
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3
    assert 2 <= scene.connects <= 4
    assert all(end <= HOUR + 60 + 10 for end in scene.ends.values())


def test_expired_credentials_delay_nothing(make: Make) -> None:
    """However long the interval is: the look that met them begins anew."""
    scene = make([running(number) for number in range(3)], faults=[Fault(1900, math.inf, EXPIRED)])

    def refresh() -> None:
        if scene.connects > 1:
            scene.omics.faults.clear()

    scene.before_connect = refresh
    scene.run(scene.wait_for_all(interval=1800))
    assert scene.connects == 2
    assert all(end <= HOUR + 1800 * 1.001 + 10 for end in scene.ends.values())


def test_credentials_that_stay_expired_end_the_waits(make: Make) -> None:
    """After an hour, in a way that Airflow retries, with AWS's code."""
    scene = make([running(number) for number in range(3)], faults=[Fault(100, math.inf, EXPIRED)])
    for error in scene.run(scene.wait_for_all()):
        assert isinstance(error, HealthOmicsOutcomeUnknownError)
        assert not isinstance(error, AirflowFailException)
        assert error.code == "ExpiredTokenException"
    assert max(scene.ends.values()) <= 100 + HOUR + 120
    assert scene.connects <= 70


@pytest.mark.parametrize("error", [EXPIRED, DENIED, unreachable], ids=["expired", "denied", "unreachable"])
def test_refusals_are_logged_at_intervals_and_when_they_are_over(make: Make, error: Any) -> None:
    """One warning at the beginning, one each ten minutes, one line at the end, and the run is not lost."""
    scene = make([running(number, 2 * HOUR) for number in range(3)], faults=[Fault(1000, 2500, error)])
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3
    for log in scene.logs.values():
        assert len([line for line in log.warnings if "refused" in line]) == len(log.warnings) == 3
        assert len([line for line in log.infos if "succeed again" in line]) == 1
    assert max(scene.ends.values()) <= 2 * HOUR + 130


def test_a_connection_that_fails_for_a_while_is_tried_again(make: Make) -> None:
    """The security token service is not always there."""
    scene = make([running(number) for number in range(3)])

    def fail() -> None:
        if scene.connects <= 3:
            raise unreachable("AssumeRole")

    scene.before_connect = fail
    summaries = scene.run(scene.wait_for_all())
    assert [each["status"] for each in summaries] == ["COMPLETED"] * 3


def test_a_connection_that_always_fails_ends_all_waits(make: Make) -> None:
    """After an hour; and the next wait may have more luck."""
    scene = make([running(number, end=10 * HOUR) for number in range(3)])

    def fail() -> None:
        raise NoCredentialsError

    async def main() -> None:
        scene.before_connect = fail
        errors = await scene.wait_for_all()
        assert all(isinstance(error, HealthOmicsOutcomeUnknownError) for error in errors)
        assert scene.connects <= 70
        assert max(scene.ends.values()) < HOUR + 120
        scene.before_connect = lambda: None
        summaries = await scene.wait_for_all()
        assert [each["status"] for each in summaries] == ["COMPLETED"] * 3

    scene.run(main())


def test_a_bug_ends_the_waits(make: Make) -> None:
    """An error that nobody has thought of is raised to all, not swallowed with the poller's task."""
    scene = make(
        [running(number) for number in range(3)], faults=[Fault(100, math.inf, lambda _: KeyError("a bug"))]
    )
    errors = scene.run(scene.wait_for_all())
    assert all(isinstance(error, Exception) for error in errors)


# --- which run it is ---


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("knows", ["all", "uuid", "nothing"])
def test_an_id_that_was_given_away_is_reported(make: Make, count: int, knows: str) -> None:
    """Whether the uuid was given or learned, and whether lists are read or not."""
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
    """Whatever deleted it."""
    scene = make([running(number, deleted=700.0) for number in range(count)])
    assert [each["status"] for each in scene.run(scene.wait_for_all())] == ["DELETED"] * count
    assert max(scene.ends.values()) <= 700 + 60 + 10


@pytest.mark.parametrize(("visible", "status"), [(45.0, "COMPLETED"), (100.0, "DELETED")])
def test_a_new_run_may_be_found_later(make: Make, visible: float, status: str) -> None:
    """Not found is no news as long as it is new."""
    (life,) = lives = [running(1, visible=visible)]
    scene = make(lives)
    summary = scene.run(scene.wait(life, 10, grace=60))
    assert summary["status"] == status
    assert scene.ends[life.id] <= (HOUR if status == "COMPLETED" else 60) + 10 + 1
