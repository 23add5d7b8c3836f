# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The pace of an operation."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_healthomics.waiting.pace import LONGEST_GAP, QUIET, Pace

LIMIT = 10.0


def pace_of(jitter: float = 0.5) -> Pace:
    """Return a pace without jitter."""
    return Pace(LIMIT, lambda: jitter)


def test_a_few_calls_need_no_gap() -> None:
    """As many as the limit allows in a second, and again after an idle time."""
    pace = pace_of()
    for now in (0.0, 1.0, 3600.0):
        for _ in range(int(LIMIT) - 1):
            pace.begin(now)
            assert pace.ready_at == now


def test_more_calls_hold_the_limit() -> None:
    """From the first second on, however long the poller was idle before."""
    pace = pace_of()
    now = 1000.0
    begun = []
    for _ in range(1000):
        pace.begin(now)
        begun.append(now)
        now = max(pace.ready_at, now + 0.01)
        pace.succeed(now)
    for number in (11, 20, 100, 999):
        assert number <= LIMIT * (1 + begun[number] - begun[0]) + 1e-6
    assert begun[-1] - begun[0] == pytest.approx(1000 / LIMIT, abs=1.2)
    assert not pace.is_throttled(now)


def test_a_low_limit_allows_one_call_at_a_time() -> None:
    """A second of it is less than a call."""
    pace = Pace(0.5, lambda: 0.5)
    for now in (0.0, 2.0, 100.0):
        pace.begin(now)
        assert pace.ready_at == now + 2


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_a_limit_that_allows_no_call_is_refused(limit: float) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match="poll_rate must be above 0"):
        Pace(limit)


def test_the_gap_grows_with_each_throttled_call() -> None:
    """At most to a minute."""
    pace = pace_of()
    now, gaps = 0.0, []
    for _ in range(12):
        pace.begin(now)
        pace.throttle(now)
        gaps.append(pace.ready_at - now)
        now = pace.ready_at
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(gaps))
    # The rate halves from 10 calls a second to 0.5. From the third call on, the gap doubles, too.
    assert gaps[:6] == pytest.approx([0.2, 0.4, 1.6, 6.4, 16, 32])
    assert gaps[6:] == pytest.approx([LONGEST_GAP] * 6)


def test_a_single_success_does_not_restore_the_pace() -> None:
    """It rises gradually."""
    pace = pace_of()
    for now in (0.0, 1.0, 2.0):
        pace.begin(now)
        pace.throttle(now)
    gaps = []
    now = 10.0
    for _ in range(100):
        pace.begin(now)
        gaps.append(pace.ready_at - now)
        now = max(pace.ready_at, now + 0.1)
        pace.succeed(now)
    assert gaps[1] > 0.3
    assert all(later <= earlier for earlier, later in pairwise(gaps))
    assert gaps[-1] < gaps[1] / 2


def test_each_second_of_success_raises_the_rate() -> None:
    """By 0.2 calls a second, from half of the documented quota."""
    pace = pace_of()
    assert pace.ready_at <= 0
    pace.succeed(99)
    pace.throttle(100)
    pace.begin(100.5)
    assert pace.ready_at == pytest.approx(100.5 + 1 / 5)
    pace.succeed(101)
    pace.begin(101)
    assert pace.ready_at == pytest.approx(101 + 1 / 5.2)


def test_there_is_no_gap_beyond_the_highest_rate() -> None:
    """Even if the episode of throttling has not ended."""
    pace = pace_of()
    pace.throttle(0)
    for now in range(10, 100, 10):
        pace.succeed(now)
    assert pace.is_throttled(90)
    pace.begin(90)
    assert pace.ready_at == 90


def test_successes_forgive_throttled_calls() -> None:
    """Later throttled calls only reduce the rate again before they double the gap."""
    pace = pace_of()
    for _ in range(7):
        pace.throttle(0)
    streaks = []
    for _ in range(4):
        pace.succeed(0)
        streaks.append(pace.streak)
    assert streaks == [3, 1, 0, 0]


def test_an_episode_ends_after_a_long_quiet_time() -> None:
    """Then there is no gap."""
    pace = pace_of()
    pace.begin(0)
    pace.throttle(0)
    assert pace.is_throttled(QUIET - 1)
    pace.begin(QUIET)
    assert not pace.is_throttled(QUIET)
    assert pace.ready_at == QUIET


def test_the_gap_has_jitter() -> None:
    """Callers of several processes do not collide repeatedly."""
    gaps = []
    for jitter in (0.0, 0.5, 1.0):
        pace = pace_of(jitter)
        pace.throttle(0)
        gaps.append(pace.ready_at)
    assert gaps == pytest.approx([0.1, 0.2, 0.3])
