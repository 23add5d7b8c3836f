# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The short memory of the run page."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_healthomics.run_page.budget import Budget
from airflow_healthomics.run_page.cache import BusyError, Cache, Lane
from tests.unit.conftest import Clock


@dataclass
class Text:
    """A response."""

    text: str
    lifetime: float = 10
    size: int = 1


def lane_of(budget: Budget | None = None, **settings: Any) -> Lane:
    """Return a lane of two threads, by default with more calls than a test makes."""
    return Lane(budget or Budget(1_000), **{"threads": 2, "max_pending": 5, **settings})


@pytest.fixture
def lane() -> Lane:
    """A lane."""
    return lane_of()


def cache_of(**settings: Any) -> Cache[Text]:
    """Return a small cache."""
    given = {
        "max_entries": 10,
        "max_bytes": 100,
        "error_lifetime": lambda _: 5,
        **settings,
    }
    return Cache[Text](**given)


def test_concurrent_requests_share_a_call(clock: Clock, lane: Lane) -> None:
    """Fifty of them wait for one."""
    release, calls = threading.Event(), []

    def fetch(_: Text | None) -> Text:
        calls.append(1)
        assert release.wait(30)
        return Text("a")

    cache = cache_of()
    futures = [cache.get("key", fetch, lane).future for _ in range(50)]
    release.set()
    assert {future.result(30).text for future in futures} == {"a"}
    assert len(calls) == 1


def test_a_response_lives_for_its_time(clock: Clock, lane: Lane) -> None:
    """Then the next one is fetched, which receives the previous one."""
    before: list[Text | None] = []

    def fetch(latest: Text | None) -> Text:
        before.append(latest)
        return Text(str(len(before)))

    cache = cache_of()
    assert cache.get("key", fetch, lane).future.result(30).text == "1"
    settle(lane)
    clock.advance(9.9)
    assert cache.get("key", fetch, lane).future.result(30).text == "1"
    clock.advance(0.2)
    assert cache.get("key", fetch, lane).future.result(30).text == "2"
    assert [each and each.text for each in before] == [None, "1"]


def test_an_error_is_remembered_briefly(clock: Clock, lane: Lane) -> None:
    """The previous response is kept."""
    answers: list[Any] = [Text("good"), OSError("bad"), Text("better")]
    given: list[Text | None] = []

    def fetch(latest: Text | None) -> Text:
        given.append(latest)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Text)
        return answer

    cache = cache_of()
    cache.get("key", fetch, lane).future.result(30)
    settle(lane)
    clock.advance(11)
    for _ in range(2):
        with pytest.raises(OSError, match="bad"):
            cache.get("key", fetch, lane).future.result(30)
    settle(lane)
    clock.advance(6)
    assert cache.get("key", fetch, lane).future.result(30).text == "better"
    assert [each and each.text for each in given] == [None, "good", "good"]


def test_an_expired_response(clock: Clock, lane: Lane) -> None:
    """It is fetched again, with the previous one as argument, and others remain."""
    given: list[Text | None] = []

    def fetch(latest: Text | None) -> Text:
        given.append(latest)
        return Text(str(len(given)))

    cache = cache_of()
    for key in ("key", "other"):
        cache.get(key, fetch, lane).future.result(30)
    settle(lane)
    cache.expire(lambda key: key == "key")
    assert [cache.get(key, fetch, lane).future.result(30).text for key in ("key", "other")] == ["3", "2"]
    assert [each and each.text for each in given] == [None, None, "1"]


def test_a_fetch_that_began_before_the_expiry(clock: Clock, lane: Lane) -> None:
    """It may return outdated data, so its response is discarded."""
    release = threading.Event()

    def slow(_: Text | None) -> Text:
        assert release.wait(30)
        return Text("old")

    cache = cache_of()
    before = cache.get("key", slow, lane)
    cache.expire(lambda _: True)
    assert cache.get("key", lambda _: Text("new"), lane).future.result(30).text == "new"
    release.set()
    assert before.future.result(30).text == "old"
    settle(lane)
    assert cache.get("key", slow, lane).future.result(30).text == "new"


