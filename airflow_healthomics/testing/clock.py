# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The clock of the local HealthOmics."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """
    A wall clock that can be moved forward and stopped.

    Times are seconds since the epoch, as floats.
    """

    def __init__(self) -> None:
        self._offset = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        """Return the local time."""
        return (time.time() if self._stopped_at is None else self._stopped_at) + self._offset

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        self._offset += seconds

    def stop(self) -> None:
        """Stop the clock. From now on, only :meth:`advance` moves it."""
        if self._stopped_at is None:
            self._stopped_at = time.time()


def to_datetime(seconds: float | None) -> datetime | None:
    """Convert a time to an aware datetime for moto's serializer."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def to_iso(seconds: float | None) -> str | None:
    """Format a time as in events and manifests of HealthOmics: ``2022-08-24T19:53:55.284Z``."""
    moment = to_datetime(seconds)
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
