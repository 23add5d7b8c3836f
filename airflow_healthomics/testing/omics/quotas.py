# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Quotas of resources per account and region."""

from __future__ import annotations

from .exceptions import ServiceQuotaExceededException


def check_quota(what: str, count: int, limit: int) -> None:
    """Refuse one more resource if there are as many as the quota allows."""
    if count >= limit:
        raise ServiceQuotaExceededException(f"The account already has {count} of {limit} {what}")
