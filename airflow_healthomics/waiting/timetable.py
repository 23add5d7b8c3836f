# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The waits of a poller, and when each is polled next."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

from airflow_healthomics.resources.watch import Watch


@dataclass(eq=False, slots=True)
class Subscription:
    """
    A wait.

    :param watch: of the run or batch
    :param interval: seconds between two polls
    :param due: when to poll next, by the event loop's clock
    :param ended: receives the summary
    :param context: in which the watch logs, so that the lines go to the task's own log
    :param warned: episode of throttling that was logged last
    """

    watch: Watch
    interval: float
    due: float
    ended: asyncio.Future[dict[str, Any]]
    context: contextvars.Context
    warned: int = 0

    def end(self, result: dict[str, Any] | BaseException) -> None:
        """End the wait with a summary or an error, unless it has ended."""
        if self.ended.done():
            return
        if isinstance(result, BaseException):
            self.ended.set_exception(result)
        else:
            self.ended.set_result(result)


#: A set that keeps its order.
Subscriptions: TypeAlias = dict[Subscription, None]


class Queue:
    """Waits in the order in which they are due. One that is withdrawn is skipped."""

    def __init__(self) -> None:
        self.members: Subscriptions = {}
        self._heap: list[tuple[float, int, Subscription]] = []
        self._numbers = count()

    def add(self, subscription: Subscription) -> None:
        """Add a wait, by the time at which it is due."""
        self.members[subscription] = None
        heapq.heappush(self._heap, (subscription.due, next(self._numbers), subscription))

    def first(self) -> Subscription | None:
        """Return the wait that has been due for longest."""
        while self._heap:
            due, _, subscription = self._heap[0]
            if subscription in self.members and due == subscription.due:
                return subscription
            heapq.heappop(self._heap)
        return None


class Timetable:
    """
    Where each wait is.

    :ivar later: not due yet
    :ivar due: due, and not assigned to a call yet
    :ivar sought: to be found in the lists that are being read
    :ivar missing: not in the list where it was expected, and perhaps in a later one
    :ivar unsure: to be confirmed by the call of its kind, by operation
    """

    def __init__(self) -> None:
        self.later = Queue()
        self.due: Subscriptions = {}
        self.sought: Subscriptions = {}
        self.missing: Subscriptions = {}
        self.unsure: defaultdict[str, Queue] = defaultdict(Queue)

    def collect(self, until: float) -> None:
        """Move those that are due by a time to :attr:`due`."""
        while (first := self.later.first()) and first.due <= until:
            del self.later.members[first]
            self.due[first] = None

    def doubt(self, subscriptions: Iterable[Subscription]) -> None:
        """Have runs confirmed by the call of their kind."""
        for each in subscriptions:
            self.withdraw(each)
            self.unsure[each.watch.operation].add(each)

    def withdraw(self, subscription: Subscription) -> None:
        """Take a wait out of wherever it is."""
        for members in (
            self.later.members,
            self.due,
            self.sought,
            self.missing,
            self.unsure[subscription.watch.operation].members,
        ):
            members.pop(subscription, None)

    def schedule(self, subscription: Subscription, due: float) -> None:
        """Move a wait to a time."""
        self.withdraw(subscription)
        subscription.due = due
        self.later.add(subscription)

    def all_due(self) -> Iterator[Subscription]:
        """Iterate over all waits that are due."""
        yield from self.due
        yield from self.sought
        yield from self.missing
        for queue in self.unsure.values():
            yield from queue.members
