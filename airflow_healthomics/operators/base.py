# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the operators that can wait, on the worker or in the triggerer."""

from __future__ import annotations

import time
from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.task import HealthOmicsTask
from airflow_healthomics.waiting.deadlines import has_tries_left, time_left
from airflow_healthomics.waiting.kill_guard import Target, cancel_persistently

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.resources.watch import Watch

#: Default poll interval in seconds for a run or batch.
WAITER_DELAY: Final = 60.0

#: Default poll interval in seconds for a deletion.
DELETION_WAITER_DELAY: Final = 30.0


class WaitingOperator(HealthOmicsTask, AwsBaseOperator[HealthOmicsHook]):
    """
    Base of the operators that can wait for a run, batch or job, with ``deferrable`` and ``waiter_delay``.

    The status is polled once before the task defers, unless the run or batch was started just now.
    ``execution_timeout`` limits the total waiting time of an attempt, on the worker and in the triggerer.
    """

    wait_for_completion: bool = True
    deferrable: bool
    waiter_delay: float

    @property
    def waits_on_worker(self) -> bool:
        """Whether the task occupies a worker while it waits."""
        return self.wait_for_completion and not self.deferrable

    @abstractmethod
    def finish(self, context: Context, summary: dict[str, Any]) -> Any:
        """
        Return the result of the task, or raise.

        :param context: the task's context
        :param summary: summary of the run or batch, in a terminal state
        """

    def wait(
        self, context: Context, watch: Watch, *, is_new: bool = False, then: str = "execute_complete"
    ) -> Any:
        """
        Wait, then call a method with the event and return its result.

        :param context: the task's context
        :param watch: state of the wait
        :param is_new: whether the run or batch was started just now
        :param then: name of the method; after a deferral it is called in the process that resumes the task
        """
        from airflow_healthomics.waiting.events import to_event

        timeout = time_left(self, context)
        deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        try:
            is_last_wait = then == "execute_complete"
            summary = None if is_new and self.deferrable else self._poll(watch)
            while summary is None or (is_last_wait and self.is_left_to_trigger(summary)):
                if self.deferrable:
                    arguments = self.trigger_arguments(context, watch) if is_last_wait else {}
                    trigger = self.trigger(watch, self.waiter_delay, **arguments)
                    self.defer(trigger=trigger, method_name=then, timeout=timeout)
                # Airflow raises the timeout from a signal handler. Such an exception is lost if it interrupts
                # a finalizer, for instance that of the HTTP connection.
                if deadline is not None and time.monotonic() > deadline:
                    raise AirflowTaskTimeout(f"The {watch} did not end within {self.execution_timeout}")
                time.sleep(watch.pause(self.waiter_delay))
                summary = self._poll(watch)
        except AirflowTaskTimeout:
            self.handle_timeout(context, Target(kind=watch.noun, id=watch.resource_id, uuid=watch.uuid))
            raise
        return getattr(self, then)(context, to_event(summary))

    def _poll(self, watch: Watch) -> dict[str, Any] | None:
        from airflow_healthomics.waiting.clients import client_of

        return watch.poll(partial(client_of, self, watch))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Finish with the summary of the run or batch."""
        return self.finish(context, self.summary_in(event))

    def summary_in(self, event: dict[str, Any] | None) -> dict[str, Any]:
        """
        Return the summary of the run or batch in the event that ended the wait, or raise its error.

        :param event: payload of the event
        """
        from airflow_healthomics.waiting.events import summary_from_event

        return summary_from_event(event)

    def handle_timeout(self, context: Context, target: Target) -> None:
        """
        Cancel the resource if no attempt is left after a timeout; otherwise the next attempt reattaches.

        :param context: the task's context
        :param target: the run or batch
        """
        if has_tries_left(context):
            self.log.info("The task timed out. Its %s continues and the next attempt reattaches", target.kind)
            return
        if not self.cancel_on_kill:
            self.log.info(
                "The task timed out and has no attempt left. The %s continues because %s",
                target,
                self.resource.why_not_cancelled,
            )
            return
        self.log.info("The task timed out and has no attempt left; cancelling its %s", target.kind)
        cancel_persistently(target, self.hook, self.log, is_on_its_way=target.id is None)
