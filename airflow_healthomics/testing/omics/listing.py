# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Pagination and filters of the List operations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from airflow_healthomics.testing.local import LOCAL

from .exceptions import ValidationException

PAGE_SIZE = 100
#: Keys are ids, which have at most 36 digits.
_TOKEN = re.compile("[0-9]{1,36}")

T = TypeVar("T")


def page(
    things: Iterable[T],
    params: Mapping[str, Any],
    *,
    key: Callable[[T], int],
    item: Callable[[T], dict[str, Any]],
    wanted: Callable[[T], bool] = lambda _: True,
    size_member: str = "maxResults",
    result_member: str = "items",
    token_member: str = "startingToken",
) -> dict[str, Any]:
    """
    Return the page of a token. A token is the key of the last item, so that new items do not shift pages.

    :param things: Ordered by key. They are read lazily.
    """
    last = after(params, token_member)
    size = params.get(size_member, PAGE_SIZE)
    if size < 1:  # the model of ListShares has no limits
        raise ValidationException(f"{size_member} must be at least 1")
    found = list(islice((thing for thing in things if key(thing) > last and wanted(thing)), size + 1))
    shown = found[:size]
    return {
        result_member: [item(thing) for thing in shown],
        "nextToken": str(key(shown[-1])) if len(found) > size else None,
    }


def after(params: Mapping[str, Any], token_member: str = "startingToken") -> int:
    """Return the key of the last item on the previous page; keys begin with 1."""
    token = params.get(token_member, "0")
    if not _TOKEN.fullmatch(token):
        raise ValidationException(f"{token_member} is not a token of this service")
    return int(token)


def name_matches(wanted: str | None, name: str | None) -> bool:
    """Whether a name matches the filter, according to the option ``name_filter``."""
    if wanted is None:
        return True
    return wanted == name if LOCAL.options.name_filter == "exact" else wanted in (name or "")


def only_filter(params: Mapping[str, Any], names: Iterable[str]) -> None:
    """
    Refuse more than one filter: "only one filter per call is supported" (API reference of the batch lists).

    :raises ValidationException: with the filters. AWS does not document the error.
    """
    given = [name for name in names if name in params]
    if len(given) > 1:
        raise ValidationException(f"only one filter is supported, not {' and '.join(given)}")
