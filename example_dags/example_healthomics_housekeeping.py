# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Delete the records of old runs."""

from __future__ import annotations

from datetime import datetime

from airflow_healthomics.operators import HealthOmicsDeleteRunsOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Deletes the records of runs that ended long ago, every week; their outputs and logs stay. Without the trigger
form, or with `dry_run`, it only logs them.
"""

with DAG(
    dag_id="example_healthomics_housekeeping",
    doc_md=DOC,
    schedule="@weekly",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "older_than_days": Param(90, type="integer", minimum=1, description="Days since the end of a run"),
        "dry_run": Param(True, type="boolean", description="Whether to delete nothing"),
    },
) as dag:
    # [START delete_runs]
    HealthOmicsDeleteRunsOperator(
        task_id="delete_runs",
        older_than_days="{{ params.older_than_days }}",
        is_dry_run="{{ params.dry_run }}",
    )
    # [END delete_runs]
