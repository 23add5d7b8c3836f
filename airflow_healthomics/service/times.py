# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Times from HealthOmics, which are ``datetime`` objects or ISO 8601 text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def as_time(value: Any) -> datetime | None:
    """Parse a time from botocore or JSON. Times without a zone, as in manifests, are UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def seconds_between(first: datetime | None, last: datetime | None) -> float | None:
    """Return the seconds between two times, at least 0, since clocks differ; None if a time is unknown."""
    return None if first is None or last is None else max((last - first).total_seconds(), 0.0)
