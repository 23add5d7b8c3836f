# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Airflow listener that adds to the transaction of a watcher's asset event (Airflow 3.3 and later).

Airflow calls it in the triggerer, within the transaction that stores the asset event. The record of the end
is written in the same transaction, so that an event is never stored without it: a trigger that starts after a
crash knows exactly what was stored.

Every Airflow process imports this module, and calls it for every asset event, so it must be cheap.
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl


@hookimpl
def on_asset_event_emitted(asset_event: Any) -> None:
    """Record an end that a watcher has reported."""
    extra = asset_event.extra or {}
    payload = extra.get("payload")
    if not extra.get("from_trigger") or not isinstance(payload, dict):
        return
    if payload.get("uuid") and payload.get("status") and ("runId" in payload or "batchId" in payload):
        from airflow_healthomics.events.transaction import add_end

        add_end(asset_event.asset, payload)
