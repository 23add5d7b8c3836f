# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel and delete HealthOmics run batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.hooks.place import refusal
from airflow_healthomics.operators.base import RunBatchWaiterMixin
from airflow_healthomics.publishing.resource_xcom import push_resource
from airflow_healthomics.requests.batch import checked_batch_id
from airflow_healthomics.resources.batch import cancel_when_created, status_behind
from airflow_healthomics.resources.batch_watch import BatchWatch
from airflow_healthomics.service import batch_states
from airflow_healthomics.service.errors import is_not_found, is_transient
from airflow_healthomics.templating.typed import TypedTemplateMixin

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class HealthOmicsCancelRunBatchOperator(
    TypedTemplateMixin, RunBatchWaiterMixin, AwsBaseOperator[HealthOmicsHook]
):
    """
    Cancel a HealthOmics run batch. A batch that has already ended is no error. Returns the batch id.

    HealthOmics cannot cancel a batch that is being created, which is waited for up to a minute.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.cancel_run_batch`

    :param batch_id: HealthOmics batch id, 1 to 18 digits (templated)
    :param wait_for_completion: whether to wait until the batch has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls
    :param aws_conn_id: Airflow connection for AWS; None or empty takes boto3's own way to credentials
        (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether, or by which bundle, to verify TLS certificates (templated)
    :param botocore_config: settings of the botocore client
    :raises HealthOmicsRequestError: if ``batch_id`` is no HealthOmics batch id
    :raises HealthOmicsApiError: if HealthOmics refuses for another reason than that the batch has ended
    """

    aws_hook_class = HealthOmicsHook
    template_fields: Sequence[str] = aws_template_fields("batch_id")
    checked_template_fields = template_fields
    ui_color = "#f7e6c9"
    #: Nothing is left to cancel when this task is killed.
    cancel_on_kill = False

    def __init__(
        self,
        *,
        batch_id: str,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def execute(self, context: Context) -> str:
        """Cancel the batch, and wait for its end if asked to."""
        batch_id = checked_batch_id("CancelRunBatch", self.batch_id)
        push_resource(context, self.hook, "batch", {"id": batch_id})
        try:
            cancel_when_created(self.hook, batch_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            status = status_behind(error, self.hook, batch_id)
            if status in batch_states.TERMINAL | {"RUNS_DELETING"}:
                return batch_id
            # A try before may have asked for it.
            if status != "STOPPING":
                raise refusal(self.hook, "CancelRunBatch", f"batch {batch_id}", error, self.log) from error
        self.log.info("HealthOmics batch %s is being cancelled", batch_id)
        if self.wait_for_completion:
            self.wait_for(context, self.watch({"id": batch_id}))
        return batch_id

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Return the batch id, whichever way the batch ended."""
        return str(summary["id"])


class HealthOmicsDeleteRunBatchOperator(
    TypedTemplateMixin, RunBatchWaiterMixin, AwsBaseOperator[HealthOmicsHook]
):
    """
    Delete the records of a batch's runs, and that of the batch if asked to. Outputs and logs stay.

    The batch must be PROCESSED or CANCELLED. Returns the batch id.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run_batch`

    :param batch_id: HealthOmics batch id, 1 to 18 digits (templated)
    :param delete_batch: whether to delete the batch itself too, for which the operator waits
    :param wait_for_completion: whether to wait until the runs are deleted
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls
    :param aws_conn_id: Airflow connection for AWS; None or empty takes boto3's own way to credentials
        (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether, or by which bundle, to verify TLS certificates (templated)
    :param botocore_config: settings of the botocore client
    :raises HealthOmicsRequestError: if ``batch_id`` is no HealthOmics batch id
    :raises HealthOmicsApiError: if HealthOmics refuses, for instance because the batch has not ended
    """

    aws_hook_class = HealthOmicsHook
    template_fields: Sequence[str] = aws_template_fields("batch_id")
    checked_template_fields = template_fields
    ui_color = "#f3d5d5"
    #: Nothing is left to cancel when this task is killed.
    cancel_on_kill = False

    def __init__(
        self,
        *,
        batch_id: str,
        delete_batch: bool = False,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.delete_batch = delete_batch
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def execute(self, context: Context) -> str:
        """Delete the runs, and wait until they are gone if asked to."""
        batch_id = checked_batch_id("DeleteRunBatch", self.batch_id)
        try:
            self.hook.delete_run_batch(batch_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            if is_not_found(error):
                self.log.info("HealthOmics batch %s does not exist (any more)", batch_id)
                return batch_id
            # A try before may have asked for it.
            if status_behind(error, self.hook, batch_id) not in batch_states.DELETION:
                raise refusal(self.hook, "DeleteRunBatch", f"batch {batch_id}", error, self.log) from error
        if self.wait_for_completion or self.delete_batch:
            self.wait_for(context, BatchWatch(batch_id, is_deletion=True, log=self.log))
        return batch_id

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Delete the batch itself if asked to, and return its id."""
        batch_id = str(summary["id"])
        if summary["status"] == "RUNS_DELETE_FAILED":
            self.log.warning("Not all runs of batch %s could be deleted", batch_id)
        if self.delete_batch and summary["status"] != "DELETED":
            try:
                self.hook.delete_batch(batch_id)
            except (ClientError, BotoCoreError) as error:
                if is_transient(error):
                    raise
                if not is_not_found(error):
                    raise refusal(self.hook, "DeleteBatch", f"batch {batch_id}", error, self.log) from error
        return batch_id
