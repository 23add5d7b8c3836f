# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The waits of a poller, and the poll intervals that they share."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.timetable import Queue, Subscription, Timetable, shared_interval
from tests.unit.simulated_omics import Records


@pytest.mark.parametrize(
    ("interval", "shared"), [(60, 60), (69, 60), (30, 30), (35, 30), (15, 15), (120, 120)]
)
def test_similar_intervals_are_the_same(interval: float, shared: float) -> None:
    """The defaults do not change."""
    assert shared_interval(interval) == pytest.approx(shared)


@given(st.floats(min_value=1, max_value=86_400))
def test_no_interval_becomes_longer_or_much_shorter(interval: float) -> None:
    """A quarter of a doubling at most."""
    assert interval / 1.2 < shared_interval(interval) <= interval * 1.001


def wait_of(run_id: str, due: float = 0.0) -> Subscription:
    """Return a wait that is not awaited."""
    ended: Any = None
    return Subscription(RunWatch(run_id, log=Records()), 60, due, ended, contextvars.Context())


def test_a_queue_is_ordered_by_due_time() -> None:
    """Without waits that were withdrawn or are due at another time; equal ones keep their order."""
    late, early, equal, withdrawn = wait_of("1", 3), wait_of("2", 1), wait_of("3", 1), wait_of("4", 0)
    queue = Queue()
    for each in (late, early, equal, withdrawn):
        queue.add(each)
    del queue.members[withdrawn]
    assert queue.first() is early
    early.due = 2
    assert queue.first() is equal
    queue.add(early)
    del queue.members[equal]
    assert queue.first() is early
    del queue.members[early]
    assert queue.first() is late
    del queue.members[late]
    assert queue.first() is None


def test_a_wait_is_in_one_step_at_a_time() -> None:
    """From one poll to the next."""
    table, wait, later = Timetable(), wait_of("1"), wait_of("2")
    table.schedule(wait, 10)
    table.schedule(later, 11)
    assert list(table.all_due()) == []
    table.collect(10)
    assert list(table.all_due()) == list(table.due) == [wait]
    table.doubt([wait])
    assert list(table.all_due()) == [wait]
    assert not table.due
    assert table.unsure["GetRun"].first() is wait
    table.schedule(wait, 20)
    assert list(table.all_due()) == []
    assert table.unsure["GetRun"].first() is None
    table.collect(30)
    assert list(table.all_due()) == [later, wait]
    for each in (wait, later):
        table.withdraw(each)
    assert list(table.all_due()) == []


def test_several_waits_for_a_run_are_one_run() -> None:
    """They cost one GetRun call."""
    waits = [wait_of(run_id) for run_id in ("1", "1", "2")]
    assert Timetable.places(waits) == {waits[0].place: 2}
