# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for jobs of sequence and reference stores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.exceptions import HealthOmicsJobFailedPermanentlyError
from airflow_healthomics.hooks.place import describe_place
from airflow_healthomics.reports.diagnosis import describe_missing
from airflow_healthomics.reports.job_failure import describe_job_failure
from airflow_healthomics.requests.jobs import checked_job_id, checked_store_id
from airflow_healthomics.resources.job import (
    JobResource,
    ReadSetActivationJobResource,
    ReadSetExportJobResource,
    ReadSetImportJobResource,
    ReferenceImportJobResource,
)
from airflow_healthomics.resources.job_watch import JobWatch, job_watch_of_kind
from airflow_healthomics.sensors.base import HealthOmicsSensor
from airflow_healthomics.service import jobs
from airflow_healthomics.waiting.deadlines import time_left

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

_NEXT_STEP: Final = (
    "Correct the cause, then clear the task that started the job. An index is that of a source in the answer "
    "of HealthOmics."
)

_NEXT_STEP_IF_MISSING: Final = (
    "Check the job id, the store id, and the account and region of the connection. A sensor starts nothing: "
    "to run the job again, clear the task that started it."
)


class JobSensor(HealthOmicsSensor):
    """Base of the sensors that wait for a job of a store. HealthOmics cannot cancel it."""

    resource_type: ClassVar[type[JobResource]]

    job_id: str

    @cached_property
    def resource(self) -> JobResource:
        """The jobs of this task's store."""
        return self.resource_type(self.hook, self.log, self.watch.store_id)

    @cached_property
    def watch(self) -> JobWatch:
        """State of the wait for the job."""
        job_type, operation = self.resource_type.job_type, self.resource_type.get_operation
        store_id = checked_store_id(operation, job_type, getattr(self, job_type.store_argument))
        job_id = checked_job_id(operation, self.job_id)
        return job_watch_of_kind(job_type.noun)(job_id, store_id=store_id, log=self.log)

    def finish(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the summary, or raise unless the job is COMPLETED."""
        if summary["status"] == "DELETED":
            self._refuse_missing(context, summary)
        self.count_end(summary)
        if summary["status"] not in jobs.SUCCEEDED:
            text = describe_job_failure(
                self.resource_type.job_type,
                summary,
                jobs.unprocessed(summary),
                location=self.resource.location(summary["id"]),
                next_step=_NEXT_STEP,
            )
            raise self._error(summary, text)
        self.emit_event(context, summary)
        return summary

    def _refuse_missing(self, context: Context, summary: dict[str, Any]) -> NoReturn:
        place = describe_place(self.hook, self.log, time_left=time_left(self, context))
        noun, source = self.resource_type.noun, self.source_of("job_id")
        text = describe_missing(noun, summary["id"], place, source, _NEXT_STEP_IF_MISSING)
        raise self._error(summary, text)

    def _error(self, summary: dict[str, Any], text: str) -> HealthOmicsJobFailedPermanentlyError:
        missing = jobs.unprocessed(summary)
        noun = self.resource_type.noun
        return HealthOmicsJobFailedPermanentlyError(noun, summary["id"], summary["status"], missing, text)


class HealthOmicsReadSetImportJobSensor(JobSensor):
    """
    Wait for an import of read sets to end, and fail unless the job is COMPLETED.

    A job that is COMPLETED_WITH_FAILURES, FAILED or CANCELLED fails the task without retries, because a
    sensor cannot repeat the job of another task. With ``soft_fail`` the task is skipped instead, in every
    mode.

    Returns the job's summary: ``id``, ``sequenceStoreId``, ``status``, ``statusMessage``, times (ISO 8601)
    and ``sources``, each with ``index``, ``status`` and ``readSetId``.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_read_set_import_job`

    :param sequence_store_id: id of the sequence store, 10 to 36 digits (templated)
    :param job_id: id of the job, as the operator that starts it returns it (templated)
    :param poke_interval: seconds between two polls, in every mode; at least 10 with ``mode="reschedule"``
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsJobFailedPermanentlyError: if the job does not end as COMPLETED
    :raises HealthOmicsOutcomeUnknownError: if polls are refused for ``[healthomics] refusal_patience``
        seconds, for instance because omics:GetReadSetImportJob is not allowed; may be retried
    """

    resource_type = ReadSetImportJobResource
    template_fields: Sequence[str] = aws_template_fields("sequence_store_id", "job_id")
    checked_template_fields = template_fields

    def __init__(
        self,
        *,
        sequence_store_id: str,
        job_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_store_id = sequence_store_id
        self.job_id = job_id
        self.deferrable = deferrable


class HealthOmicsReferenceImportJobSensor(JobSensor):
    """
    Wait for an import of references to end, and fail unless the job is COMPLETED.

    A job that is COMPLETED_WITH_FAILURES, FAILED or CANCELLED fails the task without retries, because a
    sensor cannot repeat the job of another task. With ``soft_fail`` the task is skipped instead, in every
    mode.

    Returns the job's summary: ``id``, ``referenceStoreId``, ``status``, ``statusMessage``, times (ISO 8601)
    and ``sources``, each with ``index``, ``status`` and ``referenceId``.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_reference_import_job`

    :param reference_store_id: id of the reference store, 10 to 36 digits (templated)
    :param job_id: id of the job, as the operator that starts it returns it (templated)
    :param poke_interval: seconds between two polls, in every mode; at least 10 with ``mode="reschedule"``
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsJobFailedPermanentlyError: if the job does not end as COMPLETED
    :raises HealthOmicsOutcomeUnknownError: if polls are refused for ``[healthomics] refusal_patience``
        seconds, for instance because omics:GetReferenceImportJob is not allowed; may be retried
    """

    resource_type = ReferenceImportJobResource
    template_fields: Sequence[str] = aws_template_fields("reference_store_id", "job_id")
    checked_template_fields = template_fields

    def __init__(
        self,
        *,
        reference_store_id: str,
        job_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reference_store_id = reference_store_id
        self.job_id = job_id
        self.deferrable = deferrable


class HealthOmicsReadSetExportJobSensor(JobSensor):
    """
    Wait for an export of read sets to end, and fail unless the job is COMPLETED.

    A job that is COMPLETED_WITH_FAILURES, FAILED or CANCELLED fails the task without retries, because a
    sensor cannot repeat the job of another task. With ``soft_fail`` the task is skipped instead, in every
    mode.

    Returns the job's summary: ``id``, ``sequenceStoreId``, ``status``, ``statusMessage``, times (ISO 8601)
    and ``sources``, each with ``index``, ``status`` and ``readSetId``.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_read_set_export_job`

    :param sequence_store_id: id of the sequence store, 10 to 36 digits (templated)
    :param job_id: id of the job, as the operator that starts it returns it (templated)
    :param poke_interval: seconds between two polls, in every mode; at least 10 with ``mode="reschedule"``
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsJobFailedPermanentlyError: if the job does not end as COMPLETED
    :raises HealthOmicsOutcomeUnknownError: if polls are refused for ``[healthomics] refusal_patience``
        seconds, for instance because omics:GetReadSetExportJob is not allowed; may be retried
    """

    resource_type = ReadSetExportJobResource
    template_fields: Sequence[str] = aws_template_fields("sequence_store_id", "job_id")
    checked_template_fields = template_fields

    def __init__(
        self,
        *,
        sequence_store_id: str,
        job_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_store_id = sequence_store_id
        self.job_id = job_id
        self.deferrable = deferrable


class HealthOmicsReadSetActivationJobSensor(JobSensor):
    """
    Wait for an activation of read sets to end, and fail unless the job is COMPLETED.

    A job that is COMPLETED_WITH_FAILURES, FAILED or CANCELLED fails the task without retries, because a
    sensor cannot repeat the job of another task. With ``soft_fail`` the task is skipped instead, in every
    mode.

    Returns the job's summary: ``id``, ``sequenceStoreId``, ``status``, ``statusMessage``, times (ISO 8601)
    and ``sources``, each with ``index``, ``status`` and ``readSetId``.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_read_set_activation_job`

    :param sequence_store_id: id of the sequence store, 10 to 36 digits (templated)
    :param job_id: id of the job, as the operator that starts it returns it (templated)
    :param poke_interval: seconds between two polls, in every mode; at least 10 with ``mode="reschedule"``
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsJobFailedPermanentlyError: if the job does not end as COMPLETED
    :raises HealthOmicsOutcomeUnknownError: if polls are refused for ``[healthomics] refusal_patience``
        seconds, for instance because omics:GetReadSetActivationJob is not allowed; may be retried
    """

    resource_type = ReadSetActivationJobResource
    template_fields: Sequence[str] = aws_template_fields("sequence_store_id", "job_id")
    checked_template_fields = template_fields

    def __init__(
        self,
        *,
        sequence_store_id: str,
        job_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_store_id = sequence_store_id
        self.job_id = job_id
        self.deferrable = deferrable
