# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Filters of the List operations of stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_healthomics.testing.omics.listing import name_matches


def matches(
    params: Mapping[str, Any],
    view: Mapping[str, Any],
    equal: Iterable[str] = (),
    updated: datetime | None = None,
) -> bool:
    """
    Whether a resource matches all filters of a request.

    AWS does not document whether the times of filters are exclusive, as their names suggest; here they are.

    :param view: Members of the resource.
    :param equal: Filters by equality.
    """
    wanted: Mapping[str, Any] = params.get("filter") or {}
    return (
        name_matches(wanted.get("name"), view.get("name"))
        and all(wanted.get(name) in (None, view.get(name)) for name in equal)
        and _between(view["creationTime"], wanted, "created")
        and (updated is None or _between(updated, wanted, "updated"))
    )


def _between(moment: datetime, wanted: Mapping[str, Any], what: str) -> bool:
    after, before = wanted.get(f"{what}After"), wanted.get(f"{what}Before")
    return (after is None or _time(after) < moment) and (before is None or moment < _time(before))


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
