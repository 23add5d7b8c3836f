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
from typing import Generic, Protocol, TypeVar

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


class BusyError(Exception):
    """There is no answer yet, and too many others are being fetched."""


@dataclass(eq=False, slots=True)
class _Entry(Generic[A]):
    future: Future[A]
    latest: A | None
    expires: float = math.inf


class Cache(Generic[A]):
    """
    Answers and errors by key. For each key, at most one fetch runs at a time.

    Fetches run in separate threads. Those of the API server serve all of Airflow, and a slow AWS must not
    block them.

    :param threads: number of concurrent fetches
    :param max_pending: maximum number of running and queued fetches
    :param max_entries: maximum number of cached answers and errors
    :param max_bytes: maximum number of bytes of cached answers
    :param error_lifetime: returns the lifetime of an error in seconds
    """

    def __init__(
        self,
        *,
        threads: int,
        max_pending: int,
        max_entries: int,
        max_bytes: int,
        error_lifetime: Callable[[BaseException], float],
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="healthomics-run-page")
        self._max_pending = max_pending
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._error_lifetime = error_lifetime
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, _Entry[A]] = OrderedDict()

    def get(self, key: Hashable, fetch: Callable[[A | None], A], budget: Budget) -> Future[A]:
        """
        Return the cached answer or error, or start a fetch.

        If no fetch may start, an expired answer is returned.

        :param key: everything that the answer depends on
        :param fetch: fetches the answer, given the previous one if it is cached
        :param budget: decides whether a fetch may start
        :raises BusyError: if no fetch may start, and there is no answer
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry and time.monotonic() < entry.expires:
                self._entries.move_to_end(key)
                return entry.future
            latest = entry.latest if entry else None
            overdue = time.monotonic() - entry.expires if entry and latest else None
            if self._is_full() or not budget.begin(overdue):
                return _expired(latest)
            entry = _Entry(self._executor.submit(fetch, latest), latest)
            self._entries[key] = entry
            self._entries.move_to_end(key)
        entry.future.add_done_callback(partial(self._settle, entry, budget))
        return entry.future

    def _is_full(self) -> bool:
        return sum(not each.future.done() for each in self._entries.values()) >= self._max_pending

    def _settle(self, entry: _Entry[A], budget: Budget, future: Future[A]) -> None:
        budget.end()
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


def _expired(answer: A | None) -> Future[A]:
    if answer is None:
        raise BusyError
    future = Future[A]()
    future.set_result(answer)
    return future
