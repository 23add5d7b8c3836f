# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The stream of ends that the watchers of a queue share (Airflow 3.3 and later).

Airflow acknowledges an end when each watcher has passed it and the events that they made of it are in the
database. Only then its message is deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_healthomics.events.queue import Delivery, EndQueue


class EndStream(SharedStreamProducer):
    """
    The queue as a producer of Airflow's shared streams.

    An exception would end all watchers of the queue, so the queue raises none.

    :param queue: the queue
    """

    def __init__(self, queue: EndQueue) -> None:
        self._queue = queue

    async def open_stream(self) -> AsyncIterator[tuple[Delivery, Delivery]]:
        """Yield each end."""
        while True:
            for delivery in await self._queue.receive():
                yield delivery, delivery

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Delete the messages whose events are stored. The others are delivered again."""
        for item in batch:
            if item.outcome.is_clean and not item.broker_payload.in_hand:
                await self._queue.delete(item.broker_payload.receipt)

    def get_advance_lane(self, broker_payload: Any) -> Hashable:
        """Return a lane for each message, since SQS deletes in any order."""
        return str(broker_payload.receipt)

    async def aclose(self) -> None:
        """Release the thread of the queue."""
        self._queue.close()
