# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The ends that assets had events of when the triggerer started (Airflow 3.0 to 3.2).

There, the process of the triggers has no access to asset events. Its parent has, and it reads them before it
forks that process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

#: How long after the fork the snapshot is still current: a trigger that starts later may come from another
#: triggerer, which has reported ends meanwhile.
CURRENT: Final = timedelta(minutes=10)

#: Age, relative to the newest event of an asset, up to which its events are read: more than the overlap of
#: two reconciliations.
_AGE: Final = timedelta(days=1)

#: Maximum number of events per trigger.
_LIMIT: Final = 100_000

CLASS_PATHS: Final = (
    "airflow_healthomics.triggers.run_event.HealthOmicsRunEventTrigger",
    "airflow_healthomics.triggers.batch_event.HealthOmicsRunBatchEventTrigger",
)


@dataclass(frozen=True)
class Snapshot:
    """
    What a trigger had reported.

    :param taken: time of the snapshot
    :param newest: time of the newest event
    :param ends: identities of the ends that each asset of the trigger has an event of
    """

    taken: datetime
    newest: datetime
    ends: Collection[str]


_snapshots: dict[str, Snapshot] = {}
_sent: dict[str, dict[str, datetime]] = {}


def snapshot_of(path: str, kwargs: Mapping[str, Any]) -> Snapshot | None:
    """
    Return what a trigger had reported; None if nothing.

    :param path: class path
    :param kwargs: arguments of the trigger
    """
    return _snapshots.get(_digest(path, kwargs))


def sent_by(path: str, kwargs: Mapping[str, Any]) -> dict[str, datetime]:
    """
    Return the ends that a trigger has reported in this process, to be added to.

    :param path: class path
    :param kwargs: arguments of the trigger
    """
    return _sent.setdefault(_digest(path, kwargs), {})


def take_snapshots() -> None:
    """Read the events of all watchers from Airflow's database."""
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import select

    now = datetime.now(UTC)
    with create_session() as session:
        for trigger in session.scalars(select(Trigger).where(Trigger.classpath.in_(CLASS_PATHS))):
            each = [_events_of(session, asset.id) for asset in trigger.assets]
            known = [events for events in each if events]
            if known and len(known) == len(each):
                ends = set.intersection(*({identity for identity, _ in events} for events in known))
                newest = min(max(at for _, at in events) for events in known)
                key = _digest(trigger.classpath, trigger.kwargs)
                _snapshots[key] = Snapshot(now, newest, frozenset(ends))


def watched_asset_id(session: Any, name: str, uri: str) -> int | None:
    """
    Return the id of an asset if this package watches it.

    :param session: session of Airflow's database
    :param name: name of the asset
    :param uri: URI of the asset
    """
    from airflow.models.trigger import Trigger
    from sqlalchemy import select

    triggers = session.scalars(select(Trigger).where(Trigger.classpath.in_(CLASS_PATHS)))
    assets = (asset for trigger in triggers for asset in trigger.assets)
    return next((asset.id for asset in assets if (asset.name, asset.uri) == (name, uri)), None)


def _events_of(session: Any, asset_id: int) -> list[tuple[str, datetime]]:
    """Return the ends of the newest asset events, and the time of each."""
    from airflow.models.asset import AssetEvent
    from sqlalchemy import select

    newest = session.scalar(
        select(AssetEvent.timestamp)
        .where(AssetEvent.asset_id == asset_id)
        .order_by(AssetEvent.timestamp.desc())
        .limit(1)
    )
    if newest is None:
        return []
    rows = session.execute(
        select(AssetEvent.extra, AssetEvent.timestamp)
        .where(AssetEvent.asset_id == asset_id, AssetEvent.timestamp >= newest - _AGE)
        .order_by(AssetEvent.timestamp.desc())
        .limit(_LIMIT)
    )
    return [(identity, at) for extra, at in rows if (identity := _identity(extra)) is not None]


def _identity(extra: Any) -> str | None:
    payload = extra.get("payload") if isinstance(extra, Mapping) else None
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return None
    if not isinstance(payload, Mapping) or not payload.get("uuid"):
        return None
    return f"{payload['uuid']}.{payload.get('status')}"


def _digest(path: str, kwargs: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([path, kwargs], sort_keys=True, default=str).encode()).hexdigest()
