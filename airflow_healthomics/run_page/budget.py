# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A bound on the AWS calls of the run page, whose quotas are those of the account's DAGs, too."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any, Final

#: Default of ``[healthomics] page_rate``. A page usually costs a GetRun and a ListRunTasks, so that is a
#: tenth of both default quotas: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
DEFAULT_RATE: Final = 2.0

#: Calls of a usual fetch, GetRun and a page of ListRunTasks. They are reserved until the fetch has ended.
USUAL_CALLS: Final = 2

#: Seconds of the rate that can be saved up, or borrowed.
BURST_SECONDS: Final = 10.0

#: Seconds after which an expired answer is twice as urgent.
_URGENCY: Final = 100.0


class Budget:
    """
    The AWS calls that all pages of one connection and region may make: a token bucket.

    Calls are charged when they are made, because their number is not known before. The longer an answer has
    been expired, the less must be left to refresh it. Otherwise the pages whose polls happen to come first
    would always be refreshed, and others never. A page without an answer may borrow.

    :param rate: calls per second
    """

    def __init__(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"[healthomics] page_rate must be above 0, not {rate}")
        self._rate = rate
        self._size = max(rate * BURST_SECONDS, 2.0 * USUAL_CALLS)
        self._left = self._size
        self._time = time.monotonic()
        self._lock = Lock()

    def begin(self, overdue: float | None) -> bool:
        """
        Reserve the calls of a usual fetch, if enough are left.

        :param overdue: seconds since the previous answer expired; None if there is no answer
        :returns: whether the fetch may begin; then :meth:`end` must follow
        """
        with self._lock:
            now = time.monotonic()
            self._left = min(self._size, self._left + (now - self._time) * self._rate)
            self._time = now
            if self._left < USUAL_CALLS + self._spare(overdue):
                return False
            self._left -= USUAL_CALLS
            return True

    def charge(self, **_: Any) -> None:
        """Account for a call. This is a handler of botocore's event ``request-created``."""
        with self._lock:
            self._left -= 1

    def end(self) -> None:
        """Release the reservation of a fetch, whose calls have been charged."""
        with self._lock:
            self._left += USUAL_CALLS

    def _spare(self, overdue: float | None) -> float:
        """Return the number of calls that must be left for others."""
        if overdue is None:
            return -self._size
        return (self._size - USUAL_CALLS) / 2 / (1 + overdue / _URGENCY)
