# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The recorded ends in Airflow's database, for the listener."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from airflow._shared.state import AssetScope, AssetStateStoreWriterKind
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.state import get_state_backend
from airflow.state.metastore import MetastoreBackend
from sqlalchemy import delete

from airflow_healthomics.events.record import END_PREFIX, RETENTION

#: Ends between two deletions of old records.
_PRUNING: Final = 100

_tickets = count()


def record_end(session: Any, asset_id: int, payload: Mapping[str, Any]) -> None:
    """
    Record an end.

    :param session: session of the transaction that has just stored the asset event
    :param asset_id: id of the asset
    :param payload: of the asset event
    """
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
