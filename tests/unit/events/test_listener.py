# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The record of an end is in the transaction of its asset event (Airflow 3.3 and later)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.conftest import HAS_STORE

if not HAS_STORE:
    pytest.skip("Airflow has no asset state store before 3.3", allow_module_level=True)

from airflow.models.asset import AssetActive, AssetDagRunQueue, AssetEvent, AssetModel, AssetWatcherModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.trigger import Trigger
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import AssetStateStoreAccessors
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from sqlalchemy import func, select, text, update

from airflow_healthomics.events import earlier_listener, end_table, snapshot, transaction
from airflow_healthomics.events import record as record_module
from airflow_healthomics.events.ends import End
from airflow_healthomics.events.record import RETENTION, Reported, _stores_of
from airflow_healthomics.triggers import HealthOmicsRunEventTrigger
from tests.unit.metadata_database import metadata_database

UUID = "96c57683-74bf-9d6d-ae7e-f09b097db14a"
PAYLOAD = {"runId": "7", "uuid": UUID, "status": "COMPLETED", "stopTime": "2026-11-22T03:04:05+00:00"}
KEY = f"healthomics.end.{UUID}.COMPLETED"


@pytest.fixture(scope="module", autouse=True)
def _database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A metadata database."""
    with metadata_database(tmp_path_factory.mktemp("metadata")):
        yield


@pytest.fixture
def trigger_id() -> int:
    """A watcher's trigger, of two assets. Airflow finds the listener by the plugin's entry point."""
    with create_session() as session:
        for model in (
            AssetDagRunQueue,
            AssetEvent,
            AssetStateStoreModel,
            AssetWatcherModel,
            AssetActive,
            AssetModel,
            Trigger,
        ):
            session.query(model).delete()
        path, kwargs = HealthOmicsRunEventTrigger().serialize()
        trigger = Trigger(classpath=path, kwargs=kwargs)
        session.add(trigger)
        session.flush()
        for name in ("ends", "more_ends"):
            asset = AssetModel(name=name, uri=f"healthomics://{name}", group="asset")
            session.add(asset)
            session.flush()
            session.add(AssetActive.for_asset(asset))
            session.add(
                AssetWatcherModel(name=f"watcher of {name}", asset_id=asset.id, trigger_id=trigger.id)
            )
        return int(trigger.id)


def _crash(*_: Any) -> None:
    raise OSError("the database is gone")


def events() -> int:
    """Return the number of asset events."""
    with create_session() as session:
        return session.scalar(select(func.count()).select_from(AssetEvent)) or 0


def recorded() -> list[tuple[str, Any]]:
    """Return the keys and values in the state stores."""
    with create_session() as session:
        rows = session.scalars(select(AssetStateStoreModel))
        return [(row.key, json.loads(row.value)) for row in rows]


def test_an_end_is_recorded_for_each_asset(trigger_id: int) -> None:
    """By Airflow's own way from the trigger's event to the database."""
    Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    assert events() == 2
    assert recorded() == [(KEY, PAYLOAD["stopTime"])] * 2


def test_without_the_event_there_is_no_record(trigger_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the commit leaves neither."""
    with monkeypatch.context() as patch:
        patch.setattr("sqlalchemy.orm.Session.commit", _crash)
        with pytest.raises(OSError, match="gone"):
            Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    assert (events(), recorded()) == (0, [])


def test_events_of_others_are_not_recorded(trigger_id: int) -> None:
    """Other triggers have payloads too."""
    for payload in (None, "text", {"runId": "7"}, {"uuid": UUID, "status": "COMPLETED"}):
        Trigger.submit_event(trigger_id, TriggerEvent(payload))
    assert recorded() == []


def test_old_records_are_deleted(trigger_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store does not grow for ever."""
    monkeypatch.setattr(end_table, "_PRUNING", 1)
    Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    with create_session() as session:
        long_ago = datetime.now(UTC) - RETENTION - timedelta(hours=1)
        session.execute(update(AssetStateStoreModel).values(updated_at=long_ago))
    Trigger.submit_event(trigger_id, TriggerEvent({**PAYLOAD, "status": "DELETED"}))
    assert {key for key, _ in recorded()} == {f"healthomics.end.{UUID}.DELETED"}


def test_a_session_without_a_transaction_is_left_alone(
    trigger_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A tripwire: with another session than Airflow's, nobody would commit the record."""
    transaction.add_end(Asset(name="ends", uri="healthomics://ends"), PAYLOAD)
    assert recorded() == []
    assert "is not recorded" in caplog.text


def test_the_stores_of_all_assets_are_known() -> None:
    """A tripwire: Airflow's mapping has no public way to more than one asset."""
    accessors = AssetStateStoreAccessors(inlets=[Asset("one"), Asset("two")])
    assert len(_stores_of(accessors)) == 2


@pytest.fixture
def queued_at(trigger_id: int) -> datetime:
    """The time at which an earlier event has queued a DAG for one of the assets."""
    queued_at = datetime.now(UTC) - timedelta(seconds=10)
    with create_session() as session:
        asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == "ends"))
        session.execute(text("PRAGMA foreign_keys=OFF"))
        session.add(AssetDagRunQueue(asset_id=asset_id, target_dag_id="a_dag", created_at=queued_at))
    return queued_at


