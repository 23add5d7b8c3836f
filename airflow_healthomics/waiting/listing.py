# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Lists of active runs: which of them are worth their pages, and where the reading of them has come to."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final

from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import IncompleteAnswerError

#: The order in which a run passes through its active states. Listed in this order, a run that moves on
#: between two lists is found in the later one, if not in both.
LIFE: Final = ("PENDING", "STARTING", "RUNNING", run_states.STOPPING)

#: ListRuns answers up to 100: https://docs.aws.amazon.com/omics/latest/api/API_ListRuns.html
PAGE_SIZE: Final = 100

#: As many waiting runs are polled one by one, each at its own time, and never by a list.
FEW: Final = 4

#: As many runs that are missing in all lists before are looked for among the STOPPING ones, where a run stays
#: for seconds only: fewer have rather ended.
_MANY: Final = 16

#: Seconds for which the cost of a list is remembered.
_COST_MEMORY: Final = 600.0


def choose_lists(due: Mapping[str | None, int], pages: Mapping[str, int]) -> frozenset[str]:
    """
    Choose the calls that report all due runs, as few as can be expected.

    A run that is in none of the chosen lists costs a GetRun.

    :param due: number of the due runs by the status that was seen last; None for those never seen
    :param pages: what a list of each status cost last, in pages; 1 if unknown
    :return: the active statuses to list; none where GetRun for each run is no dearer
    """
    if sum(due.values()) <= FEW:
        return frozenset()

    def cost(lists: frozenset[str]) -> int:
        # A run that was never seen may be in any list.
        found = {*lists, None} if len(lists) == len(LIFE) else lists
        asked = sum(number for status, number in due.items() if status not in found)
        return asked + sum(pages.get(status, 1) for status in lists)

    choices = (frozenset(lists) for length in range(len(LIFE) + 1) for lists in combinations(LIFE, length))
    return min(choices, key=cost)


class ListCosts:
    """What the list of each status cost last, in pages."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[int, float]] = {}

    def known(self, now: float) -> dict[str, int]:
        """Return the costs that are remembered."""
        return {status: pages for status, (pages, expires) in self._pages.items() if expires > now}

    def remember(self, status: str, pages: int, now: float) -> None:
        """Remember the cost of a list."""
        self._pages[status] = pages, now + _COST_MEMORY

    def forgo(self, until: float) -> None:
        """Count every list as too dear for a while."""
        self._pages = dict.fromkeys(LIFE, (sys.maxsize, until))


class Sweep:
    """
    One pass over the lists of active runs, which repeats a page whose call has failed.

    :param due: number of the due runs by the status that was seen last; None for those never seen
    :param costs: of the lists, known and to be learned
    :param now: present time
    :ivar status: of the list that is being read; None if there is none to read
    :ivar listed: statuses of the lists that were read
    :ivar pages: number of pages read, of all lists
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
        self._ahead: list[str] = list(LIFE) if self._chosen else []
        if 2 * due[None] > self._budget:
            # Most runs that were never seen are RUNNING, and then no other list is needed.
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
        Go to the next list that is worth its pages, and return whether there is one.

        :param missing: number of due runs that were in none of the lists where they were expected
        """
        self.status, self._token, self._pages_of_list = None, None, 0
        while self._ahead and self._budget > 0:
            status = self._ahead.pop(0)
            # Missing runs may have moved on together, as when a queue begins to flow.
            enough = _MANY if status == run_states.STOPPING else FEW
            if status in self._chosen or missing > max(self._known.get(status, 1), enough):
                self.status = status
                return True
        return False

    def turn(self, page: Mapping[str, Any], now: float, *, is_enough: bool) -> bool:
        """
        Go to the next page, and return whether there is one to read.

        :param page: answer to :attr:`request`
        :param now: present time
        :param is_enough: whether all due runs are found
        """
        self.pages += 1
        self._pages_of_list += 1
        self._budget -= 1
        self._token = page.get("nextToken")
        if self._token and self._budget > 0 and not is_enough:
            return True
        status = str(self.status)
        self.listed.add(status)
        # A list that was given up costs more than it has cost.
        is_given_up = self._token is not None and not is_enough
        self._costs.remember(status, self._pages_of_list + is_given_up, now)
        return False


def items_of(page: Any) -> Iterable[Mapping[str, Any]]:
    """
    Return the runs of a page.

    :param page: answer of ListRuns
    :raises IncompleteAnswerError: if it is none of ListRuns
    """
    items = page.get("items") if isinstance(page, Mapping) else None
    if not isinstance(items, list) or not all("id" in item and "status" in item for item in items):
        raise IncompleteAnswerError(operation="ListRuns", member="items")
    return items
