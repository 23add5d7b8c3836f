# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that waits for a run batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_healthomics.hooks.connection import pinned_connection_of
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.batch_watch import BatchWatch
from airflow_healthomics.triggers.batch_report import report_on
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger


class HealthOmicsRunBatchTrigger(HealthOmicsWaitTrigger):
    """
    Fire when a run batch has ended.

    A poll costs one GetBatch call, regardless of the number of runs. In the end, the trigger lists the runs
    for the task.

    :param batch_id: HealthOmics batch id
    :param uuid: uuid of the batch, if known
    :param grace: seconds in which a not-found response is ignored, because GetBatch may lag behind the start
    :param is_deletion: whether to fire when the runs of the batch are deleted instead
    :param waiter_delay: seconds between two polls
    :param cancel_on_kill: whether to cancel the batch when the task is killed (Airflow 3.3 and later)
    :param report: what the task needs to know about its runs in the end, a
        :class:`airflow_healthomics.batches.report.ReportPlan`; None if it reads that itself
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        batch_id: str,
        uuid: str | None = None,
        grace: float = 0.0,
        is_deletion: bool = False,
        waiter_delay: float = 60,
        cancel_on_kill: bool = False,
        report: Mapping[str, Any] | None = None,
        **connection: Any,
    ) -> None:
        super().__init__(waiter_delay, cancel_on_kill, **connection)
        self.batch_id = batch_id
        self.uuid = uuid
        self.grace = grace
        self.is_deletion = is_deletion
        self.report = report

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.batch.HealthOmicsRunBatchTrigger",
            {
                "batch_id": self.batch_id,
                "uuid": self.uuid,
                "grace": self.grace,
                "is_deletion": self.is_deletion,
                "waiter_delay": self.waiter_delay,
                "cancel_on_kill": self.cancel_on_kill,
                "report": self.report,
                **self.connection,
            },
        )

    def watch(self) -> BatchWatch:
        """Return the state of the wait for the batch."""
        return BatchWatch(
            self.batch_id,
            uuid=self.uuid,
            grace=self.grace,
            is_deletion=self.is_deletion,
            log=self.log,
        )

    async def details(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the report on the runs."""
        if self.report is None or summary["status"] == "DELETED":
            return {}
        return await report_on(self, self.report, summary)

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel the batch unless it has ended."""
        BatchResource(hook, self.log).cancel(self.batch_id, self.uuid)

    @classmethod
    def of(cls, task: Any, watch: BatchWatch, delay: float, **arguments: Any) -> HealthOmicsRunBatchTrigger:
        """Return the trigger that continues a wait with the connection of a task."""
        return cls(
            batch_id=watch.resource_id,
            uuid=watch.uuid,
            grace=watch.grace,
            is_deletion=watch.is_deletion,
            waiter_delay=delay,
            cancel_on_kill=task.cancel_on_kill,
            **pinned_connection_of(task),
            **arguments,
        )
