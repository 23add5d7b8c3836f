# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that waits for a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from airflow_healthomics.hooks.connection import pinned_connection_of
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger


class HealthOmicsRunTrigger(HealthOmicsWaitTrigger):
    """
    Fire when a run has ended.

    A thousand of these triggers cost about a dozen calls per poll interval.

    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param creation_time: creation time of the run as ISO 8601 text, if known
    :param grace: seconds in which a not-found response is ignored, because GetRun may lag behind the start
    :param is_deletion: whether to fire when the run is deleted instead
    :param list_filter: name and value of the narrowest filter of ListRuns that the run matches, if known:
        ``["runGroupId", "1234567"]``
    :param waiter_delay: seconds between two polls
    :param cancel_on_kill: whether to cancel the run when the task is killed (Airflow 3.3 and later)
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        run_id: str,
        uuid: str | None = None,
        creation_time: str | None = None,
        grace: float = 0.0,
        is_deletion: bool = False,
        list_filter: Sequence[str] | None = None,
        waiter_delay: float = 60,
        cancel_on_kill: bool = False,
        **connection: Any,
    ) -> None:
        super().__init__(waiter_delay, cancel_on_kill, **connection)
        self.run_id = run_id
        self.uuid = uuid
        self.creation_time = creation_time
        self.grace = grace
        self.is_deletion = is_deletion
        # Thousands of triggers may have the same filter.
        self.list_filter = [sys.intern(part) for part in list_filter] if list_filter else None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.run.HealthOmicsRunTrigger",
            {
                "run_id": self.run_id,
                "uuid": self.uuid,
                "creation_time": self.creation_time,
                "grace": self.grace,
                "is_deletion": self.is_deletion,
                "list_filter": self.list_filter,
                "waiter_delay": self.waiter_delay,
                "cancel_on_kill": self.cancel_on_kill,
                **self.connection,
            },
        )

    def watch(self) -> RunWatch:
        """Return the state of the wait for the run."""
        return RunWatch(
            self.run_id,
            uuid=self.uuid,
            creation_time=self.creation_time,
            grace=self.grace,
            is_deletion=self.is_deletion,
            list_filter=(self.list_filter[0], self.list_filter[1]) if self.list_filter else None,
            log=self.log,
        )

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel the run unless it has ended."""
        RunResource(hook, self.log).cancel(self.run_id, self.uuid)

    @classmethod
    def of(cls, task: Any, watch: RunWatch, delay: float, **arguments: Any) -> HealthOmicsRunTrigger:
        """Return the trigger that continues a wait with the connection of a task."""
        return cls(
            run_id=watch.resource_id,
            uuid=watch.uuid,
            creation_time=watch.creation_time.isoformat() if watch.creation_time else None,
            grace=watch.grace,
            is_deletion=watch.is_deletion,
            list_filter=watch.list_filter,
            waiter_delay=delay,
            cancel_on_kill=task.cancel_on_kill,
            **pinned_connection_of(task),
            **arguments,
        )
