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
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.kill import cancel_run
from airflow_healthomics.polling import RunWatch
from airflow_healthomics.triggers import base
from airflow_healthomics.triggers.kill import cancel_if_over


class RunEvent(StrEnum):
    """What the trigger has to say."""

    ENDED = "ended"
    ERROR = "error"


class HealthOmicsRunTrigger(base.HealthOmicsTrigger):
    """
    Fire when a run has ended.

    The event carries all that the resumed task needs. No AWS call is made on the event loop.

    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param waiter_delay: seconds between two polls
    :param is_new: whether the run was started just now
    :param cancel_on_kill: whether the run is cancelled when the task is killed (Airflow 3.3 and later)
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        run_id: str,
        uuid: str | None = None,
        waiter_delay: float = 60,
        is_new: bool = False,
        cancel_on_kill: bool = False,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        self.run_id = run_id
        self.uuid = uuid
        self.waiter_delay = waiter_delay
        self.is_new = is_new
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.run.HealthOmicsRunTrigger",
            {
                "run_id": self.run_id,
                "uuid": self.uuid,
                "waiter_delay": self.waiter_delay,
                "is_new": self.is_new,
                "cancel_on_kill": self.cancel_on_kill,
                **self.connection,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the run has ended, or until HealthOmics refuses for good to say."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + base.EARLIEST_EVENT
        try:
            payload = ended_event(await self._ended_run())
        except (AirflowException, ClientError, BotoCoreError) as error:
            self.disconnect()
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

    async def _ended_run(self) -> dict[str, Any]:
        hook = await self.connect()
        watch = RunWatch(hook, self.run_id, uuid=self.uuid, is_new=self.is_new, log=self.log)
        while (summary := await asyncio.to_thread(watch.poll)) is None:
            await asyncio.sleep(self.waiter_delay)
        return summary

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
