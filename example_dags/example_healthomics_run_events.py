# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start for each run that completes, whoever started it (Airflow 3.0 and later)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_healthomics.triggers import HealthOmicsRunEventTrigger

DOC = """
Picks up the runs that a lab starts from the console or elsewhere. A task instance handles each run, also if
Airflow starts this DAG once for several runs.
"""

# [START watcher]
COMPLETED_RUNS = Asset(
    "healthomics_completed_runs",
    watchers=[
        AssetWatcher(
            name="completed_runs",
            trigger=HealthOmicsRunEventTrigger(statuses=["COMPLETED"], run_name_pattern="lab-*"),
        )
    ],
)
# [END watcher]

with DAG(
    dag_id="example_healthomics_run_events",
    doc_md=DOC,
    schedule=[COMPLETED_RUNS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["healthomics", "example"],
) as dag:
    # [START events]
    @task
    def ended_runs(**context: Any) -> list[dict[str, Any]]:
        """Return the runs of all events that started this DAG run."""
        events = context["triggering_asset_events"].values()
        return [event.extra["payload"] for each in events for event in each]

    @task
    def load(run: dict[str, Any]) -> str:
        """Use the outputs of a run."""
        print(f"Run {run['runId']} ({run['name']}) is {run['status']}: {run['runOutputUri']}")
        return str(run["runOutputUri"])

    load.expand(run=ended_runs())
    # [END events]
