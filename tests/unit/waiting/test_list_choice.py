# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The choice between lists and single calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.service.run_states import ACTIVE
from airflow_healthomics.waiting.list_choice import ListCosts, Place, Plan, RunList, cheapest_plan

GROUP, BATCH, NAME = ("runGroupId", "7"), ("batchId", "8"), ("name", "a run")
FILTERS = st.sampled_from([GROUP, BATCH, NAME])
STATUSES = st.sampled_from(sorted(ACTIVE))
PLACES = st.dictionaries(
    st.builds(Place, st.none() | st.just("none") | STATUSES, st.none() | FILTERS), st.integers(0, 2000)
)
PAGES = st.dictionaries(st.builds(RunList, STATUSES, st.none() | FILTERS), st.integers(1, 5000))


def cost(chosen: frozenset[RunList], due: Mapping[Place, int], pages: Mapping[RunList, int]) -> int:
    """Return the calls of a pass in which each run still has its status."""

    def is_found(place: Place) -> bool:
        lists = {each.status for each in chosen if each.filter in (None, place.filter)}
        return place.status in lists if place.status is not None else lists == ACTIVE

    return sum(pages.get(each, 1) for each in chosen) + sum(
        count for place, count in due.items() if not is_found(place)
    )


@pytest.mark.parametrize(
    ("due", "pages", "chosen"),
    [
        ({}, {}, ""),
        ({"RUNNING": 4}, {}, ""),
        ({"PENDING": 1, "STARTING": 1, "RUNNING": 1, "STOPPING": 1}, {}, ""),
        ({None: 4}, {}, ""),
        ({"RUNNING": 100}, {}, "RUNNING"),
        ({"RUNNING": 100}, {"RUNNING": 1}, "RUNNING"),
        ({"RUNNING": 1000}, {"RUNNING": 10}, "RUNNING"),
        ({"RUNNING": 1000}, {"RUNNING": 5000}, ""),
        ({"RUNNING": 1000}, {"RUNNING": 1000}, ""),
        ({"RUNNING": 300, "PENDING": 200}, {"RUNNING": 3, "PENDING": 5000}, "RUNNING"),
        ({"RUNNING": 300, "PENDING": 200}, {"RUNNING": 300, "PENDING": 2}, "PENDING"),
        ({"RUNNING": 300, "PENDING": 200}, {"RUNNING": 3, "PENDING": 2}, "PENDING RUNNING"),
        ({"RUNNING": 300, "PENDING": 2}, {"RUNNING": 3, "PENDING": 40}, "RUNNING"),
    ],
    ids=str,
)
def test_a_list_is_read_where_it_is_cheaper(
    due: dict[str | None, int], pages: dict[str, int], chosen: str
) -> None:
    """By the pages that it cost last; runs of other users fill pages too."""
    places = {Place(status): number for status, number in due.items()}
    costs = {RunList(status): number for status, number in pages.items()}
    assert cheapest_plan(places, costs).lists == {RunList(status) for status in chosen.split()}


