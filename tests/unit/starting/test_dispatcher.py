# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Delayed starts follow each other at the rate of the quota, and failed calls are soon repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, SSLError

from airflow_healthomics.starting.dispatcher import Dispatcher
from tests.unit import virtual_time
from tests.unit.conftest import Clock

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "StartRun")
BROKEN = ClientError({"Error": {"Code": "InternalServerException"}}, "StartRun")
REFUSED = ClientError({"Error": {"Code": "ValidationException"}}, "StartRun")
UNREACHABLE = EndpointConnectionError(endpoint_url="https://workflows-omics")
UNTRUSTED = SSLError(endpoint_url="https://workflows-omics", error=Exception("no certificate"))


async def nothing() -> None:
    """Find no earlier start."""


class Calls:
    """The calls of starts, with their times."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.made: list[tuple[str, float]] = []

    def of(self, name: str, *errors: Exception, seconds: float = 0.0) -> Callable[[], Any]:
        """Return a call that raises these errors, and then returns its name."""
        left = list(errors)

        async def call() -> str:
            self.made.append((name, round(self.clock.elapsed, 3)))
            await asyncio.sleep(seconds)
            if left:
                raise left.pop(0)
            return name

        return call

    def dispatch(self, *calls: Callable[[], Any], rate: float = 1.0) -> list[Any]:
        """Return the response or error of each call."""

        async def main() -> list[Any]:
            dispatcher = Dispatcher(rate)
            return await asyncio.gather(
                *(dispatcher.dispatch(nothing, call) for call in calls), return_exceptions=True
            )

        answers: list[Any] = virtual_time.run(self.clock, main())
        return answers


@pytest.fixture
def calls(clock: Clock) -> Calls:
    """The recorded calls."""
    return Calls(clock)


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_without_starts_is_refused(rate: float) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match="start_rate must be above 0"):
        Dispatcher(rate)


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_starts_follow_each_other_at_the_rate(calls: Calls, seconds: float) -> None:
    """In their order, measured from the beginning of one call to that of the next."""
    names = ["a", "b", "c"]
    assert calls.dispatch(*(calls.of(name, seconds=seconds) for name in names), rate=2) == names
    assert calls.made == [("a", 0.0), ("b", 0.5), ("c", 1.0)]


def test_slow_calls_overlap_at_a_higher_rate(calls: Calls) -> None:
    """A latency of a second does not turn four starts a second into one."""
    calls.dispatch(*(calls.of(str(number), seconds=1.0) for number in range(5)), rate=4)
    assert [time for _, time in calls.made] == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("error", [THROTTLED, BROKEN])
def test_a_failed_call_is_repeated_soon(calls: Calls, error: Exception) -> None:
    """It did not use quota, so the pause is a fraction of the interval, which grows."""
    assert calls.dispatch(calls.of("a", error, error, error), calls.of("b")) == ["a", "b"]
    assert calls.made == [("a", 0.0), ("a", 0.05), ("a", 0.15), ("a", 0.35), ("b", 1.35)]


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_pauses_remain_a_fraction_of_the_interval(calls: Calls, rate: float) -> None:
    """So a start that lost to others gets the next free place soon."""
    calls.dispatch(calls.of("a", *[THROTTLED] * 8), rate=rate)
    times = [time for _, time in calls.made]
    assert [round((b - a) * rate, 3) for a, b in pairwise(times)] == [0.05, 0.1, 0.2, *[0.3] * 5]


def test_a_slow_call_delays_the_next_one(calls: Calls) -> None:
    """It arrives later than it began, and a fast one after it would arrive too early."""
    calls.dispatch(calls.of("a", seconds=0.2), calls.of("b", seconds=0.6), calls.of("c", seconds=0.2))
    assert calls.made == [("a", 0.0), ("b", 1.0), ("c", 2.2)]


def test_a_start_that_is_found_is_not_repeated(calls: Calls, clock: Clock) -> None:
    """Its result is that of the earlier call."""

    async def look_up() -> str:
        return "found"

    assert virtual_time.run(clock, Dispatcher(1.0).dispatch(look_up, calls.of("a"))) == "found"
    assert calls.made == []


def test_a_success_shortens_the_pauses_again(calls: Calls) -> None:
    """The quota has room again."""
    calls.dispatch(calls.of("a", THROTTLED, THROTTLED), calls.of("b", THROTTLED))
    assert calls.made[-2:] == [("b", 1.15), ("b", 1.2)]


def test_a_refusal_is_raised_and_delays_no_other_start(calls: Calls) -> None:
    """Its call may not have used quota, but the interval is kept."""
    refused, answer = calls.dispatch(calls.of("a", REFUSED), calls.of("b"))
    assert (refused, answer) == (REFUSED, "b")
    assert calls.made == [("a", 0.0), ("b", 1.0)]


def test_a_start_that_keeps_failing_lets_others_go_first(calls: Calls) -> None:
    """After five calls, however many it requires."""
    calls.dispatch(calls.of("a", *[BROKEN] * 7), calls.of("b"))
    names = [name for name, _ in calls.made]
    assert names == ["a"] * 5 + ["b"] + ["a"] * 3


@pytest.mark.parametrize("error", [UNREACHABLE, UNTRUSTED])
def test_an_unreachable_connection_pauses(calls: Calls, error: Exception) -> None:
    """All of its starts wait some minutes for one call."""
    calls.dispatch(calls.of("a", error, error), calls.of("b"))
    times = [time for _, time in calls.made]
    assert 132 <= times[1] <= 156
    assert 264 <= times[2] - times[1] <= 312
    assert times[3] - times[2] == 1.0


def test_connections_that_failed_at_different_times_pause_differently(clock: Clock) -> None:
    """They must not return together."""
    pauses = []
    for _ in range(3):
        calls, begin = Calls(clock), clock.elapsed
        calls.dispatch(calls.of("a", UNREACHABLE))
        pauses.append(calls.made[1][1] - begin)
    assert len({round(pause) for pause in pauses}) > 1


def test_a_cancelled_start_makes_room(calls: Calls, clock: Clock) -> None:
    """The next one begins at once."""

    async def main() -> Any:
        dispatcher = Dispatcher(1.0)
        first = asyncio.create_task(dispatcher.dispatch(nothing, calls.of("a", seconds=100.0)))
        second = asyncio.create_task(dispatcher.dispatch(nothing, calls.of("b")))
        await asyncio.sleep(5)
        first.cancel()
        return await second

    assert virtual_time.run(clock, main()) == "b"
    assert calls.made == [("a", 0.0), ("b", 5.0)]
