# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The record of refused polls."""

from __future__ import annotations

from airflow_healthomics.resources.refusals import Refusals


def test_the_pause_grows_to_a_minute() -> None:
    """It starts again after a success."""
    refusals = Refusals()
    pauses = []
    for number in range(8):
        refusals.add(number)
        pauses.append(refusals.pause)
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60]
    refusals.end(10)
    refusals.add(11)
    assert refusals.pause == 5


def test_a_warning_is_due_first_and_each_ten_minutes() -> None:
    """However many refusals there are."""
    refusals = Refusals()
    due = [now for now in range(100, 2000, 30) if refusals.add(now)]
    assert due == [100, 700, 1300, 1900]


def test_it_counts_from_the_first_refusal_in_a_row() -> None:
    """A success in between ends the count."""
    refusals = Refusals()
    assert refusals.seconds(0) == 0
    assert refusals.end(0) is None
    refusals.add(100)
    refusals.add(160)
    assert refusals.seconds(400) == 300
    assert refusals.end(500) == 400
    assert refusals.since is None
    refusals.add(600)
    assert refusals.seconds(700) == 100


def test_a_clock_that_starts_at_zero_is_fine() -> None:
    """The first refusal may be at time zero."""
    refusals = Refusals()
    assert refusals.add(0.0)
    assert not refusals.add(1.0)
    assert refusals.end(2.0) == 2


def test_another_process_continues_the_count() -> None:
    """The clock of the other process starts elsewhere."""
    refusals, again = Refusals(), Refusals()
    for now in (1000, 1300):
        refusals.add(now)
    state = refusals.as_json(1400)
    again.restore(state, 50)
    assert again.seconds(50) == 400
    assert again.pause == refusals.pause
    assert not again.add(240)
    assert again.add(260)


def test_no_refusals_are_nothing_to_continue() -> None:
    """After a success there is nothing to continue."""
    refusals = Refusals()
    assert refusals.as_json(10) is None
    refusals.restore(None, 10)
    assert refusals.since is None
