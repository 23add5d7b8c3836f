# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start other DAGs when a run has completed, and pass them the location of its outputs."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Asset, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.models.param import Param

DOC = """
When its run has completed, the task of this DAG updates an asset, and each DAG that is scheduled on the asset
starts: see `example_healthomics_asset_consumer`. The event's extra is
`{"runId": "...", "uuid": "...", "runOutputUri": "s3://...", "workflowId": "..."}`.
"""

VARIANTS = Asset("s3://example-bucket/variants")

with DAG(
    dag_id="example_healthomics_asset_producer",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param(
            "1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of the workflow"
        ),
        "sample_name": Param("NA12878", type="string"),
    },
) as dag:
    # [START outlet]
    HealthOmicsStartRunOperator(
        task_id="call_variants",
        workflow_id="{{ params.workflow_id }}",
        parameters={"sample_name": "{{ params.sample_name }}"},
        wait_for_completion=True,
        deferrable=True,
        outlets=[VARIANTS],
    )
    # [END outlet]
