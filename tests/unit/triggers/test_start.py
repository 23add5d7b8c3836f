# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Throttled starts wait their turn, at a steady rate for each connection."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.starting.turnstile import Turnstile
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import Clock


@given(rate=st.floats(0.1, 50), times=st.lists(st.floats(0, 1000), min_size=1, max_size=20).map(sorted))
@settings(deadline=None, max_examples=60)
def test_turns_are_spaced(rate: float, times: list[float]) -> None:
    """None comes before its earliest time, and two are an interval apart."""
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
    """An idle turnstile lets through at once, and saves up nothing."""
    turnstile = Turnstile(rate)
    assert [turnstile.reserve(time) for time in asked] == turns


def fire_all(clock: Clock, triggers: list[HealthOmicsStartTrigger]) -> list[float]:
    """Return when each trigger fires, in one event loop, in seconds since the start."""
    fired: list[float] = []

    async def main() -> None:
        async def one(trigger: HealthOmicsStartTrigger) -> None:
            fired.extend([clock.elapsed async for _ in trigger.run()])

        await asyncio.gather(*map(one, triggers))

    virtual_time.run(clock, main())
    return fired


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_a_rate_that_lets_nobody_pass_is_refused(rate: float) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match="start_rate must be above 0"):
        Turnstile(rate)


def test_one_a_second_fires(clock: Clock) -> None:
    """As StartRun is limited to by default, and none before the scheduler has seen the deferral."""
    times = fire_all(clock, [HealthOmicsStartTrigger() for _ in range(5)])
    assert times == pytest.approx([10, 11, 12, 13, 14])


def test_connections_do_not_share_a_turnstile(clock: Clock) -> None:
    """Another account, or region, has a rate of its own."""
    connections: list[dict[str, Any]] = [{}, {"aws_conn_id": "b"}, {"region_name": "eu-west-1"}]
    triggers = [HealthOmicsStartTrigger(**connection) for connection in connections for _ in range(2)]
    assert fire_all(clock, triggers) == pytest.approx([10, 10, 10, 11, 11, 11])


def test_the_rate_is_a_setting(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account may have been granted more."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__START_RATE", "4")
    times = fire_all(clock, [HealthOmicsStartTrigger() for _ in range(5)])
    assert times == pytest.approx([10, 10.25, 10.5, 10.75, 11])


def test_no_aws_call_is_made(omics: Control, clock: Clock) -> None:
    """The turn is all that it waits for."""
    fire_all(clock, [HealthOmicsStartTrigger()])
    assert omics.calls() == []


def test_the_event_carries_the_counts(clock: Clock) -> None:
    """The resumed task is a new one."""

    async def first() -> Any:
        return [event.payload async for event in HealthOmicsStartTrigger(**counts).run()]

    counts: dict[str, Any] = {"turns": 3, "conflict_turns": 2, "failures": 0, "since": 1764000000.5}
    assert virtual_time.run(clock, first()) == [counts]


def test_a_start_that_cannot_reach_aws_waits_longer_each_time(clock: Clock) -> None:
    """Up to some five minutes, and not at the moment at which all others return."""
    delays = [HealthOmicsStartTrigger(failures=failures, since=1.0).delay for failures in range(1, 9)]
    assert 132 <= delays[0] <= 156
    assert 264 <= delays[1] <= 312
    assert all(330 <= delay <= 390 for delay in delays[2:])
    others = {HealthOmicsStartTrigger(failures=3, since=float(since)).delay for since in range(20)}
    assert len(others) == 20
    assert sum(sum(delays[:count]) <= 3600 for count in range(len(delays))) <= 12
    assert fire_all(clock, [HealthOmicsStartTrigger(failures=1, since=1.0)]) == pytest.approx([delays[0]])
