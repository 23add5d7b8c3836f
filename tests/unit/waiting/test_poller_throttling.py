# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Ends are noticed in time although the account's quota is too small for all pollers.

The quota is 10 calls a second of each operation, 10 at once, a call takes 50 to 100 ms, and time is virtual.
Each bar has the numbers of the poller before it had a pace, by the same simulation.
"""

from __future__ import annotations

import random
import statistics

import pytest

from benchmarks.quota_probe import NEVER, Outcome, running, simulate


def ending(count: int, total: int, begin: float, end: float, seed: int) -> list[float]:
    """Return when each of some runs ends: a few in a window, the others never."""
    rng = random.Random(seed)
    return [rng.uniform(begin, end) if number < count else NEVER for number in range(total)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_three_pollers_share_a_quota(seed: int) -> None:
    """1,500 runs: every end is noticed, half of them within 15 s, by a quarter of the calls."""
    ends = ending(75, 1500, 10, 120, seed)
    runs = [running(number, end) for number, end in enumerate(ends)]
    outcome = simulate(runs, pollers=3, interval=15, until=150, seed=seed)
    # Before: 0 of 75 ends, 1,889 calls, 5,713 warnings.
    assert (len(outcome.delays), outcome.missed) == (75, 0)
    assert statistics.median(outcome.delays) < 15
    assert outcome.calls.total() <= 1889 / 4
    assert_at_most_one_warning(outcome)


def test_other_runs_do_not_starve_a_wait() -> None:
    """1,000 runs among 5,000 others: 95 % of the ends are noticed in three intervals."""
    runs = [running(number, end) for number, end in enumerate(ending(120, 1000, 10, 180, 1))]
    foreign = [running(100000 + number, NEVER) for number in range(5000)]
    outcome = simulate(runs, foreign=foreign, interval=60, until=360)
    # Before: 0 of 120 ends, 3,675 calls, 974 warnings.
    assert outcome.within(3 * 60) >= 0.95 * 120
    assert outcome.calls.total() <= 3675 / 4
    assert_at_most_one_warning(outcome)


@pytest.mark.parametrize(("group", "calls"), [("7", 60), (None, 240)])
def test_one_poller_keeps_the_quota_among_other_runs(group: str | None, calls: int) -> None:
    """1,000 runs among 20,000 others: no call is throttled, and a run group saves most of them."""
    runs = [running(number, end, group) for number, end in enumerate(ending(120, 1000, 10, 600, 1))]
    foreign = [running(100000 + number, NEVER) for number in range(20000)]
    outcome = simulate(runs, foreign=foreign, interval=60, until=900)
    # Before: 96 calls an interval, 10 of them throttled; half of the ends were noticed after 103 s.
    assert outcome.missed == 0
    assert outcome.throttled.total() == 0
    assert outcome.calls.total() <= calls * 900 / 60
    assert statistics.median(outcome.delays) <= 60


def test_ten_thousand_runs_are_waited_for_by_one_poller() -> None:
    """No end is noticed later than after two intervals, and no call is throttled."""
    runs = [running(number, end) for number, end in enumerate(ending(500, 10000, 10, 600, 1))]
    outcome = simulate(runs, interval=60, until=900)
    # Before: 0 of 500 ends, 9,216 calls, 17,332 warnings.
    assert outcome.missed == 0
    assert outcome.throttled.total() == 0
    assert max(outcome.delays) <= 2 * 60
    assert outcome.calls.total() <= 9216 / 3.5
    assert_at_most_one_warning(outcome)


def test_a_quota_is_shared_fairly() -> None:
    """No poller is starved by the others."""
    runs = [running(number, end) for number, end in enumerate(ending(300, 900, 10, 800, 1))]
    outcome = simulate(runs, pollers=3, interval=15, until=900, rate=4, burst=2)
    shares = [statistics.mean(delays) for delays in outcome.delays_by_poller]
    assert outcome.missed == 0
    assert max(shares) <= 1.5 * min(shares)


def test_a_long_episode_is_logged_once_for_each_delayed_wait() -> None:
    """Even if a call succeeds now and then."""
    runs = [running(number, NEVER) for number in range(200)]
    outcome = simulate(runs, pollers=2, interval=15, until=3600, rate=0.02, burst=1)
    assert_at_most_one_warning(outcome)
    assert any(outcome.warnings)
    assert outcome.calls.total() <= 2 * 3600 / 15


def test_no_quota_is_wasted_without_throttling() -> None:
    """A thousand waits cost a dozen requests in each interval."""
    runs = [running(number, NEVER) for number in range(1000)]
    outcome = simulate(runs, interval=60, until=1200, rate=1000, burst=1000)
    assert outcome.throttled.total() == 0
    assert outcome.calls.total() <= 14 * 1200 / 60


def assert_at_most_one_warning(outcome: Outcome) -> None:
    assert max(map(len, outcome.warnings)) <= 1
