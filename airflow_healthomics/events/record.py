# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The ends that have been reported, and the time until which all are.

On Airflow 3.3 and later both are in the state store of the watched asset. The listener
:mod:`airflow_healthomics.events.listener` writes an end there in the transaction that stores its asset event,
so that a crash cannot separate the two. On Airflow 3.0 to 3.2 a trigger has no store. There they are in
memory, and derived from the asset events when the triggerer starts
(:mod:`airflow_healthomics.events.snapshot`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from airflow_healthomics.events.ends import End
from airflow_healthomics.events.snapshot import CURRENT, Snapshot

#: How far a reconciliation looks back before the previous one: events arrive within this time, and the end of
#: a run is listed within it.
OVERLAP: Final = timedelta(hours=1)

#: How long a recorded end is kept, and so the window in which a repeated event is recognized.
RETENTION: Final = timedelta(days=7)

#: Prefix of the keys of recorded ends. An asset has one for each run and status.
END_PREFIX: Final = "healthomics.end."


#: Time after which an event is in Airflow's database, if its triggerer still runs. Airflow before 3.3 does
#: not say when it is.
STORING: Final = timedelta(minutes=1)


class Reported(Enum):
    """Whether an end was reported."""

    NO = "no"
    #: The event is on its way to Airflow's database.
    SENT = "sent"
    STORED = "stored"


class EndRecord:
    """
    What one watcher has reported.

    :param store: ``asset_state_store`` of the trigger; None before Airflow 3.3, or without an asset
    :param scope: what the position belongs to: kind and connection. Watchers of an asset with the same scope
        share the position.
    :param since: ends before it are never reported, unless the store has an earlier time
    """

    def __init__(self, store: Any, scope: Mapping[str, Any], since: datetime) -> None:
        self.since = since
        self._position: datetime | None = None
        self._stores = _stores_of(store)
        digest = hashlib.sha256(json.dumps(scope, sort_keys=True, default=str).encode()).hexdigest()
        self._key = f"healthomics.position.{digest[:16]}"
        self._reported: dict[str, datetime] = {}

    @property
    def horizon(self) -> datetime:
        """The time since which ends may not have been reported."""
        return self.since if self._position is None else max(self.since, self._position - OVERLAP)

    def restore(self, snapshot: Snapshot | None, sent: dict[str, datetime], now: datetime) -> None:
        """
        Continue from the asset events, without a store.

        :param snapshot: what was reported when the triggerer started
        :param sent: what was reported in this process since then
        :param now: the time
        """
        if self._stores:
            return
        self._reported = sent
        if snapshot is None:
            return
        for identity in snapshot.ends:
            sent.setdefault(identity, snapshot.taken - STORING)
        if now - snapshot.taken < CURRENT:
            self.since = snapshot.newest - OVERLAP
            self._position = snapshot.newest

    async def load(self) -> None:
        """Read the position of an earlier trigger."""
        for store in self._stores:
            stored = await store.aget(self._key)
            if isinstance(stored, Mapping):
                self.since = datetime.fromtimestamp(stored["since"], UTC)
                self._position = datetime.fromtimestamp(stored["position"], UTC)
                return
        if self._stores:
            # The first start is a position too: a crash before the first reconciliation loses nothing.
            await self.advance(self.since)

    async def state(self, end: End, now: datetime) -> Reported:
        """
        Return whether the asset has the event of this end.

        :param end: the end
        :param now: the time
        """
        for store in self._stores:
            if await store.aget(END_PREFIX + end.identity) is not None:
                return Reported.STORED
        if (since := self._reported.get(end.identity)) is None:
            return Reported.NO
        is_stored = not self._stores and now - since >= STORING
        return Reported.STORED if is_stored else Reported.SENT

    def add(self, end: End, now: datetime) -> None:
        """Remember an end in this process."""
        self._reported[end.identity] = now

    async def advance(self, position: datetime) -> None:
        """Record that all ends until a time are reported, except those of the last :data:`OVERLAP`."""
        self._position = position
        value = {"since": self.since.timestamp(), "position": position.timestamp()}
        for store in self._stores:
            await store.aset(self._key, value)
        for identity in [each for each, time in self._reported.items() if time < position - RETENTION]:
            del self._reported[identity]


def _stores_of(store: Any) -> list[Any]:
    """
    Return the store of each watched asset, since assets with equal triggers share one trigger.

    The mapping has a public way to one asset only (apache/airflow#71460).
    """
    if store is None:
        return []
    return [*store._by_name.values(), *store._by_uri.values()]
