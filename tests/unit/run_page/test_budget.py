# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The limit of the AWS calls of the run page."""

from __future__ import annotations

import math

import pytest

from airflow_healthomics.run_page.budget import USUAL_CALLS, Budget
from tests.unit.conftest import Clock

#: Seconds since a response expired: longer than any other.
LONG = math.inf


def fetches(budget: Budget, overdue: float | None, *, calls: int = USUAL_CALLS) -> int:
    """Make fetches one after the other until the budget refuses one, and return their number."""
    count = 0
    while budget.begin(overdue):
        for _ in range(calls):
            budget.charge()
        budget.end()
        count += 1
    return count


@pytest.mark.parametrize("rate", [0.1, 1, 2, 20])
@pytest.mark.parametrize("overdue", [None, 0, 50, LONG])
@pytest.mark.parametrize("calls", [1, 2, 51])
def test_the_rate_holds_in_the_long_run(clock: Clock, rate: float, overdue: float | None, calls: int) -> None:
    """However many calls a fetch makes, and whether it may borrow or not."""
    budget, seconds, made = Budget(rate), 3600, 0
    for _ in range(seconds):
        clock.advance(1)
        made += calls * fetches(budget, overdue, calls=calls)
    burst = max(10 * rate, 4)
    assert rate * seconds - calls <= made <= rate * seconds + 2 * burst + calls


def test_an_idle_time_saves_ten_seconds(clock: Clock) -> None:
    """Never more."""
    budget = Budget(2)
    assert fetches(budget, LONG) == 10
    clock.advance(5)
    assert fetches(budget, LONG) == 5
    clock.advance(86_400)
    assert fetches(budget, LONG) == 10


def test_a_page_without_a_response_may_borrow(clock: Clock) -> None:
    """Ten seconds of calls, which pages with a response then wait for."""
    budget = Budget(2)
    assert fetches(budget, LONG) == 10
    assert fetches(budget, None) == 10
    clock.advance(10)
    assert fetches(budget, LONG) == 0
    clock.advance(1)
    assert fetches(budget, LONG) == 1


def test_the_oldest_response_is_refreshed_first(clock: Clock) -> None:
    """Calls that are reserved for it are refused to a newer one."""
    budget = Budget(2)
    counts = [fetches(budget, overdue) for overdue in (0, 50, 200, LONG)]
    assert all(counts)
    assert sum(counts) == 10


@pytest.mark.parametrize(("pages", "oldest"), [(8, 20), (20, 40), (50, 100)])
def test_all_pages_get_their_turn(clock: Clock, pages: int, oldest: float) -> None:
    """Even if each is polled at a different moment of every ten seconds."""
    budget = Budget(2)
    fetched = [clock.monotonic()] * pages
    for _ in range(60):
        for page in range(pages):
            clock.advance(10 / pages)
            overdue = clock.monotonic() - fetched[page] - 10
            if overdue >= 0 and budget.begin(overdue):
                fetched[page] = clock.monotonic()
            assert clock.monotonic() - fetched[page] <= oldest


def test_concurrent_fetches_share_it(clock: Clock) -> None:
    """The calls that they will make are reserved."""
    budget = Budget(2)
    assert sum(budget.begin(LONG) for _ in range(100)) == 10
    for _ in range(10):
        budget.end()
    assert fetches(budget, LONG) == 10


@pytest.mark.parametrize("rate", [0, -1])
def test_no_rate_is_a_mistake(rate: float) -> None:
    """The error names the option."""
    with pytest.raises(ValueError, match="page_rate must be above 0"):
        Budget(rate)
