# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the sensors share: how they wait, time out and fail."""

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
from airflow_healthomics.triggers.wait import summary_from_event
from airflow_healthomics.waiting.clients import client_of
from airflow_healthomics.waiting.deadlines import is_trigger_timeout
from airflow_healthomics.waiting.kill_guard import Target

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


#: Key in the task state store of what a rescheduled sensor remembers from one poke to the next.
KEY: Final = "healthomics_sensor"


class HealthOmicsSensor(HealthOmicsTask, AwsBaseSensor[HealthOmicsHook]):
    """
    Base of the sensors, which wait for a run or batch with ``deferrable`` and ``cancel_on_kill``.

    Its failures are permanent, as it cannot repair what another task started. ``soft_fail`` skips the task
    instead, in every mode alike. Only a wait that was refused for ``[healthomics] refusal_patience`` seconds
    may be retried, and is not skipped by ``soft_fail``.

    With ``mode="reschedule"`` each poke is a new process. From Airflow 3.3 on it remembers the uuid and the
    refusals of the pokes before in the task state store. Airflow before 3.3 keeps nothing between two pokes,
    as it clears the XComs of the task: there refusals last until ``timeout``, and a run that was deleted and
    whose id was given to another run meanwhile is not noticed.
    """

    ui_color = "#d9e4f2"

    deferrable: bool

    @cached_property
    @abstractmethod
    def watch(self) -> Watch:
        """State of the wait."""

    @abstractmethod
    def finish(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the task, or raise an AirflowFailException."""

    def begin(self, context: Context, latest: Mapping[str, Any]) -> None:
        """
        Publish the run or batch; called with the first response.

        :param context: the task's context
        :param latest: the response
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
            trigger=self.trigger(self.watch, self.poke_interval),
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
            self.begin(context, self.watch.latest)
            target = Target(kind=self.watch.noun, id=self.watch.resource_id, uuid=self.watch.uuid)
            self.kill_guard.context = context
            self.kill_guard.arm([target])
        if summary is None:
            self._remember(context)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self.finish(context, summary))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Finish after a deferral."""
        return self.finish(context, summary_from_event(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; a timeout is that of a sensor, also for ``soft_fail``, on each version of Airflow."""
        with self._soft_failing():
            if is_trigger_timeout(next_method, next_kwargs):
                raise AirflowSensorTimeout(f"The {self.watch} did not end within {self.timeout} seconds")
            if next_method == "execute_complete":
                # Core would skip the task for any error from here on, if soft_fail is set.
                summary_from_event((next_kwargs or {}).get("event"))
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _soft_failing(self) -> Iterator[None]:
        # What BaseSensorOperator.execute does for a poke.
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

    def _recall(self, context: Context) -> None:
        """Restore what the pokes before have seen."""
        store: Any = context.get("task_state_store")
        if not self.reschedule or store is None or self.watch.latest is not None:
            return
        memory = store.get(KEY)
        # A Clear or a retry begins anew.
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
