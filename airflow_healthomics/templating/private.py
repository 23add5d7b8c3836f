# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered values that must not reach OpenLineage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any


class Private:
    """
    Rendered parameters that must not reach OpenLineage.

    The OpenLineage provider copies the ``parameters`` of every operator to a facet, expecting SQL parameters.
    This wrapper has no JSON representation, so it cannot be copied. The Rendered Template view calls
    :meth:`serialize` to get the value. Airflow 2 does not, so there the view shows no value.

    :param value: anything
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def serialize(self) -> Any:
        """Return the value for the Rendered Template view. Airflow 3.0 requires JSON with a length."""
        try:
            plain = json.loads(json.dumps(self.value))
        except (TypeError, ValueError, OverflowError, RecursionError):
            plain = None
        return plain if isinstance(plain, (dict, list, str)) else str(self.value)

    def __repr__(self) -> str:
        """Hide the value."""
        return "<private>"


class _PrivateMapping(Private, MutableMapping[str, Any]):
    """A private mapping. A ``pre_execute`` can use it like a ``dict``."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__(dict(value))

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.value[key] = value

    def __delitem__(self, key: str) -> None:
        del self.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __or__(self, other: Mapping[str, Any]) -> _PrivateMapping:
        return _PrivateMapping({**self, **other})

    def __ror__(self, other: Mapping[str, Any]) -> _PrivateMapping:
        return _PrivateMapping({**other, **self})

    def copy(self) -> _PrivateMapping:
        """Return a private shallow copy."""
        return _PrivateMapping(self)


def unwrap(value: Any) -> Any:
    """Return the value inside :class:`Private`, and any other value unchanged."""
    return value.value if isinstance(value, Private) else value


def private(value: Any) -> Private:
    """Return the value as :class:`Private`."""
    if isinstance(value, Private):
        return value
    return _PrivateMapping(value) if isinstance(value, Mapping) else Private(value)
