# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for HealthOmics runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.compat import conf
from airflow_healthomics.links import RUN_LINKS
from airflow_healthomics.publishing.resource import publish_run
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.requests.run import checked_run_id
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.sensors.base import HealthOmicsSensor
from airflow_healthomics.waiting.deadlines import time_left

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class HealthOmicsRunSensor(HealthOmicsSensor):
    """
    Wait for a HealthOmics run to end, and fail unless it is COMPLETED.

    If the run is FAILED, CANCELLED or DELETED, the task fails without retries, because a sensor cannot
    restart the run of another task. With ``soft_fail`` the task is skipped instead, in every mode. The sensor
    continues to wait in STOPPING, because a run may be COMPLETED afterwards.

    Returns the run's summary: ``id``, ``arn``, ``uuid``, ``name``, ``status``, ``workflowId``,
    ``runOutputUri``, ``creationTime``, ``startTime``, ``stopTime`` (ISO 8601), ``storageType`` and more, by
    GetRun's names, and its usage as ``usage``. The asset events of the outlets have ``runId``, ``uuid``,
    ``runOutputUri`` and ``workflowId`` in their extra.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_run`

    :param run_id: HealthOmics run id, 1 to 18 digits, as HealthOmicsStartRunOperator returns it (templated)
    :param poke_interval: seconds between two polls, in every mode; at least 10 with ``mode="reschedule"``
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param cancel_on_kill: whether to cancel the run when this task is killed; the task that started the run
        has a separate ``cancel_on_kill``
    :param log_tail_lines: number of lines to show from the end of the failed task's log if the run fails, 0
        to 50. The run page opens no log if it is 0, or a template that does not yield a number
    :param report_usage: whether to report the usage of the run, which costs a few seconds at most; see
        :func:`airflow_healthomics.reports.usage.usage_of_run`
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRunFailedPermanentlyError: if the run does not end as COMPLETED
    :raises HealthOmicsOutcomeUnknownError: if polls are refused for ``[healthomics] refusal_patience``
        seconds, for instance because omics:GetRun is not allowed; may be retried
    :raises HealthOmicsRunReplacedError: if the id now belongs to another run
    """

    resource_type = RunResource
    template_fields: Sequence[str] = aws_template_fields("run_id", "log_tail_lines")
    typed_template_fields = ("log_tail_lines",)
    checked_template_fields = template_fields
    operator_extra_links = RUN_LINKS

    def __init__(
        self,
        *,
        run_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        cancel_on_kill: bool = False,
        log_tail_lines: int | str = 20,
        report_usage: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self.log_tail_lines = log_tail_lines
        self.report_usage = report_usage

    @cached_property
    def watch(self) -> RunWatch:
        """State of the wait for the run."""
        refuse_broken_templates("GetRun", {"log_tail_lines": self.log_tail_lines})
        return RunWatch(checked_run_id("GetRun", self.run_id), log=self.log)

    def begin(self, context: Context, latest: Mapping[str, Any]) -> None:
        """Publish the data that the links and the page of the run need."""
        publish_run(context, self, latest, is_awaited_only=True)

    def finish(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Report usage and lineage, and return the summary; raise unless the run is COMPLETED."""
        from airflow_healthomics.reports.diagnosis import raise_for_status
        from airflow_healthomics.reports.log_pages import line_count
        from airflow_healthomics.reports.usage_report import add_usage
        from airflow_healthomics.resources.run_end import recorded_end

        if summary["status"] == "DELETED":
            # Retention mode REMOVE may delete a run between its end and the next poll.
            summary = recorded_end(self.hook, summary["id"], summary.get("uuid"), self.log) or summary
        self.count_end(summary)
        tasks = None
        if self.report_usage:
            left = time_left(self, context)
            summary, tasks = add_usage(summary, hook=self.hook, log=self.log, time_left=left)
        self.lineage.collect_run(context, summary)
        raise_for_status(
            summary,
            hook=self.hook,
            log_tail_lines=line_count(self.log_tail_lines),
            log=self.log,
            retryable=False,
            time_left=time_left(self, context),
            source=self.source_of("run_id"),
            tasks=tasks,
        )
        self.emit_event(context, summary)
        return summary
