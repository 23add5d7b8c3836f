# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that waits for a job of a sequence or reference store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_healthomics.hooks.connection import pinned_connection_of
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.job_watch import JobWatch, job_watch_of_kind
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger


class HealthOmicsJobTrigger(HealthOmicsWaitTrigger):
    """
    Fire when an import, export or activation job has ended. A poll costs one call.

    HealthOmics cannot cancel a job, so a kill of the task leaves it.

    :param kind: ``read set import job``, ``reference import job``, ``read set export job`` or ``read set
        activation job``
    :param store_id: id of the sequence or reference store
    :param job_id: id of the job
    :param grace: seconds in which a not-found response is ignored, because the Get operation may lag behind
        the start
    :param earlier: ids of the jobs that the task started before, for the resumed task
    :param waiter_delay: seconds between two polls
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        kind: str,
        store_id: str,
        job_id: str,
        grace: float = 0.0,
        earlier: Sequence[str] = (),
        waiter_delay: float = 60,
        **connection: Any,
    ) -> None:
        super().__init__(waiter_delay, cancel_on_kill=False, **connection)
        self.kind = kind
        self.store_id = store_id
        self.job_id = job_id
        self.grace = grace
        self.earlier = list(earlier)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.job.HealthOmicsJobTrigger",
            {
                "kind": self.kind,
                "store_id": self.store_id,
                "job_id": self.job_id,
                "grace": self.grace,
                "earlier": self.earlier,
                "waiter_delay": self.waiter_delay,
                **self.connection,
            },
        )

    def watch(self) -> JobWatch:
        """Return the state of the wait for the job."""
        watch_type = job_watch_of_kind(self.kind)
        return watch_type(self.job_id, store_id=self.store_id, grace=self.grace, log=self.log)

    async def details(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the ids of the earlier jobs."""
        return {"earlier": self.earlier}

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel nothing, because HealthOmics cannot cancel a job."""
        return

    @classmethod
    def of(cls, task: Any, watch: JobWatch, delay: float, **arguments: Any) -> HealthOmicsJobTrigger:
        """Return the trigger that continues a wait with the connection of a task."""
        return cls(
            kind=watch.noun,
            store_id=watch.store_id,
            job_id=watch.resource_id,
            grace=watch.grace,
            waiter_delay=delay,
            **pinned_connection_of(task),
            **arguments,
        )
