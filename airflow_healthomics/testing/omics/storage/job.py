# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A job of a store, and its sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.options import Options

ENDED: Final = ("COMPLETED", "COMPLETED_WITH_FAILURES", "FAILED", "CANCELLED")
#: User guide, pages "activating-read-sets" and "import-sequence-store"; the others in similar words.
MESSAGES: Final[Mapping[str, str]] = {
    "SUBMITTED": "The job is submitted and will start soon.",
    "IN_PROGRESS": "The job is currently in progress.",
    "COMPLETED": "The job completed successfully.",
    "COMPLETED_WITH_FAILURES": "The job completed with failures.",
    "FAILED": "The job failed.",
    "CANCELLED": "The job was cancelled.",
}
SOURCE_MESSAGES: Final[Mapping[str, str]] = {
    "NOT_STARTED": "The source is queued for the job.",
    "IN_PROGRESS": "The job is currently in progress.",
    "FINISHED": "The source completed successfully.",
}


class SourceError(Exception):
    """A source fails, with this text as its statusMessage."""


@dataclass(eq=False, kw_only=True)
class Source:
    """
    A source of a job.

    :param result: Id of the reference or read set that an import made of it.
    """

    request: Mapping[str, Any]
    status: str = "NOT_STARTED"
    failure: str | None = None
    result: str | None = None

    def view(self) -> dict[str, Any]:
        """Return the common members of Get responses."""
        return {"status": self.status, "statusMessage": self.failure or SOURCE_MESSAGES.get(self.status)}

    def names(self) -> Iterator[str]:
        """Yield everything by which a plan can name the source: its URIs, ids and names."""
        files = self.request.get("sourceFiles") or {}
        yield from files.values()
        for member in ("sourceFile", "readSetId", "name", "sampleId", "subjectId"):
            if member in self.request:
                yield self.request[member]


class JobKind(Protocol):
    """The jobs of one kind."""

    #: Their name in events, e.g. "Read Set Import Job".
    name: str
    #: The operation that starts them.
    operation: str
    #: Member of requests and responses with the id of the store.
    store_member: str
    #: Members of the request that each response has.
    echoed: tuple[str, ...]

    def step(self, job: Job, at: float) -> None:
        """Move a job to its next status."""

    def end_as(self, job: Job, status: str, message: str) -> None:
        """End an active job as FAILED, with all its sources, or as CANCELLED."""


@dataclass(eq=False, kw_only=True)
class Job:
    """A job of a store."""

    id: str
    kind: JobKind
    store_id: str
    store_arn: str
    request: Mapping[str, Any]
    created: float
    entered: float
    sources: list[Source]
    status: str = "SUBMITTED"
    completed: float | None = None

    @property
    def active(self) -> bool:
        """Whether the job has not ended."""
        return self.status not in ENDED

    def due(self, options: Options) -> float | None:
        """Return the time of the next status, or None after the end, or if only the control moves the job."""
        seconds = options.job_seconds(self.status)
        return None if seconds is None else self.entered + seconds

    def apply(self, at: float) -> None:
        """Move the job to its next status."""
        self.kind.step(self, at)

    def item(self) -> dict[str, Any]:
        """Return the job for a List operation."""
        return {
            "id": self.id,
            self.kind.store_member: self.store_id,
            **{name: self.request[name] for name in self.kind.echoed},
            "status": self.status,
            "creationTime": to_datetime(self.created),
            "completionTime": to_datetime(self.completed),
        }

    def started_view(self) -> dict[str, Any]:
        """Return the job for a Start operation, which may be a repeated one."""
        view = {name: value for name, value in self.item().items() if name != "completionTime"}
        return {**view, "status": "SUBMITTED"} if LOCAL.options.duplicate_status == "pending" else view

    def view(self, sources_member: str, source: Callable[[Source], dict[str, Any]]) -> dict[str, Any]:
        """Return the job for a Get operation."""
        sources = [{**source(each), **each.view()} for each in self.sources]
        return {**self.item(), "statusMessage": MESSAGES[self.status], sources_member: sources}
