# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A form in the Airflow UI for people who have samples, not DAGs."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.params import INPUT_URI_PATTERN, run_parameters, workflow_params
from airflow_healthomics.sensors import HealthOmicsRunSensor

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Press **Trigger**, fill in the form, and the sample is on its way.

The workflow is germline-fastqs-to-vcf of the
[AWS HealthOmics tutorials](https://github.com/aws-samples/amazon-omics-tutorials); the form opens with test
data of theirs.
"""

# Parameters of the HealthOmics workflow 1234567 (germline-fastqs-to-vcf), as
# `python -m airflow_healthomics.params 1234567` prints them
# [START template]
PARAMETER_TEMPLATE = {
    "aws_region": {"description": "Region of the reference data"},
    "ecr_registry": {"description": "Amazon ECR registry with the containers"},
    "fastq_pairs": {"description": "Paired FASTQ files with read group and platform"},
    "sample_name": {"description": "Name of the sample"},
}
# [END template]

TYPES: dict[str, dict[str, object]] = {
    "sample_name": {
        "type": "string",
        "pattern": "^[A-Za-z0-9._-]+$",
        "maxLength": 64,
        "title": "Sample",
        "description": "Name of the sample; the names of the output files begin with it",
    },
    "aws_region": {
        "type": "string",
        "enum": ["eu-central-1", "eu-west-1", "eu-west-2", "us-east-1", "us-west-2"],
        "title": "Region",
        "description": "Where the reads lie and the workflow runs",
        "section": "Set-up",
    },
    "ecr_registry": {"type": "string", "title": "Container registry", "section": "Set-up"},
}

DEFAULTS = {
    "sample_name": "ERR194159",
    "aws_region": "us-east-1",
    "ecr_registry": "123456789012.dkr.ecr.us-east-1.amazonaws.com",
}

READS = "s3://omics-us-east-1/sample-inputs/9500764"

S3_PREFIX = "^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$"

with DAG(
    dag_id="example_healthomics_trigger_form",
    dag_display_name="Germline variants of a sample",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        # [START params]
        **workflow_params(
            PARAMETER_TEMPLATE,
            types=TYPES,
            defaults=DEFAULTS,
            # JSON, which the form has a field for each part of
            without=["fastq_pairs"],
        ),
        # [END params]
        "read_group": Param(
            "C0L01ACXX.1",
            type="string",
            title="Read group",
            description="Flow cell and lane",
        ),
        "fastq_1": Param(
            f"{READS}/C0L01ACXX.1.5-percent.R1.fastq.gz",
            type="string",
            pattern=INPUT_URI_PATTERN,
            title="Reads 1",
            description="S3 URI of the FASTQ file of the first reads",
        ),
        "fastq_2": Param(
            f"{READS}/C0L01ACXX.1.5-percent.R2.fastq.gz",
            type="string",
            pattern=INPUT_URI_PATTERN,
            title="Reads 2",
            description="S3 URI of the FASTQ file of the second reads",
        ),
        "platform": Param(
            "illumina",
            type="string",
            enum=["illumina", "iontorrent", "pacbio", "ont"],
            values_display={
                "illumina": "Illumina",
                "iontorrent": "Ion Torrent",
                "pacbio": "PacBio",
                "ont": "Oxford Nanopore",
            },
            title="Sequencer",
        ),
        "output_uri": Param(
            "s3://example-healthomics-outputs/germline",
            type="string",
            pattern=S3_PREFIX,
            maxLength=750,
            title="Outputs",
            description="S3 URI below which the outputs go",
            section="Run",
        ),
        "priority": Param(
            100,
            type="integer",
            minimum=0,
            maximum=100_000,
            title="Priority",
            description="Runs of a higher priority start first",
            section="Run",
        ),
        "tags": Param(
            {"project": "germline"},
            type="object",
            additionalProperties={"type": "string", "maxLength": 256},
            title="Tags",
            description="Tags of the run, for the bill; no place for patients' data",
            section="Run",
        ),
        "workflow_id": Param(
            "1234567",
            type="string",
            pattern="^[0-9]{1,18}$",
            title="Workflow",
            description="Id of the HealthOmics workflow",
            section="Set-up",
        ),
    },
) as dag:
    # [START start]
    start = HealthOmicsStartRunOperator(
        task_id="start",
        region_name="{{ params.aws_region }}",
        workflow_id="{{ params.workflow_id }}",
        output_uri="{{ params.output_uri }}",
        priority="{{ params.priority }}",
        tags="{{ params.tags }}",
        parameters={
            **run_parameters(),
            "fastq_pairs": [
                {
                    "read_group": "{{ params.read_group }}",
                    "fastq_1": "{{ params.fastq_1 }}",
                    "fastq_2": "{{ params.fastq_2 }}",
                    "platform": "{{ params.platform }}",
                }
            ],
        },
        validate_parameters=True,
    )
    # [END start]

    HealthOmicsRunSensor(
        task_id="wait",
        region_name="{{ params.aws_region }}",
        run_id=start.output,
        deferrable=True,
        timeout=7 * 24 * 60 * 60,
    )
