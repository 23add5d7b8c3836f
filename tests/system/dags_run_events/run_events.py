# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Two watchers of all ends, one with a queue. Each handled end leaves a file."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_healthomics.triggers import HealthOmicsRunEventTrigger

TRIGGERS = {
    "queue": HealthOmicsRunEventTrigger(queue_url=os.environ["RUN_EVENTS_QUEUE"], reconcile_interval=60),
    "lists": HealthOmicsRunEventTrigger(poll_interval=10),
}


@task
def ends(**context: Any) -> list[dict[str, Any]]:
    """Return the ends of all events that started this DAG run."""
    return [
        event.extra["payload"] for events in context["triggering_asset_events"].values() for event in events
    ]


@task
def handle(end: dict[str, Any], **context: Any) -> None:
    """Leave a file whose name no other task instance has."""
    folder = Path(os.environ["RUN_EVENTS_FOLDER"]) / context["dag"].dag_id
    (folder / f"{end['uuid']}.{end['status']}.{uuid.uuid4()}").touch()


for name, trigger in TRIGGERS.items():
    with DAG(
        dag_id=f"run_events_{name}",
        # The second DAG has reached its limit while most events arrive.
        max_active_runs=16 if name == "queue" else 1,
        schedule=[Asset(f"ends_{name}", watchers=[AssetWatcher(name=f"ends_{name}", trigger=trigger)])],
    ):
        handle.expand(end=ends())