def test_an_expired_response_needs_few_calls(clock: Clock) -> None:
    """Although one that has just expired without it would leave calls to others."""
    lane = lane_of(Budget(1))
    for _ in range(8):
        lane.budget.charge()
    cache = cache_of()
    cache.get("key", lambda _: Text("1"), lane).future.result(30)
    settle(lane)
    cache.expire(lambda _: True)
    assert cache.get("key", lambda _: Text("2"), lane).future.result(30).text == "2"


def test_the_number_of_concurrent_fetches_is_limited(clock: Clock) -> None:
    """Further ones are refused, pending ones are not."""
    release = threading.Event()

    def fetch(_: Text | None) -> Text:
        assert release.wait(30)
        return Text("a")

    cache, lane = cache_of(), lane_of(max_pending=3)
    futures = [cache.get(key, fetch, lane).future for key in "abc"]
    with pytest.raises(BusyError):
        cache.get("d", fetch, lane)
    assert cache.get("a", fetch, lane).future is futures[0]
    release.set()
    assert [future.result(30).text for future in futures] == ["a"] * 3
    assert cache.get("d", fetch, lane).future.result(30).text == "a"


def test_an_old_response_is_better_than_none(clock: Clock) -> None:
    """While others are being fetched, or no calls are left for it."""
    release = threading.Event()

    def fetch(latest: Text | None) -> Text:
        return Text("new" if latest else "old")

    def wait(_: Text | None) -> Text:
        assert release.wait(30)
        return Text("b")

    cache, lane = cache_of(), lane_of(max_pending=1)
    cache.get("a", fetch, lane).future.result(30)
    settle(lane)
    clock.advance(11)
    pending = cache.get("b", wait, lane).future
    assert cache.get("a", fetch, lane).future.result(0).text == "old"
    release.set()
    pending.result(30)
    settle(lane)

    spent = Budget(1)
    while spent.begin(None):
        pass
    assert cache.get("a", fetch, lane_of(spent)).future.result(0).text == "old"
    with pytest.raises(BusyError):
        cache.get("c", fetch, lane_of(spent))
    assert cache.get("a", fetch, lane).future.result(30).text == "new"


def test_a_fetch_reserves_calls_until_it_ends(clock: Clock) -> None:
    """Even if it fails. Afterwards only the calls that it made are charged."""

    def fail(_: Text | None) -> Text:
        budget.charge()
        raise OSError("bad")

    budget, cache = Budget(0.1), cache_of()
    lane = lane_of(budget)
    for key in range(3):
        with pytest.raises(OSError, match="bad"):
            cache.get(key, fail, lane).future.result(30)
        settle(lane)
    assert budget.begin(math.inf) is False
    clock.advance(10)
    assert budget.begin(math.inf) is True


@pytest.mark.parametrize("bounds", [{"max_entries": 3}, {"max_bytes": 3}])
def test_its_size_is_bounded(clock: Clock, lane: Lane, bounds: dict[str, int]) -> None:
    """By number and by bytes; the least recently requested one is dropped first."""
    fetched: list[str] = []

    def ask(key: str) -> None:
        def fetch(_: Text | None) -> Text:
            fetched.append(key)
            return Text(key)

        cache.get(key, fetch, lane).future.result(30)
        settle(lane)

    cache = cache_of(**bounds)
    for key in "abcadabc":
        ask(key)
    assert "".join(fetched) == "abcdbc"


def settle(lane: Lane) -> None:
    """Wait until the lane's threads have finished the work after a response."""
    lane._executor.submit(int).result(30)
    barrier = threading.Barrier(2)
    for future in [lane._executor.submit(barrier.wait) for _ in range(2)]:
        future.result(30)


def test_a_connection_that_hangs_delays_no_other(clock: Clock) -> None:
    """Each has its own threads, and the old responses of the one that hangs are still served."""
    release, cache = threading.Event(), cache_of()
    hanging, other = lane_of(), lane_of()

    def fetch(_: Text | None) -> Text:
        return Text("a")

    def hang(_: Text | None) -> Text:
        assert release.wait(30)
        return Text("late")

    cache.get("seen", fetch, hanging).future.result(30)
    settle(hanging)
    clock.advance(11)
    pending = [cache.get(key, hang, hanging).future for key in range(5)]
    assert cache.get("other", fetch, other).future.result(30).text == "a"
    assert cache.get("seen", fetch, hanging).future.result(0).text == "a"
    release.set()
    assert {future.result(30).text for future in pending} == {"late"}