def queue_times() -> list[datetime]:
    """Return the times in the queue of DAGs."""
    with create_session() as session:
        return list(session.scalars(select(AssetDagRunQueue.created_at)))


def test_a_queued_dag_consumes_the_event(trigger_id: int, queued_at: datetime) -> None:
    """Airflow's DAG run consumes the events until the time in the queue."""
    Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    with create_session() as session:
        stored_at = session.scalar(
            select(AssetEvent.timestamp)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetModel.name == "ends")
        )
    (consumed_until,) = queue_times()
    assert stored_at is not None
    assert queued_at < stored_at <= consumed_until


def test_a_crash_leaves_the_queue_as_it_was(
    trigger_id: int, queued_at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time belongs to the event that was not stored."""
    with monkeypatch.context() as patch:
        patch.setattr("sqlalchemy.orm.Session.commit", _crash)
        with pytest.raises(OSError, match="gone"):
            Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    assert queue_times() == [queued_at]


@pytest.mark.parametrize(("table", "recorded_ends"), [("asset_dag_run_queue", 2), ("asset_state_store", 0)])
def test_a_failure_leaves_the_event(
    trigger_id: int, caplog: pytest.LogCaptureFixture, table: str, recorded_ends: int
) -> None:
    """Whatever Airflow has changed, its transaction goes on."""
    with create_session() as session:
        session.execute(text(f"ALTER TABLE {table} RENAME TO renamed"))
    try:
        Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    finally:
        with create_session() as session:
            session.execute(text(f"ALTER TABLE renamed RENAME TO {table}"))
    assert (events(), len(recorded())) == (2, recorded_ends)
    assert "OperationalError" in caplog.text


def test_events_of_others_do_not_change_the_queue(trigger_id: int, queued_at: datetime) -> None:
    """Other watchers rely on Airflow alone."""
    Trigger.submit_event(trigger_id, TriggerEvent({"runId": "7"}))
    assert queue_times() == [queued_at]


def test_a_triggerer_without_a_store_queues_the_event(
    trigger_id: int, queued_at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow 3.0 to 3.2 names the asset only. It has no other way to notice an event."""
    for argv in (["airflow", "scheduler"], ["airflow", "triggerer"]):
        assert queue_times() == [queued_at]
        monkeypatch.setattr(sys, "argv", argv)
        with create_session() as session:
            asset = session.scalars(select(AssetModel).where(AssetModel.name == "ends")).one()
            session.add(AssetEvent(asset_id=asset.id))
            session.flush()
            earlier_listener.on_asset_changed(asset=asset.to_serialized())
    (consumed_until,) = queue_times()
    assert consumed_until > queued_at


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, trigger_id: int) -> None:
    """A triggerer of Airflow 3.0 to 3.2 that starts after an end was stored for both assets."""
    Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    monkeypatch.setattr(sys, "argv", ["airflow", "triggerer"])
    earlier_listener.on_starting(component=None)


def test_a_triggerer_without_a_store_starts_from_the_asset_events(started: None) -> None:
    """The position is that of the newest event, and its end is known."""
    trigger = HealthOmicsRunEventTrigger()
    record = trigger.watcher().record
    now = datetime.now(UTC)
    assert now - timedelta(hours=1, minutes=5) < record.horizon < now - timedelta(minutes=55)
    for status, state in (("COMPLETED", Reported.STORED), ("DELETED", Reported.NO)):
        end = End({**PAYLOAD, "status": status})
        assert asyncio.run(record.state(end, now)) is state


def test_another_trigger_starts_from_its_lookback(started: None) -> None:
    """Its assets are others."""
    now = datetime.now(UTC)
    record = HealthOmicsRunEventTrigger(statuses=["FAILED"], lookback=60).watcher().record
    assert record.horizon > now - timedelta(minutes=2)
    assert asyncio.run(record.state(End(PAYLOAD), now)) is Reported.NO


def test_a_trigger_of_another_triggerer_starts_from_its_lookback(
    started: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that one has reported since is unknown."""
    monkeypatch.setattr(record_module, "CURRENT", timedelta(0))
    record = HealthOmicsRunEventTrigger(lookback=60).watcher().record
    assert record.horizon == record.since
    assert record.since <= datetime.now(UTC) - timedelta(seconds=60)


def test_other_processes_read_nothing(trigger_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler starts without it."""
    Trigger.submit_event(trigger_id, TriggerEvent(PAYLOAD))
    monkeypatch.setattr(sys, "argv", ["airflow", "scheduler"])
    earlier_listener.on_starting(component=None)
    assert snapshot._snapshots == {}
