# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for a run in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import TriggerEvent

from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.kill import cancel_run
from airflow_healthomics.run_watch import RunWatch
from airflow_healthomics.triggers import base
from airflow_healthomics.triggers.kill import cancel_if_over


class RunEvent(StrEnum):
    """What the trigger has to say."""

    ENDED = "ended"
    ERROR = "error"


class HealthOmicsRunTrigger(base.HealthOmicsTrigger):
    """
    Fire when a run has ended.

    The event carries all that the resumed task needs. The triggers of a connection share a poller
    (:class:`airflow_healthomics.polling.Poller`), so that a thousand of them cost about a dozen calls for
    each poll.

    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param creation_time: creation time of the run as ISO 8601 text, if known
    :param new_until: wall time in seconds until which GetRun may not find a run that was started just now
    :param waiter_delay: seconds between two polls
    :param cancel_on_kill: whether the run is cancelled when the task is killed (Airflow 3.3 and later)
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        run_id: str,
        uuid: str | None = None,
        creation_time: str | None = None,
        new_until: float = 0.0,
        waiter_delay: float = 60,
        cancel_on_kill: bool = False,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        self.run_id = run_id
        self.uuid = uuid
        self.creation_time = creation_time
        self.new_until = new_until
        self.waiter_delay = waiter_delay
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.run.HealthOmicsRunTrigger",
            {
                "run_id": self.run_id,
                "uuid": self.uuid,
                "creation_time": self.creation_time,
                "new_until": self.new_until,
                "waiter_delay": self.waiter_delay,
                "cancel_on_kill": self.cancel_on_kill,
                **self.connection,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait until the run has ended, or until HealthOmics refuses for good to say."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + base.EARLIEST_EVENT
        watch = RunWatch(
            self.run_id,
            uuid=self.uuid,
            creation_time=self.creation_time,
            new_until=self.new_until,
            log=self.log,
        )
        try:
            payload = ended_event(await self.poller.wait(watch, self.waiter_delay))
        except AirflowException as error:
            payload = {
                "event": RunEvent.ERROR.value,
                "message": str(error),
                "code": getattr(error, "code", ""),
            }
        await asyncio.sleep(earliest - loop.time())
        yield TriggerEvent(payload)

    async def on_kill(self) -> None:
        """Cancel the run, if the task is really over (Airflow 3.3 and later)."""
        if self.cancel_on_kill:
            cancel_if_over(self, self._cancel_run)

    def _cancel_run(self, hook: HealthOmicsHook) -> None:
        cancel_run(hook, self.run_id, self.uuid, self.log)


def ended_event(summary: dict[str, Any]) -> dict[str, Any]:
    """
    Return the payload of the event that a run has ended.

    :param summary: of the run
    """
    return {"event": RunEvent.ENDED.value, "run": summary}


def ended_run(event: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the summary of the run that has ended, from the trigger's event.

    :param event: payload of the event
    :raises HealthOmicsApiError: if the trigger could not find out
    """
    match event:
        case {"event": RunEvent.ENDED.value, "run": dict(summary)}:
            return summary
        case {"event": RunEvent.ERROR.value, "message": message, "code": code}:
            raise HealthOmicsApiError(message, code)
    raise HealthOmicsApiError("The trigger resumed the task without an event that it knows")
