# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel HealthOmics runs and run batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.links import RUN_LINKS
from airflow_healthomics.operators.base import WAITER_DELAY, WaitingOperator
from airflow_healthomics.publishing.resource import publish_run, push_resource
from airflow_healthomics.resources.base import CancellableResource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.run import RunResource

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class CancelOperator(WaitingOperator):
    """Base of the operators that cancel a run or batch. The task also succeeds if it has already ended."""

    ui_color = "#f6e2c8"
    resource_type: ClassVar[type[CancellableResource]]
    id_argument: ClassVar[str]

    wait_for_completion: bool

    @cached_property
    def resource(self) -> CancellableResource:
        """The runs or batches of this task's connection."""
        return self.resource_type(self.hook, self.log)

    def execute(self, context: Context) -> str:
        """Cancel the run or batch, and wait for it to end if ``wait_for_completion`` is set."""
        resource = self.resource
        resource_id = resource.checked_id(resource.cancel_operation, getattr(self, self.id_argument))
        self.publish(context, {"id": resource_id})
        if not resource.request_cancel(resource_id):
            return resource_id
        self.log.info("HealthOmics %s %s is being cancelled", resource.noun, resource_id)
        if self.wait_for_completion:
            self.wait(context, resource.watch(resource_id))
        return resource_id

    @abstractmethod
    def publish(self, context: Context, described: Mapping[str, Any]) -> None:
        """
        Publish the data that the links and the page of the run or batch need.

        :param context: the task's context
        :param described: mapping with its ``id``
        """

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Return the id, regardless of the final status."""
        return str(summary["id"])


class HealthOmicsCancelRunOperator(CancelOperator):
    """
    Cancel a HealthOmics run. The task also succeeds if the run has already ended.

    A cancelled run exports no outputs. Returns the run id.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.cancel_run`

    :param run_id: HealthOmics run id, 1 to 18 digits (templated)
    :param wait_for_completion: whether to wait until the run has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if ``run_id`` is not a HealthOmics run id
    :raises HealthOmicsApiError: if CancelRun is refused, for instance because the run does not exist
    """

    resource_type = RunResource
    id_argument = "run_id"
    template_fields: Sequence[str] = aws_template_fields("run_id")
    checked_template_fields = template_fields
    operator_extra_links = RUN_LINKS

    def __init__(
        self,
        *,
        run_id: str,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def publish(self, context: Context, described: Mapping[str, Any]) -> None:
        """Publish the data that the links and the page of the run need."""
        publish_run(context, self, described)


class HealthOmicsCancelRunBatchOperator(CancelOperator):
    """
    Cancel a HealthOmics run batch. The task also succeeds if the batch has already ended.

    HealthOmics cannot cancel a batch in CREATING, so the call is repeated for up to a minute. Returns the
    batch id.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.cancel_run_batch`

    :param batch_id: HealthOmics batch id, 1 to 18 digits (templated)
    :param wait_for_completion: whether to wait until the batch has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls, 60 by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if ``batch_id`` is not a HealthOmics batch id
    :raises HealthOmicsApiError: if CancelRunBatch is refused, for instance because the batch does not exist
    """

    resource_type = BatchResource
    id_argument = "batch_id"
    template_fields: Sequence[str] = aws_template_fields("batch_id")
    checked_template_fields = template_fields
    ui_color = "#f7e6c9"

    def __init__(
        self,
        *,
        batch_id: str,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = WAITER_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def publish(self, context: Context, described: Mapping[str, Any]) -> None:
        """Publish the data that the page of the batch needs."""
        push_resource(context, self.hook, "batch", described)
