# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger of the sensor that waits for the next end of any run that matches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_healthomics.compat import conf
from airflow_healthomics.events.calls import Calls
from airflow_healthomics.events.reconciliation import Reconciliation
from airflow_healthomics.events.record import EndRecord
from airflow_healthomics.events.run_ends import RunEnds
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.events.watcher import Watcher, utc_now
from airflow_healthomics.resources.refusals import DEFAULT_PATIENCE
from airflow_healthomics.service.times import as_time
from airflow_healthomics.triggers.base import HealthOmicsTrigger
from airflow_healthomics.waiting import deadlines
from airflow_healthomics.waiting.events import WaitEvent, to_event


class HealthOmicsRunEndTrigger(HealthOmicsTrigger):
    """
    Fire once, at the first end since a time of a run that matches.

    The criteria are those of
    :class:`~airflow_healthomics.triggers.HealthOmicsRunEventTrigger`.

    :param since: ISO 8601 time since which an end counts
    :param statuses: terminal statuses
    :param workflow_id: id of the workflow
    :param workflow_name: name of the workflow
    :param run_group_id: id of the run group
    :param run_name_pattern: shell-style pattern of the run's name
    :param tags: tags that the run must have
    :param poll_interval: seconds between two polls
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        since: str,
        statuses: Sequence[str],
        workflow_id: str | None = None,
        workflow_name: str | None = None,
        run_group_id: str | None = None,
        run_name_pattern: str | None = None,
        tags: Mapping[str, str] | None = None,
        poll_interval: float = 60,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        self.since = since
        self.statuses = statuses
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.run_group_id = run_group_id
        self.run_name_pattern = run_name_pattern
        self.tags = tags
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.run_end.HealthOmicsRunEndTrigger",
            {
                "since": self.since,
                "statuses": list(self.statuses),
                "workflow_id": self.workflow_id,
                "workflow_name": self.workflow_name,
                "run_group_id": self.run_group_id,
                "run_name_pattern": self.run_name_pattern,
                "tags": dict(self.tags) if self.tags else None,
                "poll_interval": self.poll_interval,
                **self.connection,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event, 10 seconds after the start at the earliest."""
        loop = asyncio.get_running_loop()
        earliest = loop.time() + deadlines.SHORTEST_PAUSE
        payload = await self._event()
        await asyncio.sleep(earliest - loop.time())
        yield TriggerEvent(payload)

    async def _event(self) -> dict[str, Any]:
        search = EndSearch(
            statuses=self.statuses,
            workflow_id=self.workflow_id,
            workflow_name=self.workflow_name,
            run_group_id=self.run_group_id,
            name_pattern=self.run_name_pattern,
            tags=self.tags,
        )
        record = EndRecord(None, {}, as_time(self.since) or utc_now())
        calls = Calls(self.connect, self._shared.renew)
        watcher = Watcher(Reconciliation(RunEnds(), search, calls), record, self.log)
        patience = conf.getfloat("healthomics", "refusal_patience", fallback=DEFAULT_PATIENCE)
        while True:
            async for report in watcher.reconcile():
                return to_event(dict(report.payload))
            seconds = watcher.failures.seconds
            if watcher.failures.pause and seconds >= patience:
                return {
                    "event": WaitEvent.REFUSED.value,
                    "subject": "the search for ended runs",
                    "reason": watcher.failures.reason,
                    "code": "",
                    "seconds": seconds,
                }
            await asyncio.sleep(watcher.pause(self.poll_interval))
