# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run a READY2RUN workflow, and one that another account shares."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
A READY2RUN workflow needs `workflow_type`, and a shared workflow the account id of its owner. Without them
HealthOmics answers that it does not find the workflow.
"""

with DAG(
    dag_id="example_healthomics_other_workflows",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "ready2run_workflow_id": Param("1234567", type="string", pattern="^[0-9]{1,18}$"),
        "shared_workflow_id": Param("7654321", type="string", pattern="^[0-9]{1,18}$"),
        "owner_id": Param("210987654321", type="string", pattern="^[0-9]{12}$", description="AWS account"),
        "sample_name": Param("NA12878", type="string"),
    },
) as dag:
    # [START ready2run]
    HealthOmicsStartRunOperator(
        task_id="ready2run",
        workflow_id="{{ params.ready2run_workflow_id }}",
        workflow_type="READY2RUN",
        parameters={"sample_name": "{{ params.sample_name }}"},
        wait_for_completion=True,
        deferrable=True,
    )
    # [END ready2run]

    # [START shared]
    HealthOmicsStartRunOperator(
        task_id="shared",
        workflow_id="{{ params.shared_workflow_id }}",
        workflow_owner_id="{{ params.owner_id }}",
        parameters={"sample_name": "{{ params.sample_name }}"},
        wait_for_completion=True,
        deferrable=True,
    )
    # [END shared]
