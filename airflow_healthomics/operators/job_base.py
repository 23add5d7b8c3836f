# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the operators that start a job of a sequence or reference store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import (
    HealthOmicsError,
    HealthOmicsJobFailedError,
    HealthOmicsRequestError,
    HealthOmicsResultUnavailableError,
)
from airflow_healthomics.operators.start_base import StartOperator
from airflow_healthomics.requests.jobs import checked_store_id
from airflow_healthomics.resources.base import StartRequest
from airflow_healthomics.resources.job import JobResource
from airflow_healthomics.service import jobs
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.service.jobs import key_of, results_by_key, sources_of

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.resources.watch import Watch


class JobOperator(StartOperator):
    """
    Base of the operators that start a job of a store exactly once, and can wait for it.

    HealthOmics can neither cancel nor delete a job. So a killed task leaves its job, and a cleared task
    reattaches to it until it has ended. A retry after a failure starts a job for the sources that were not
    processed yet.

    :cvar results_key: key of the XCom with the ids of the read sets or references
    :cvar verb: what the job does with its sources, for errors
    """

    ui_color = "#e3dcef"

    resource_type: ClassVar[type[JobResource]]
    results_key: ClassVar[str] = "read_set_ids"
    verb: ClassVar[str]

    client_token: str | None
    on_failure: Literal["leave", "cancel"] = "leave"
    on_unknown_end: Literal["fail", "repeat"] = "fail"

    #: Jobs that earlier attempts have started for some of the sources.
    _earlier: tuple[str, ...] = ()

    @property
    @abstractmethod
    def source_values(self) -> Any:
        """The argument with the sources, or with the ids of read sets."""

    @property
    def further_arguments(self) -> Mapping[str, Any]:
        """The arguments of the start other than the store, the sources and the client token."""
        return {}

    @cached_property
    def resource(self) -> JobResource:
        """The jobs of this task's store."""
        job_type = self.resource_type.job_type
        value = getattr(self, job_type.store_argument)
        store_id = checked_store_id(self.resource_type.start_operation, job_type, value)
        return self.resource_type(self.hook, self.log, store_id)

    @property
    def has_custom_name(self) -> bool:
        """True, because a job has no name to find it by."""
        return True

    def build_request(self, request_id: str, earlier: Sequence[str]) -> StartRequest:
        """Return the request; after a failed job, only for the sources that it did not process."""
        self._earlier = tuple(earlier)
        arguments = {**self.further_arguments, "client_token": request_id}
        store_id = getattr(self, self._job_type.store_argument)
        request = self.hook.build_job_request(self._job_type, store_id, self.source_values, arguments)
        if earlier:
            done = self._results([self.resource.describe(job_id) for job_id in earlier])
            left = [source for source in request["sources"] if key_of(self._job_type, source) not in done]
            if not left:
                raise HealthOmicsRequestError(
                    self.resource.start_operation, ["every source was already processed by earlier attempts"]
                )
            self.log.info(
                "Of %d sources, earlier attempts have processed %d; starting a job for the others",
                len(request["sources"]),
                len(request["sources"]) - len(left),
            )
            request["sources"] = left
        return StartRequest(request)

    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Push XCom ``job``."""
        if self.do_xcom_push:
            fields = {"id": started["id"], self._job_type.store: self.resource.store_id}
            value = {**fields, "clientToken": started["requestId"]}
            context["ti"].xcom_push(key="job", value=value)

    def finish_without_waiting(self, context: Context, started: Mapping[str, Any]) -> None:
        """Emit the asset events of an active job."""
        self.emit_event(context, {**started, self._job_type.store: self.resource.store_id})

    def trigger_arguments(self, context: Context, watch: Watch) -> Mapping[str, Any]:
        """Let the trigger return the ids of the earlier jobs: Airflow before 3.3 stores them nowhere else."""
        return {"earlier": self._earlier}

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Finish with the summary of the job."""
        if event and "earlier" in event:
            self._earlier = tuple(event["earlier"])
        return super().execute_complete(context, event)

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Push the ids of the read sets or references, and return the job id; raise if any is missing."""
        record = self.recorded(context)
        earlier = record.earlier if record else self._earlier
        if self.do_xcom_push:
            value = {**summary, "jobIds": [*earlier, summary["id"]]}
            context["ti"].xcom_push(key="summary", value=value)
        if summary["status"] not in jobs.SUCCEEDED:
            raise self._failure(summary)
        ids = self._result_ids([*earlier, summary["id"]])
        if self.do_xcom_push:
            context["ti"].xcom_push(key=self.results_key, value=ids)
        self.emit_event(context, {**summary, self.results_key: ids})
        return str(summary["id"])

    @property
    def _job_type(self) -> jobs.JobType:
        return self.resource_type.job_type

    def _results(self, described: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
        """Return the ids of read sets or references by source, of all jobs of the task."""
        results: dict[str, str | None] = {}
        for job in described:
            results |= results_by_key(self._job_type, job)
        return results

    def _keys(self) -> list[str]:
        """Return what distinguishes the sources of the argument, in its order."""
        sources = self.hook.build_job_sources(self._job_type, self.source_values)
        return [key_of(self._job_type, source) for source in sources]

    def _result_ids(self, job_ids: Sequence[str]) -> list[str]:
        """Return the ids of the read sets or references of all jobs, in the order of the argument."""
        try:
            results = self._results([self.resource.describe(job_id) for job_id in job_ids])
        except (ClientError, BotoCoreError) as error:
            raise HealthOmicsResultUnavailableError(
                f"The {self.resource.noun} {job_ids[-1]} is COMPLETED, but its sources could not be read: "
                f"{self.resource.get_operation} failed with {error_code(error)}. Correct the cause, then "
                "retry or clear the task: it starts no other job"
            ) from error
        keys = self._keys()
        ids = [found for key in keys if (found := results.get(key))]
        if len(ids) < len(keys):
            self.log.warning(
                "%d of %d sources of the task are in no job of it, because the DAG was edited after the job "
                "had started. Clear the task to start a job for all of its sources",
                len(keys) - len(ids),
                len(keys),
            )
        return ids

    def _failure(self, summary: Mapping[str, Any]) -> HealthOmicsJobFailedError:
        """Return the error of a job that did not process all of its sources."""
        from airflow_healthomics.reports.job_failure import describe_job_failure

        indexes = self._indexes(summary)
        # A job of a retry has only some of the sources.
        missing = [{**each, "index": indexes[each["index"]]} for each in jobs.unprocessed(summary)]
        next_step = (
            f"correct the cause, then retry the task: it {self.verb} only what is missing. After a Clear it "
            f"{self.verb} everything again."
        )
        text = describe_job_failure(
            self._job_type,
            summary,
            missing,
            location=self.resource.location(summary["id"]),
            next_step=next_step,
        )
        return HealthOmicsJobFailedError(self.resource.noun, summary["id"], summary["status"], missing, text)

    def _indexes(self, summary: Mapping[str, Any]) -> list[int]:
        """Return the index in the argument for each source of the job; if unknown, that in the job."""
        count = len(summary["sources"])
        try:
            keys = self._keys()
            sources = sources_of(self._job_type, self.resource.describe(summary["id"]))
        except (ClientError, BotoCoreError, HealthOmicsError) as error:
            self.log.info("The error has the indexes of the job (%s)", error_code(error))
            return list(range(count))
        found = [key_of(self._job_type, source) for source in sources]
        return [keys.index(key) if key in keys else index for index, key in enumerate(found)]
