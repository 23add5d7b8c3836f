# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The recorded ends in Airflow's database, for the listener."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from airflow import settings
from airflow._shared.state import AssetScope, AssetStateStoreWriterKind
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.state import get_state_backend
from airflow.state.metastore import MetastoreBackend
from sqlalchemy import delete, select

from airflow_healthomics.events.record import END_PREFIX, RETENTION

#: Ends between two deletions of old records.
_PRUNING: Final = 100

_tickets = count()

log = logging.getLogger(__name__)


def record_end(name: str, uri: str, payload: Mapping[str, Any]) -> None:
    """
    Record an end in the transaction of this thread.

    Airflow's session is a scoped one, so it is the session that has just stored the asset event.

    :param name: name of the asset
    :param uri: URI of the asset
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
    asset_id = session.scalar(select(AssetModel.id).where(AssetModel.name == name, AssetModel.uri == uri))
    if asset_id is None:
        return
    now = datetime.now(UTC)
    scope, key = AssetScope(asset_id=asset_id), f"{END_PREFIX}{payload['uuid']}.{payload['status']}"
    value = json.dumps(payload.get("stopTime") or now.isoformat())
    backend = get_state_backend()
    if not isinstance(backend, MetastoreBackend):
        backend.set(scope, key, value, session=session)
        return
    backend.set_asset_state_store(scope, key, value, kind=AssetStateStoreWriterKind.WATCHER, session=session)
    if next(_tickets) % _PRUNING == 0:
        session.execute(
            delete(AssetStateStoreModel).where(
                AssetStateStoreModel.asset_id == asset_id,
                AssetStateStoreModel.key.startswith(END_PREFIX),
                AssetStateStoreModel.updated_at < now - RETENTION,
            )
        )
