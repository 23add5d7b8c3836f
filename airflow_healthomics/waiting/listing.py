# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A pass over the pages of the lists of active runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import IncompleteAnswerError
from airflow_healthomics.waiting.list_choice import (
    ACTIVE_STATUSES_IN_ORDER,
    MAX_DIRECT_POLLS,
    ListCosts,
    Place,
    Places,
    RunList,
)

#: The list of STOPPING runs is read only if more than this number of runs are missing in the other lists. A
#: run is STOPPING for seconds only, so fewer missing runs have probably ended.
_MAX_MISSING_WITHOUT_LIST: Final = 16


class Sweep:
    """
    One pass over the lists of active runs. A page whose call fails can be requested again.

    :param due: number of due runs by place
    :param costs: costs of the lists, which the pass updates
    :param now: current time
    :ivar list: the list that is being read; None if there is none to read
    :ivar pages: number of pages read so far
    :ivar total: number of runs that were due
    :ivar is_given_up: whether the last list had more pages than it is worth
    """

    def __init__(self, due: Counter[Place], costs: ListCosts, now: float) -> None:
        self.list: RunList | None = None
        self.pages = 0
        self.total = due.total()
        self.is_given_up = False
        self._costs = costs
        self._known = costs.known(now)
        self._chosen = costs.plan(due, now).lists
        self._listed: set[RunList] = set()
        filters = sorted({each.filter for each in self._chosen}, key=lambda each: each or ())
        self._ahead = [RunList(status, each) for status in ACTIVE_STATUSES_IN_ORDER for each in filters]
        if 2 * sum(number for place, number in due.items() if place.status is None) > self.total:
            # Most runs with an unknown status are RUNNING, so this list often suffices.
            self._ahead.sort(key=lambda each: each.status != "RUNNING")
        # Beyond this number of pages, it would have been cheaper without unfiltered lists.
        self._budget = costs.plan(due, now, is_filtered=True).calls if None in filters else self.total
        self._token: str | None = None
        self._pages_of_list = 0

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of ListRuns for the next page."""
        request = self.list.request if self.list else {}
        return request | ({"startingToken": self._token} if self._token else {})

    def has_listed(self, place: Place) -> bool:
        """Whether the list was read that should contain a run from a place."""
        if place.status is None:
            return False
        lists = (RunList(place.status), RunList(place.status, place.filter))
        return any(each in self._listed for each in lists)

    def open_next(self, sought: Places, missing: Places) -> bool:
        """
        Open the next list that is worth its pages, and return whether there is one.

        :param sought: number of due runs, by place, that may be in a list that was not read yet
        :param missing: number of due runs that were not in the lists where they were expected
        """
        self.list, self._token, self._pages_of_list = None, None, 0
        while self._ahead and self._budget > 0:
            each = self._ahead.pop(0)
            if self._is_worth(each, sought, missing):
                self.list = each
                return True
        return False

    def _is_worth(self, run_list: RunList, sought: Places, missing: Places) -> bool:
        # Many runs may have changed their status together, for instance when a queue starts to drain.
        number = sum(count for place, count in missing.items() if run_list.has_filter_of(place))
        if run_list in self._chosen:
            number += sum(count for place, count in sought.items() if run_list.may_contain(place))
            return number > 0
        enough = _MAX_MISSING_WITHOUT_LIST if run_list.status == run_states.STOPPING else MAX_DIRECT_POLLS
        return number > max(self._known.get(run_list, enough), enough)

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
        if self.list is None:
            return False
        if self._token and self._budget > 0 and not is_enough:
            return True
        # A list that was not read to its end costs at least one page more.
        self.is_given_up = self._token is not None and not is_enough
        self._costs.remember(self.list, self._pages_of_list + self.is_given_up, now)
        if not self.is_given_up:
            self._listed.add(self.list)
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
