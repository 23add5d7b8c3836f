# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Token buckets for the service's limits of calls per account and region."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass
class Bucket:
    """A token bucket with a capacity of one second of calls, at least one."""

    rate: float
    tokens: float
    filled_at: float

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        # A batch takes its tokens at the due times of its runs, which may be in the past.
        elapsed = max(0.0, now - self.filled_at)
        self.tokens = min(max(self.rate, 1.0), self.tokens + elapsed * self.rate)
        self.filled_at += elapsed
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def missing(self) -> float:
        """Return the seconds until the next token, at least the resolution of a clock."""
        return max(0.001, (1 - self.tokens) / self.rate)


class Throttle:
    """One bucket for each account, region and operation."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, Bucket] = {}

    def clear(self) -> None:
        """Fill all buckets."""
        self._buckets.clear()

    def allows(self, key: Hashable, rate: float, now: float) -> bool:
        """Whether one more call is within a rate; if so, count it."""
        return self._bucket(key, rate, now).take(now)

    def wait(self, key: Hashable, rate: float, now: float) -> float:
        """Count one more call if it is within a rate, and return 0; else return the seconds to wait."""
        bucket = self._bucket(key, rate, now)
        return 0.0 if bucket.take(now) else bucket.missing()

    def _bucket(self, key: Hashable, rate: float, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[key] = Bucket(rate, max(rate, 1.0), now)
        return bucket
