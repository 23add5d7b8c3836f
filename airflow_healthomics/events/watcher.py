# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The loop of a watcher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.events.reconciliation import Reconciliation
from airflow_healthomics.events.record import EndRecord
from airflow_healthomics.resources.refusals import Refusals
from airflow_healthomics.service.errors import AIRFLOW_API_ERRORS, error_code, is_access_denied

#: Errors that a later pass may not meet.
FAILURES: Final = (ClientError, BotoCoreError, AirflowException, *AIRFLOW_API_ERRORS)


def utc_now() -> datetime:
    """Return the time."""
    return datetime.fromtimestamp(time.time(), UTC)


class Watcher:
    """
    Yields the payload of each end once.

    :param reconciliation: finds the ends
    :param record: the ends that were reported
    :param log: logger
    :ivar failures: of the passes since the last one that succeeded
    :ivar last_failure: reason of the last failure
    """

    def __init__(self, reconciliation: Reconciliation, record: EndRecord, log: Any) -> None:
        self.record = record
        self.failures = Refusals()
        self.last_failure: str | None = None
        self._reconciliation = reconciliation
        self._log = log
        self._is_loaded = False

    async def run(self, interval: float) -> AsyncIterator[Mapping[str, Any]]:
        """
        Reconcile again and again.

        :param interval: seconds between two passes
        """
        while True:
            async for payload in self.reconcile():
                yield payload
            await asyncio.sleep(self.pause(interval))

    async def reconcile(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what one pass finds. A failure is logged, and the next pass covers its time too."""
        began = utc_now()
        try:
            if not self._is_loaded:
                await self.record.load()
                self._is_loaded = True
            async for end in self._reconciliation.ends(self.record.horizon):
                if await self.record.is_reported(end):
                    continue
                # Once Airflow has the event, nothing must come between it and the record.
                self.record.add(end, began)
                yield end.payload
            await self.record.advance(began)
        except FAILURES as error:
            self._report(error)
        else:
            if (seconds := self.failures.end(time.monotonic())) is not None:
                self._log.info("Ended %ss are found again, after %.0f s", self._noun, seconds)

    def pause(self, interval: float) -> float:
        """
        Return the seconds until the next pass.

        :param interval: seconds between two passes that succeed
        """
        return interval if self.failures.since is None else max(self.failures.pause, min(interval, 60.0))

    @property
    def _noun(self) -> str:
        return self._reconciliation.source.noun

    def _report(self, error: BaseException) -> None:
        operation = f"{error.operation_name}: " if isinstance(error, ClientError) else ""
        advice = " (the IAM policy must allow it)" if is_access_denied(error) else ""
        self.last_failure = f"{operation}{error_code(error)}{advice}"
        if self.failures.add(time.monotonic()):
            self._log.warning(
                "Ended %ss cannot be found: %s. The next attempt covers the time since %s",
                self._noun,
                self.last_failure,
                self.record.horizon.isoformat(timespec="seconds"),
            )
