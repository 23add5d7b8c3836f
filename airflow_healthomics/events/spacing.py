# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The time between two events of a watcher.

Airflow queues a DAG at the first event of an asset. The DAG run consumes the events until then, and ends the
queueing. Events between these two are consumed by the DAG run of the next event (Airflow 3.3.2, in
``_create_dag_runs_asset_triggered``): the last ones of a burst would wait for a run that ends on another day.
So the last event of a burst comes some seconds after the one before it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from airflow_healthomics.events.queue import Delivery

#: Seconds in which a scheduler makes the DAG run of an event, with a margin.
SPACING_SECONDS: Final = 10.0


@dataclass
class Report:
    """
    An end to report.

    :param payload: payload of the event
    :param delivery: its message, if it has one
    """

    payload: Mapping[str, Any]
    delivery: Delivery | None = None

    def finish(self) -> None:
        """Let the message be deleted, once its event is stored."""
        if self.delivery is not None:
            self.delivery.in_hand -= 1


async def spaced(reports: AsyncGenerator[Report]) -> AsyncIterator[Mapping[str, Any]]:
    """
    Yield the payload of each report: at once after a pause, else when the next one comes or after a pause.

    :param reports: the reports
    """
    clock = asyncio.get_running_loop().time
    sent_at = -math.inf
    held: Report | None = None
    following: asyncio.Future[Report] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(reports))
            due = None if held is None else max(sent_at + SPACING_SECONDS - clock(), 0.0)
            await asyncio.wait({following}, timeout=due)
            if held is not None:
                yield held.payload
                held.finish()
                held, sent_at = None, clock()
            if following.done():
                report, following = following.result(), None
                if clock() - sent_at < SPACING_SECONDS:
                    held = report
                    continue
                yield report.payload
                report.finish()
                sent_at = clock()
    finally:
        if following is not None:
            following.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await following
        await reports.aclose()
