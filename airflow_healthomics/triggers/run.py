# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for a run in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Any, Final

from airflow.providers.common.compat.sdk import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.polling import RunWatch

#: Seconds between the start of the trigger and its event, at least. Airflow up to 3.3.2 fails a task whose
#: trigger fires before the scheduler has seen the deferral (apache/airflow#67287, #71580).
EARLIEST_EVENT: Final = 10.0


class RunEvent(StrEnum):
    """What the trigger has to say."""

    ENDED = "ended"
    ERROR = "error"


class HealthOmicsRunTrigger(BaseTrigger):
    """
    Fire when a run has ended.

    The event carries all that the resumed task needs. No AWS call is made on the event loop.

    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param waiter_delay: seconds between two polls
    :param aws_conn_id: Airflow connection for AWS
    :param region_name: AWS region
    :param verify: whether, or by which bundle, to verify TLS certificates
    :param botocore_config: settings of the botocore client
    """

    def __init__(
        self,
        run_id: str,
        uuid: str | None = None,
        waiter_delay: float = 60,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow annotates it from 3.1 on only
        self.run_id = run_id
        self.uuid = uuid
        self.waiter_delay = waiter_delay
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.run.HealthOmicsRunTrigger",
            {
                "run_id": self.run_id,
                "uuid": self.uuid,
                "waiter_delay": self.waiter_delay,
                "aws_conn_id": self.aws_conn_id,
                "region_name": self.region_name,
                "verify": self.verify,
                "botocore_config": self.botocore_config,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the run has ended, or until HealthOmics refuses for good to say."""
        earliest = asyncio.get_running_loop().time() + EARLIEST_EVENT
        try:
            payload = {"event": RunEvent.ENDED.value, "run": await self._ended_run()}
        except (AirflowException, ClientError, BotoCoreError) as error:
            payload = {
                "event": RunEvent.ERROR.value,
                "message": str(error),
                "code": getattr(error, "code", ""),
            }
        await asyncio.sleep(earliest - asyncio.get_running_loop().time())
        yield TriggerEvent(payload)

    async def _ended_run(self) -> dict[str, Any]:
        hook = HealthOmicsHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )
        # Looking the connection up from a plain thread breaks the triggerer's channel on Airflow 3.0 to 3.2
        # (apache/airflow#67380), so the client is made in asgiref's one thread; later calls need no
        # connection.
        await sync_to_async(lambda: hook.conn)()
        watch = RunWatch(hook, self.run_id, uuid=self.uuid, log=self.log)
        while (summary := await asyncio.to_thread(watch.poll)) is None:
            await asyncio.sleep(self.waiter_delay)
        return summary


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