@pytest.mark.parametrize(
    ("due", "pages", "chosen"),
    [
        # A filter shrinks the list, and the account's list is never longer than its pages.
        ({("RUNNING", GROUP): 1000}, {}, [("RUNNING", GROUP)]),
        ({("RUNNING", GROUP): 1000}, {("RUNNING", None): 210}, [("RUNNING", GROUP)]),
        # Others may fill the group more than the rest of the account.
        ({("RUNNING", GROUP): 1000}, {("RUNNING", None): 210, ("RUNNING", GROUP): 211}, [("RUNNING", None)]),
        ({("RUNNING", GROUP): 100}, {("RUNNING", None): 210, ("RUNNING", GROUP): 211}, []),
        ({("RUNNING", GROUP): 100}, {("RUNNING", None): 210, ("RUNNING", GROUP): 100}, []),
        # A filter with enough runs in several states.
        (
            {("PENDING", GROUP): 3, ("RUNNING", GROUP): 3},
            {("PENDING", None): 210, ("RUNNING", None): 210},
            [("PENDING", GROUP), ("RUNNING", GROUP)],
        ),
        # One list for all, or one for each.
        (
            {("RUNNING", GROUP): 10, ("RUNNING", BATCH): 10},
            {("RUNNING", None): 2, ("RUNNING", GROUP): 2, ("RUNNING", BATCH): 2},
            [("RUNNING", None)],
        ),
        (
            {("RUNNING", GROUP): 10, ("RUNNING", BATCH): 10},
            {("RUNNING", None): 5},
            [("RUNNING", GROUP), ("RUNNING", BATCH)],
        ),
        # A run without a filter is in an unfiltered list, or polled by a single call.
        (
            {("RUNNING", GROUP): 100, ("RUNNING", None): 20},
            {("RUNNING", None): 210},
            [("RUNNING", GROUP)],
        ),
        ({("RUNNING", GROUP): 100, ("RUNNING", None): 300}, {("RUNNING", None): 210}, [("RUNNING", None)]),
        # A few runs do not justify a list.
        ({("RUNNING", GROUP): 4, ("RUNNING", BATCH): 4}, {("RUNNING", None): 100}, []),
        # A run with an unknown status may be in any list of its group.
        (
            {(None, GROUP): 100},
            {("RUNNING", None): 210},
            [(status, GROUP) for status in ("PENDING", "STARTING", "RUNNING", "STOPPING")],
        ),
        ({(None, GROUP): 100}, {("RUNNING", None): 210, ("RUNNING", GROUP): 97}, []),
        ({(None, GROUP): 100}, {("RUNNING", None): 210, ("RUNNING", GROUP): 150}, []),
    ],
    ids=str,
)
def test_a_filter_is_used_where_it_shrinks_the_list(
    due: dict[tuple[str | None, tuple[str, str] | None], int],
    pages: dict[tuple[str, tuple[str, str] | None], int],
    chosen: list[tuple[str, tuple[str, str] | None]],
) -> None:
    """Unfiltered lists, filtered ones and single calls are compared."""
    places = {Place(*place): number for place, number in due.items()}
    costs = {RunList(*each): number for each, number in pages.items()}
    assert cheapest_plan(places, costs).lists == {RunList(*each) for each in chosen}


@pytest.mark.parametrize(
    ("due", "pages", "calls"),
    [
        ({("RUNNING", None): 4}, {}, 4),
        ({("RUNNING", None): 5}, {}, 1),
        ({("PENDING", None): 100}, {}, 1),
        ({("RUNNING", GROUP): 1000}, {}, 10),
        # Runs with an unknown status cost all lists, and that of RUNNING is the long one.
        ({(None, None): 300}, {}, 6),
        ({(None, GROUP): 300}, {("PENDING", None): 50}, 6),
        # The list of the account is as long as those with a filter.
        (
            {("RUNNING", GROUP): 10, ("RUNNING", BATCH): 10},
            {("RUNNING", GROUP): 7, ("RUNNING", BATCH): 6},
            7,
        ),
    ],
    ids=str,
)
def test_the_calls_of_a_plan(
    due: dict[tuple[str | None, tuple[str, str] | None], int],
    pages: dict[tuple[str, tuple[str, str] | None], int],
    calls: int,
) -> None:
    """A page has a hundred runs."""
    places = {Place(*place): number for place, number in due.items()}
    costs = {RunList(*each): number for each, number in pages.items()}
    assert cheapest_plan(places, costs).calls == calls


def test_a_plan_without_unfiltered_lists() -> None:
    """It limits the cost of an unfiltered list."""
    due = {Place("RUNNING"): 10, Place("RUNNING", GROUP): 200}
    plan = cheapest_plan(due, {}, is_filtered=True)
    assert plan == Plan(frozenset({RunList("RUNNING", GROUP)}), 12)


