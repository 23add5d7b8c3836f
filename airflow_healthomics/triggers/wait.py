# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the triggers that wait for a run or batch, and their events."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsOutcomeUnknownError
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.triggers import base
from airflow_healthomics.triggers.kill import CancelOnKillTrigger


class WaitEvent(StrEnum):
    """How a wait in the triggerer ended."""

    ENDED = "ended"
    ERROR = "error"
    REFUSED = "refused"


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
    def of(cls, task: Any, watch: Any, delay: float) -> HealthOmicsWaitTrigger:
        """
        Return the trigger that continues a wait with the connection of a task.

        :param task: operator or sensor
        :param watch: state of the wait
        :param delay: seconds between two polls
        """

    async def event(self) -> dict[str, Any]:
        """Wait until the run or batch has ended, or its outcome cannot be determined."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + base.EARLIEST_EVENT
        try:
            payload = to_event(await self.poller.wait(self.watch(), self.waiter_delay))
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


def to_event(summary: dict[str, Any]) -> dict[str, Any]:
    """
    Return the payload of the event for a run or batch that has ended.

    :param summary: summary of the run or batch
    """
    return {"event": WaitEvent.ENDED.value, "summary": summary}


def summary_from_event(event: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the summary of the run or batch from the trigger's event.

    :param event: payload of the event
    :raises HealthOmicsOutcomeUnknownError: if polls were refused for too long
    :raises HealthOmicsApiError: if the trigger failed otherwise
    """
    match event:
        case {"event": WaitEvent.ENDED.value, "summary": dict(summary)}:
            return summary
        case {"event": WaitEvent.ERROR.value, "message": message, "code": code}:
            raise HealthOmicsApiError(message, code)
        case {
            "event": WaitEvent.REFUSED.value,
            "subject": str(subject),
            "reason": str(reason),
            "code": str(code),
            "seconds": float() | int() as seconds,
        }:
            raise HealthOmicsOutcomeUnknownError(subject, reason, code, seconds)
    raise HealthOmicsOutcomeUnknownError(
        "the run or batch", "the trigger resumed the task without a valid event"
    )
