# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How an operator waits for its run: on the worker or in the triggerer, with the same end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.polling import RunWatch
from airflow_healthomics.triggers.run import HealthOmicsRunTrigger, ended_run

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
    from airflow.providers.common.compat.sdk import Context

    _Base = AwsBaseOperator[HealthOmicsHook]
else:
    _Base = object


def run_trigger(task: Any, run_id: str, uuid: str | None, delay: float) -> HealthOmicsRunTrigger:
    """
    Return the trigger that waits for a run with the connection of a task.

    :param task: operator or sensor
    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param delay: seconds between two polls
    """
    return HealthOmicsRunTrigger(
        run_id=run_id,
        uuid=uuid,
        waiter_delay=delay,
        aws_conn_id=task.aws_conn_id,
        region_name=task.region_name,
        verify=task.verify,
        botocore_config=task.botocore_config,
    )


class RunWaiterMixin(_Base):
    """
    Wait for a run to end, for an operator with ``deferrable`` and ``waiter_delay``.

    The status is asked for once before the task defers. ``execution_timeout`` bounds the wait in both places.
    """

    deferrable: bool
    waiter_delay: float

    def wait_for_run(self, context: Context, run_id: str, uuid: str | None = None) -> Any:
        """Wait, and return what :meth:`finish` makes of the run."""
        watch = RunWatch(self.hook, run_id, uuid=uuid, log=self.log)
        summary = watch.poll()
        if summary is None and self.deferrable:
            self.defer(
                trigger=run_trigger(self, run_id, watch.uuid, self.waiter_delay),
                method_name="execute_complete",
                timeout=self.execution_timeout,
            )
        while summary is None:
            time.sleep(self.waiter_delay)
            summary = watch.poll()
        return self.finish(context, summary)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Go on after a deferral."""
        return self.finish(context, ended_run(event))

    def finish(self, context: Context, summary: dict[str, Any]) -> Any:
        """
        Turn the end of the run into the end of the task.

        :param summary: of the run, in a terminal state
        """
        raise NotImplementedError
