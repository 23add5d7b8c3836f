# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Register a workflow, and run it."""

from __future__ import annotations

from datetime import datetime

from airflow_healthomics.operators import HealthOmicsRegisterWorkflowOperator, HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Registers a WDL workflow, unless this version of its files is registered already, and runs it. Role and output
location come from the connection's extra.
"""

with DAG(
    dag_id="example_healthomics_register_workflow",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "source": Param(
            "/opt/airflow/dags/workflows/germline",
            type="string",
            description="Folder or zip file, or S3 URI of a zip file",
        ),
        "sample_name": Param("NA12878", type="string"),
    },
) as dag:
    # [START register]
    register = HealthOmicsRegisterWorkflowOperator(
        task_id="register",
        source="{{ params.source }}",
        name="germline",
        deferrable=True,
    )
    HealthOmicsStartRunOperator(
        task_id="run",
        workflow_id=register.output["workflowId"],
        workflow_version_name=register.output["versionName"],
        parameters={"sample_name": "{{ params.sample_name }}"},
        wait_for_completion=True,
        deferrable=True,
    )
    # [END register]