@pytest.mark.parametrize(
    ("place", "is_in_it"),
    [
        (("RUNNING", GROUP), True),
        ((None, GROUP), True),
        (("PENDING", GROUP), False),
        (("RUNNING", BATCH), False),
        (("RUNNING", None), False),
        (("none", GROUP), False),
    ],
    ids=str,
)
def test_a_list_has_the_runs_of_its_status_and_filter(place: tuple[Any, Any], is_in_it: bool) -> None:
    """A run with an unknown status may be in any list."""
    assert RunList("RUNNING", GROUP).may_contain(Place(*place)) is is_in_it


@given(due=PLACES, pages=PAGES)
@settings(deadline=None)
def test_no_choice_costs_more_than_single_calls(due: dict[Place, int], pages: dict[RunList, int]) -> None:
    """And none costs more than the unfiltered lists that save calls."""
    chosen = cheapest_plan(due, pages).lists
    each = sum(due.values())
    assert cost(chosen, due, pages) <= each
    if each > 4 and not any(place.status is None for place in due):
        numbers: Counter[str] = Counter()
        for place, number in due.items():
            numbers[str(place.status)] += number
        worth = frozenset(
            RunList(status) for status in ACTIVE if numbers[status] > pages.get(RunList(status), each)
        )
        assert cost(chosen, due, pages) <= cost(worth, due, pages)


@given(due=PLACES, pages=PAGES)
@settings(deadline=None)
def test_the_expected_calls_are_those_of_the_plan(due: dict[Place, int], pages: dict[RunList, int]) -> None:
    """A list whose cost is unknown has at least one page."""
    plan = cheapest_plan(due, pages)
    assert plan.calls >= cost(plan.lists, due, pages)
    if plan.lists <= pages.keys():
        assert plan.calls == cost(plan.lists, due, pages)


@given(
    places=st.lists(st.builds(Place, st.none() | STATUSES, st.none() | FILTERS), max_size=4),
    pages=PAGES,
)
@settings(deadline=None)
def test_a_few_runs_need_no_list(places: list[Place], pages: dict[RunList, int]) -> None:
    """A small deployment may have no permission for ListRuns."""
    assert cheapest_plan(Counter(places), pages).lists == frozenset()


def test_many_filters_are_compared_in_no_time() -> None:
    """Each run may have its own name, whose list is not worth reading."""
    due = Counter(Place("RUNNING", ("name", f"run {number}")) for number in range(10_000))
    assert cheapest_plan(due, {}).lists == {RunList("RUNNING")}
    due = Counter({Place("RUNNING", ("runGroupId", str(number))): 10 for number in range(1000)})
    assert len(cheapest_plan(due, {RunList("RUNNING"): 9500}).lists) == 100


def test_a_refused_filter_is_left_out_for_a_while() -> None:
    """The unfiltered list has the same runs."""
    costs = ListCosts()
    due = {Place("RUNNING", GROUP): 1000, Place("RUNNING", BATCH): 1000, Place("RUNNING"): 3}
    costs.remember(RunList("RUNNING"), 30, now=0)
    costs.forgo_filter(GROUP, until=100)
    assert costs.plan(due, 99) == Plan(frozenset({RunList("RUNNING")}), 30)
    assert costs.plan(due, 99, is_filtered=True) == Plan(frozenset({RunList("RUNNING", BATCH)}), 1013)
    assert costs.plan(due, 101).lists == {RunList("RUNNING", GROUP), RunList("RUNNING", BATCH)}


def test_refused_lists_are_left_out_for_a_while() -> None:
    """With any filter."""
    costs = ListCosts()
    due = {Place("RUNNING", GROUP): 1000}
    costs.forgo(until=100)
    assert costs.plan(due, 99) == Plan(frozenset(), 1000)
    assert costs.plan(due, 101).lists == {RunList("RUNNING", GROUP)}
