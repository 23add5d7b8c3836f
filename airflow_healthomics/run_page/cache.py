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
    """Too many answers are being fetched."""


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

    def get(self, key: Hashable, fetch: Callable[[A | None], A]) -> Future[A]:
        """
        Return the cached answer or error, or start a fetch.

        :param key: everything that the answer depends on
        :param fetch: fetches the answer, given the previous one if it is cached
        :raises BusyError: if too many other fetches are pending
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry and time.monotonic() < entry.expires:
                self._entries.move_to_end(key)
                return entry.future
            if sum(not each.future.done() for each in self._entries.values()) >= self._max_pending:
                raise BusyError
            latest = entry.latest if entry else None
            entry = _Entry(self._executor.submit(fetch, latest), latest)
            self._entries[key] = entry
            self._entries.move_to_end(key)
        entry.future.add_done_callback(partial(self._settle, entry))
        return entry.future

    def _settle(self, entry: _Entry[A], future: Future[A]) -> None:
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
