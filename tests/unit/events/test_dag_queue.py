# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The queue of the DAGs that an asset event starts, in each Airflow with asset watchers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.conftest import IS_AIRFLOW_2

if IS_AIRFLOW_2:
    pytest.skip("Airflow 2 has no asset watchers", allow_module_level=True)

from airflow.models.asset import AssetDagRunQueue, AssetEvent, AssetModel
from airflow.utils.session import create_session
from sqlalchemy import select, text

from airflow_healthomics.events.transaction import advance_queue
from tests.unit.metadata_database import metadata_database


@pytest.fixture(scope="module", autouse=True)
def _database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A metadata database."""
    with metadata_database(tmp_path_factory.mktemp("metadata")):
        yield


@pytest.mark.parametrize("seconds", [-10, 10], ids=["earlier", "by a clock that is ahead"])
def test_a_queued_dag_consumes_the_event(seconds: float) -> None:
    """Airflow's DAG run consumes the events until the time in the queue."""
    queued_at = datetime.now(UTC) + timedelta(seconds=seconds)
    with create_session() as session:
        session.execute(text("PRAGMA foreign_keys=OFF"))
        asset = AssetModel(name=f"ends {seconds}", uri=f"healthomics://{seconds}", group="asset")
        session.add(asset)
        session.flush()
        session.add(AssetDagRunQueue(asset_id=asset.id, target_dag_id="a_dag", created_at=queued_at))
        event = AssetEvent(asset_id=asset.id, extra={})
        session.add(event)
        session.flush()
        advance_queue(session, asset.id)
        asset_id = asset.id
    with create_session() as session:
        stored_at = session.scalar(select(AssetEvent.timestamp).where(AssetEvent.asset_id == asset_id))
        consumed_until = session.scalar(
            select(AssetDagRunQueue.created_at).where(AssetDagRunQueue.asset_id == asset_id)
        )
    assert stored_at is not None
    assert consumed_until is not None
    assert queued_at < stored_at <= consumed_until
