# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a task waits for its run or batch: on the worker or in the triggerer, with the same end."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.batch_watch import BatchWatch
from airflow_healthomics.compat import AirflowException, AirflowTaskTimeout
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.kill import CancelOnKillMixin, Target, cancel_persistently
from airflow_healthomics.resources import BatchResource, Resource, RunResource
from airflow_healthomics.run_watch import RunWatch
from airflow_healthomics.triggers.batch import HealthOmicsRunBatchTrigger
from airflow_healthomics.triggers.run import HealthOmicsRunTrigger
from airflow_healthomics.triggers.wait import HealthOmicsWaitTrigger, ended_event, ended_summary
from airflow_healthomics.watch import AIRFLOWS_TROUBLE, NEW_GRACE, Watch

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator

    from airflow_healthomics.compat import Context

    class _Base(CancelOnKillMixin, AwsBaseOperator[HealthOmicsHook]):
        """What the mixin is mixed into."""
else:
    _Base = CancelOnKillMixin


#: Airflow's words, those of 2.11 last.
_TRIGGER_TIMEOUTS: Final = frozenset({"Trigger timeout", "Trigger/execution timeout"})


def connection_of(task: Any) -> dict[str, Any]:
    """Return the connection arguments of an operator or sensor, as a trigger takes them."""
    return {
        "aws_conn_id": task.aws_conn_id,
        "region_name": task.region_name,
        "verify": task.verify,
        "botocore_config": task.botocore_config,
    }


def client_of(task: Any, watch: Watch) -> Any:
    """
    Return the client of an operator or sensor, made anew while its polls are refused.

    :param task: operator or sensor
    :param watch: of the run or batch
    """
    if watch.refusals.since is None:
        return task.hook.conn
    # Credentials are part of the hook, and so of the client.
    known = task.__dict__.pop("hook", None)
    try:
        return task.hook.conn
    except (AirflowException, *AIRFLOWS_TROUBLE):
        # A connection that was found before is a client that may work again.
        if known is None:
            raise
        task.hook = known
        return known.conn


def hook_arguments(task: Any) -> dict[str, Any]:
    """Return the connection arguments of an operator or sensor, as hooks of the amazon provider name them."""
    return {
        "aws_conn_id": task.aws_conn_id,
        "region_name": task.region_name,
        "verify": task.verify,
        "config": task.botocore_config,
    }


def time_left(task: Any, context: Context) -> timedelta | None:
    """
    Return what is left of ``execution_timeout``, a second at least; None if there is none.

    Counts from the beginning of the try, whatever has been waited for meanwhile, as Airflow 2 does. Airflow 3
    by itself counts anew for each deferral, and 3.0 tells the time of the resumption as the beginning.

    :param task: operator
    :param context: the task's context
    """
    if task.execution_timeout is None:
        return None
    now = datetime.fromtimestamp(time.time(), UTC)
    left: timedelta = context["ti"].start_date + task.execution_timeout - now
    return max(left, timedelta(seconds=1))


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


def run_trigger(task: Any, watch: RunWatch, delay: float) -> HealthOmicsRunTrigger:
    """
    Return the trigger that goes on watching a run with the connection of a task.

    :param task: operator or sensor
    :param watch: of the run
    :param delay: seconds between two polls
    """
    return HealthOmicsRunTrigger(
        run_id=watch.resource_id,
        uuid=watch.uuid,
        creation_time=watch.creation_time.isoformat() if watch.creation_time else None,
        grace=watch.grace,
        waiter_delay=delay,
        cancel_on_kill=task.cancel_on_kill,
        **connection_of(task),
    )


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


def batch_trigger(task: Any, watch: BatchWatch, delay: float) -> HealthOmicsRunBatchTrigger:
    """
    Return the trigger that goes on watching a batch with the connection of a task.

    :param task: operator or sensor
    :param watch: of the batch
    :param delay: seconds between two polls
    """
    return HealthOmicsRunBatchTrigger(
        batch_id=watch.resource_id,
        uuid=watch.uuid,
        grace=watch.grace,
        is_deletion=watch.is_deletion,
        waiter_delay=delay,
        cancel_on_kill=task.cancel_on_kill,
        **connection_of(task),
    )


def is_trigger_timeout(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """
    Whether a deferral has timed out, for which Airflow resumes a task as for a triggerer's fault.

    :param next_method: as for ``resume_execution``
    :param next_kwargs: as for ``resume_execution``
    """
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in _TRIGGER_TIMEOUTS


def has_tries_left(context: Context) -> bool:
    """
    Whether Airflow would try the task again.

    :param context: the task's context
    """
    ti = context["ti"]
    return bool(ti.try_number <= ti.max_tries)
