# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which lists are worth their pages."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.service.run_states import ACTIVE
from airflow_healthomics.waiting.listing import choose_lists

STATUSES = st.sampled_from(sorted(ACTIVE))
PAGES = st.dictionaries(STATUSES, st.integers(1, 5000))


def cost(chosen: frozenset[str], due: Mapping[str | None, int], pages: Mapping[str, int]) -> int:
    """Return the calls of a sweep in which each run is still in its status."""
    return sum(pages.get(status, 1) for status in chosen) + sum(
        count for status, count in due.items() if status not in chosen
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
    """By the pages that it cost last; other people's runs fill pages too."""
    assert choose_lists(due, pages) == set(chosen.split())


@given(due=st.dictionaries(STATUSES, st.integers(0, 2000)), pages=PAGES)
@settings(deadline=None)
def test_no_choice_is_dearer_than_asking_for_each(due: dict[str | None, int], pages: dict[str, int]) -> None:
    """And none is dearer than any one list, or all that pay for themselves."""
    chosen = choose_lists(due, pages)
    assert chosen <= ACTIVE
    each = sum(due.values())
    assert cost(chosen, due, pages) <= each
    if each > 4:
        worth = frozenset(status for status in ACTIVE if due.get(status, 0) > pages.get(status, 1))
        assert cost(chosen, due, pages) <= cost(worth, due, pages)


@given(due=st.dictionaries(st.none() | STATUSES, st.integers(0, 2000)), pages=PAGES)
@settings(deadline=None)
def test_lists_never_cost_more_than_there_are_runs(due: dict[str | None, int], pages: dict[str, int]) -> None:
    """Whether or not they are in them."""
    assert sum(pages.get(status, 1) for status in choose_lists(due, pages)) <= sum(due.values())


@given(
    statuses=st.lists(st.none() | STATUSES, max_size=4),
    pages=st.dictionaries(STATUSES, st.integers(0, 3)),
)
@settings(deadline=None)
def test_a_few_runs_need_no_list(statuses: list[str | None], pages: dict[str, int]) -> None:
    """ListRuns is a permission that a small deployment may not have."""
    assert choose_lists({status: statuses.count(status) for status in statuses}, pages) == frozenset()
