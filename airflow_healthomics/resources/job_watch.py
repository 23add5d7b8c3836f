# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""State of a job of a store being polled, updated from responses of its Get operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore import xform_name
from botocore.exceptions import ClientError

from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.service import jobs
from airflow_healthomics.service.errors import checked_answer, is_not_found
from airflow_healthomics.service.jobs import JobType, sources_of, summarize_job

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log


def describe_progress(job_type: JobType, job: Mapping[str, Any]) -> str:
    """
    Return the progress of a job, such as ``IN_PROGRESS: 7 of 12 sources processed, 1 failed``.

    :param job_type: kind of the job
    :param job: Get answer
    """
    counts = Counter(source.get("status") for source in sources_of(job_type, job))
    text = f"{job['status']}: {counts[jobs.FINISHED]} of {counts.total()} sources processed"
    return f"{text}, {failed} failed" if (failed := counts["FAILED"]) else text


class JobWatch(Watch):
    """
    State of a job being polled. Logs its status and the number of processed sources when they change.

    :param resource_id: id of the job
    :param store_id: id of its store
    :param grace: seconds from now in which a not-found response is ignored, because the Get operation may lag
        behind the start
    :param log: the task's log
    :cvar job_type: kind of the job
    """

    __slots__ = ("_logged", "store_id")

    job_type: ClassVar[JobType]

    def __init_subclass__(cls, *, job_type: JobType, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.job_type = job_type
        cls.noun = job_type.noun
        cls.operation = f"Get{job_type.operation}"

    def __init__(self, resource_id: str, *, store_id: str, grace: float = 0.0, log: Log) -> None:
        super().__init__(resource_id, uuid=None, grace=grace, log=log)
        self.store_id = store_id
        self._logged = ""

    @property
    def key(self) -> str:
        """The store's id and the job's."""
        return f"{self.store_id} {self}"

    def fetch(self, client: Any) -> dict[str, Any] | None:
        """Describe the job."""
        try:
            call = getattr(client, xform_name(self.operation))
            job: dict[str, Any] = call(**{self.job_type.store: self.store_id, "id": self.resource_id})
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        return checked_answer(self.operation, job)

    def update(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Process a response. The wait continues if the status is unknown to this version."""
        self._succeed()
        if answer is None and self.may_be_invisible:
            return None
        job = answer or {
            "id": self.resource_id,
            "status": "DELETED",
            "statusMessage": f"{self.operation} does not find the job. Either its store was deleted, or the "
            "job id, the store id, the account or the region is wrong.",
        }
        if answer is not None:
            self.grace = 0.0
            self._visible_at = 0.0
        self.status = job["status"]
        self._log_progress(job)
        if self.status not in jobs.TERMINAL:
            return None
        return summarize_job(self.job_type, {self.job_type.store: self.store_id, **job})

    def _log_progress(self, job: Mapping[str, Any]) -> None:
        news = describe_progress(self.job_type, job)
        if news == self._logged:
            return
        self._logged = news
        if job["status"] in jobs.ACTIVE | jobs.TERMINAL:
            self.log.info("HealthOmics %s is %s", self, news)
        else:
            self.log.warning(
                "HealthOmics %s is %s. This version does not know the status; the wait continues", self, news
            )


class ReadSetImportJobWatch(JobWatch, job_type=jobs.READ_SET_IMPORT):
    """State of an import of read sets."""

    __slots__ = ()


class ReferenceImportJobWatch(JobWatch, job_type=jobs.REFERENCE_IMPORT):
    """State of an import of references."""

    __slots__ = ()


class ReadSetExportJobWatch(JobWatch, job_type=jobs.READ_SET_EXPORT):
    """State of an export of read sets."""

    __slots__ = ()


class ReadSetActivationJobWatch(JobWatch, job_type=jobs.READ_SET_ACTIVATION):
    """State of an activation of read sets."""

    __slots__ = ()


_WATCHES: Final[Mapping[str, type[JobWatch]]] = {
    each.noun: each
    for each in (
        ReadSetImportJobWatch,
        ReferenceImportJobWatch,
        ReadSetExportJobWatch,
        ReadSetActivationJobWatch,
    )
}


def job_watch_of_kind(kind: str) -> type[JobWatch]:
    """
    Return the class of the waits for a kind of job.

    :param kind: its noun
    """
    return _WATCHES[kind]
