# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The workflow of the example with a trigger form, whose runs are simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import boto3

from airflow_healthomics.testing import Control

DAG_ID: Final = "example_healthomics_trigger_form"
BUCKET: Final = "example-healthomics-outputs"
#: The initial values of the form.
WORKFLOW_ID: Final = "1234567"

#: Named after, and with the parameters of, germline-fastqs-to-vcf of
#: https://github.com/aws-samples/amazon-omics-tutorials
WORKFLOW_NAME: Final = "germline-fastqs-to-vcf"
PARAMETER_TEMPLATE: Final[Mapping[str, Any]] = {
    "sample_name": {"description": "Name of the sample"},
    "fastq_pairs": {"description": "Paired FASTQ files with read group and platform"},
    "ecr_registry": {"description": "Amazon ECR registry with the containers"},
    "aws_region": {"description": "Region of the reference data"},
}

LANES: Final = ("C0L01ACXX.1", "C0L01ACXX.2", "C0L01ACXX.3", "C0M7LACXX.7")

#: The tasks of that workflow, for planned runs: name, start and duration in hundredths of the run, CPUs, GiB
#: and instance type.
TASKS: Final = (
    *((f"FastqToBam {lane}", 0, 14, 2, 4, "omics.c.large") for lane in LANES),
    *(
        (f"BwaMem {lane}", 15, 20 + 3 * number, 16, 32, "omics.c.4xlarge")
        for number, lane in enumerate(LANES)
    ),
    ("MarkDuplicates", 46, 12, 8, 32, "omics.m.2xlarge"),
    ("BaseRecalibrator", 59, 9, 2, 8, "omics.m.large"),
    ("ApplyBQSR", 69, 8, 2, 8, "omics.m.large"),
    *((f"HaplotypeCaller shard-{number}", 78, 12 + number, 2, 16, "omics.r.large") for number in range(6)),
    ("MergeVcfs", 96, 4, 2, 4, "omics.c.large"),
)


def prepare(control: Control, seconds: float) -> None:
    """
    Create the bucket and the workflow, and plan its runs.

    :param control: control of the local HealthOmics that the AWS variables of this process select
    :param seconds: that a run stays RUNNING
    """
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    # With a fixed id, since the form has an initial value for it. AWS would choose one.
    control.add_workflow(WORKFLOW_ID, name=WORKFLOW_NAME, parameter_template=PARAMETER_TEMPLATE)
    control.plan_run(workflow_id=WORKFLOW_ID, times=None, tasks=planned_tasks(seconds))


def planned_tasks(seconds: float) -> list[dict[str, Any]]:
    """
    Return the tasks of a planned run, for the local HealthOmics.

    :param seconds: that the run stays RUNNING
    """
    return [
        {
            "name": name,
            "after": seconds * begin / 100,
            "seconds": seconds * share / 100,
            "cpus": cpus,
            "memory": memory,
            "instance_type": instance_type,
            "cpus_in_use": round(cpus * 0.82, 2),
            "memory_in_use": round(memory * 0.57, 2),
        }
        for name, begin, share, cpus, memory, instance_type in TASKS
    ]
