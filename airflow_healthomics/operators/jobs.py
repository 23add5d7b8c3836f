# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Import, export and activate read sets, and import reference genomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.links import OUTPUTS_LINKS
from airflow_healthomics.operators.base import WAITER_DELAY
from airflow_healthomics.operators.job_base import JobOperator
from airflow_healthomics.publishing.resource import publish_outputs_link
from airflow_healthomics.resources.job import (
    ReadSetActivationJobResource,
    ReadSetExportJobResource,
    ReadSetImportJobResource,
    ReferenceImportJobResource,
)

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class HealthOmicsImportReadSetsOperator(JobOperator):
    """
    Import FASTQ, BAM, CRAM or uBAM files as read sets into a HealthOmics sequence store.

    The job is started only once, because every attempt of the task instance sends the same client token. A
    job that is COMPLETED_WITH_FAILURES fails the task. A retry then imports only the missing files.

    Returns the job id. XCom ``job`` contains ``id``, ``sequenceStoreId`` and ``clientToken``. If the operator
    waits, XCom ``read_set_ids`` contains the ids of the read sets in the order of ``sources``, and XCom
    ``summary`` the ended job. Errors name a source by its index, because its URI may identify a patient.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.start_read_set_import_job`

    :param sequence_store_id: id of the sequence store, 10 to 36 digits (templated)
    :param sources: 1 to 100 mappings with ``source_files`` (a mapping with ``source1`` and, for paired reads,
        ``source2``: S3 URIs), ``source_file_type`` (FASTQ, BAM, CRAM or UBAM), ``subject_id``, ``sample_id``
        and, optionally, ``reference_arn``, ``name``, ``description``, ``generated_from`` and ``tags``. A
        template that is exactly one expression keeps the type of its value (templated)
    :param role_arn: IAM role that reads the files; the connection's by default (templated)
    :param client_token: request ID of the job, 1 to 127 characters. By default it is derived from the DAG-run
        ID, so that an attempt finds the job of the previous one. A fixed one identifies one job ever
        (templated)
    :param wait_for_completion: whether to wait until the job has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param on_clear: after a Clear, ``new`` starts a job even while the old one is active, and ``reattach``
        uses an active or COMPLETED job again. By default, and if the connection sets nothing else, the task
        reattaches to an active job (Airflow 3.3 and later), and starts a new one if the old one has ended
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; no job was started
    :raises HealthOmicsJobFailedError: if the job did not process all of its sources; may be retried
    :raises HealthOmicsApiError: if StartReadSetImportJob is refused
    """

    resource_type = ReadSetImportJobResource
    template_fields: Sequence[str] = aws_template_fields(
        "sequence_store_id", "sources", "role_arn", "client_token"
    )
    typed_template_fields = ("sources",)
    checked_template_fields = template_fields
    verb = "imports"

    def __init__(
        self,
        *,
        sequence_store_id: str,
        sources: Sequence[Mapping[str, Any]] | str,
        role_arn: str | None = None,
        client_token: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        on_clear: Literal["new", "reattach"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_store_id = sequence_store_id
        self.sources = sources
        self.role_arn = role_arn
        self.client_token = client_token
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.on_clear = on_clear

    @property
    def source_values(self) -> Any:
        """The argument ``sources``."""
        return self.sources

    @property
    def further_arguments(self) -> Mapping[str, Any]:
        """The argument ``role_arn``."""
        return {"role_arn": self.role_arn}


class HealthOmicsImportReferenceOperator(JobOperator):
    """
    Import reference genomes into a HealthOmics reference store.

    The job is started only once, because every attempt of the task instance sends the same client token. A
    job that is COMPLETED_WITH_FAILURES fails the task. A retry then imports only the missing references.

    Returns the job id. XCom ``job`` contains ``id``, ``referenceStoreId`` and ``clientToken``. If the
    operator waits, XCom ``reference_ids`` contains the ids of the references in the order of ``sources``, and
    XCom ``summary`` the ended job.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.start_reference_import_job`

    :param reference_store_id: id of the reference store, 10 to 36 digits (templated)
    :param sources: 1 to 100 mappings with ``source_file`` (S3 URI of a FASTA file), ``name`` and, optionally,
        ``description`` and ``tags``. A template that is exactly one expression keeps the type of its value
        (templated)
    :param role_arn: IAM role that reads the files; the connection's by default (templated)
    :param client_token: request ID of the job, 1 to 127 characters. By default it is derived from the DAG-run
        ID, so that an attempt finds the job of the previous one. A fixed one identifies one job ever
        (templated)
    :param wait_for_completion: whether to wait until the job has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param on_clear: after a Clear, ``new`` starts a job even while the old one is active, and ``reattach``
        uses an active or COMPLETED job again. By default, and if the connection sets nothing else, the task
        reattaches to an active job (Airflow 3.3 and later), and starts a new one if the old one has ended
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; no job was started
    :raises HealthOmicsJobFailedError: if the job did not process all of its sources; may be retried
    :raises HealthOmicsApiError: if StartReferenceImportJob is refused
    """

    resource_type = ReferenceImportJobResource
    template_fields: Sequence[str] = aws_template_fields(
        "reference_store_id", "sources", "role_arn", "client_token"
    )
    typed_template_fields = ("sources",)
    checked_template_fields = template_fields
    results_key = "reference_ids"
    verb = "imports"

    def __init__(
        self,
        *,
        reference_store_id: str,
        sources: Sequence[Mapping[str, Any]] | str,
        role_arn: str | None = None,
        client_token: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        on_clear: Literal["new", "reattach"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reference_store_id = reference_store_id
        self.sources = sources
        self.role_arn = role_arn
        self.client_token = client_token
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.on_clear = on_clear

    @property
    def source_values(self) -> Any:
        """The argument ``sources``."""
        return self.sources

    @property
    def further_arguments(self) -> Mapping[str, Any]:
        """The argument ``role_arn``."""
        return {"role_arn": self.role_arn}


class HealthOmicsExportReadSetsOperator(JobOperator):
    """
    Export read sets of a HealthOmics sequence store to S3.

    The job is started only once, because every attempt of the task instance sends the same client token. A
    job that is COMPLETED_WITH_FAILURES fails the task. A retry then exports only the missing read sets.

    Returns the job id. XCom ``job`` contains ``id``, ``sequenceStoreId`` and ``clientToken``. If the operator
    waits, XCom ``read_set_ids`` contains the ids of the exported read sets, and XCom ``summary`` the ended
    job.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.start_read_set_export_job`

    :param sequence_store_id: id of the sequence store, 10 to 36 digits (templated)
    :param read_set_ids: ids of 1 to 100 read sets. A template that is exactly one expression keeps the type
        of its value (templated)
    :param destination: S3 URI of the folder for the files (templated)
    :param role_arn: IAM role that writes the files; the connection's by default (templated)
    :param client_token: request ID of the job, 1 to 127 characters. By default it is derived from the DAG-run
        ID, so that an attempt finds the job of the previous one. A fixed one identifies one job ever
        (templated)
    :param wait_for_completion: whether to wait until the job has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param on_clear: after a Clear, ``new`` starts a job even while the old one is active, and ``reattach``
        uses an active or COMPLETED job again. By default, and if the connection sets nothing else, the task
        reattaches to an active job (Airflow 3.3 and later), and starts a new one if the old one has ended
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; no job was started
    :raises HealthOmicsJobFailedError: if the job did not process all of its sources; may be retried
    :raises HealthOmicsApiError: if StartReadSetExportJob is refused
    """

    resource_type = ReadSetExportJobResource
    template_fields: Sequence[str] = aws_template_fields(
        "sequence_store_id", "read_set_ids", "destination", "role_arn", "client_token"
    )
    typed_template_fields = ("read_set_ids",)
    checked_template_fields = template_fields
    operator_extra_links = OUTPUTS_LINKS
    verb = "exports"

    def __init__(
        self,
        *,
        sequence_store_id: str,
        read_set_ids: Sequence[str] | str,
        destination: str,
        role_arn: str | None = None,
        client_token: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        on_clear: Literal["new", "reattach"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_store_id = sequence_store_id
        self.read_set_ids = read_set_ids
        self.destination = destination
        self.role_arn = role_arn
        self.client_token = client_token
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.on_clear = on_clear

    @property
    def source_values(self) -> Any:
        """The argument ``read_set_ids``."""
        return self.read_set_ids

    @property
    def further_arguments(self) -> Mapping[str, Any]:
        """The arguments ``destination`` and ``role_arn``."""
        return {"destination": self.destination, "role_arn": self.role_arn}

    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Publish the link to the files, and push XCom ``job``."""
        # The triggerer's answer has it, too.
        publish_outputs_link(context, self, str(started.get("destination") or self.destination))
        super().publish(context, started)


class HealthOmicsActivateReadSetsOperator(JobOperator):
    """
    Activate archived read sets of a HealthOmics sequence store, so that runs can read them.

    HealthOmics archives read sets that were not accessed for 30 days. The job is started only once, because
    every attempt of the task instance sends the same client token. A job that is COMPLETED_WITH_FAILURES
    fails the task. A retry then activates only the missing read sets.

    Returns the job id. XCom ``job`` contains ``id``, ``sequenceStoreId`` and ``clientToken``. If the operator
    waits, XCom ``read_set_ids`` contains the ids of the activated read sets, and XCom ``summary`` the ended
    job.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.start_read_set_activation_job`

    :param sequence_store_id: id of the sequence store, 10 to 36 digits (templated)
    :param read_set_ids: ids of 1 to 20 read sets. A template that is exactly one expression keeps the type of
        its value (templated)
    :param client_token: request ID of the job, 1 to 127 characters. By default it is derived from the DAG-run
        ID, so that an attempt finds the job of the previous one. A fixed one identifies one job ever
        (templated)
    :param wait_for_completion: whether to wait until the job has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param on_clear: after a Clear, ``new`` starts a job even while the old one is active, and ``reattach``
        uses an active or COMPLETED job again. By default, and if the connection sets nothing else, the task
        reattaches to an active job (Airflow 3.3 and later), and starts a new one if the old one has ended
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; no job was started
    :raises HealthOmicsJobFailedError: if the job did not process all of its sources; may be retried
    :raises HealthOmicsApiError: if StartReadSetActivationJob is refused
    """

    resource_type = ReadSetActivationJobResource
    template_fields: Sequence[str] = aws_template_fields("sequence_store_id", "read_set_ids", "client_token")
    typed_template_fields = ("read_set_ids",)
    checked_template_fields = template_fields
    verb = "activates"

    def __init__(
        self,
        *,
        sequence_store_id: str,
        read_set_ids: Sequence[str] | str,
        client_token: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        on_clear: Literal["new", "reattach"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_store_id = sequence_store_id
        self.read_set_ids = read_set_ids
        self.client_token = client_token
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay
        self.on_clear = on_clear

    @property
    def source_values(self) -> Any:
        """The argument ``read_set_ids``."""
        return self.read_set_ids
