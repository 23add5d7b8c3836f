# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""When the waits of a poller are due."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest

from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.list_choice import MAX_DIRECT_POLLS
from airflow_healthomics.waiting.rhythm import Rhythm
from airflow_healthomics.waiting.timetable import Subscription
from tests.unit.simulated_omics import Records

MANY = MAX_DIRECT_POLLS + 1
NOW = 1000.0


def next_poll(
    rhythm: Rhythm, interval: float, now: float = NOW, waits: int = MANY, *, is_throttled: bool = False
) -> float:
    """Return the time at which a wait with an interval is due."""
    ended: Any = None
    wait = Subscription(RunWatch("1", log=Records()), interval, now, ended, contextvars.Context())
    return rhythm.next_poll(wait, waits, now, is_throttled=is_throttled)


def listing(pages: int = 1) -> Rhythm:
    """Return the rhythm of a poller whose pass over the lists has begun, and has some pages."""
    rhythm = Rhythm()
    rhythm.begin_pass(NOW)
    rhythm.end_pass(pages)
    rhythm.begin_pass(NOW)
    return rhythm


def check_period(rhythm: Rhythm, interval: float, period: float) -> None:
    """Check that waits with an interval are due together, once in a period."""
    dues = [next_poll(rhythm, interval, now) for now in range(1000, 2000, 7)]
    for now, due in zip(range(1000, 2000, 7), dues, strict=True):
        assert now < due <= now + period * 1.0011
        periods = (due - dues[0]) / period
        assert periods == pytest.approx(round(periods), abs=1e-6)


def test_a_few_waits_keep_their_own_time() -> None:
    """They have no list to share."""
    assert next_poll(listing(), 60, waits=MAX_DIRECT_POLLS) == NOW + 60


def test_many_waits_are_due_together() -> None:
    """Those of pollers in several processes are not."""
    rhythms = [Rhythm() for _ in range(20)]
    for rhythm in rhythms:
        check_period(rhythm, 62, 62)
    assert len({next_poll(rhythm, 62) for rhythm in rhythms}) > 10


def test_an_early_poll_counts() -> None:
    """The next one is not due at the same moment."""
    rhythm = Rhythm()
    due = next_poll(rhythm, 60)
    assert next_poll(rhythm, 60, due - 0.03) == pytest.approx(due + 60)


@pytest.mark.parametrize(("pages", "period"), [(1, 0.75 * 60), (150, 0.75 * 60), (151, 60)])
def test_lists_are_read_more_often_if_the_quota_allows(pages: int, period: float) -> None:
    """The confirmations of the ends take time. Similar intervals count as one."""
    for _ in range(5):
        check_period(listing(pages), 62, period)


@pytest.mark.parametrize(("pages", "interval", "calm"), [(1, 15, 22), (100, 60, 75)])
def test_a_throttled_pass_leaves_time_for_others(pages: int, interval: float, calm: float) -> None:
    """The longer the pass, the more, with jitter, and its waits remain due together."""
    calms = []
    for _ in range(200):
        rhythm = listing(pages)
        calms.append(rhythm.calm_until - NOW)
        for now in (NOW, NOW + 5):
            assert next_poll(rhythm, interval, now, is_throttled=True) == rhythm.calm_until
        for now in (rhythm.calm_until, NOW + 500):
            due = next_poll(rhythm, interval, now, is_throttled=True)
            assert due == pytest.approx(now + calms[-1])
        check_period(rhythm, interval, 0.75 * interval)
    assert 0.9 * calm <= min(calms) < 0.95 * calm
    assert 1.05 * calm < max(calms) <= 1.1 * calm


def test_a_long_interval_leaves_time_enough() -> None:
    """Throttling changes nothing."""
    rhythm = listing()
    assert next_poll(rhythm, 60, is_throttled=True) == next_poll(rhythm, 60)
