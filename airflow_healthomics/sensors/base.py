# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the sensors: how they wait, time out and fail."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor

from airflow_healthomics.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    PokeReturnValue,
)
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.task import HealthOmicsTask
from airflow_healthomics.waiting import deadlines
from airflow_healthomics.waiting.clients import client_of
from airflow_healthomics.waiting.deadlines import is_trigger_timeout
from airflow_healthomics.waiting.kill_guard import Target

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


#: Key in the task state store for the state that a rescheduled sensor keeps between pokes.
KEY: Final = "healthomics_sensor"


class HealthOmicsSensor(HealthOmicsTask, AwsBaseSensor[HealthOmicsHook]):
    """
    Base of the sensors, which wait for a run or batch with ``deferrable`` and ``cancel_on_kill``.

    A failure is permanent, because a sensor cannot restart the run or batch of another task. With
    ``soft_fail`` the task is skipped instead, in every mode. The exception is a sensor whose polls were
    refused for ``[healthomics] refusal_patience`` seconds: it may be retried, and ``soft_fail`` does not skip
    it.

    With ``mode="reschedule"`` each poke is a new process. On Airflow 3.3 and later the sensor keeps the uuid
    and the refusals between pokes in the task state store. Before 3.3 nothing survives between pokes, because
    Airflow clears the XComs of the task. There the sensor tolerates refusals until ``timeout``, and does not
    notice if HealthOmics gives the id of a deleted run to another run.

    Two pokes in this mode are at least 10 seconds apart, even with a shorter ``poke_interval``. Airflow 3.0
    to 3.3.2 fails a sensor whose next poke is due before the scheduler has seen the previous one end
    (apache/airflow#71172).
    """

    ui_color = "#d9e4f2"

    deferrable: bool

    @cached_property
    @abstractmethod
    def watch(self) -> Watch:
        """State of the wait."""

    @property
    def waits_on_worker(self) -> bool:
        """Whether the sensor occupies a worker while it waits."""
        return not self.deferrable and not self.reschedule

    @abstractmethod
    def finish(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the task, or raise an AirflowFailException."""

    def begin(self, context: Context, latest: Mapping[str, Any]) -> None:
        """
        Publish the run or batch after the first successful poll.

        :param context: the task's context
        :param latest: the response of that poll
        """

    def execute(self, context: Context) -> Any:
        """Wait on the worker, or poll once and continue in the triggerer."""
        with self.kill_guard.until_end():
            return self._wait(context)

    def _wait(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        with self._soft_failing():
            done = self.poke(context)
        if isinstance(done, PokeReturnValue):
            return done.xcom_value
        self.defer(
            trigger=self.trigger(
                self.watch, self.poke_interval, **self.trigger_arguments(context, self.watch)
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )
        return None

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Poll once."""
        is_first = self.watch.latest is None
        self._recall(context)
        summary = self.watch.poll(partial(client_of, self, self.watch))
        if is_first and self.watch.latest is not None:
            target = Target(kind=self.watch.noun, id=self.watch.resource_id, uuid=self.watch.uuid)
            self.kill_guard.context = context
            self.kill_guard.arm([target])
            self.begin(context, self.watch.latest)
        if summary is None or self.is_left_to_trigger(summary):
            self._remember(context)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self.finish(context, summary))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Finish after a deferral."""
        from airflow_healthomics.waiting.events import summary_from_event

        return self.finish(context, summary_from_event(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume. On every version of Airflow, a timeout is an AirflowSensorTimeout, which may be skipped."""
        from airflow_healthomics.waiting.events import summary_from_event

        with self._soft_failing():
            if is_trigger_timeout(next_method, next_kwargs):
                raise AirflowSensorTimeout(f"The {self.watch} did not end within {self.timeout} seconds")
            if next_method == "execute_complete":
                # With soft_fail set, Airflow skips the task after any error in execute_complete.
                summary_from_event((next_kwargs or {}).get("event"))
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _soft_failing(self) -> Iterator[None]:
        # BaseSensorOperator.execute does the same for a poke.
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        except HealthOmicsOutcomeUnknownError as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise

    def _get_next_poke_interval(self, *args: Any, **kwargs: Any) -> float:
        # Private in Airflow, but the same since 2.11. An exponential backoff begins with a second.
        interval = super()._get_next_poke_interval(*args, **kwargs)
        return max(interval, deadlines.SHORTEST_PAUSE) if self.reschedule else interval

    def _recall(self, context: Context) -> None:
        """Restore the state of earlier pokes."""
        store: Any = context.get("task_state_store")
        if not self.reschedule or store is None or self.watch.latest is not None:
            return
        memory = store.get(KEY)
        # Ignore the state from before a Clear or a retry.
        if isinstance(memory, Mapping) and memory.get("attempt") == self._attempt(context):
            self.watch.uuid = self.watch.uuid or memory.get("uuid")
            now = time.monotonic() - max(time.time() - memory["time"], 0.0)
            self.watch.refusals.restore(memory.get("refusals"), now)

    def _remember(self, context: Context) -> None:
        store: Any = context.get("task_state_store")
        if not self.reschedule or store is None:
            return
        memory = {
            "attempt": self._attempt(context),
            "uuid": self.watch.uuid,
            "refusals": self.watch.refusals.as_json(time.monotonic()),
        }
        known = store.get(KEY)
        if memory["refusals"] is None and known is not None and memory.items() <= known.items():
            return
        store.set(KEY, {**memory, "time": time.time()})

    def _attempt(self, context: Context) -> str:
        return f"{context['ti'].try_number} {self.watch.resource_id}"
