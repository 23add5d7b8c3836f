# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The pace of calls: below the quota, and adaptive under throttling, so that callers share it fairly."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

#: Calls per second of ListRuns and of GetRun, each, that an account and region may make by default. Slowing
#: down starts there: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
QUOTA: Final = 10.0

#: Maximum calls per second by default. Others need a part of the quota.
DEFAULT_RATE: Final = 8.0

#: Minimum calls per second under throttling.
_LOWEST_RATE: Final = 0.5

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
    The pace of one operation: a token bucket, and under throttling an adaptive rate.

    The bucket holds the calls of a second, so that a few calls need no pause. Under throttling, the rate has
    an additive increase and a multiplicative decrease, with jitter. Like TCP connections, independent callers
    then converge to equal shares of a quota (https://www.rfc-editor.org/rfc/rfc5681). A single success does
    not restore the pace.

    All times are arguments, in seconds of a monotonic clock.

    :param limit: maximum calls per second, ``[healthomics] poll_rate``
    :param jitter: returns a random number from 0 to 1
    :ivar ready_at: time at which the next call may begin
    :ivar streak: number of consecutive throttled calls; a success halves it
    """

    def __init__(self, limit: float = DEFAULT_RATE, jitter: Callable[[], float] = random.random) -> None:
        if limit <= 0:
            raise ValueError(f"[healthomics] poll_rate must be above 0, not {limit}")
        self.ready_at = -math.inf
        self.streak = 0
        self._limit = limit
        self._jitter = jitter
        self._tokens = self._capacity = max(limit, 1.0)
        self._filled_at = -math.inf
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
        filled = self._tokens + (now - self._filled_at) * self._limit
        self._tokens = min(filled, self._capacity) - 1
        self._filled_at = now
        until_token = max(0.0, 1 - self._tokens) / self._limit
        self.ready_at = now + max(self._gap(1 / self._rate), until_token)

    def succeed(self, now: float) -> None:
        """Account for a call that was not throttled."""
        self.streak //= 2
        self._rate += _INCREASE * min(now - self._raised_at, _LONGEST_REST)
        self._raised_at = now
        if self._rate > self._limit:
            self._rate = math.inf

    def throttle(self, now: float) -> None:
        """Account for a call that was throttled."""
        self._throttled_at = self._raised_at = now
        self.streak += 1
        self._rate = max(min(self._rate, QUOTA) * _DECREASE, _LOWEST_RATE)
        doublings = min(max(self.streak - _PATIENCE, 0), 10)
        self.ready_at = now + self._gap(2**doublings / self._rate)

    def _gap(self, seconds: float) -> float:
        return min(seconds * (0.5 + self._jitter()), LONGEST_GAP)
