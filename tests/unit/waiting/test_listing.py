# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A pass over the lists: which lists it reads, in which order, and when it ends."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from airflow_healthomics.service.errors import IncompleteAnswerError
from airflow_healthomics.waiting.list_choice import ListCosts, Place, RunList
from airflow_healthomics.waiting.listing import Sweep, items_of

GROUP, BATCH = ("runGroupId", "7"), ("batchId", "8")

MORE: dict[str, Any] = {"items": [], "nextToken": "more"}
LAST: dict[str, Any] = {"items": []}


def sweep_of(due: dict[Place, int], **pages: int) -> Sweep:
    """Return a pass for due runs, whose first list is open, with the known costs of unfiltered lists."""
    costs = ListCosts()
    for status, number in pages.items():
        costs.remember(RunList(status), number, now=0)
    sweep = Sweep(Counter(due), costs, now=0)
    assert not sweep.pages
    assert not sweep.is_given_up
    assert sweep.open_next(due, {})
    return sweep


def read(sweep: Sweep, pages: int) -> None:
    """Read a list of some pages to its end."""
    for number in range(1, pages + 1):
        is_last = number == pages
        assert sweep.turn(LAST if is_last else MORE, 0, is_enough=False) is not is_last


def test_lists_are_read_in_the_order_of_the_states() -> None:
    """A run that changes its state meanwhile is in the later one."""
    due = {Place("PENDING"): 50, Place("RUNNING"): 50}
    sweep = sweep_of(due)
    assert sweep.list == RunList("PENDING")
    read(sweep, 1)
    assert sweep.open_next({Place("RUNNING"): 1}, {})
    assert sweep.list == RunList("RUNNING")


def test_filtered_and_unfiltered_lists_are_read_in_one_pass() -> None:
    """Each where it costs less."""
    sweep = sweep_of({Place("RUNNING"): 1000, Place("PENDING", GROUP): 100}, PENDING=50)
    assert sweep.list == RunList("PENDING", GROUP)
    assert sweep.request["runGroupId"] == "7"
    read(sweep, 1)
    assert sweep.open_next({Place("RUNNING"): 1000}, {})
    assert sweep.list == RunList("RUNNING")


@pytest.mark.parametrize(("unknown", "pending", "first"), [(40, 60, "PENDING"), (60, 40, "RUNNING")])
def test_new_runs_are_searched_in_the_longest_list_first(unknown: int, pending: int, first: str) -> None:
    """Most runs with an unknown status are RUNNING."""
    assert sweep_of({Place(None): unknown, Place("PENDING"): pending}).list == RunList(first)


@pytest.mark.parametrize(
    ("sought", "missing", "is_read"),
    [({}, {}, False), ({Place("RUNNING"): 1}, {}, True), ({}, {Place("PENDING"): 1}, True)],
)
def test_a_chosen_list_is_read_if_a_run_may_be_in_it(
    sought: dict[Place, int], missing: dict[Place, int], is_read: bool
) -> None:
    """Including a run that an earlier list did not have."""
    sweep = sweep_of({Place("PENDING"): 50, Place("RUNNING"): 50})
    read(sweep, 1)
    assert sweep.open_next(sought, missing) is is_read


@pytest.mark.parametrize(
    ("status", "stopping", "missing", "following"),
    [
        ("RUNNING", 1, 16, None),
        ("RUNNING", 1, 17, "STOPPING"),
        ("RUNNING", 50, 40, None),
        ("PENDING", 1, 4, None),
        ("PENDING", 1, 10, "STARTING"),
    ],
)
def test_many_missing_runs_are_searched_in_further_lists(
    status: str, stopping: int, missing: int, following: str | None
) -> None:
    """A few have probably ended, and a run is STOPPING for seconds only."""
    sweep = sweep_of({Place(status): 100}, STOPPING=stopping)
    read(sweep, 1)
    assert sweep.open_next({}, {Place(status): missing}) is (following is not None)
    assert sweep.list == (RunList(following) if following else None)


@pytest.mark.parametrize(("pages", "has_next"), [(5, True), (6, False)])
def test_a_pass_costs_no_more_than_a_call_for_each_run(pages: int, has_next: bool) -> None:
    """The first list may be longer than expected."""
    sweep = sweep_of({Place("PENDING"): 3, Place("RUNNING"): 3})
    read(sweep, pages)
    assert sweep.pages == pages
    assert sweep.open_next({Place("RUNNING"): 3}, {}) is has_next


@pytest.mark.parametrize("page", range(1, 11))
def test_a_list_is_given_up_if_shorter_ones_were_cheaper(page: int) -> None:
    """Ten run groups have ten short lists."""
    sweep = sweep_of({Place("RUNNING", ("runGroupId", str(number))): 10 for number in range(10)})
    assert sweep.list == RunList("RUNNING")
    for _ in range(1, page):
        assert sweep.turn(MORE, 0, is_enough=False)
    assert sweep.turn(MORE, 0, is_enough=False) is (page < 10)
    assert sweep.is_given_up is (page == 10)


def test_a_filtered_list_is_given_up_if_single_calls_were_cheaper() -> None:
    """There is no shorter list."""
    sweep = sweep_of({Place("RUNNING", GROUP): 20}, RUNNING=50)
    for _ in range(19):
        assert sweep.turn(MORE, 0, is_enough=False)
    assert not sweep.turn(MORE, 0, is_enough=False)
    assert sweep.is_given_up


def test_a_pass_records_the_lists_that_it_has_read() -> None:
    """The unfiltered list has the runs of each filter."""
    sweep = sweep_of({Place("RUNNING"): 100})
    assert not sweep.has_listed(Place("RUNNING"))
    read(sweep, 2)
    assert sweep.has_listed(Place("RUNNING"))
    assert sweep.has_listed(Place("RUNNING", GROUP))
    assert not sweep.has_listed(Place("PENDING"))
    assert not sweep.has_listed(Place(None))

    sweep = sweep_of({Place("RUNNING", GROUP): 100}, RUNNING=50)
    read(sweep, 1)
    assert sweep.has_listed(Place("RUNNING", GROUP))
    assert not sweep.has_listed(Place("RUNNING", BATCH))
    assert not sweep.has_listed(Place("RUNNING"))


@pytest.mark.parametrize(("last", "cost"), [(LAST, 2), (MORE, 3)])
def test_a_pass_updates_the_costs(last: dict[str, Any], cost: int) -> None:
    """A list that was given up has at least one more page."""
    costs, due = ListCosts(), Counter({Place("RUNNING"): 5})
    sweep = Sweep(due, costs, now=0)
    sweep.open_next(due, {})
    sweep._budget = 2
    assert sweep.turn(MORE, 0, is_enough=False)
    assert not sweep.turn(last, 0, is_enough=False)
    assert costs.known(0) == {RunList("RUNNING"): cost}


@pytest.mark.parametrize(
    "page",
    [{}, {"items": None}, {"items": [{"id": "1"}]}, {"items": [{"status": "RUNNING"}]}, "<html>"],
    ids=str,
)
def test_an_invalid_page_is_refused(page: Any) -> None:
    """The error names the missing field, and its cause may be temporary."""
    with pytest.raises(IncompleteAnswerError, match="ListRuns lacks items"):
        items_of(page)
