# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Delete the records of HealthOmics runs and run batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.operators.base import DELETION_WAITER_DELAY, WaitingOperator
from airflow_healthomics.resources.base import CancellableResource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.run import RunResource

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class DeleteOperator(WaitingOperator):
    """Base of the operators that delete records. The task also succeeds if the record no longer exists."""

    ui_color = "#f3d5d5"
    resource_type: ClassVar[type[CancellableResource]]
    id_argument: ClassVar[str]

    wait_for_completion: bool

    @cached_property
    def resource(self) -> CancellableResource:
        """The runs or batches of this task's connection."""
        return self.resource_type(self.hook, self.log)

    @property
    def has_to_wait(self) -> bool:
        """Whether to wait for the deletion."""
        return self.wait_for_completion

    def execute(self, context: Context) -> str:
        """Delete the record, and wait for the deletion if ``wait_for_completion`` is set."""
        resource = self.resource
        resource_id = resource.checked_id(resource.delete_operation, getattr(self, self.id_argument))
        watch = resource.watch(resource_id, is_deletion=True)
        if self.has_to_wait:
            # Learn the uuid first: HealthOmics may give the id to another run or batch.
            watch.poll(self.hook.conn)
        if not resource.request_delete(resource_id):
            self.log.info("HealthOmics %s %s no longer exists", resource.noun, resource_id)
            return resource_id
        if self.has_to_wait:
            return str(self.wait(context, watch))
        return resource_id

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Return the id."""
        self.log.info("HealthOmics %s %s is %s", self.resource_type.noun, summary["id"], summary["status"])
        return str(summary["id"])


class HealthOmicsDeleteRunOperator(DeleteOperator):
    """
    Delete the record of an ended HealthOmics run; its outputs and logs are kept. Returns the run id.

    The task also succeeds if the record no longer exists. HealthOmics may reuse the id of a deleted run.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run`

    :param run_id: HealthOmics run id, 1 to 18 digits (templated)
    :param wait_for_completion: whether to wait until the run is deleted
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 30 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if ``run_id`` is not a HealthOmics run id
    :raises HealthOmicsApiError: if DeleteRun is refused, for instance because the run is active
    """

    resource_type = RunResource
    id_argument = "run_id"
    template_fields: Sequence[str] = aws_template_fields("run_id")
    checked_template_fields = template_fields

    def __init__(
        self,
        *,
        run_id: str,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = DELETION_WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay


class HealthOmicsDeleteRunBatchOperator(DeleteOperator):
    """
    Delete the records of a batch's runs and, optionally, of the batch; outputs and logs are kept.

    The batch must be PROCESSED or CANCELLED. The task also succeeds if the batch no longer exists. Returns
    the batch id.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run_batch`

    :param batch_id: HealthOmics batch id, 1 to 18 digits (templated)
    :param delete_batch: whether to delete the batch too; if so, the operator waits until its runs are deleted
    :param wait_for_completion: whether to wait until the runs are deleted
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 30 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if ``batch_id`` is not a HealthOmics batch id
    :raises HealthOmicsApiError: if DeleteRunBatch or DeleteBatch is refused, for instance because the batch
        is active
    """

    resource_type = BatchResource
    id_argument = "batch_id"
    template_fields: Sequence[str] = aws_template_fields("batch_id")
    checked_template_fields = template_fields

    def __init__(
        self,
        *,
        batch_id: str,
        delete_batch: bool = False,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = DELETION_WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.delete_batch = delete_batch
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    @property
    def has_to_wait(self) -> bool:
        """Whether to wait for the deletion of the runs, which must precede that of the batch."""
        return self.wait_for_completion or self.delete_batch

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Delete the batch itself if ``delete_batch`` is set, and return its id."""
        batch_id = str(summary["id"])
        if summary["status"] == "RUNS_DELETE_FAILED":
            self.log.warning("Some runs of batch %s could not be deleted", batch_id)
        if self.delete_batch and summary["status"] != "DELETED":
            BatchResource(self.hook, self.log).delete_record(batch_id)
        return batch_id
