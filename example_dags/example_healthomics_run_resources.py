# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Create the run group and the run cache that a run uses."""

from __future__ import annotations

from datetime import datetime

from airflow_healthomics.operators import (
    HealthOmicsCreateRunCacheOperator,
    HealthOmicsCreateRunGroupOperator,
    HealthOmicsDeleteRunCacheOperator,
    HealthOmicsDeleteRunGroupOperator,
    HealthOmicsStartRunOperator,
)

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Finds or creates a run group and a run cache, and starts a run with them. Role and output location come from
the connection's extra. At the end, both are deleted.
"""

with DAG(
    dag_id="example_healthomics_run_resources",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param("1234567", type="string", pattern="^[0-9]{1,18}$"),
    },
) as dag:
    # [START create]
    group = HealthOmicsCreateRunGroupOperator(
        task_id="create_run_group", name="airflow", max_runs=10, max_cpus=512, max_duration=24 * 60
    )
    cache = HealthOmicsCreateRunCacheOperator(
        task_id="create_run_cache", name="airflow", cache_s3_location="s3://example-bucket/cache"
    )
    run = HealthOmicsStartRunOperator(
        task_id="run",
        workflow_id="{{ params.workflow_id }}",
        parameters={"sample_name": "NA12878"},
        run_group_id=group.output,
        cache_id=cache.output,
        wait_for_completion=True,
        deferrable=True,
    )
    # [END create]

    # [START delete]
    run >> [
        HealthOmicsDeleteRunGroupOperator(task_id="delete_run_group", run_group_id=group.output),
        HealthOmicsDeleteRunCacheOperator(task_id="delete_run_cache", name="airflow"),
    ]
    # [END delete]
