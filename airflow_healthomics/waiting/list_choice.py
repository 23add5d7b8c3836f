# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which lists of active runs to read: the cheapest way to poll all due runs, in calls."""

from __future__ import annotations

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, NamedTuple, TypeAlias

from airflow_healthomics.resources.watch import ListFilter
from airflow_healthomics.service import run_states

#: The order in which a run passes through its active states. Lists are read in this order, so that a run
#: whose state changes between two lists is in at least one of them.
ACTIVE_STATUSES_IN_ORDER: Final = ("PENDING", "STARTING", "RUNNING", run_states.STOPPING)

#: Maximum of ListRuns: https://docs.aws.amazon.com/omics/latest/api/API_ListRuns.html
PAGE_SIZE: Final = 100

#: Up to this number of waits, runs are polled individually and never by a list.
MAX_DIRECT_POLLS: Final = 4

#: Maximum number of filters that are considered, those with the most runs.
_MAX_FILTERS: Final = 100

#: Seconds for which the cost of a list is remembered.
_COST_MEMORY: Final = 600.0


class Place(NamedTuple):
    """
    The lists that contain a run.

    :param status: its last known status; None if unknown, or "none" if no list contains it
    :param filter: the narrowest known filter that it matches
    """

    status: str | None
    filter: ListFilter | None = None


class RunList(NamedTuple):
    """
    A list of active runs.

    :param status: status of its runs
    :param filter: filter that they match; None for all runs of the account
    """

    status: str
    filter: ListFilter | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of ListRuns for its first page."""
        request: dict[str, Any] = {"status": self.status, "maxResults": PAGE_SIZE}
        return request | (dict([self.filter]) if self.filter else {})

    def has_filter_of(self, place: Place) -> bool:
        """Whether it lists runs with the filter of a place."""
        return self.filter is None or self.filter == place.filter

    def may_contain(self, place: Place) -> bool:
        """Whether it may contain a run from a place."""
        return self.has_filter_of(place) and place.status in (None, self.status)


#: The number of due runs by place.
Places: TypeAlias = Mapping[Place, int]

#: The last cost of lists, in pages.
Pages: TypeAlias = Mapping[RunList, int]


@dataclass(frozen=True)
class Plan:
    """
    A way to poll all due runs: lists, and a GetRun call for each run that is in none of them.

    :param lists: the lists to read
    :param calls: expected number of calls
    """

    lists: frozenset[RunList]
    calls: int


def cheapest_plan(due: Places, pages: Pages, *, is_filtered: bool = False) -> Plan:
    """
    Return the way to poll all due runs with the fewest expected calls.

    :param due: number of due runs by place
    :param pages: last cost of lists, in pages; a list of unknown cost has the due runs only, and is not
        shorter than one with a filter
    :param is_filtered: whether to consider filtered lists only
    :return: a plan without lists if a GetRun call per run costs no more
    """
    if sum(due.values()) <= MAX_DIRECT_POLLS:
        return Plan(frozenset(), sum(due.values()))
    groups = _groups(due)
    lengths = range(1 if is_filtered else len(ACTIVE_STATUSES_IN_ORDER) + 1)
    choices = (lists for length in lengths for lists in combinations(ACTIVE_STATUSES_IN_ORDER, length))
    return min((_plan(groups, statuses, pages) for statuses in choices), key=lambda plan: plan.calls)


def _groups(due: Places) -> dict[ListFilter | None, Counter[str | None]]:
    """Return the number of runs by filter and status. Filters with few runs are dropped."""
    sizes: Counter[ListFilter | None] = Counter()
    for place, number in due.items():
        sizes[place.filter] += number
    kept = {each for each, size in sizes.most_common(_MAX_FILTERS) if size > MAX_DIRECT_POLLS}
    groups: defaultdict[ListFilter | None, Counter[str | None]] = defaultdict(Counter)
    for place, number in due.items():
        groups[place.filter if place.filter in kept else None][place.status] += number
    return groups


def _plan(
    groups: Mapping[ListFilter | None, Counter[str | None]], unfiltered: tuple[str, ...], pages: Pages
) -> Plan:
    """Return the cheapest plan that reads the unfiltered lists of exactly these statuses."""
    lists = {RunList(status) for status in unfiltered}
    calls = sum(_unfiltered_cost(status, groups, pages) for status in unfiltered)
    rest = [status for status in ACTIVE_STATUSES_IN_ORDER if status not in unfiltered]
    for each, numbers in groups.items():
        costs = {
            status: pages.get(RunList(status, each), _pages_of(_expected(numbers, status)))
            if each
            else sys.maxsize
            for status in rest
        }
        # A run with an unknown status may be in any list.
        unknown = numbers[None]
        found = {status for status in rest if costs[status] < numbers[status]}
        separate = unknown + sum(min(costs[status], numbers[status]) for status in rest)
        if unknown and sum(costs.values()) < separate:
            found, separate = set(rest), sum(costs.values())
        lists |= {RunList(status, each) for status in found}
        calls += separate + numbers["none"]
    return Plan(frozenset(lists), calls)


def _unfiltered_cost(
    status: str, groups: Mapping[ListFilter | None, Counter[str | None]], pages: Pages
) -> int:
    expected = sum(_expected(numbers, status) for numbers in groups.values())
    longest = max(pages.get(RunList(status, each), 0) for each in groups)
    return pages.get(RunList(status), max(longest, _pages_of(expected)))


def _expected(numbers: Counter[str | None], status: str) -> int:
    # Most runs with an unknown status are RUNNING.
    return numbers[status] + (numbers[None] if status == "RUNNING" else 0)


def _pages_of(number: int) -> int:
    return max(1, math.ceil(number / PAGE_SIZE))


class ListCosts:
    """The last cost of lists, in pages, and the lists that must not be read for a while."""

    def __init__(self) -> None:
        self._pages: dict[RunList, tuple[int, float]] = {}
        self._forgone_until = -math.inf
        self._forgone_filters: dict[ListFilter | None, float] = {}

    def known(self, now: float) -> dict[RunList, int]:
        """Return the costs that have not expired."""
        self._pages = {each: cost for each, cost in self._pages.items() if cost[1] > now}
        return {each: pages for each, (pages, _) in self._pages.items()}

    def plan(self, due: Places, now: float, *, is_filtered: bool = False) -> Plan:
        """Return the :func:`cheapest_plan`."""
        if now < self._forgone_until:
            return Plan(frozenset(), sum(due.values()))
        if self._forgone_filters:
            allowed: Counter[Place] = Counter()
            for place, number in due.items():
                is_forgone = now < self._forgone_filters.get(place.filter, -math.inf)
                allowed[Place(place.status) if is_forgone else place] += number
            due = allowed
        return cheapest_plan(due, self.known(now), is_filtered=is_filtered)

    def remember(self, run_list: RunList, pages: int, now: float) -> None:
        """Store the cost of a list."""
        self._pages[run_list] = pages, now + _COST_MEMORY

    def forgo(self, until: float) -> None:
        """Read no list until a time."""
        self._forgone_until = until

    def forgo_filter(self, list_filter: ListFilter, until: float) -> None:
        """Read no list with a filter until a time."""
        self._forgone_filters[list_filter] = until
