# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the operators that wait for the creation or deletion of something other than a run or batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_healthomics.operators.base import WaitingOperator

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.resources.status_watch import StatusWatch
    from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger
    from airflow_healthomics.waiting.kill_guard import Target


class StatusOperator(WaitingOperator):
    """Base of the operators that create or delete a configuration, workflow or workflow version."""

    def trigger(self, watch: Any, delay: float, **arguments: Any) -> HealthOmicsStatusTrigger:
        """
        Return the trigger that continues a wait with this task's connection.

        :param watch: state of the wait
        :param delay: seconds between two polls
        :param arguments: further arguments of the trigger
        """
        from airflow_healthomics.triggers.status import HealthOmicsStatusTrigger

        status_watch: StatusWatch = watch
        return HealthOmicsStatusTrigger.of(self, status_watch, delay, **arguments)

    def handle_timeout(self, context: Context, target: Target) -> None:
        """
        Log that HealthOmics continues, since neither a creation nor a deletion can be cancelled.

        :param context: the task's context
        :param target: what the task waits for
        """
        self.log.info(
            "The task timed out. HealthOmics continues with %s, and another attempt continues the wait",
            target,
        )
