# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the triggers that cancel the run or batch of a deferred task when the task is killed."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from airflow.triggers.base import TriggerEvent
from asgiref.sync import sync_to_async
from tenacity import (
    AsyncRetrying,
    stop_after_attempt,
    wait_random_exponential,
)

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.triggers.base import HealthOmicsTrigger
from airflow_healthomics.waiting.kill_guard import cancel_retrying
from airflow_healthomics.waiting.task_states import FINISHED_TASK_STATES, state_of

#: CancelRun is limited to 10 calls a second: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_AT_ONCE: Final = 8

#: Attempts to read the state of the task instance if the Airflow API fails.
_STATE_TRIES: Final = 5

#: Separate from the event loop's threads, which Airflow needs for log lines before it calls on_kill.
_threads: Final = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="healthomics-cancel")

#: Message with which Airflow 3.3 cancels the trigger of a task that a person ended or cleared, or that timed
#: out. A trigger that moves to another triggerer is cancelled without it. If Airflow changes the message,
#: kills are still noticed by on_kill.
_USER_ACTION: Final = "__airflow_user_action__"

_running: set[asyncio.Task[None]] = set()


class CancelOnKillTrigger(HealthOmicsTrigger):
    """
    Base of the triggers that cancel the run or batch when the task is killed (Airflow 3.3 and later).

    Airflow cancels the trigger of a killed task, writes a log line and calls ``on_kill``. It re-cancels every
    second and so can interrupt ``on_kill``, or prevent it from being called. Therefore the first cancellation
    already counts as the kill, and the work happens in a background task.
    """

    cancel_on_kill: bool

    _is_killed = False

    @abstractmethod
    async def event(self) -> dict[str, Any]:
        """Wait for the event and return its payload."""

    async def before_cancel(self) -> None:
        """Wait for a call that decides what there is to cancel; none by default."""
        return

    @abstractmethod
    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel the run or batch unless it has ended; blocks on AWS calls."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire the event."""
        try:
            payload = await self.event()
        except asyncio.CancelledError as error:
            if error.args == (_USER_ACTION,) and not self._has_timed_out():
                self._kill()
            raise
        yield TriggerEvent(payload)

    async def on_kill(self) -> None:
        """Cancel in the background if the task has really ended."""
        self._kill()

    @property
    def deadline(self) -> datetime | None:
        """When the deferral times out, if it does."""
        # The triggerer sets this attribute.
        end: datetime | None = getattr(self, "timeout_after", None)
        return end if end is None or end.tzinfo else end.replace(tzinfo=UTC)

    def _has_timed_out(self) -> bool:
        """Whether the task timed out. That is not a kill: the task resumes and handles it."""
        return self.deadline is not None and self.deadline < datetime.now(UTC)

    def _kill(self) -> None:
        if not self.cancel_on_kill or self._is_killed:
            return
        self._is_killed = True
        task = asyncio.get_running_loop().create_task(self._cancel_if_over())
        # The event loop itself keeps only a weak reference.
        _running.add(task)
        task.add_done_callback(self._report)

    async def _cancel_if_over(self) -> None:
        asking = AsyncRetrying(
            stop=stop_after_attempt(_STATE_TRIES),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            reraise=True,
        )
        state: str = await asking(sync_to_async(state_of), self.task_instance)
        if state not in FINISHED_TASK_STATES:
            # It moved to another triggerer, or a Clear queued it and the next attempt decides.
            self.log.info("The task is %s, so its run is not cancelled", state)
            return
        await self.before_cancel()
        hook = await self.connect()
        await asyncio.get_running_loop().run_in_executor(_threads, cancel_retrying(), self.cancel, hook)

    def _report(self, task: asyncio.Task[None]) -> None:
        _running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.log.warning("The run of the killed task could not be cancelled: %s", error_code(error))
