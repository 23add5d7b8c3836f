# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The end of a run or batch, and where ends are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.hooks.omics import HealthOmicsHook

#: Status of a run that no longer exists. GetRun may have it while the event of an earlier end arrives.
DELETED: Final = "DELETED"


@dataclass(frozen=True)
class End:
    """
    A confirmed end.

    :param payload: payload of the event: ids, names, times and the reason of a failure, never parameters
    :param described: answer of GetRun or GetBatch; None if it no longer exists
    :param at: its time; None if unknown
    """

    payload: Mapping[str, Any]
    described: Mapping[str, Any] | None = None
    at: datetime | None = None

    @property
    def identity(self) -> str:
        """The key of its record: the uuid and the status."""
        return f"{self.payload['uuid']}.{self.payload['status']}"


@dataclass(frozen=True)
class Candidate:
    """
    A run or batch that a list or an event reports as ended.

    :param id: id of the run or batch
    :param told: ``status``, ``name``, ``workflowId``, ``uuid`` and more by the names of the payload, as far
        as they are known
    :param ended: time of the end, if known
    """

    id: str
    told: Mapping[str, Any]
    ended: datetime | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What distinguishes it from others without a uuid: a deleted run's id may be reused."""
        return self.id, self.told.get("creationTime"), self.told["status"]


class EndSource(ABC):
    """
    The ends of one kind of resource.

    :cvar noun: for log lines
    :cvar terminal: statuses that an end may have
    :cvar detail_type: of its events in EventBridge
    :cvar id_field: member of such an event with the id
    :cvar name_field: member of such an event with the name
    """

    noun: ClassVar[str]
    terminal: ClassVar[Collection[str]]
    detail_type: ClassVar[str]
    id_field: ClassVar[str]
    name_field: ClassVar[str]

    @abstractmethod
    def candidates(self, hook: HealthOmicsHook, search: EndSearch, horizon: datetime) -> Iterator[Candidate]:
        """
        Yield those that may have ended after a time, page by page.

        :param hook: hook with the client
        :param search: criteria
        :param horizon: ends before it are of no interest
        """

    @abstractmethod
    def confirm(self, hook: HealthOmicsHook, candidate: Candidate) -> End | None:
        """
        Ask HealthOmics whether it has ended, with one call.

        :param hook: hook with the client
        :param candidate: the candidate
        :returns: the end; None if HealthOmics does not confirm it yet
        """


def as_text(value: Any) -> Any:
    """Return a time as ISO 8601 text, and other values unchanged."""
    return value.isoformat() if isinstance(value, datetime) else value
