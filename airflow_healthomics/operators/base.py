# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a task waits for its run or batch: on the worker or in the triggerer, with the same end."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.batch_watch import BatchWatch
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.resources.watch import NEW_GRACE, Watch
from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger, batch_trigger
from airflow_healthomics.triggers.run import HealthOmicsRunTrigger, run_trigger
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger, ended_event, ended_summary
from airflow_healthomics.waiting.clients import client_of
from airflow_healthomics.waiting.deadlines import has_tries_left, time_left
from airflow_healthomics.waiting.kill_guard import CancelOnKillMixin, Target, cancel_persistently

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator

    from airflow_healthomics.compat import Context

    class _Base(CancelOnKillMixin, AwsBaseOperator[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = CancelOnKillMixin


class WaiterMixin(_Base):
    """
    Wait for something to end, for an operator with ``deferrable`` and ``waiter_delay``.

    The status is asked for once before the task defers. ``execution_timeout`` bounds the wait in both places,
    and all waits of a try together.
    """

    deferrable: bool
    waiter_delay: float

    @property
    @abstractmethod
    def resource(self) -> Resource:
        """What is waited for, by the connection of this task."""

    @abstractmethod
    def watch(self, started: Mapping[str, Any], *, is_new: bool = False) -> Watch:
        """
        Return what to wait for.

        :param started: ``id`` and, if known, ``uuid``
        :param is_new: whether it was started just now
        """

    @abstractmethod
    def trigger(self, watch: Any) -> HealthOmicsWaitTrigger:
        """Return the trigger that goes on watching with the connection of this task."""

    @abstractmethod
    def finish(self, context: Context, summary: dict[str, Any]) -> Any:
        """
        Turn the end of what was waited for into the end of the task.

        :param context: the task's context
        :param summary: of the run or batch, in a terminal state
        """

    def wait_for(self, context: Context, watch: Watch, *, then: str = "execute_complete") -> Any:
        """
        Wait, and return what the method named by ``then`` makes of the trigger's event.

        :param context: the task's context
        :param watch: what to wait for
        :param then: method to go on with, in this process or in the one that the task resumes in
        """
        timeout = time_left(self, context)
        deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        try:
            while (summary := watch.poll(partial(client_of, self, watch))) is None:
                if self.deferrable:
                    self.defer(trigger=self.trigger(watch), method_name=then, timeout=timeout)
                # Airflow raises by a signal, and an exception out of a signal handler can get lost in what it
                # interrupts, such as a finalizer of the connection.
                if deadline is not None and time.monotonic() > deadline:
                    raise AirflowTaskTimeout(f"The {watch} did not end within {self.execution_timeout}")
                time.sleep(watch.pause(self.waiter_delay))
        except AirflowTaskTimeout:
            target = Target(kind=self.resource.noun, id=watch.resource_id, uuid=watch.uuid)
            self.handle_timeout(context, target)
            raise
        return getattr(self, then)(context, ended_event(summary))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Go on with what has ended."""
        return self.finish(context, ended_summary(event))

    def handle_timeout(self, context: Context, target: Target) -> None:
        """
        Cancel when ``execution_timeout`` has ended the last attempt; else the next one reattaches.

        :param context: the task's context
        :param target: the run or batch
        """
        if not self.cancel_on_kill:
            return
        if has_tries_left(context):
            self.log.info("The %s continues; the next attempt waits for it", target.kind)
            return
        self.log.info("The task has timed out, and no attempt is left")
        cancel_persistently(target, self.hook, self.log)


def _grace(is_new: bool) -> float:
    """Return the seconds in which a run or batch may not be found, if it was started just now."""
    return float(NEW_GRACE) if is_new else 0.0


class RunWaiterMixin(WaiterMixin):
    """Wait for a run."""

    @property
    def resource(self) -> RunResource:
        """Runs, by the connection of this task."""
        return RunResource(self.hook, self.log)

    def watch(self, started: Mapping[str, Any], *, is_new: bool = False) -> RunWatch:
        """Return the run to wait for."""
        return RunWatch(started["id"], uuid=started.get("uuid"), grace=_grace(is_new), log=self.log)

    def trigger(self, watch: RunWatch) -> HealthOmicsRunTrigger:
        """Return the trigger that goes on watching the run."""
        return run_trigger(self, watch, self.waiter_delay)


class RunBatchWaiterMixin(WaiterMixin):
    """Wait for a run batch."""

    @property
    def resource(self) -> BatchResource:
        """Batches, by the connection of this task."""
        return BatchResource(self.hook, self.log)

    def watch(self, started: Mapping[str, Any], *, is_new: bool = False) -> BatchWatch:
        """Return the batch to wait for."""
        return BatchWatch(started["id"], uuid=started.get("uuid"), grace=_grace(is_new), log=self.log)

    def trigger(self, watch: BatchWatch) -> HealthOmicsRunBatchTrigger:
        """Return the trigger that goes on watching the batch."""
        return batch_trigger(self, watch, self.waiter_delay)
