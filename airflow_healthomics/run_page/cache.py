# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A short memory of answers: who asks for the same meanwhile gets the same, and AWS is asked once."""

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
    """What is remembered."""

    @property
    def lifetime(self) -> float:
        """Seconds for which it is."""

    @property
    def size(self) -> int:
        """Bytes that it takes."""


A = TypeVar("A", bound=Answer)


class BusyError(Exception):
    """As many answers are on their way already as may be."""


@dataclass(eq=False, slots=True)
class _Entry(Generic[A]):
    future: Future[A]
    latest: A | None
    expires: float = math.inf


class Cache(Generic[A]):
    """
    Answers and errors by key, each fetched by one call at a time in a thread of the cache's own.

    Threads of its own, since those of the API server serve all of Airflow: a slow AWS must not hold them up.

    :param threads: how many answers are fetched at the same time
    :param max_pending: how many may be fetched or wait for that
    :param max_entries: how many answers and errors are remembered
    :param max_bytes: how many bytes of them
    :param error_lifetime: seconds for which an error is remembered
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
        Return the answer, or the error, that is there or on its way.

        :param key: what is asked for, and by whom: all that the answer depends on
        :param fetch: fetches the answer, given the one before if that is remembered
        :raises BusyError: if too many others are on their way
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
        """Forget what was not asked for the longest; what is on its way stays."""
        total = sum(entry.latest.size for entry in self._entries.values() if entry.latest)
        for key, entry in list(self._entries.items()):
            if len(self._entries) <= self._max_entries and total <= self._max_bytes:
                break
            if entry.expires < math.inf:
                del self._entries[key]
                total -= entry.latest.size if entry.latest else 0
