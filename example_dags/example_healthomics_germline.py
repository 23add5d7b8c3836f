# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Start a run, wait for it at no cost, and use its outputs."""

from __future__ import annotations

from typing import Any

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

DOC = """
From paired FASTQ files to variants, by GATK best practices.

The workflow is germline-fastqs-to-vcf of the
[AWS HealthOmics tutorials](https://github.com/aws-samples/amazon-omics-tutorials), the reads are test data.
`role_arn` and `output_uri` come from the extra of the connection `aws_default`:
`{"service_config": {"omics": {"role_arn": "...", "output_uri": "s3://..."}}}`.
"""

READS = "s3://omics-us-east-1/sample-inputs/9500764"

with DAG(
    dag_id="example_healthomics_germline",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param(
            "1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of the workflow"
        ),
        "sample_name": Param("ERR194159", type="string"),
        "ecr_registry": Param("123456789012.dkr.ecr.us-east-1.amazonaws.com", type="string"),
    },
) as dag:
    # [START dag]
    start = HealthOmicsStartRunOperator(
        task_id="start",
        workflow_id="{{ params.workflow_id }}",
        parameters={
            "sample_name": "{{ params.sample_name }}",
            "fastq_pairs": [
                {
                    "read_group": lane,
                    "fastq_1": f"{READS}/{lane}.5-percent.R1.fastq.gz",
                    "fastq_2": f"{READS}/{lane}.5-percent.R2.fastq.gz",
                    "platform": "illumina",
                }
                for lane in ("C0L01ACXX.1", "C0L01ACXX.2", "C0L01ACXX.3", "C0M7LACXX.7")
            ],
            "ecr_registry": "{{ params.ecr_registry }}",
            "aws_region": "us-east-1",
        },
        validate_parameters=True,
    )

    wait = HealthOmicsRunSensor(
        task_id="wait",
        run_id=start.output,
        deferrable=True,
        timeout=7 * 24 * 60 * 60,
    )

    @task
    def report(run: dict[str, Any]) -> str:
        """Use the outputs: the sensor's summary says where they are."""
        print(f"Run {run['id']} of {run['startTime']} to {run['stopTime']}")
        return f"{run['runOutputUri']}/out"

    report(wait.output)
    # [END dag]
