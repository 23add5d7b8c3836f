# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered values that only HealthOmics gets to know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from airflow_healthomics.hooks.omics import HealthOmicsHook

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.utils.mixins import AwsBaseHookMixin

    from airflow_healthomics.compat import BaseOperator

    class _Base(BaseOperator, AwsBaseHookMixin[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = object


class Private:
    """
    Rendered parameters that only HealthOmics gets to know.

    The OpenLineage provider puts the ``parameters`` of any operator into a facet of its own in each event, as
    it expects those of SQL there. JSON cannot hold this. The Rendered Template view gets the value by
    :meth:`serialize`; that of Airflow 2, which does not ask for it, shows no value.

    :param value: anything
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def serialize(self) -> Any:
        """Return the value for the Rendered Template view, of which Airflow 3.0 wants JSON with a length."""
        try:
            plain = json.loads(json.dumps(self.value))
        except (TypeError, ValueError, OverflowError, RecursionError):
            plain = None
        return plain if isinstance(plain, (dict, list, str)) else str(self.value)

    def __repr__(self) -> str:
        """Tell nothing."""
        return "<private>"


class _PrivateMapping(Private, MutableMapping[str, Any]):
    """The same for a mapping, which reads and changes as a ``dict`` does, for a ``pre_execute``."""

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
        """Return a shallow copy, as private."""
        return _PrivateMapping(self)


def unwrap(value: Any) -> Any:
    """Return the value itself, if it is :class:`Private`."""
    return value.value if isinstance(value, Private) else value


def private(value: Any) -> Private:
    """Return the value as :class:`Private`."""
    if isinstance(value, Private):
        return value
    return _PrivateMapping(value) if isinstance(value, Mapping) else Private(value)
