# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The loop of a watcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from airflow_healthomics.events.ends import End
from airflow_healthomics.events.failures import FAILURES, Failures
from airflow_healthomics.events.queue import Delivery, EndQueue
from airflow_healthomics.events.reconciliation import Reconciliation
from airflow_healthomics.events.record import STORING, EndRecord, Reported
from airflow_healthomics.events.report import Report

#: Longest pause between two passes of which the first failed.
_LONGEST_PAUSE: Final = 60.0


def utc_now() -> datetime:
    """Return the time."""
    return datetime.fromtimestamp(time.time(), UTC)


class Watcher:
    """
    Yields a report of each end once.

    :param reconciliation: finds the ends
    :param record: the ends that were reported
    :param log: logger
    :ivar failures: of the passes since the last one that succeeded
    """

    def __init__(self, reconciliation: Reconciliation, record: EndRecord, log: Any) -> None:
        self.record = record
        noun = reconciliation.source.noun
        self.failures = Failures(f"Ended {noun}{'es' if noun == 'batch' else 's'} cannot be listed", log)
        self._reconciliation = reconciliation
        self._is_loaded = False

    async def run(self, interval: float) -> AsyncGenerator[Report]:
        """
        Reconcile again and again.

        :param interval: seconds between two passes
        """
        while True:
            async for report in self.reconcile():
                yield report
            await asyncio.sleep(self.pause(interval))

    async def run_with_queue(self, queue: EndQueue, interval: float) -> AsyncGenerator[Report]:
        """
        Receive ends from a queue of this watcher alone, and reconcile again and again (before Airflow 3.3).

        A message is deleted a minute after its event, when Airflow has stored it.

        :param queue: the queue
        :param interval: seconds between two passes
        """
        clock = asyncio.get_running_loop().time
        reconcile_at = clock()
        stored: list[tuple[float, str]] = []
        try:
            while True:
                if clock() >= reconcile_at:
                    async for report in self.reconcile():
                        yield report
                    reconcile_at = clock() + self.pause(interval)
                for delivery in await queue.receive():
                    state = await self.reported(delivery.end)
                    if state is Reported.SENT:
                        continue
                    pause = STORING.total_seconds() if state is Reported.NO else 0.0
                    stored.append((clock() + pause, delivery.receipt))
                    if state is Reported.NO:
                        yield Report(delivery.end.payload)
                due = [receipt for at, receipt in stored if at <= clock()]
                stored = [each for each in stored if each[1] not in due]
                for receipt in due:
                    await queue.delete(receipt)
        finally:
            queue.close()

    async def run_with_stream(
        self, stream: AsyncIterator[Delivery], interval: float
    ) -> AsyncGenerator[Report]:
        """
        Filter the ends of a stream, and reconcile again and again.

        The next end is taken only when the previous one was yielded, since Airflow acknowledges by that.

        :param stream: ends of a queue
        :param interval: seconds between two passes
        """
        clock = asyncio.get_running_loop().time
        reconcile_at = clock()
        following: asyncio.Future[Delivery] | None = None
        try:
            while True:
                if clock() >= reconcile_at:
                    async for report in self.reconcile():
                        yield report
                    reconcile_at = clock() + self.pause(interval)
                following = following or asyncio.ensure_future(_take(stream))
                await asyncio.wait({following}, timeout=max(reconcile_at - clock(), 0.0))
                if following.done():
                    delivery, following = following.result(), None
                    state = await self.reported(delivery.end)
                    if state is Reported.SENT:
                        # A repeated message, perhaps this one: it stays until the event is stored.
                        continue
                    report = Report(delivery.end.payload, delivery)
                    if state is Reported.NO:
                        yield report
                    else:
                        report.finish()
        finally:
            if following is not None:
                following.cancel()

    async def reconcile(self) -> AsyncGenerator[Report]:
        """Yield what one pass finds. A failure is logged, and the next pass covers its time too."""
        began = utc_now()
        try:
            await self._load()
            async for end in self._reconciliation.ends(self.record.horizon):
                if await self.record.state(end, utc_now()) is Reported.NO:
                    # Once Airflow has the event, nothing must come between it and the record.
                    self.record.add(end, began)
                    yield Report(end.payload)
            await self.record.advance(began)
        except FAILURES as error:
            self.failures.add(error)
        else:
            self.failures.end()

    async def reported(self, end: End) -> Reported:
        """
        Return whether an end of a queue needs no event, and count it as sent otherwise.

        :param end: the end
        """
        search = self._reconciliation.search
        is_ours = self._reconciliation.source.id_field in end.payload
        if not is_ours or not search.matches(end.payload, end.described):
            return Reported.STORED
        while (state := await self._state(end)) is None:
            await asyncio.sleep(self.failures.pause)
        if state is Reported.NO:
            if end.at is not None and end.at < self.record.since:
                return Reported.STORED
            self.record.add(end, utc_now())
        return state

    def pause(self, interval: float) -> float:
        """
        Return the seconds until the next pass.

        :param interval: seconds between two passes that succeed
        """
        return max(self.failures.pause, min(interval, _LONGEST_PAUSE)) if self.failures.pause else interval

    async def _load(self) -> None:
        if not self._is_loaded:
            await self.record.load()
            self._is_loaded = True

    async def _state(self, end: End) -> Reported | None:
        try:
            await self._load()
            return await self.record.state(end, utc_now())
        except FAILURES as error:
            self.failures.add(error)
            return None


async def _take(stream: AsyncIterator[Delivery]) -> Delivery:
    delivery = await anext(stream)
    delivery.in_hand += 1
    return delivery
