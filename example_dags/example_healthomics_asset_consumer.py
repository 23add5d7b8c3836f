# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start when a run of another DAG has completed, and use its outputs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

try:
    from airflow.sdk import DAG, Asset, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.decorators import task


DOC = """
Starts by itself when `example_healthomics_asset_producer` has updated the asset.

Airflow may start this DAG once for several events: those that came in the meantime. So it goes through all of
them.
"""

VARIANTS = Asset("s3://example-bucket/variants")

with DAG(
    dag_id="example_healthomics_asset_consumer",
    doc_md=DOC,
    schedule=[VARIANTS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["healthomics", "example"],
) as dag:
    # [START events]
    @task
    def completed_runs(**context: Any) -> list[dict[str, Any]]:
        """Return the extra of each event: several of them may have started this DAG run."""
        events = (
            context.get("triggering_asset_events")
            or context.get("triggering_dataset_events")  # Airflow 2
            or {}
        )
        return [event.extra for each in events.values() for event in each]

    @task
    def load(run: dict[str, Any]) -> dict[str, str]:
        """Read the outputs of a run."""
        bucket, prefix = S3Hook.parse_s3_url(f"{run['runOutputUri']}/out/")
        s3 = S3Hook()
        keys = s3.list_keys(bucket, prefix=prefix) or []
        return {key.removeprefix(prefix): s3.read_key(key, bucket) for key in keys}

    load.expand(run=completed_runs())
    # [END events]
