# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The queue of the DAGs that an asset event starts.

Airflow 3.0 to 3.3 queues a DAG at the first event of an asset, with the time of that event. The DAG run then
consumes the events until that time only, and ends the queueing. An event in between has no DAG run until the
asset's next event: the last end of a burst would wait until another run ends. So each event advances the time
in the queue, in the transaction that stores it (apache/airflow#56050; later versions of Airflow refer to the
event itself, apache/airflow#70972).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.asset import AssetDagRunQueue, AssetEvent, AssetModel
from sqlalchemy import inspect, select, update

from airflow_healthomics.events import spacing


def advance_queue_time(session: Any, asset_id: int) -> None:
    """
    Let the next DAG run of each queued DAG consume the event that the session stores.

    :param session: session of the transaction that has just stored an event of the asset
    :param asset_id: id of the asset
    :raises OperationalError: on Airflow 3.0 and 3.1, if the scheduler is making the DAG run. Then Airflow
        queues the DAG again, once the scheduler has removed it from the queue
    """
    if {column.name for column in inspect(AssetDagRunQueue).primary_key} != {"asset_id", "target_dag_id"}:
        # The queue has more than one row for an asset and a DAG, so each event has its own.
        return
    # Two triggerers store their events one after another, and so in the order of the times below.
    session.execute(select(AssetModel.id).where(AssetModel.id == asset_id).with_for_update(key_share=True))
    # The scheduler of Airflow 3.0 and 3.1 deletes the rows of several DAGs one after another: waiting for it
    # could be a deadlock. Later ones skip locked rows.
    queued = session.scalars(
        select(AssetDagRunQueue.created_at)
        .where(AssetDagRunQueue.asset_id == asset_id)
        .with_for_update(nowait=spacing.IS_NEEDED)
    ).all()
    # The clock of another triggerer may be ahead.
    now = max([datetime.now(UTC), *(time + timedelta(microseconds=1) for time in queued)])
    for stored in session.identity_map.values():
        if isinstance(stored, AssetEvent) and stored.asset_id == asset_id:
            stored.timestamp = now
    session.execute(
        update(AssetDagRunQueue).where(AssetDagRunQueue.asset_id == asset_id).values(created_at=now)
    )
