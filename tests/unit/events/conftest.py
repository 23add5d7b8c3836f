# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Watchers in virtual time, and an asset state store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from airflow_healthomics.events import queue as queue_module
from airflow_healthomics.events import snapshot
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import Clock


class AssetStore:
    """The state store of an asset, which holds JSON only and survives triggers."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.is_broken = False
        self.is_stuck = False

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return the value, or the default."""
        if self.is_stuck and "end" in key:
            await asyncio.sleep(10**6)
        if self.is_broken:
            raise OSError("the API server does not answer")
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        """Store a value."""
        self.values[key] = json.dumps(value)

    def record(self, payload: dict[str, Any]) -> None:
        """Record an end, as the listener does it when Airflow stores the asset event."""
        self.values[f"healthomics.end.{payload['uuid']}.{payload['status']}"] = "true"


def stores(*each: AssetStore) -> Any:
    """Return what Airflow injects into a trigger that so many assets watch."""
    return SimpleNamespace(_by_name={f"asset {n}": store for n, store in enumerate(each)}, _by_uri={})


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no watcher know what another test's has reported."""
    monkeypatch.setattr(snapshot, "_sent", {})
    monkeypatch.setattr(snapshot, "_snapshots", {})


@pytest.fixture
def asset_store() -> AssetStore:
    """An empty asset state store."""
    return AssetStore()


Watch = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def watch(clock: Clock) -> Watch:
    """Let a trigger watch for a time, and return the payloads of its events."""

    def run(trigger: Any, seconds: float, *of_assets: AssetStore) -> list[dict[str, Any]]:
        trigger.asset_state_store = stores(*of_assets) if of_assets else None
        payloads: list[dict[str, Any]] = []

        async def collect(events: AsyncIterator[Any]) -> None:
            async for event in events:
                payloads.append(json.loads(json.dumps(event.payload)))
                for store in of_assets:
                    store.record(payloads[-1])

        async def main() -> None:
            watching = asyncio.create_task(collect(trigger.run()))
            await asyncio.sleep(seconds)
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watching

        virtual_time.run(clock, main())
        return payloads

    return run


class Queue:
    """A queue that receives HealthOmics's events from EventBridge."""

    def __init__(self) -> None:
        self._sqs: Any = boto3.client("sqs")
        self.url: str = self._sqs.create_queue(QueueName="ends")["QueueUrl"]
        arn = self._attribute("QueueArn")
        events: Any = boto3.client("events")
        events.put_rule(Name="ends", EventPattern=json.dumps({"source": ["aws.omics"]}))
        events.put_targets(Rule="ends", Targets=[{"Id": "queue", "Arn": arn}])

    def send(self, body: str) -> str:
        """Send a message, and return its id."""
        message_id: str = self._sqs.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"]
        return message_id

    @property
    def count(self) -> int:
        """The number of messages, also of those in flight."""
        hidden = self._attribute("ApproximateNumberOfMessagesNotVisible")
        return int(self._attribute("ApproximateNumberOfMessages")) + int(hidden)

    @property
    def is_empty(self) -> bool:
        """Whether there is no message."""
        return self.count == 0

    def _attribute(self, name: str) -> str:
        answer = self._sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        value: str = answer["Attributes"][name]
        return value


@pytest.fixture
def queue(omics: Control, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue that does not wait, since moto waits in real time."""
    monkeypatch.setattr(queue_module, "WAIT_SECONDS", 0)
    return Queue()


@pytest.fixture
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliver messages again at once, as if the visibility timeout had passed."""
    monkeypatch.setattr(queue_module, "VISIBILITY_SECONDS", 0)


@pytest.fixture
def ended(omics: Control, started: Callable[..., Any]) -> Callable[..., str]:
    """Start a run beside Airflow and let it end."""

    def end(status: str = "COMPLETED", **fields: Any) -> str:
        run_id: str = started(**fields)["id"]
        omics.advance(status, run_id=run_id)
        return run_id

    return end
