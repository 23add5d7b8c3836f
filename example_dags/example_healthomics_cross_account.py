# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run a workflow in another AWS account."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
The connection `healthomics_research` assumes a role of the other account. Every task about the run needs it.
"""

with DAG(
    dag_id="example_healthomics_cross_account",
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
    # [START connection]
    start = HealthOmicsStartRunOperator(
        task_id="start",
        aws_conn_id="healthomics_research",
        region_name="eu-west-1",
        workflow_id="{{ params.workflow_id }}",
        parameters={"sample_name": "{{ params.sample_name }}"},
    )

    HealthOmicsRunSensor(
        task_id="wait",
        aws_conn_id="healthomics_research",
        region_name="eu-west-1",
        run_id=start.output,
        deferrable=True,
    )
    # [END connection]
