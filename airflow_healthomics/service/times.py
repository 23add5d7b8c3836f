# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Times as the service gives them: objects, or text in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def as_time(value: Any) -> datetime | None:
    """Return a time of botocore or of JSON; a manifest has some without a zone, which are UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def seconds_between(first: datetime | None, last: datetime | None) -> float | None:
    """Return the seconds from one time to another, none if one is not known; clocks may differ a little."""
    return None if first is None or last is None else max((last - first).total_seconds(), 0.0)
