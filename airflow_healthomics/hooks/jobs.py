# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Methods of the hook for jobs of sequence and reference stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore import xform_name

from airflow_healthomics.hooks.base import ConnectedHook, without_metadata
from airflow_healthomics.requests.jobs import build_job_request, build_job_sources
from airflow_healthomics.service import jobs
from airflow_healthomics.service.errors import checked_answer
from airflow_healthomics.service.jobs import JobType


class JobsHook(ConnectedHook):
    """Methods for jobs of sequence and reference stores."""

    def start_read_set_import_job(
        self,
        sequence_store_id: str,
        sources: Sequence[Mapping[str, Any]],
        *,
        role_arn: str | None = None,
        client_token: str | None = None,
    ) -> dict[str, Any]:
        """
        Start to import files as read sets.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_read_set_import_job`

        :param sequence_store_id: id of the sequence store, 10 to 36 digits
        :param sources: 1 to 100 mappings with ``source_files`` (``source1`` and, for paired reads,
            ``source2``), ``source_file_type``, ``subject_id``, ``sample_id`` and optional fields
        :param role_arn: IAM role that reads the files; the connection's by default
        :param client_token: 1 to 127 characters. Without it, each call starts a job.
        :return: ``id``, ``sequenceStoreId``, ``status`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        arguments = {"role_arn": role_arn, "client_token": client_token}
        return self._start_job(jobs.READ_SET_IMPORT, sequence_store_id, sources, arguments)

    def get_read_set_import_job(self, sequence_store_id: str, job_id: str) -> dict[str, Any]:
        """
        Describe an import of read sets.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_read_set_import_job`

        :param sequence_store_id: id of the sequence store
        :param job_id: id of the job
        """
        return self.get_job(jobs.READ_SET_IMPORT, sequence_store_id, job_id)

    def list_read_set_import_jobs(self, sequence_store_id: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """
        Iterate over the imports of read sets into a sequence store, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListReadSetImportJobs`

        :param sequence_store_id: id of the sequence store
        :param filters: ``status``, ``created_after`` and ``created_before``
        """
        return self.list_jobs(jobs.READ_SET_IMPORT, sequence_store_id, **filters)

    def start_reference_import_job(
        self,
        reference_store_id: str,
        sources: Sequence[Mapping[str, Any]],
        *,
        role_arn: str | None = None,
        client_token: str | None = None,
    ) -> dict[str, Any]:
        """
        Start to import reference genomes.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_reference_import_job`

        :param reference_store_id: id of the reference store, 10 to 36 digits
        :param sources: 1 to 100 mappings with ``source_file``, ``name`` and optional fields
        :param role_arn: IAM role that reads the files; the connection's by default
        :param client_token: 1 to 127 characters. Without it, each call starts a job.
        :return: ``id``, ``referenceStoreId``, ``status`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        arguments = {"role_arn": role_arn, "client_token": client_token}
        return self._start_job(jobs.REFERENCE_IMPORT, reference_store_id, sources, arguments)

    def get_reference_import_job(self, reference_store_id: str, job_id: str) -> dict[str, Any]:
        """
        Describe an import of references.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_reference_import_job`

        :param reference_store_id: id of the reference store
        :param job_id: id of the job
        """
        return self.get_job(jobs.REFERENCE_IMPORT, reference_store_id, job_id)

    def list_reference_import_jobs(self, reference_store_id: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """
        Iterate over the imports of references into a reference store, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListReferenceImportJobs`

        :param reference_store_id: id of the reference store
        :param filters: ``status``, ``created_after`` and ``created_before``
        """
        return self.list_jobs(jobs.REFERENCE_IMPORT, reference_store_id, **filters)

    def start_read_set_export_job(
        self,
        sequence_store_id: str,
        read_set_ids: Sequence[str],
        destination: str,
        *,
        role_arn: str | None = None,
        client_token: str | None = None,
    ) -> dict[str, Any]:
        """
        Start to export read sets to S3.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_read_set_export_job`

        :param sequence_store_id: id of the sequence store, 10 to 36 digits
        :param read_set_ids: ids of 1 to 100 read sets
        :param destination: S3 URI of the folder for the files
        :param role_arn: IAM role that writes the files; the connection's by default
        :param client_token: 1 to 127 characters. Without it, each call starts a job.
        :return: ``id``, ``sequenceStoreId``, ``destination``, ``status`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        arguments = {"destination": destination, "role_arn": role_arn, "client_token": client_token}
        return self._start_job(jobs.READ_SET_EXPORT, sequence_store_id, read_set_ids, arguments)

    def get_read_set_export_job(self, sequence_store_id: str, job_id: str) -> dict[str, Any]:
        """
        Describe an export of read sets.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_read_set_export_job`

        :param sequence_store_id: id of the sequence store
        :param job_id: id of the job
        """
        return self.get_job(jobs.READ_SET_EXPORT, sequence_store_id, job_id)

    def list_read_set_export_jobs(self, sequence_store_id: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """
        Iterate over the exports of read sets from a sequence store, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListReadSetExportJobs`

        :param sequence_store_id: id of the sequence store
        :param filters: ``status``, ``created_after`` and ``created_before``
        """
        return self.list_jobs(jobs.READ_SET_EXPORT, sequence_store_id, **filters)

    def start_read_set_activation_job(
        self, sequence_store_id: str, read_set_ids: Sequence[str], *, client_token: str | None = None
    ) -> dict[str, Any]:
        """
        Start to activate archived read sets.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.start_read_set_activation_job`

        :param sequence_store_id: id of the sequence store, 10 to 36 digits
        :param read_set_ids: ids of 1 to 20 read sets
        :param client_token: 1 to 127 characters. Without it, each call starts a job.
        :return: ``id``, ``sequenceStoreId``, ``status`` and ``creationTime``
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        arguments = {"client_token": client_token}
        return self._start_job(jobs.READ_SET_ACTIVATION, sequence_store_id, read_set_ids, arguments)

    def get_read_set_activation_job(self, sequence_store_id: str, job_id: str) -> dict[str, Any]:
        """
        Describe an activation of read sets.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_read_set_activation_job`

        :param sequence_store_id: id of the sequence store
        :param job_id: id of the job
        """
        return self.get_job(jobs.READ_SET_ACTIVATION, sequence_store_id, job_id)

    def list_read_set_activation_jobs(
        self, sequence_store_id: str, **filters: Any
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the activations of read sets of a sequence store, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListReadSetActivationJobs`

        :param sequence_store_id: id of the sequence store
        :param filters: ``status``, ``created_after`` and ``created_before``
        """
        return self.list_jobs(jobs.READ_SET_ACTIVATION, sequence_store_id, **filters)

    # --- any kind of job ---

    def build_job_request(
        self, job_type: JobType, store_id: Any, sources: Any, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """
        Return the validated request of a job, with the connection's ``role_arn`` by default.

        :param job_type: kind of the job
        :param store_id: id of its store
        :param sources: the sources, or the ids of read sets
        :param arguments: further arguments, by name
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self._input_shape(f"Start{job_type.operation}")
        given = {job_type.store_argument: store_id, **arguments}
        with self._naming_a_hidden_connection():
            return build_job_request(job_type, given, sources, self.connection_defaults, shape)

    def build_job_sources(self, job_type: JobType, sources: Any) -> list[dict[str, Any]]:
        """
        Return the validated sources of a job, by API name.

        :param job_type: kind of the job
        :param sources: the sources, or the ids of read sets
        :raises HealthOmicsRequestError: if a source breaks a rule
        """
        return build_job_sources(job_type, sources, self._input_shape(f"Start{job_type.operation}"))

    def get_job(self, job_type: JobType, store_id: str, job_id: str) -> dict[str, Any]:
        """
        Describe a job.

        :param job_type: kind of the job
        :param store_id: id of its store
        :param job_id: its id
        :raises airflow_healthomics.service.errors.IncompleteAnswerError: if a proxy answered instead of
            HealthOmics
        """
        operation = f"Get{job_type.operation}"
        call = getattr(self.conn, xform_name(operation))
        answer = without_metadata(call(**{job_type.store: store_id, "id": job_id}))
        return checked_answer(operation, answer)

    def list_jobs(
        self,
        job_type: JobType,
        store_id: str,
        *,
        status: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[dict[str, Any]]:
        """
        Iterate over the jobs of a store, page by page.

        :param job_type: kind of the jobs
        :param store_id: id of the store
        :param status: a job status
        :param created_after: time after which they were created
        :param created_before: time before which they were created
        :param page_size: jobs per call, 1 to 100
        :return: items of the List operation, without sources
        """
        values = {"status": status, "createdAfter": created_after, "createdBefore": created_before}
        chosen = {name: value for name, value in values.items() if value is not None}
        filters = {job_type.store: store_id, "filter": chosen or None}
        operation = xform_name(f"List{job_type.operation}s")
        return self._items(operation, page_size, filters, key=job_type.list_key)

    def _start_job(
        self, job_type: JobType, store_id: str, sources: Any, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        request = self.build_job_request(job_type, store_id, sources, arguments)
        return without_metadata(getattr(self.conn, xform_name(f"Start{job_type.operation}"))(**request))
