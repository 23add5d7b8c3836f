# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Airflow listener of the triggerer for watchers (Airflow 3.0 to 3.2).

It reads the asset events when the triggerer starts, and advances the queue of the DAGs of each event.

Every Airflow process imports this module, and calls it for every change of an asset, so it must be cheap.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from airflow import __version__ as airflow_version
from airflow.listeners import hookimpl

_VERSION: Final = tuple(int(part) for part in airflow_version.split(".")[:2])

#: Whether Airflow has asset watchers and no asset state store.
IS_NEEDED: Final = (3, 0) <= _VERSION < (3, 3)

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Read the events. Airflow calls it for the job of a triggerer, before it forks."""
    if not _is_triggerer():
        return
    from airflow_healthomics.events.snapshot import take_snapshots

    try:
        take_snapshots()
    except Exception as error:  # noqa: BLE001 - a triggerer must start, whatever Airflow has changed
        log.warning(
            "The asset events of watchers cannot be read: %s. Ends of the last hour may be reported again",
            type(error).__name__,
        )


@hookimpl
def on_asset_changed(asset: Any) -> None:
    """Advance the queue of the DAGs of an event that a watcher has reported."""
    if not _is_triggerer():
        return
    from airflow_healthomics.events.snapshot import watched_asset_id
    from airflow_healthomics.events.transaction import advance_queue, current_session

    if (session := current_session()) is None:
        return
    if (asset_id := watched_asset_id(session, asset.name, asset.uri)) is not None:
        advance_queue(session, asset_id)


def _is_triggerer() -> bool:
    # The type of a job is not known yet when it starts.
    return "triggerer" in sys.argv
