# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the triggers that wait for a run or batch."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.triggers.kill import CancelOnKillTrigger
from airflow_healthomics.waiting import deadlines
from airflow_healthomics.waiting.events import WaitEvent, to_event


class HealthOmicsWaitTrigger(CancelOnKillTrigger):
    """
    Fire when the run or batch has ended.

    The event contains everything that the resumed task needs. The triggers of a connection share a poller
    (:class:`airflow_healthomics.waiting.poller.Poller`).

    :param waiter_delay: seconds between two polls
    :param cancel_on_kill: whether to cancel the run or batch when the task is killed (Airflow 3.3 and later)
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(self, waiter_delay: float = 60, cancel_on_kill: bool = False, **connection: Any) -> None:
        super().__init__(**connection)
        self.waiter_delay = waiter_delay
        self.cancel_on_kill = cancel_on_kill

    @abstractmethod
    def watch(self) -> Watch:
        """Return the state of the wait."""

    @classmethod
    @abstractmethod
    def of(cls, task: Any, watch: Any, delay: float, **arguments: Any) -> HealthOmicsWaitTrigger:
        """
        Return the trigger that continues a wait with the connection of a task.

        :param task: operator or sensor
        :param watch: state of the wait
        :param delay: seconds between two polls
        :param arguments: further arguments of the trigger
        """

    async def details(self, summary: dict[str, Any]) -> dict[str, Any]:
        """
        Return further data for the event.

        :param summary: summary of the run or batch
        """
        return {}

    async def event(self) -> dict[str, Any]:
        """Wait until the run or batch has ended, or its outcome cannot be determined."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + deadlines.SHORTEST_PAUSE
        try:
            watch = self.watch()
            summary = await self.poller.wait(watch, self.waiter_delay)
            payload = {**to_event(summary), **await self.details(summary)}
            metrics.event_sent(watch.noun, summary)
        except HealthOmicsOutcomeUnknownError as error:
            payload = {
                "event": WaitEvent.REFUSED.value,
                "subject": error.subject,
                "reason": error.reason,
                "code": error.code,
                "seconds": error.seconds,
            }
        except AirflowException as error:
            payload = {
                "event": WaitEvent.ERROR.value,
                "message": str(error),
                "code": getattr(error, "code", ""),
            }
        await asyncio.sleep(earliest - loop.time())
        return payload
