# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the triggers that report ends, whoever started the run or batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, ClassVar

from airflow.triggers.base import TriggerEvent

from airflow_healthomics.events.calls import Calls
from airflow_healthomics.events.ends import EndSource
from airflow_healthomics.events.reconciliation import Reconciliation
from airflow_healthomics.events.record import EndRecord
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.events.watcher import Watcher, utc_now
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.triggers.base import HealthOmicsTrigger

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no asset watchers
    from airflow.triggers.base import BaseTrigger as BaseEventTrigger  # type: ignore[assignment]


class HealthOmicsEventTrigger(HealthOmicsTrigger, BaseEventTrigger):
    """
    Base of the triggers for asset watchers (Airflow 3.0 and later).

    :param poll_interval: seconds between two reconciliations
    :param lookback: seconds before the first start since which ends count
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    source: ClassVar[EndSource]

    def __init__(self, poll_interval: float = 60, lookback: float = 3600, **connection: Any) -> None:
        super().__init__(**connection)
        numbers = {"poll_interval": (poll_interval, 1), "lookback": (lookback, 0)}
        problems = [
            f"{argument} must be at least {least} seconds"
            for argument, (value, least) in numbers.items()
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least
        ]
        if problems:
            raise HealthOmicsRequestError("The search for ended runs", problems)
        self.poll_interval = poll_interval
        self.lookback = lookback

    @property
    @abstractmethod
    def search(self) -> EndSearch:
        """The criteria."""

    def watcher(self) -> Watcher:
        """Return the loop, which has not started."""
        calls = Calls(self.connect, self._shared.renew)
        scope = {"kind": self.source.noun, **self.connection}
        since = utc_now() - timedelta(seconds=self.lookback)
        record = EndRecord(getattr(self, "asset_state_store", None), scope, since)
        return Watcher(Reconciliation(self.source, self.search, calls), record, self.log)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each end."""
        async for payload in self.watcher().run(self.poll_interval):
            yield TriggerEvent(dict(payload))
