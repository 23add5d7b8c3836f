# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for HealthOmics run batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.batches.outcomes import (
    PAGE_SIZE,
    RunOutcome,
    collect_outcomes,
    patient_client,
)
from airflow_healthomics.batches.report import (
    BatchReport,
    ReportPlan,
    has_enough_completed,
    report_on_runs,
)
from airflow_healthomics.batches.success_policy import SuccessPolicy, parse_success_policy
from airflow_healthomics.compat import AirflowTaskTimeout, conf
from airflow_healthomics.exceptions import HealthOmicsError, HealthOmicsRunBatchFailedPermanentlyError
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.place import describe_place
from airflow_healthomics.publishing.resource import push_resource
from airflow_healthomics.reports.diagnosis import MAX_SECONDS, describe_missing, is_missing
from airflow_healthomics.requests.batch import checked_batch_id
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.batch_watch import BatchWatch
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.sensors.base import HealthOmicsSensor
from airflow_healthomics.waiting.deadlines import time_left

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


_NEXT_STEP: Final = (
    "Check the batch id and the account and region of the connection. A sensor starts nothing: to run the "
    "batch again, clear the task that started it."
)


class HealthOmicsRunBatchSensor(HealthOmicsSensor):
    """
    Wait until all runs of a HealthOmics run batch have ended, and fail unless enough of them completed.

    A batch that is PROCESSED or CANCELLED may contain failed runs, so ``success_policy`` decides. If too few
    runs completed, the task fails without retries, because a sensor cannot repeat the runs of another task.
    With ``soft_fail`` the task is skipped instead, in every mode. A poll costs one GetBatch call, regardless
    of the number of runs.

    Returns the batch's summary: ``id``, ``arn``, ``uuid``, ``name``, ``status``, ``totalRuns``,
    ``workflowId``, ``outputUri``, ``submissionSummary``, ``runSummary`` and times (ISO 8601), by GetBatch's
    names. The asset events of the outlets have ``batchId``, ``uuid``, ``workflowId`` and ``outputUri`` in
    their extra.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_batch`

    :param batch_id: HealthOmics batch id, 1 to 18 digits, as HealthOmicsStartRunBatchOperator returns it
        (templated)
    :param success_policy: how many runs must complete: ``all``, ``any``, a number (950) or a share (``95%``)
        (templated)
    :param poke_interval: seconds between two polls, in every mode; at least 10 with ``mode="reschedule"``
    :param timeout: seconds after which the task fails with AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param cancel_on_kill: whether to cancel the batch when this task is killed; the task that started the
        batch has a separate ``cancel_on_kill``
    :param log_tail_lines: number of lines that the run page shows from the end of a failed task's log, 0 to
        50. The page opens no log of the runs if it is 0, or a template that does not yield a number. Errors
        of a batch have no log lines (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRunBatchFailedPermanentlyError: if ``success_policy`` is not met
    :raises HealthOmicsOutcomeUnknownError: if polls are refused for ``[healthomics] refusal_patience``
        seconds, for instance because omics:GetBatch is not allowed; may be retried
    """

    resource_type = BatchResource
    template_fields: Sequence[str] = aws_template_fields("batch_id", "success_policy", "log_tail_lines")
    typed_template_fields = ("log_tail_lines",)
    checked_template_fields = template_fields

    #: The trigger's report on the runs.
    _report: BatchReport | None = None

    def __init__(
        self,
        *,
        batch_id: str,
        success_policy: str | float = "all",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        cancel_on_kill: bool = False,
        log_tail_lines: int | str = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_id = batch_id
        self.success_policy = success_policy
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self.log_tail_lines = log_tail_lines

    @cached_property
    def watch(self) -> BatchWatch:
        """State of the wait for the batch."""
        parse_success_policy(self.success_policy, operation="GetBatch")
        refuse_broken_templates("GetBatch", {"log_tail_lines": self.log_tail_lines})
        return BatchWatch(checked_batch_id("GetBatch", self.batch_id), log=self.log)

    def begin(self, context: Context, latest: Mapping[str, Any]) -> None:
        """Publish the data that the page of the batch needs."""
        push_resource(context, self.hook, "batch", latest)

    def trigger_arguments(self, context: Context, watch: Watch) -> Mapping[str, Any]:
        """Let the trigger read the runs of a batch of which too few completed."""
        return {"report": self._plan.as_json()}

    def is_left_to_trigger(self, summary: Mapping[str, Any]) -> bool:
        """Whether many runs are to be listed."""
        is_large = summary.get("totalRuns", 0) > PAGE_SIZE and not is_missing(summary)
        return self.deferrable and is_large and not has_enough_completed(summary, self._policy)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Finish after a deferral."""
        self._report = BatchReport.from_event(event, self._plan)
        return super().execute_complete(context, event)

    def finish(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the summary, or raise if too few runs completed."""
        if is_missing(summary):
            self._refuse_missing(context, summary)
        self.count_end(summary)
        self.lineage.collect_batch(context, summary)
        if not has_enough_completed(summary, self._policy):
            report = self._report or self._report_on_runs(context, summary)
            if not report.is_success:
                raise HealthOmicsRunBatchFailedPermanentlyError(
                    summary["id"], summary["status"], report.counts, report.text
                )
        self.emit_event(context, summary)
        return summary

    @property
    def _plan(self) -> ReportPlan:
        return ReportPlan(success_policy=self.success_policy)

    @property
    def _policy(self) -> SuccessPolicy:
        return parse_success_policy(self.success_policy, operation="GetBatch")

    def _report_on_runs(self, context: Context, summary: Mapping[str, Any]) -> BatchReport:
        client = patient_client(self.hook)
        # GetBatch's counts are final only if the batch is PROCESSED.
        is_final = summary["status"] == "PROCESSED"
        has_time = BestEffortClient.seconds_within(MAX_SECONDS, time_left(self, context)) > 0
        outcomes: list[RunOutcome] = []
        try:
            if has_time or not is_final:
                outcomes = self._outcomes(client, summary["id"])
            return report_on_runs(client, summary, outcomes, self._policy, self.log)
        except AirflowTaskTimeout:
            if not is_final:
                raise
            # A timeout would be retried, but the failure of the batch is permanent.
            self.log.warning("The runs of the batch are not described because the task timed out")
            return report_on_runs(client, summary, (), self._policy, self.log)

    def _refuse_missing(self, context: Context, summary: Mapping[str, Any]) -> NoReturn:
        place = describe_place(self.hook, self.log, time_left=time_left(self, context))
        source = self.source_of("batch_id")
        text = describe_missing("batch", summary["id"], place, source, _NEXT_STEP)
        raise HealthOmicsRunBatchFailedPermanentlyError(summary["id"], summary["status"], {}, text)

    def _outcomes(self, client: Any, batch_id: str) -> list[RunOutcome]:
        try:
            return list(collect_outcomes(client, [batch_id]).values())
        except (HealthOmicsError, ClientError, BotoCoreError) as error:
            self.log.warning("The runs of the batch could not be listed: %s", error)
            return []
