# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Poll interval under throttling: an adaptive call rate, so that several callers share a quota fairly."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

#: Calls per second at which slowing down starts, the documented quota of ListRuns and GetRun:
#: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_FIRST_RATE: Final = 10.0

#: Minimum and maximum calls per second. Above the maximum the rate is unlimited, because the quota of an
#: account may have been raised.
_LOWEST_RATE: Final = 0.5
_HIGHEST_RATE: Final = 20.0

#: Factor by which a throttled call reduces the rate.
_DECREASE: Final = 0.5

#: Calls per second that are added to the rate each second, and the longest idle time that counts.
_INCREASE: Final = 0.2
_LONGEST_REST: Final = 10.0

#: Consecutive throttled calls that only reduce the rate. After that, each one doubles the gap.
_PATIENCE: Final = 2

#: Maximum seconds between two calls.
LONGEST_GAP: Final = 60.0

#: Seconds without a throttled call after which an episode of throttling is over.
QUIET: Final = 300.0


class Pace:
    """
    The pace of one operation: additive increase, multiplicative decrease, with jitter.

    Like TCP connections, independent callers converge to equal shares of a quota
    (https://www.rfc-editor.org/rfc/rfc5681). A single success does not restore the pace.

    All times are arguments, in seconds of a monotonic clock.

    :param jitter: returns a random number from 0 to 1
    :ivar ready_at: time at which the next call may begin
    :ivar streak: number of consecutive throttled calls; a success halves it
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self.ready_at = -math.inf
        self.streak = 0
        self._jitter = jitter
        self._rate = math.inf
        self._throttled_at = -math.inf
        self._raised_at = -math.inf

    def is_throttled(self, now: float) -> bool:
        """Whether an episode of throttling is in progress."""
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
