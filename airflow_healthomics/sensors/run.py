# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait for HealthOmics runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    PokeReturnValue,
    conf,
)

from airflow_healthomics.diagnosis import raise_for_status
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.kill import CancelOnKillMixin
from airflow_healthomics.links import RUN_LINKS, persist_links
from airflow_healthomics.run_request import checked_run_id
from airflow_healthomics.run_watch import RunWatch
from airflow_healthomics.triggers.wait import ended_summary
from airflow_healthomics.waiting import is_trigger_timeout, run_trigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class HealthOmicsRunSensor(CancelOnKillMixin, AwsBaseSensor[HealthOmicsHook]):
    """
    Wait until a HealthOmics run is COMPLETED.

    FAILED, CANCELLED and DELETED fail the task at once and for good: a sensor cannot repair a run that
    another task started. ``soft_fail`` skips the task instead, in every mode alike. STOPPING is waited on, as
    a run passes through it before COMPLETED too.

    Returns the run's summary: ``id``, ``arn``, ``uuid``, ``name``, ``status``, ``workflowId``,
    ``runOutputUri``, ``creationTime``, ``startTime``, ``stopTime`` (ISO 8601), ``storageType`` and more, by
    GetRun's names.

    .. seealso::
        For more information on how to use this sensor, take a look at
        :external+boto3:py:meth:`Omics.Client.get_run`

    :param run_id: HealthOmics run id, 1 to 18 digits, as HealthOmicsStartRunOperator returns it (templated)
    :param poke_interval: seconds between two polls, in every mode
    :param timeout: seconds until the wait ends as an AirflowSensorTimeout
    :param deferrable: whether to wait in the triggerer; ``[operators] default_deferrable`` by default
    :param cancel_on_kill: whether the run is cancelled when this task is killed; the task that started it
        does so by itself
    :param log_tail_lines: last lines of the failed task's log to show when the run has failed, 0 to 50; 0
        shows none
    :param aws_conn_id: Airflow connection for AWS; None or empty takes boto3's own way to credentials
        (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether, or by which bundle, to verify TLS certificates (templated)
    :param botocore_config: settings of the botocore client
    :raises HealthOmicsRunFailedForGoodError: if the run does not end as COMPLETED
    :raises HealthOmicsApiError: if HealthOmics refuses to say, for instance for want of omics:GetRun
    """

    aws_hook_class = HealthOmicsHook
    template_fields: Sequence[str] = aws_template_fields("run_id")
    operator_extra_links = RUN_LINKS
    ui_color = "#d9e4f2"

    def __init__(
        self,
        *,
        run_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        cancel_on_kill: bool = False,
        log_tail_lines: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self.log_tail_lines = log_tail_lines

    def execute(self, context: Context) -> Any:
        """Wait on the worker, or ask once and go on in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        with self._soft_failing():
            done = self.poke(context)
        if isinstance(done, PokeReturnValue):
            return done.xcom_value
        self.defer(
            trigger=run_trigger(self, self._watch, self.poke_interval),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
        return None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Ask for the run once."""
        is_first = self._watch.latest is None
        summary = self._watch.poll(self.hook.conn)
        if is_first and self._watch.latest is not None:
            persist_links(context, self.hook, self._watch.latest)
            self.guard(self._watch.resource_id)
        if summary is None:
            return False
        return PokeReturnValue(is_done=True, xcom_value=self._finish(summary))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on after a deferral."""
        return self._finish(ended_summary(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; a timeout is that of a sensor, also for ``soft_fail``, on each version of Airflow."""
        with self._soft_failing():
            if is_trigger_timeout(next_method, next_kwargs):
                raise AirflowSensorTimeout(f"The run did not end within {self.timeout} seconds")
            return super().resume_execution(next_method, next_kwargs, context)

    @cached_property
    def _watch(self) -> RunWatch:
        return RunWatch(checked_run_id("GetRun", self.run_id), log=self.log)

    def _finish(self, summary: dict[str, Any]) -> dict[str, Any]:
        raise_for_status(
            summary, hook=self.hook, log_tail_lines=self.log_tail_lines, log=self.log, for_good=True
        )
        return summary

    @contextmanager
    def _soft_failing(self) -> Iterator[None]:
        # What BaseSensorOperator.execute does for a poke.
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
