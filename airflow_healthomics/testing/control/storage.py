# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Verbs for stores and their jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.models import OmicsBackend, all_backends, apply_all_due_transitions
from airflow_healthomics.testing.omics.storage.job import Job
from airflow_healthomics.testing.plans import SourcePlan

from .verbs import Verbs, verb, wait

#: Kinds of jobs and uploads by the operations that start or complete them.
KINDS: Final = {
    "StartReferenceImportJob": "Reference Import Job",
    "StartReadSetImportJob": "Read Set Import Job",
    "StartReadSetExportJob": "Read Set Export Job",
    "StartReadSetActivationJob": "Read Set Activation Job",
    "CompleteMultipartReadSetUpload": "Read Set Upload",
}
#: The model's limit of a statusMessage.
MAX_MESSAGE: Final = 127

Operation = Literal[
    "StartReferenceImportJob",
    "StartReadSetImportJob",
    "StartReadSetExportJob",
    "StartReadSetActivationJob",
    "CompleteMultipartReadSetUpload",
]


class StorageVerbs(Verbs):
    """Verbs for stores and their jobs."""

    @verb
    def fail_source(
        self,
        source: str | None = None,
        *,
        operation: Operation | None = None,
        message: str = "planned by the local HealthOmics",
        times: int | None = 1,
    ) -> None:
        """
        Make a source of a job fail, or the next source of any job, or an upload.

        :param source: URI of a file, id of a read set, or name, sample id or subject id of an import or an
            upload.
        :param operation: Only in jobs that this operation started, or only uploads.
        :param message: Its statusMessage, at most 127 characters.
        :param times: Number of sources; None for all.
        """
        if operation is not None and operation not in KINDS:
            raise ValueError(f"operation must be one of {', '.join(KINDS)}")
        if not 1 <= len(message) <= MAX_MESSAGE:
            raise ValueError(f"message must have 1 to {MAX_MESSAGE} characters")
        kind = None if operation is None else KINDS[operation]
        with LOCAL.lock:
            LOCAL.source_plans.append(SourcePlan(kind=kind, source=source, message=message, times=times))

    @verb
    def advance_job(
        self, status: str, *, job_id: str | None = None, message: str = "planned by the local HealthOmics"
    ) -> dict[str, str]:
        """
        Move a job of a store, or all active jobs, to ``status``, ignoring the pace.

        COMPLETED processes all sources; FAILED fails all of them. A job past ``status`` is unchanged.

        :param message: The statusMessage of the sources, with FAILED.
        :return: the status of each job by its id. It differs from COMPLETED if sources failed.
        """
        if status not in ("IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"):
            raise ValueError(f"a job cannot be moved to the status {status}")
        with LOCAL.lock:
            apply_all_due_transitions()
            chosen = [
                (backend, job)
                for backend, job in _all_jobs()
                if job.id == job_id or (job_id is None and job.active)
            ]
            if job_id is not None and not chosen:
                raise LookupError(f"there is no job {job_id}")
            for backend, job in chosen:
                _advance(job, status, message)
                backend.schedule.add(job)
            return {job.id: job.status for _, job in chosen}

    @verb
    def archive_read_sets(self, read_set_ids: Sequence[str] | None = None) -> list[str]:
        """
        Archive read sets, as the service does with those that are not used for 30 days.

        :param read_set_ids: None for all.
        :return: the ids of those that are ARCHIVED now.
        """
        if isinstance(read_set_ids, str):
            raise TypeError("read_set_ids must be a list of strings")
        with LOCAL.lock:
            apply_all_due_transitions()
            archived = []
            for backend in all_backends():
                for read_set in backend.storage.read_sets:
                    if read_set_ids is None or read_set.id in read_set_ids:
                        backend.storage.read_sets.archive(read_set, LOCAL.clock.now())
                        archived += [read_set.id] if read_set.status == "ARCHIVED" else []
            return archived

    @verb
    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs of all stores, in the order of their start."""
        with LOCAL.lock:
            apply_all_due_transitions()
            return [_summary(backend, job) for backend, job in _all_jobs()]

    @verb
    def wait_for_job(
        self, status: str, *, job_id: str | None = None, count: int = 1, timeout: float = 30.0
    ) -> None:
        """Wait until a job, or ``count`` jobs, have a status."""

        def states() -> list[str]:
            return [job.status for _, job in _all_jobs() if job_id in (None, job.id)]

        wait(
            lambda: states().count(status) >= count,
            timeout,
            lambda: f"{states().count(status)} of {count} jobs {status} among {dict(Counter(states()))}",
        )


def _all_jobs() -> list[tuple[OmicsBackend, Job]]:
    jobs = [(backend, job) for backend in all_backends() for job in backend.storage.jobs()]
    return sorted(jobs, key=lambda each: each[1].created)


def _advance(job: Job, status: str, message: str) -> None:
    if status in ("FAILED", "CANCELLED"):
        job.kind.end_as(job, status, message)
        return
    while job.active and job.status != status:
        job.kind.step(job, LOCAL.clock.now())


def _summary(backend: OmicsBackend, job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "operation": job.kind.operation,
        "storeId": job.store_id,
        "clientToken": job.request.get("clientToken"),
        "status": job.status,
        "sources": [
            {"status": each.status, "statusMessage": each.failure, "result": each.result}
            for each in job.sources
        ],
        "account": backend.account_id,
        "region": backend.region_name,
        "creationTime": job.created,
    }
