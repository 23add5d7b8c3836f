# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel and delete HealthOmics runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import conf
from airflow_healthomics.exceptions import HealthOmicsRunReplacedError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.hooks.place import refusal
from airflow_healthomics.links import RUN_LINKS
from airflow_healthomics.operators.base import RunWaiterMixin
from airflow_healthomics.publishing.resource_xcom import persist_links
from airflow_healthomics.requests.run import checked_run_id
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.service.errors import is_not_found, is_transient, may_be_wrong_state
from airflow_healthomics.templating.typed import TypedTemplateMixin

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class HealthOmicsCancelRunOperator(TypedTemplateMixin, RunWaiterMixin, AwsBaseOperator[HealthOmicsHook]):
    """
    Cancel a HealthOmics run. A run that has already ended is no error.

    A cancelled run exports no outputs. Returns the run id.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.cancel_run`

    :param run_id: HealthOmics run id, 1 to 18 digits (templated)
    :param wait_for_completion: whether to wait until the run has ended
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param waiter_delay: seconds between two polls
    :param aws_conn_id: Airflow connection for AWS; None or empty takes boto3's own way to credentials
        (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether, or by which bundle, to verify TLS certificates (templated)
    :param botocore_config: settings of the botocore client
    :raises HealthOmicsRequestError: if ``run_id`` is no HealthOmics run id
    :raises HealthOmicsApiError: if HealthOmics refuses, for instance because there is no such run
    """

    aws_hook_class = HealthOmicsHook
    template_fields: Sequence[str] = aws_template_fields("run_id")
    checked_template_fields = template_fields
    operator_extra_links = RUN_LINKS
    ui_color = "#f6e2c8"
    #: Nothing is left to cancel when this task is killed.
    cancel_on_kill = False

    def __init__(
        self,
        *,
        run_id: str,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        waiter_delay: float = 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.waiter_delay = waiter_delay

    def execute(self, context: Context) -> str:
        """Ask for the run to be cancelled, and wait for its end if asked to."""
        run_id = checked_run_id("CancelRun", self.run_id)
        persist_links(context, self.hook, {"id": run_id})
        try:
            self.hook.cancel_run(run_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            if not self._has_ended(run_id, error):
                raise refusal(self.hook, "CancelRun", f"run {run_id}", error, self.log) from error
            return run_id
        self.log.info("HealthOmics run %s is being cancelled", run_id)
        if self.wait_for_completion:
            self.wait_for(context, self.watch({"id": run_id}))
        return run_id

    def finish(self, context: Context, summary: dict[str, Any]) -> str:
        """Return the run id, whichever way the run ended."""
        return str(summary["id"])

    def _has_ended(self, run_id: str, refusal: Exception) -> bool:
        # Nobody documents what CancelRun answers for a run that has ended, so GetRun has the word.
        return may_be_wrong_state(refusal) and RunWatch(run_id, log=self.log).poll(self.hook.conn) is not None


class HealthOmicsDeleteRunOperator(TypedTemplateMixin, AwsBaseOperator[HealthOmicsHook]):
    """
    Delete the record of a HealthOmics run that has ended. Its outputs and logs stay. Returns the run id.

    HealthOmics may give the id of a deleted run to a new one.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run`

    :param run_id: HealthOmics run id, 1 to 18 digits (templated)
    :param wait_for_completion: whether to wait until the run is gone
    :param waiter_delay: seconds between two polls
    :param aws_conn_id: Airflow connection for AWS; None or empty takes boto3's own way to credentials
        (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether, or by which bundle, to verify TLS certificates (templated)
    :param botocore_config: settings of the botocore client
    :raises HealthOmicsRequestError: if ``run_id`` is no HealthOmics run id
    :raises HealthOmicsApiError: if HealthOmics refuses, for instance because the run has not ended
    """

    aws_hook_class = HealthOmicsHook
    template_fields: Sequence[str] = aws_template_fields("run_id")
    checked_template_fields = template_fields
    ui_color = "#f3d5d5"

    def __init__(
        self,
        *,
        run_id: str,
        wait_for_completion: bool = False,
        waiter_delay: float = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.wait_for_completion = wait_for_completion
        self.waiter_delay = waiter_delay

    def execute(self, context: Context) -> str:
        """Delete the run, and wait until it is gone if asked to."""
        run_id = checked_run_id("DeleteRun", self.run_id)
        watch = RunWatch(run_id, log=self.log)
        if self.wait_for_completion:
            # From now on the run is known by its uuid, as its id may be given to another one.
            watch.poll(self.hook.conn)
        try:
            self.hook.delete_run(run_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            if not is_not_found(error):
                raise refusal(self.hook, "DeleteRun", f"run {run_id}", error, self.log) from error
            self.log.info("HealthOmics run %s does not exist (any more)", run_id)
            return run_id
        while self.wait_for_completion and not self._is_gone(watch):
            time.sleep(self.waiter_delay)
        self.log.info("HealthOmics run %s is deleted", run_id)
        return run_id

    def _is_gone(self, watch: RunWatch) -> bool:
        try:
            summary = watch.poll(self.hook.conn)
        except HealthOmicsRunReplacedError:
            return True
        return summary is not None and summary["status"] == "DELETED"
