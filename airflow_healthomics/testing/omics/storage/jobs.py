# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Jobs: imports of references and read sets, exports and activations.

A job is SUBMITTED, then IN_PROGRESS, and ends with one status for the job and one for each source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import ResourceNotFoundException
from airflow_healthomics.testing.omics.listing import page

from . import events
from .filters import matches
from .job import MESSAGES, Job, Source, SourceError


class Jobs:
    """
    The jobs of one kind in one account and region.

    ``name``, ``operation``, ``store_member`` and ``echoed`` are those of :class:`JobKind`.

    :param process: Processes a source at a time, and raises SourceError if that fails.
    :param begin: Called for each source when the job begins.
    :param give_up: Called for each source that fails, or that a cancelled job leaves unfinished.
    """

    def __init__(
        self,
        backend: Backend,
        name: str,
        operation: str,
        store_member: str,
        echoed: tuple[str, ...],
        process: Callable[[Job, Source, float], None],
        begin: Callable[[Job, Source, float], None] = lambda *_: None,
        give_up: Callable[[Job, Source, float], None] = lambda *_: None,
    ) -> None:
        self.name = name
        self.operation = operation
        self.store_member = store_member
        self.echoed = echoed
        self._backend = backend
        self._process = process
        self._begin = begin
        self._give_up = give_up
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def repeated(self, params: Mapping[str, Any]) -> Job | None:
        """Return the job that an earlier request with the client token started, if any."""
        job: Job | None = self._backend.client_tokens.result(self.operation, params)
        return job

    def start(self, params: Mapping[str, Any], store_arn: str) -> Job:
        """Start a job."""
        now = LOCAL.clock.now()
        job_id = self._backend.new_storage_id()
        job = self._jobs[job_id] = Job(
            id=job_id,
            kind=self,
            store_id=params[self.store_member],
            store_arn=store_arn,
            request=params,
            created=now,
            entered=now,
            sources=[Source(request=each) for each in params["sources"]],
        )
        self._backend.client_tokens.remember(self.operation, params, job)
        self._announce(job)
        self._backend.schedule.add(job)
        return job

    def get(self, params: Mapping[str, Any]) -> Job:
        """Return the job of a Get request."""
        job = self._jobs.get(params["id"])
        if job is None or job.store_id != params[self.store_member]:
            raise ResourceNotFoundException(f"{self.name} {params['id']} not found")
        return job

    def page(self, params: Mapping[str, Any], result_member: str) -> dict[str, Any]:
        """Return a page of the jobs of a store for a List request."""
        return page(
            self._jobs.values(),
            params,
            key=lambda job: int(job.id),
            item=Job.item,
            wanted=lambda job: (
                job.store_id == params[self.store_member] and matches(params, job.item(), ("status",))
            ),
            result_member=result_member,
            token_member="nextToken",
        )

    def step(self, job: Job, at: float) -> None:
        """Move a job to its next status."""
        if job.status == "SUBMITTED":
            self._enter(job, "IN_PROGRESS", at)
            for source in job.sources:
                source.status = "IN_PROGRESS"
                self._begin(job, source, at)
        elif job.active:
            for source in job.sources:
                self._attempt(job, source, at)
            self._enter(job, _outcome(job.sources), at)

    def end_as(self, job: Job, status: str, message: str) -> None:
        """End an active job as FAILED, with all its sources, or as CANCELLED."""
        if not job.active:
            return
        now = LOCAL.clock.now()
        for source in job.sources:
            if status == "FAILED":
                source.status, source.failure = "FAILED", message
            self._give_up(job, source, now)
        self._enter(job, status, now)

    def _attempt(self, job: Job, source: Source, at: float) -> None:
        try:
            planned = LOCAL.planned_source_failure(self.name, set(source.names()))
            if planned is not None:
                raise SourceError(planned)
            self._process(job, source, at)
        except SourceError as error:
            source.status, source.failure = "FAILED", str(error)
            self._give_up(job, source, at)
        else:
            source.status = "FINISHED"

    def _enter(self, job: Job, status: str, at: float) -> None:
        job.status, job.entered = status, at
        if not job.active:
            job.completed = at
        self._announce(job)
        LOCAL.changed.notify_all()

    def _announce(self, job: Job) -> None:
        events.announce(
            self.name,
            (self._backend.account_id, self._backend.region_name),
            job.entered,
            resource=job.store_arn,
            id=job.id,
            **{self.store_member: job.store_id},
            status=job.status,
            statusMessage=MESSAGES[job.status],
        )


def _outcome(sources: Iterable[Source]) -> str:
    failed = [source.status == "FAILED" for source in sources]
    if not any(failed):
        return "COMPLETED"
    return LOCAL.options.job_without_success if all(failed) else "COMPLETED_WITH_FAILURES"
