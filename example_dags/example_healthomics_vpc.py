# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run a workflow whose tasks reach the network of a VPC."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsCreateConfigurationOperator, HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
The tasks of a run have no network beyond S3 and ECR. With `networking_mode="VPC"` they use the subnets and
security groups of a HealthOmics configuration, which must be ACTIVE. The first task finds or creates it.
"""

with DAG(
    dag_id="example_healthomics_vpc",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param(
            "1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of the workflow"
        ),
        "configuration_name": Param("research-vpc", type="string"),
        "sample_name": Param("NA12878", type="string"),
    },
) as dag:
    # [START configuration]
    create = HealthOmicsCreateConfigurationOperator(
        task_id="create_configuration",
        name="{{ params.configuration_name }}",
        subnet_ids=["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        security_group_ids=["sg-0123456789abcdef0"],
        deferrable=True,
    )
    # [END configuration]

    # [START vpc]
    start = HealthOmicsStartRunOperator(
        task_id="start",
        workflow_id="{{ params.workflow_id }}",
        networking_mode="VPC",
        configuration_name="{{ params.configuration_name }}",
        parameters={"sample_name": "{{ params.sample_name }}"},
        wait_for_completion=True,
        deferrable=True,
    )
    # [END vpc]
    create >> start
