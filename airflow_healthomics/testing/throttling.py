# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Token buckets, as the service limits calls per account and region."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass
class Bucket:
    """Holds one second's worth of calls, at least one, and fills at its rate."""

    rate: float
    tokens: float
    filled_at: float

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        # A batch takes its tokens at the times at which its runs were due, which may lie in the past.
        elapsed = max(0.0, now - self.filled_at)
        self.tokens = min(max(self.rate, 1.0), self.tokens + elapsed * self.rate)
        self.filled_at += elapsed
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def missing(self) -> float:
        """Return in how many seconds there is a token again; never so few that a clock cannot tell them."""
        return max(0.001, (1 - self.tokens) / self.rate)


class Throttle:
    """One bucket for each account, region and operation."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, Bucket] = {}

    def clear(self) -> None:
        """Fill all buckets."""
        self._buckets.clear()

    def allows(self, key: Hashable, rate: float, now: float) -> bool:
        """Say whether one more call is within a rate, and count it if it is."""
        return self._bucket(key, rate, now).take(now)

    def wait(self, key: Hashable, rate: float, now: float) -> float:
        """Count one more call if it is within a rate, else say in how many seconds it may be."""
        bucket = self._bucket(key, rate, now)
        return 0.0 if bucket.take(now) else bucket.missing()

    def _bucket(self, key: Hashable, rate: float, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[key] = Bucket(rate, max(rate, 1.0), now)
        return bucket
