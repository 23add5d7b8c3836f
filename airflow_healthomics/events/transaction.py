# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What this package adds to the transaction that stores an asset event."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from airflow import settings
from airflow.models.asset import AssetModel
from airflow.utils.sqlalchemy import is_lock_not_available_error
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

log = logging.getLogger(__name__)


def current_session() -> Any:
    """
    Return the session of this thread if it has a transaction, else None.

    Airflow's session is a scoped one, so it is the session that has just stored the asset event.
    """
    session: Any = settings.Session()  # type: ignore[misc]  # None only before Airflow is set up
    return session if session.in_transaction() else None


def add_end(asset: Any, payload: Mapping[str, Any]) -> None:
    """
    Record an end, and advance the queue of its DAGs, in the transaction of this thread (Airflow 3.3+).

    :param asset: asset of the event
    :param payload: of the asset event
    """
    session = current_session()
    if session is None:
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
        advance_queue(session, asset_id)
        _record(session, asset_id, payload)


def advance_queue(session: Any, asset_id: int) -> None:
    """
    Let the next DAG run of each queued DAG consume the event that the session stores.

    :param session: session of the transaction that has just stored an event of the asset
    :param asset_id: id of the asset
    """
    from airflow_healthomics.events.dag_queue import advance_queue_time

    error = _error_of(session, advance_queue_time, asset_id)
    if error is None or (isinstance(error, OperationalError) and is_lock_not_available_error(error)):
        return
    log.warning(
        "The queue of the DAGs of asset %s cannot be changed: %s. An end may wait for the next one",
        asset_id,
        type(error).__name__,
    )


def _record(session: Any, asset_id: int, payload: Mapping[str, Any]) -> None:
    from airflow_healthomics.events.end_table import record_end

    if error := _error_of(session, record_end, asset_id, payload):
        log.warning(
            "The end of %s is not recorded: %s. After a restart of the triggerer it may have a second asset "
            "event",
            payload.get("runId") or payload.get("batchId"),
            type(error).__name__,
        )


def _error_of(session: Any, change: Callable[..., None], *args: Any) -> Exception | None:
    """Make a change in a savepoint, so that its failure leaves Airflow's transaction as it was."""
    try:
        with session.begin_nested():
            change(session, *args)
    except Exception as error:  # noqa: BLE001 - the event must be stored, whatever Airflow has changed
        return error
    return None
