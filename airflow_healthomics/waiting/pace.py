# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The pace at which one API operation is called, so that several callers share its quota fairly."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

#: Calls a second from which a pace starts to slow down, the documented quota of ListRuns and GetRun:
#: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_FIRST_RATE: Final = 10.0

#: Calls a second, at least and at most. Beyond the highest rate there is no gap at all: the quota of an
#: account may have been raised.
_LOWEST_RATE: Final = 0.5
_HIGHEST_RATE: Final = 20.0

#: What is left of the rate after a throttled call.
_DECREASE: Final = 0.5

#: Calls a second that are added to the rate each second, and the seconds of a rest that count.
_INCREASE: Final = 0.2
_LONGEST_REST: Final = 10.0

#: Throttled calls in a row that the rate alone makes up for. From then on the gap doubles.
_PATIENCE: Final = 2

#: Seconds between two calls, at most.
LONGEST_GAP: Final = 60.0

#: Seconds without a throttled call after which an episode of throttling is over.
QUIET: Final = 300.0


class Pace:
    """
    The pace of one operation: additive increase, multiplicative decrease, with jitter.

    Callers that know nothing of each other converge to equal shares of a quota this way, as TCP connections
    do (https://www.rfc-editor.org/rfc/rfc5681). A single success does not restore the pace.

    Each time is passed in, in seconds of any clock that never goes back.

    :param jitter: returns a random number from 0 to 1
    :ivar ready_at: when the next call may begin
    :ivar streak: number of throttled calls in a row; a success halves it
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self.ready_at = -math.inf
        self.streak = 0
        self._jitter = jitter
        self._rate = math.inf
        self._throttled_at = -math.inf
        self._raised_at = -math.inf

    def is_throttled(self, now: float) -> bool:
        """Whether an episode of throttling lasts."""
        return now - self._throttled_at < QUIET

    def begin(self, now: float) -> None:
        """Account for a call that begins."""
        if not self.is_throttled(now):
            self._rate = math.inf
        self.ready_at = now + self._gap(1 / self._rate)

    def succeed(self, now: float) -> None:
        """Account for a call that was not throttled."""
        self.streak //= 2
        self._rate += _INCREASE * min(now - self._raised_at, _LONGEST_REST)
        self._raised_at = now
        if self._rate > _HIGHEST_RATE:
            self._rate = math.inf

    def throttle(self, now: float) -> None:
        """Account for a call that was throttled."""
        self._throttled_at = self._raised_at = now
        self.streak += 1
        self._rate = max(min(self._rate, _FIRST_RATE) * _DECREASE, _LOWEST_RATE)
        doublings = min(max(self.streak - _PATIENCE, 0), 10)
        self.ready_at = now + self._gap(2**doublings / self._rate)

    def _gap(self, seconds: float) -> float:
        return min(seconds * (0.5 + self._jitter()), LONGEST_GAP)
