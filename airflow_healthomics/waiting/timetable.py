# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The waits of a poller, and when each is due."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.waiting.list_choice import Place

#: The default poll intervals of 60 and 30 seconds stay as they are.
_ORIGIN: Final = 60.0
_STEPS_PER_DOUBLING: Final = 4


def shared_interval(interval: float) -> float:
    """
    Round a poll interval down to one that similar intervals share, so that their runs are listed together.

    :param interval: seconds
    """
    steps = math.floor(math.log2(interval / _ORIGIN) * _STEPS_PER_DOUBLING + 1e-9)
    return _ORIGIN * 2 ** (steps / _STEPS_PER_DOUBLING)


@dataclass(eq=False, slots=True)
class Subscription:
    """
    A wait of one task for a run or batch.

    :param watch: state of the wait
    :param interval: poll interval in seconds
    :param due: time of the next poll, by the event loop's clock
    :param ended: future of the summary
    :param context: context in which the watch logs, so that the lines go to the log of its task
    :param warned: number of the last throttling episode that was logged
    """

    watch: Watch
    interval: float
    due: float
    ended: asyncio.Future[dict[str, Any]]
    context: contextvars.Context
    warned: int = 0

    @property
    def place(self) -> Place:
        """The lists that contain its run."""
        return Place(self.watch.list_status, self.watch.list_filter)

    def end(self, result: dict[str, Any] | BaseException) -> None:
        """End the wait with a summary or an error, unless it has ended."""
        if self.ended.done():
            return
        if isinstance(result, BaseException):
            self.ended.set_exception(result)
        else:
            self.ended.set_result(result)


#: An ordered set.
Subscriptions: TypeAlias = dict[Subscription, None]


class Queue:
    """Waits in order of their due time, without those that were withdrawn."""

    def __init__(self) -> None:
        self.members: Subscriptions = {}
        self._heap: list[tuple[float, int, Subscription]] = []
        self._numbers = count()

    def add(self, subscription: Subscription) -> None:
        """Add a wait at its due time."""
        self.members[subscription] = None
        heapq.heappush(self._heap, (subscription.due, next(self._numbers), subscription))

    def first(self) -> Subscription | None:
        """Return the wait with the earliest due time."""
        while self._heap:
            due, _, subscription = self._heap[0]
            if subscription in self.members and due == subscription.due:
                return subscription
            heapq.heappop(self._heap)
        return None


class Timetable:
    """
    All waits by their current step.

    :ivar later: waits that are not due yet
    :ivar due: waits that are due and not yet assigned to a call
    :ivar sought: waits that are expected in one of the lists being read
    :ivar missing: waits that were not in the expected list but may be in a later one
    :ivar unsure: waits to confirm by an individual call, by operation
    """

    def __init__(self) -> None:
        self.later = Queue()
        self.due: Subscriptions = {}
        self.sought: Subscriptions = {}
        self.missing: Subscriptions = {}
        self.unsure: defaultdict[str, Queue] = defaultdict(Queue)

    def collect(self, until: float) -> None:
        """Move the waits that are due until a time to :attr:`due`."""
        while (first := self.later.first()) and first.due <= until:
            del self.later.members[first]
            self.due[first] = None

    def doubt(self, subscriptions: Iterable[Subscription]) -> None:
        """Queue waits for an individual call."""
        for each in subscriptions:
            self.withdraw(each)
            self.unsure[each.watch.operation].add(each)

    def withdraw(self, subscription: Subscription) -> None:
        """Remove a wait from its step."""
        for members in (
            self.later.members,
            self.due,
            self.sought,
            self.missing,
            self.unsure[subscription.watch.operation].members,
        ):
            members.pop(subscription, None)

    def schedule(self, subscription: Subscription, due: float) -> None:
        """Set the next poll of a wait."""
        self.withdraw(subscription)
        subscription.due = due
        self.later.add(subscription)

    @staticmethod
    def places(subscriptions: Iterable[Subscription]) -> Counter[Place]:
        """Return the number of runs by place. Several waits for the same run cost one GetRun call."""
        return Counter({each.watch.key: each.place for each in subscriptions}.values())

    def all_due(self) -> Iterator[Subscription]:
        """Iterate over all waits that are due."""
        yield from self.due
        yield from self.sought
        yield from self.missing
        for queue in self.unsure.values():
            yield from queue.members
