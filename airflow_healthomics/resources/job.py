# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of sequence and reference stores: their API calls, and what the responses mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore import xform_name
from botocore.exceptions import ClientError

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Kind, Resource, StartRequest
from airflow_healthomics.service import jobs
from airflow_healthomics.service.errors import error_code, is_not_found, is_retryable
from airflow_healthomics.service.jobs import JobType, key_of, sources_of, without_values

if TYPE_CHECKING:
    from airflow_healthomics.resources.job_watch import JobWatch
    from airflow_healthomics.service.log import Log

#: Seconds by which the clock of a worker may be ahead of that of HealthOmics. A longer tolerance might find a
#: job from before a Clear.
_CLOCK_TOLERANCE: Final = 10

#: Jobs that are compared with a request. Each costs a call (account limit: 5 a second).
_MAX_CANDIDATES: Final = 50


class JobResource(Resource):
    """
    A job of a store. The API can neither cancel nor delete it, and gives it neither a name nor a uuid.

    :param hook: hook of the task's connection
    :param log: the task's log
    :param store_id: id of its store
    :cvar job_type: kind of the job
    """

    job_type: ClassVar[JobType]
    #: botocore model, shape ClientToken
    name_length = 127
    request_id_argument = "client_token"
    is_cancellable = False

    def __init_subclass__(cls, *, job_type: JobType, noun: Kind, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.job_type = job_type
        cls.noun = noun
        cls.start_operation = f"Start{job_type.operation}"
        cls.get_operation = f"Get{job_type.operation}"

    def __init__(self, hook: HealthOmicsHook, log: Log, store_id: str = "") -> None:
        super().__init__(hook, log)
        self.store_id = store_id

    def start(self, request: StartRequest) -> dict[str, Any]:
        """
        Make the call that starts the job.

        :raises ClientError: if it fails, without values of the sources in its message
        """
        call = getattr(self.hook.conn_without_retries, xform_name(self.start_operation))
        try:
            return dict(call(**request.fields))
        except ClientError as error:
            # botocore always sets both, the message perhaps to an empty text.
            details = error.response["Error"]
            message = without_values(details["Message"], request.fields["sources"])
            answer: Any = {**error.response, "Error": {**details, "Message": message}}
            raise ClientError(answer, error.operation_name) from None

    def describe(self, job_id: str) -> dict[str, Any]:
        """
        Describe the job, with its status as HealthOmics has it.

        :param job_id: its id
        """
        return self.hook.get_job(self.job_type, self.store_id, job_id)

    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """Describe the job; its status is one of the states of a run."""
        return _with_run_state(self.describe(resource_id))

    def find(self, name: str) -> dict[str, Any] | None:
        """Return None, because jobs have no names."""
        return None

    def find_by_request(
        self, request: StartRequest, since: float, earlier: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """
        Return the job with exactly the sources of a request, if there is one since its first call.

        AWS documents no lifetime of client tokens, and the List operations return neither token nor sources.
        If several jobs have these sources, the token must decide, so none is returned.
        """
        try:
            found = list(self._jobs_like(request.fields, since, earlier))
        except ClientError as error:
            if is_retryable(error):
                raise
            if not is_not_found(error):
                self.log.warning(
                    "The jobs of %s %s could not be searched for that of an earlier attempt (%s). The "
                    "start is repeated with the same client token. The IAM policy should allow omics:List%ss "
                    "and omics:%s",
                    self.job_type.store_noun,
                    request.fields[self.job_type.store],
                    error_code(error),
                    self.job_type.operation,
                    self.get_operation,
                )
            return None
        return _with_run_state(found[0]) if len(found) == 1 else None

    def watch(
        self, resource_id: str, *, uuid: str | None = None, is_new: bool = False, is_deletion: bool = False
    ) -> JobWatch:
        """Return the state of a wait for the job."""
        # Many tasks only start.
        from airflow_healthomics.resources.job_watch import job_watch_of_kind
        from airflow_healthomics.resources.watch import NEW_GRACE

        grace = float(NEW_GRACE) if is_new else 0.0
        return job_watch_of_kind(self.noun)(resource_id, store_id=self.store_id, grace=grace, log=self.log)

    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Return False, because HealthOmics cannot cancel a job."""
        self.log.info(
            "The %s %s continues if it has not ended, because HealthOmics cannot cancel it",
            self.noun,
            resource_id,
        )
        return False

    def location(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that describes the job. AWS documents no URL of its page."""
        command = xform_name(self.get_operation, "-")
        store = xform_name(self.job_type.store, "-")
        region = self.hook.conn_region_name
        return f"aws omics {command} --{store} {self.store_id} --id {resource_id} --region {region}"

    def cancel_command(self, resource_id: str) -> None:
        """Return None, because HealthOmics cannot cancel a job."""
        return

    def unique_name(self, request_id: str) -> str:
        """Return the request ID. Jobs have no names, so nothing is found by it."""
        return request_id

    def _jobs_like(
        self, request: Mapping[str, Any], since: float, earlier: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Yield the jobs with the sources of a request."""
        store_id = request[self.job_type.store]
        after = datetime.fromtimestamp(since - _CLOCK_TOLERANCE, UTC)
        candidates = self.hook.list_jobs(self.job_type, store_id, created_after=after)
        wanted = sorted(key_of(self.job_type, source) for source in request["sources"])
        for item in islice(candidates, _MAX_CANDIDATES):
            if item["id"] in earlier:
                continue
            job = self.hook.get_job(self.job_type, store_id, item["id"])
            # GetReadSetExportJob returns no role.
            is_alike = all(
                job[field] == request.get(field) for field in ("roleArn", "destination") if field in job
            )
            keys = sorted(key_of(self.job_type, source) for source in sources_of(self.job_type, job))
            if is_alike and keys == wanted:
                yield job


def _with_run_state(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job with its status as that of a run; a status unknown to this version counts as active."""
    return {**job, "status": jobs.AS_RUN_STATE.get(job["status"], "RUNNING")}


class ReadSetImportJobResource(JobResource, job_type=jobs.READ_SET_IMPORT, noun="read set import job"):
    """An import of read sets into a sequence store."""


class ReferenceImportJobResource(JobResource, job_type=jobs.REFERENCE_IMPORT, noun="reference import job"):
    """An import of reference genomes into a reference store."""


class ReadSetExportJobResource(JobResource, job_type=jobs.READ_SET_EXPORT, noun="read set export job"):
    """An export of read sets from a sequence store to S3."""


class ReadSetActivationJobResource(
    JobResource, job_type=jobs.READ_SET_ACTIVATION, noun="read set activation job"
):
    """An activation of archived read sets of a sequence store."""


#: The classes by noun.
JOB_RESOURCES: Final[Mapping[str, type[JobResource]]] = {
    each.noun: each
    for each in (
        ReadSetImportJobResource,
        ReferenceImportJobResource,
        ReadSetExportJobResource,
        ReadSetActivationJobResource,
    )
}
