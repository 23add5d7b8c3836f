# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that waits for the creation or deletion of a configuration, workflow or workflow version."""

from __future__ import annotations

from typing import Any

from airflow_healthomics.creating.status_watch import StatusWatch, status_watch_of_kind
from airflow_healthomics.hooks.connection import pinned_connection_of
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger


class HealthOmicsStatusTrigger(HealthOmicsWaitTrigger):
    """
    Fire when a configuration, workflow or workflow version is created or deleted, or that has failed.

    :param kind: configuration, workflow or workflow version
    :param resource_id: its id, or the name of a configuration
    :param version_name: name of a workflow version
    :param is_new: whether the task has created it, so that a not-found response is ignored for a while
    :param is_deletion: whether to fire when it is deleted instead
    :param waiter_delay: seconds between two polls
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        kind: str,
        resource_id: str,
        version_name: str | None = None,
        is_new: bool = False,
        is_deletion: bool = False,
        waiter_delay: float = 30,
        **connection: Any,
    ) -> None:
        super().__init__(waiter_delay, cancel_on_kill=False, **connection)
        self.kind = kind
        self.resource_id = resource_id
        self.version_name = version_name
        self.is_new = is_new
        self.is_deletion = is_deletion

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.status.HealthOmicsStatusTrigger",
            {
                "kind": self.kind,
                "resource_id": self.resource_id,
                "version_name": self.version_name,
                "is_new": self.is_new,
                "is_deletion": self.is_deletion,
                "waiter_delay": self.waiter_delay,
                **self.connection,
            },
        )

    def watch(self) -> StatusWatch:
        """Return the state of the wait."""
        return status_watch_of_kind(self.kind)(
            self.resource_id,
            version_name=self.version_name,
            is_new=self.is_new,
            is_deletion=self.is_deletion,
            log=self.log,
        )

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel nothing: neither a creation nor a deletion can be cancelled."""
        return

    @classmethod
    def of(cls, task: Any, watch: StatusWatch, delay: float, **arguments: Any) -> HealthOmicsStatusTrigger:
        """Return the trigger that continues a wait with the connection of a task."""
        return cls(
            kind=watch.noun,
            resource_id=watch.resource_id,
            version_name=watch.version_name,
            is_new=watch.is_new,
            is_deletion=watch.is_deletion,
            waiter_delay=delay,
            **pinned_connection_of(task),
            **arguments,
        )
