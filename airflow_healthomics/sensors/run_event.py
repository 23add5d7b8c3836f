# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for the next run that ends, whoever started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    PokeReturnValue,
    conf,
)
from airflow_healthomics.events.reconciliation import first_end
from airflow_healthomics.events.run_ends import RunEnds
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.events.watcher import utc_now
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks.connection import pinned_connection_of
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import api_error, error_code, is_retryable
from airflow_healthomics.service.times import as_time
from airflow_healthomics.waiting.deadlines import is_trigger_timeout

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class HealthOmicsRunEventSensor(AwsBaseSensor[HealthOmicsHook]):
    """
    Wait for the next end of a run that matches, whoever started it (Airflow 2.11 and later).

    Returns the payload of the end: ``runId``, ``uuid``, ``name``, ``status``, ``workflowId``,
    ``workflowName``, ``runOutputUri``, ``failureReason``, ``startTime`` and ``stopTime``, never parameters.
    If several runs have ended, it is the one that ended first. To start a DAG for each run, use
    :class:`~airflow_healthomics.triggers.HealthOmicsRunEventTrigger`.

    .. seealso::
        - :external+boto3:py:class:`Omics.Paginator.ListRuns`
        - :external+boto3:py:meth:`Omics.Client.get_run`

    :param statuses: terminal statuses; by default COMPLETED, FAILED, CANCELLED and DELETED (templated)
    :param workflow_id: id of the workflow (templated)
    :param workflow_name: name of the workflow (templated)
    :param run_group_id: id of the run group. It also makes ListRuns cheaper (templated)
    :param run_name_pattern: shell-style pattern of the run's name, such as ``sample-*``, case-sensitive
        (templated)
    :param tags: tags that the run must have (templated)
    :param since: ISO 8601 time since which an end counts; by default the start of the DAG run (templated)
    :param poke_interval: seconds between two polls, in every mode
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule
    :raises HealthOmicsApiError: if ListRuns or GetRun is refused on the worker
    :raises HealthOmicsOutcomeUnknownError: if polls in the triggerer fail for ``[healthomics]
        refusal_patience`` seconds; may be retried
    """

    aws_hook_class = HealthOmicsHook
    template_fields: Sequence[str] = aws_template_fields(
        "statuses", "workflow_id", "workflow_name", "run_group_id", "run_name_pattern", "tags", "since"
    )
    ui_color = "#d9e4f2"

    def __init__(
        self,
        *,
        statuses: Sequence[str] | None = None,
        workflow_id: str | None = None,
        workflow_name: str | None = None,
        run_group_id: str | None = None,
        run_name_pattern: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.statuses = statuses
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.run_group_id = run_group_id
        self.run_name_pattern = run_name_pattern
        self.tags = tags
        self.since = since
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait on the worker, or poll once and continue in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        with_soft_fail = self.soft_fail or self.never_fail
        try:
            done = self.poke(context)
        except AirflowFailException as error:
            if with_soft_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        if isinstance(done, PokeReturnValue):
            return done.xcom_value
        self._defer(context)
        return None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once."""
        search = self._search()
        search.check(run_states.TERMINAL, "run_name_pattern")
        try:
            end = first_end(self.hook, RunEnds(), search, self._since(context))
        except (ClientError, BotoCoreError) as error:
            if not is_retryable(error):
                operation = error.operation_name if isinstance(error, ClientError) else "ListRuns"
                raise api_error(operation, "the search for ended runs", error) from error
            self.log.warning("Ended runs cannot be found: %s. The next poke tries again", error_code(error))
            return False
        return False if end is None else PokeReturnValue(is_done=True, xcom_value=self._log_end(end.payload))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the payload after a deferral."""
        from airflow_healthomics.waiting.events import summary_from_event

        return self._log_end(summary_from_event(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume. On every version of Airflow, a timeout is an AirflowSensorTimeout, which may be skipped."""
        if is_trigger_timeout(next_method, next_kwargs):
            message = f"No run that matches ended within {self.timeout} seconds"
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(message)
            raise AirflowSensorTimeout(message)
        return super().resume_execution(next_method, next_kwargs, context)

    def _log_end(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        self.log.info("HealthOmics run %s has ended: %s", payload["runId"], payload["status"])
        return dict(payload)

    def _defer(self, context: Context) -> None:
        from airflow_healthomics.triggers.run_end import HealthOmicsRunEndTrigger

        search = self._search()
        self.defer(
            trigger=HealthOmicsRunEndTrigger(
                since=self._since(context).isoformat(),
                statuses=list(search.statuses),
                workflow_id=self.workflow_id,
                workflow_name=self.workflow_name,
                run_group_id=self.run_group_id,
                run_name_pattern=self.run_name_pattern,
                tags=self.tags,
                poll_interval=self.poke_interval,
                **pinned_connection_of(self),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    def _search(self) -> EndSearch:
        return EndSearch(
            statuses=sorted(run_states.TERMINAL) if self.statuses is None else self.statuses,
            workflow_id=self.workflow_id,
            workflow_name=self.workflow_name,
            run_group_id=self.run_group_id,
            name_pattern=self.run_name_pattern,
            tags=self.tags,
        )

    def _since(self, context: Context) -> datetime:
        if self.since is None:
            dag_run: Any = context.get("dag_run")
            return as_time(getattr(dag_run, "start_date", None)) or utc_now()
        if (since := as_time(self.since)) is None:
            raise HealthOmicsRequestError("The search for ended runs", ["since must be an ISO 8601 time"])
        return since
