# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start for each run batch that ends, whoever started it (Airflow 3.0 and later)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_healthomics.triggers import HealthOmicsRunBatchEventTrigger

DOC = """
Picks up the batches that others start. A task instance handles each batch.
"""

# [START watcher]
ENDED_BATCHES = Asset(
    "healthomics_ended_batches",
    watchers=[
        AssetWatcher(
            name="ended_batches",
            trigger=HealthOmicsRunBatchEventTrigger(batch_name_pattern="nightly-*"),
        )
    ],
)
# [END watcher]

with DAG(
    dag_id="example_healthomics_batch_events",
    doc_md=DOC,
    schedule=[ENDED_BATCHES],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["healthomics", "example"],
) as dag:

    @task
    def ended_batches(**context: Any) -> list[dict[str, Any]]:
        """Return the batches of all events that started this DAG run."""
        events = context["triggering_asset_events"].values()
        return [event.extra["payload"] for each in events for event in each]

    @task
    def report(batch: dict[str, Any]) -> str:
        """Report the end of a batch."""
        return f"Batch {batch['batchId']} of {batch['totalRuns']} runs is {batch['status']}"

    report.expand(batch=ended_batches())
