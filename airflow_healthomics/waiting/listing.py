# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Lists of active runs: which lists to read, and a pass over their pages."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final

from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import IncompleteAnswerError

#: The order in which a run passes through its active states. Lists are read in this order, so that a run
#: whose state changes between two lists is in at least one of them.
ACTIVE_STATUSES_IN_ORDER: Final = ("PENDING", "STARTING", "RUNNING", run_states.STOPPING)

#: Maximum of ListRuns: https://docs.aws.amazon.com/omics/latest/api/API_ListRuns.html
PAGE_SIZE: Final = 100

#: Up to this number of waits, runs are polled individually and never by a list.
MAX_DIRECT_POLLS: Final = 4

#: The list of STOPPING runs is read only if more than this number of runs are missing in the other lists. A
#: run is STOPPING for seconds only, so fewer missing runs have probably ended.
_MAX_MISSING_WITHOUT_LIST: Final = 16

#: Seconds for which the cost of a list is remembered.
_COST_MEMORY: Final = 600.0


def choose_lists(due: Mapping[str | None, int], pages: Mapping[str, int]) -> frozenset[str]:
    """
    Choose the lists that report all due runs with the fewest expected calls.

    A run that is in none of the chosen lists costs one GetRun call.

    :param due: number of due runs by last known status; None for an unknown status
    :param pages: last cost of the list of each status, in pages; 1 if unknown
    :return: the active statuses to list; empty if a GetRun call per run costs no more
    """
    if sum(due.values()) <= MAX_DIRECT_POLLS:
        return frozenset()

    def cost(lists: frozenset[str]) -> int:
        # A run with an unknown status may be in any list.
        found = {*lists, None} if len(lists) == len(ACTIVE_STATUSES_IN_ORDER) else lists
        asked = sum(number for status, number in due.items() if status not in found)
        return asked + sum(pages.get(status, 1) for status in lists)

    choices = (
        frozenset(lists)
        for length in range(len(ACTIVE_STATUSES_IN_ORDER) + 1)
        for lists in combinations(ACTIVE_STATUSES_IN_ORDER, length)
    )
    return min(choices, key=cost)


class ListCosts:
    """The last cost of the list of each status, in pages."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[int, float]] = {}

    def known(self, now: float) -> dict[str, int]:
        """Return the costs that have not expired."""
        return {status: pages for status, (pages, expires) in self._pages.items() if expires > now}

    def remember(self, status: str, pages: int, now: float) -> None:
        """Store the cost of a list."""
        self._pages[status] = pages, now + _COST_MEMORY

    def forgo(self, until: float) -> None:
        """Treat every list as too expensive until a time."""
        self._pages = dict.fromkeys(ACTIVE_STATUSES_IN_ORDER, (sys.maxsize, until))


class Sweep:
    """
    One pass over the lists of active runs. A page whose call fails can be requested again.

    :param due: number of due runs by last known status; None for an unknown status
    :param costs: costs of the lists, which the pass updates
    :param now: current time
    :ivar status: status whose list is being read; None if there is none to read
    :ivar listed: statuses whose lists were read
    :ivar pages: number of pages read so far
    :ivar total: number of runs that were due
    """

    def __init__(self, due: Counter[str | None], costs: ListCosts, now: float) -> None:
        self.listed: set[str] = set()
        self.status: str | None = None
        self.pages = 0
        self._costs = costs
        self._known = costs.known(now)
        self._chosen = choose_lists(due, self._known)
        self.total = due.total()
        self._budget = self.total
        self._ahead: list[str] = list(ACTIVE_STATUSES_IN_ORDER) if self._chosen else []
        if 2 * due[None] > self._budget:
            # Most runs with an unknown status are RUNNING, so this list often suffices.
            self._ahead.sort(key=lambda status: status != "RUNNING")
        self._token: str | None = None
        self._pages_of_list = 0

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of ListRuns for the next page."""
        request = {"status": self.status, "maxResults": PAGE_SIZE}
        return request | ({"startingToken": self._token} if self._token else {})

    def open_next(self, missing: int) -> bool:
        """
        Open the next list that is worth its pages, and return whether there is one.

        :param missing: number of due runs that were not in the lists where they were expected
        """
        self.status, self._token, self._pages_of_list = None, None, 0
        while self._ahead and self._budget > 0:
            status = self._ahead.pop(0)
            # Many runs may have changed their status together, for instance when a queue starts to drain.
            enough = _MAX_MISSING_WITHOUT_LIST if status == run_states.STOPPING else MAX_DIRECT_POLLS
            if status in self._chosen or missing > max(self._known.get(status, 1), enough):
                self.status = status
                return True
        return False

    def turn(self, page: Mapping[str, Any], now: float, *, is_enough: bool) -> bool:
        """
        Advance to the next page, and return whether there is one to read.

        :param page: response to :attr:`request`
        :param now: current time
        :param is_enough: whether all due runs were found
        """
        self.pages += 1
        self._pages_of_list += 1
        self._budget -= 1
        self._token = page.get("nextToken")
        if self._token and self._budget > 0 and not is_enough:
            return True
        status = str(self.status)
        self.listed.add(status)
        # A list that was not read to its end costs at least one page more.
        is_given_up = self._token is not None and not is_enough
        self._costs.remember(status, self._pages_of_list + is_given_up, now)
        return False


def items_of(page: Any) -> Iterable[Mapping[str, Any]]:
    """
    Return the runs of a page.

    :param page: response of ListRuns
    :raises IncompleteAnswerError: if it is not a response of ListRuns
    """
    items = page.get("items") if isinstance(page, Mapping) else None
    if not isinstance(items, list) or not all("id" in item and "status" in item for item in items):
        raise IncompleteAnswerError(operation="ListRuns", member="items")
    return items
