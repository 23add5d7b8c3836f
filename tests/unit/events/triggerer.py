# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the triggerer of Airflow 3.3, around its real shared streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.triggers.shared_stream import SharedStreamManager
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from tests.unit import virtual_time
from tests.unit.conftest import Clock

from .conftest import AssetStore, stores


@dataclass
class Watched:
    """
    An asset and its watcher.

    :ivar events: payloads of the asset events, as they are stored
    """

    trigger: Any
    store: AssetStore = field(default_factory=AssetStore)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """The ids of the runs or batches."""
        return [payload.get("runId") or payload["batchId"] for payload in self.events]


class Triggerer:
    """
    Runs watchers in virtual time until it is killed.

    :param clock: the clock
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.is_dead = False
        #: Whether to die before the next event is stored, or between that and the deletion of its message.
        self.dies_before_store = False
        self.dies_after_store = False
        #: Whether calls still reach AWS while the triggerer stops.
        self.stops_gracefully = False

    def run(self, seconds: float, *each: Watched) -> None:
        """Watch for a time at most."""
        self.is_dead = False
        with self._dying():
            virtual_time.run(self.clock, self._main(seconds, each))

    async def _main(self, seconds: float, each: tuple[Watched, ...]) -> None:
        manager = SharedStreamManager(_now=self.clock.monotonic)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        fired: list[tuple[Watched, Any, int | None]] = []
        tasks = [
            asyncio.create_task(self._watch(manager, number, watched, fired))
            for number, watched in enumerate(each)
        ]
        while loop.time() < end and not self.is_dead:
            await asyncio.sleep(1)
            while fired and not self.is_dead:
                self._store(manager, *fired.pop(0))
        self.is_dead = not self.stops_gracefully
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result
        await manager.stop_all()

    def _store(self, manager: Any, watched: Watched, payload: Any, seq: int | None) -> None:
        if self.dies_before_store:
            self.is_dead = True
            return
        watched.events.append(json.loads(json.dumps(payload)))
        watched.store.record(payload)
        if self.dies_after_store:
            self.is_dead = True
        elif seq is not None:
            manager.confirm_persisted([seq])

    async def _watch(self, manager: Any, number: int, watched: Watched, fired: list[Any]) -> None:
        trigger = watched.trigger
        trigger.asset_state_store = stores(watched.store)
        key = trigger.shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                seq = manager.bind_pending_event(trigger_id=number, key=key)
                fired.append((watched, event.payload, seq))
        finally:
            await manager.unsubscribe(number, key)

    @contextmanager
    def _dying(self) -> Iterator[None]:
        real = BaseClient._make_api_call  # type: ignore[attr-defined] # private

        def call(client: Any, operation: str, request: Any) -> Any:
            if self.is_dead:
                raise EndpointConnectionError(endpoint_url="the process is dead")
            if operation == "ReceiveMessage":
                self.clock.advance(0.2)  # else a queue with messages would let no time pass
            return real(client, operation, request)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", call)
            yield
