# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The time between two events of a watcher (Airflow 3.0 and 3.1).

There the scheduler reads the queue of a DAG, makes the DAG run and then clears the queue, in one transaction.
An event that is stored meanwhile loses its place in the queue, and the DAG run of the asset's next event
consumes it. So that the last end of a burst does not wait for that, its event comes some seconds after the
one before it, when the scheduler has made the DAG run of that one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from airflow import __version__ as airflow_version

from airflow_healthomics.events.report import Report

#: Whether the scheduler clears the queue without having locked it.
IS_NEEDED: Final = (3, 0) <= tuple(int(part) for part in airflow_version.split(".")[:2]) < (3, 2)

#: Seconds in which a scheduler makes the DAG run of an event, with a margin.
SPACING_SECONDS: Final = 10.0


async def spaced(reports: AsyncGenerator[Report]) -> AsyncGenerator[Report]:
    """
    Yield each report: at once after a pause, else when the next one comes or after a pause.

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
                yield held
                held, sent_at = None, clock()
            if following.done():
                report, following = following.result(), None
                if clock() - sent_at < SPACING_SECONDS:
                    held = report
                    continue
                yield report
                sent_at = clock()
    finally:
        if following is not None:
            following.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await following
        await reports.aclose()
