# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Wait within a DAG for the next run that ends, whoever started it."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_healthomics.sensors import HealthOmicsRunEventSensor

try:
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG

DOC = """
Waits until the next run of the lab has ended, whoever started it. The XCom of the sensor describes the run.
"""

with DAG(
    dag_id="example_healthomics_run_event_sensor",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["healthomics", "example"],
) as dag:
    # [START sensor]
    HealthOmicsRunEventSensor(
        task_id="wait_for_next_run",
        statuses=["COMPLETED", "FAILED"],
        run_name_pattern="lab-*",
        deferrable=True,
        timeout=24 * 3600,
    )
    # [END sensor]
