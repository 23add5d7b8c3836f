# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancelling what a deferred task has started when the task is killed."""

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
from airflow_healthomics.waiting.task_states import FINISHED, state_of

#: CancelRun is limited to 10 calls a second: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
_AT_ONCE: Final = 8

#: How often to ask for the state of a task instance, when Airflow has trouble itself.
_STATE_TRIES: Final = 5

#: Not the event loop's own threads: Airflow needs one of them for each line of log, before it calls on_kill.
_threads: Final = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="healthomics-cancel")

#: With which Airflow 3.3 cancels the trigger of a task that a person has ended or cleared, or that has timed
#: out, but not one that the triggerer gives up. Should the word change, only on_kill tells of a kill.
_USER_ACTION: Final = "__airflow_user_action__"

_running: set[asyncio.Task[None]] = set()


class CancelOnKillTrigger(HealthOmicsTrigger):
    """
    Base of the triggers that cancel when the task is killed (Airflow 3.3 and later).

    Airflow cancels the trigger of a killed task, writes a line of log and calls ``on_kill``. It cancels again
    each second, which ends whatever is under way: ``on_kill``, or the line before it, and then ``on_kill`` is
    never called. So the cancellation is taken for the kill already, and all else happens in the background.
    """

    cancel_on_kill: bool

    _is_killed = False

    @abstractmethod
    async def event(self) -> dict[str, Any]:
        """Return the payload of the event, as soon as there is one."""

    @abstractmethod
    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel what was started, if it has not ended; makes AWS calls."""

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
        """Cancel in the background, if the task is really over."""
        self._kill()

    def _has_timed_out(self) -> bool:
        """Whether the task has timed out, which is no kill: it resumes, and sees to it by itself."""
        # Set by the triggerer.
        end: datetime | None = getattr(self, "timeout_after", None)
        return end is not None and (end if end.tzinfo else end.replace(tzinfo=UTC)) < datetime.now(UTC)

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
        if state not in FINISHED:
            # Another triggerer has taken it over, or a Clear has queued it: then its next attempt decides.
            self.log.info("The task is %s, so its run is not cancelled", state)
            return
        hook = await self.connect()
        await asyncio.get_running_loop().run_in_executor(_threads, cancel_retrying(), self.cancel, hook)

    def _report(self, task: asyncio.Task[None]) -> None:
        _running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.log.warning("The run of the killed task could not be cancelled: %s", error_code(error))
