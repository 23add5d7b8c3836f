# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the triggers that report ends, whoever started the run or batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Hashable
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import TriggerEvent

from airflow_healthomics.events import spacing
from airflow_healthomics.events.calls import Calls
from airflow_healthomics.events.ends import EndSource
from airflow_healthomics.events.queue import Delivery, EndQueue
from airflow_healthomics.events.reconciliation import Reconciliation
from airflow_healthomics.events.record import EndRecord
from airflow_healthomics.events.report import Report
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.events.snapshot import sent_by, snapshot_of
from airflow_healthomics.events.watcher import Watcher, utc_now
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.triggers.base import HealthOmicsTrigger

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no asset watchers
    from airflow.triggers.base import BaseTrigger as BaseEventTrigger  # type: ignore[assignment]

if TYPE_CHECKING:
    from airflow_healthomics.events.stream import EndStream


class HealthOmicsEventTrigger(HealthOmicsTrigger, BaseEventTrigger):
    """
    Base of the triggers for asset watchers (Airflow 3.0 and later).

    :param queue_url: URL of the queue of EventBridge's events; None for reconciliation alone
    :param owns_queue: whether to delete messages of others from the queue
    :param poll_interval: seconds between two reconciliations without a queue
    :param reconcile_interval: the same with a queue
    :param lookback: seconds before the first start since which ends count
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    source: ClassVar[EndSource]

    def __init__(
        self,
        queue_url: str | None = None,
        owns_queue: bool = True,
        poll_interval: float = 60,
        reconcile_interval: float = 900,
        lookback: float = 3600,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        numbers = {
            "poll_interval": (poll_interval, 1),
            "reconcile_interval": (reconcile_interval, 1),
            "lookback": (lookback, 0),
        }
        problems = [
            f"{argument} must be at least {least} seconds"
            for argument, (value, least) in numbers.items()
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least
        ]
        if queue_url is not None and not str(queue_url).startswith(("https://", "http://")):
            problems.append("queue_url must be the URL of a queue, https://sqs.REGION.amazonaws.com/...")
        if problems:
            raise HealthOmicsRequestError("The search for ended runs", problems)
        self.queue_url = queue_url
        self.owns_queue = owns_queue
        self.poll_interval = poll_interval
        self.reconcile_interval = reconcile_interval
        self.lookback = lookback

    @property
    @abstractmethod
    def search(self) -> EndSearch:
        """The criteria."""

    @property
    def watching(self) -> dict[str, Any]:
        """The arguments of this class."""
        return {
            "queue_url": self.queue_url,
            "owns_queue": self.owns_queue,
            "poll_interval": self.poll_interval,
            "reconcile_interval": self.reconcile_interval,
            "lookback": self.lookback,
            **self.connection,
        }

    def watcher(self) -> Watcher:
        """Return the loop, which has not started."""
        scope = {"kind": self.source.noun, **self.connection}
        since = utc_now() - timedelta(seconds=self.lookback)
        record = EndRecord(getattr(self, "asset_state_store", None), scope, since)
        record.restore(snapshot_of(*self.serialize()), sent_by(*self.serialize()), utc_now())
        return Watcher(Reconciliation(self.source, self.search, self._calls), record, self.log)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end. Airflow 3.3 and later use this without a queue only."""
        watcher = self.watcher()
        if self.queue_url is None:
            reports = watcher.run(self.poll_interval)
        else:
            reports = watcher.run_with_queue(self._queue, self.reconcile_interval)
        if spacing.IS_NEEDED:
            reports = spacing.spaced(reports)
        async for event in _events(reports):
            yield event

    # --- shared streams: watchers of one queue share it (Airflow 3.3 and later) ---

    def shared_stream_key(self) -> Hashable | None:
        """Return the queue and how it is read: the triggers with an equal key share one loop."""
        if self.queue_url is None:
            return None
        return ("healthomics", self.queue_url, str(self.owns_queue), self.connection_key)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> EndStream:
        """
        Return the reader of the queue.

        :param kwargs: arguments of one of the triggers. Only those in the key are used.
        """
        from airflow_healthomics.events.stream import EndStream

        return EndStream(cls(**kwargs)._queue)

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Delivery]
    ) -> AsyncIterator[TriggerEvent]:
        """
        Yield an event for each end that matches.

        :param shared_stream: the ends of the queue
        """
        reports = self.watcher().run_with_stream(shared_stream, self.reconcile_interval)
        async for event in _events(reports):
            yield event

    @property
    def _calls(self) -> Calls:
        return Calls(self.connect, self._shared.renew)

    @property
    def _queue(self) -> EndQueue:
        return EndQueue(self._calls, str(self.queue_url), self.owns_queue, self.log)


async def _events(reports: AsyncGenerator[Report]) -> AsyncIterator[TriggerEvent]:
    """Yield the event of each report, which is finished when Airflow requests the next event."""
    async with aclosing(reports):
        async for report in reports:
            yield TriggerEvent(dict(report.payload))
            report.finish()
