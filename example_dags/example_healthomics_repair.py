# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start, wait and repair in one task."""

from __future__ import annotations

from datetime import timedelta

from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
One task that starts a run, waits for it in the triggerer, and starts it anew when it fails.

A run that failed for want of capacity or by a fault of the service is retried as the DAG says, and takes from
the run cache what the failed one has finished. A run that failed for a reason which the same input meets
again, such as a missing file or too little memory, fails the task at once.
"""

with DAG(
    dag_id="example_healthomics_repair",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param("1234567", type="string", pattern="^[0-9]{1,18}$"),
        "cache_id": Param("1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of a run cache"),
        "sample_name": Param("ERR194159", type="string"),
    },
) as dag:
    # [START repair]
    HealthOmicsStartRunOperator(
        task_id="align",
        workflow_id="{{ params.workflow_id }}",
        parameters={"sample_name": "{{ params.sample_name }}"},
        cache_id="{{ params.cache_id }}",
        cache_behavior="CACHE_ON_FAILURE",
        wait_for_completion=True,
        deferrable=True,
        retries=3,
        retry_delay=timedelta(minutes=10),
    )
    # [END repair]
