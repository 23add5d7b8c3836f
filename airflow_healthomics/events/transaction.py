# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What this package adds to the transaction that stores an asset event (Airflow 3.3 and later)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow import settings
from airflow.models.asset import AssetModel
from sqlalchemy import select

from airflow_healthomics.events.dag_queue import queue_event
from airflow_healthomics.events.end_table import record_end

log = logging.getLogger(__name__)


def complete(asset: Any, payload: Mapping[str, Any]) -> None:
    """
    Record the end and queue its DAGs in the transaction of this thread.

    Airflow's session is a scoped one, so it is the session that has just stored the asset event.

    :param asset: asset of the event
    :param payload: of the asset event
    """
    session: Any = settings.Session()  # type: ignore[misc]  # None only before Airflow is set up
    if not session.in_transaction():
        # Nobody would commit it.
        log.warning(
            "The end of %s is not recorded, since Airflow's session has no transaction. After a restart of "
            "the triggerer it may have a second asset event",
            payload.get("runId") or payload.get("batchId"),
        )
        return
    asset_id = session.scalar(
        select(AssetModel.id).where(AssetModel.name == asset.name, AssetModel.uri == asset.uri)
    )
    if asset_id is not None:
        queue_event(session, asset_id)
        record_end(session, asset_id, payload)
