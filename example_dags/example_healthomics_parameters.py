# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters that keep their types, however many there are."""

from __future__ import annotations

from typing import Any

from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

DOC = """
HealthOmics checks the JSON types of parameters. A template that is exactly one expression keeps the type of
its value; any other template renders to text.
"""

with DAG(
    dag_id="example_healthomics_parameters",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param(
            "1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of the workflow"
        ),
        "cpus": Param(4, type="integer", minimum=1),
        "barcode": Param("0042", type="string"),
    },
) as dag:

    @task
    def list_reads() -> list[dict[str, Any]]:
        """Return the pairs of files: a real DAG lists a bucket or asks a database."""
        return [
            {"lane": lane, "fastq": f"s3://example-bucket/reads/L{lane}_R1.fastq.gz"} for lane in range(1, 5)
        ]

    # [START parameters]
    HealthOmicsStartRunOperator(
        task_id="start",
        workflow_id="{{ params.workflow_id }}",
        parameters={
            "cpus": "{{ params.cpus }}",  # the number 4
            "label": "{{ params.cpus }} cores",  # the text "4 cores"
            "barcode": "{{ params.barcode }}",  # the text "0042"
            "reads": list_reads(),  # a list of objects
        },
        # For parameters of more than 50,000 bytes.
        parameters_s3_uri="s3://example-bucket/parameters",
        wait_for_completion=True,
        deferrable=True,
    )
    # [END parameters]
