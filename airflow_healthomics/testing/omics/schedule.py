# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What changes by itself, in the order of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.options import Options


class Due(Protocol):
    """Something with a next change."""

    def due(self, options: Options) -> float | None:
        """Return the time of the next change, or None if none is planned."""


T = TypeVar("T", bound=Due)


class Schedule(Generic[T]):
    """
    Changes by their time; equal times keep the order in which they were added.

    :param change: Makes the change of something that is due, and adds it again.
    """

    def __init__(self, change: Callable[[T, float], None]) -> None:
        self._change = change
        self._heap: list[tuple[float, int, T]] = []
        self._tickets = count()

    def add(self, thing: T) -> None:
        """Add the next change of something."""
        due = thing.due(LOCAL.options)
        if due is not None:
            heappush(self._heap, (due, next(self._tickets), thing))

    def rebuild(self, things: Iterable[T]) -> None:
        """Replace everything, after a change of the pace."""
        things = list(things)
        self._heap.clear()
        for thing in things:
            self.add(thing)

    def things(self) -> list[T]:
        """Return everything that was added and is not due yet."""
        return [thing for *_, thing in self._heap]

    def apply_due(self, deadline: float) -> bool:
        """
        Make the changes that are due, at their times.

        :param deadline: Time of ``time.perf_counter`` after which, from the second on, none is made.
        :return: whether all were made
        """
        now = LOCAL.clock.now()
        while self._heap and self._heap[0][0] <= now:
            due, _, thing = heappop(self._heap)
            if thing.due(LOCAL.options) != due:
                continue  # it has moved since then, and was added again
            self._change(thing, due)
            if time.perf_counter() > deadline:
                return False
        return True
