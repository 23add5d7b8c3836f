# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A cache of answers, so that concurrent requests for the same run cost one fetch."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from airflow_healthomics.run_page.budget import Budget


class Answer(Protocol):
    """A cached answer."""

    @property
    def lifetime(self) -> float:
        """Lifetime in seconds."""

    @property
    def size(self) -> int:
        """Number of bytes."""


A = TypeVar("A", bound=Answer)
T = TypeVar("T")


class BusyError(Exception):
    """There is no answer yet, and none may be fetched now."""


@dataclass(eq=False, slots=True)
class Entry(Generic[A]):
    """
    The answer of a key.

    :param future: the answer, an error, or a fetch in progress
    :param latest: the previous answer, if there was one
    :param expires: monotonic time
    """

    future: Future[A]
    latest: A | None
    expires: float = math.inf


class Lane:
    """
    The fetches of one connection and region: their threads, and the calls that they may make.

    A connection whose AWS does not answer keeps its own threads busy, and no others.

    :param budget: decides whether a fetch may begin
    :param threads: number of concurrent fetches
    :param max_pending: maximum number of running and queued fetches
    """

    def __init__(self, budget: Budget, *, threads: int, max_pending: int) -> None:
        self.budget = budget
        self._max_pending = max_pending
        self._pending = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="healthomics-run-page")
        self._lock = Lock()

    def begin(self, fetch: Callable[[], T], overdue: float | None) -> Future[T] | None:
        """
        Start a fetch; return None if too many are pending or too few calls are left.

        :param fetch: fetches an answer
        :param overdue: seconds since the previous answer expired; None if there is none
        """
        with self._lock:
            if self._pending >= self._max_pending or not self.budget.begin(overdue):
                return None
            self._pending += 1
        future = self._executor.submit(fetch)
        future.add_done_callback(self._end)
        return future

    def _end(self, _: Future[Any]) -> None:
        self.budget.end()
        with self._lock:
            self._pending -= 1


class Cache(Generic[A]):
    """
    Answers and errors by key. For each key, at most one fetch runs at a time.

    Fetches run in the threads of their lane. Those of the API server serve all of Airflow, and a slow AWS
    must not block them.

    :param max_entries: maximum number of cached answers and errors
    :param max_bytes: maximum number of bytes of cached answers
    :param error_lifetime: returns the lifetime of an error in seconds
    """

    def __init__(
        self,
        *,
        max_entries: int,
        max_bytes: int,
        error_lifetime: Callable[[BaseException], float],
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._error_lifetime = error_lifetime
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, Entry[A]] = OrderedDict()

    def get(self, key: Hashable, fetch: Callable[[A | None], A], lane: Lane) -> Entry[A]:
        """
        Return the cached answer or error, or start a fetch.

        If no fetch may start, an expired answer is returned.

        :param key: everything that the answer depends on
        :param fetch: fetches the answer, given the previous one if it is cached
        :param lane: starts the fetch
        :raises BusyError: if no fetch may start, and there is no answer
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry and time.monotonic() < entry.expires:
                self._entries.move_to_end(key)
                return entry
            latest = entry.latest if entry else None
            overdue = time.monotonic() - entry.expires if entry and latest else None
            if (future := lane.begin(partial(fetch, latest), overdue)) is None:
                if latest is None:
                    raise BusyError
                return _settled(latest)
            entry = Entry(future, latest)
            self._entries[key] = entry
            self._entries.move_to_end(key)
        future.add_done_callback(partial(self._settle, entry))
        return entry

    def expire(self, matches: Callable[[Any], bool]) -> None:
        """
        Fetch answers again on the next request, if only enough calls for that are left.

        :param matches: returns whether the answer of a key is concerned
        """
        with self._lock:
            for key in [each for each in self._entries if matches(each)]:
                # A fetch in progress may return what has changed since, so its answer is not used.
                entry = self._entries.pop(key)
                if entry.latest is not None:
                    self._entries[key] = _settled(entry.latest)

    def _settle(self, entry: Entry[A], future: Future[A]) -> None:
        error = future.exception()
        if error is None:
            entry.latest = future.result()
            lifetime = entry.latest.lifetime
        else:
            lifetime = self._error_lifetime(error)
        entry.expires = time.monotonic() + lifetime
        with self._lock:
            self._evict()

    def _evict(self) -> None:
        """Drop the least recently used answers. Pending ones stay."""
        total = sum(entry.latest.size for entry in self._entries.values() if entry.latest)
        for key, entry in list(self._entries.items()):
            if len(self._entries) <= self._max_entries and total <= self._max_bytes:
                break
            if entry.expires < math.inf:
                del self._entries[key]
                total -= entry.latest.size if entry.latest else 0


def _settled(answer: A) -> Entry[A]:
    """Return the entry of an answer that has expired long ago."""
    future = Future[A]()
    future.set_result(answer)
    return Entry(future, answer, -math.inf)
