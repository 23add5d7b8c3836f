# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The workflow of the demo finds the variants that were planted, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control
from dev.germline import definition
from dev.germline.sample import Sample, called_variants
from tests.local.conftest import BUCKET, ROLE, aws

pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)

LANES = ("L1", "L2")
SMALL = Sample(contig_length=3_000, variants_per_contig=4)
REFERENCE = "omics-us-east-1"


def test_its_variants_are_the_planted_ones(
    control: Control, omics: Any, ended: Callable[[str], dict[str, Any]]
) -> None:
    """With their genotypes."""
    s3 = aws("s3")
    s3.create_bucket(Bucket=REFERENCE)
    s3.put_object(Bucket=REFERENCE, Key="references/tiny.fasta", Body=SMALL.fasta())
    pairs = []
    for lane, *files in SMALL.fastq_pairs(LANES):
        pair = {"read_group": lane, "platform": "illumina"}
        for number, content in enumerate(files, 1):
            s3.put_object(Bucket=BUCKET, Key=f"{lane}.R{number}.fastq.gz", Body=content)
            pair[f"fastq_{number}"] = f"s3://{BUCKET}/{lane}.R{number}.fastq.gz"
        pairs.append(pair)
    workflow = omics.create_workflow(definitionZip=definition())
    run = omics.start_run(
        workflowId=workflow["id"],
        roleArn=ROLE,
        outputUri=f"s3://{BUCKET}/results",
        parameters={
            "sample_name": "NA1",
            "fastq_pairs": pairs,
            "ecr_registry": "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "aws_region": "us-east-1",
        },
    )
    ended(run["id"])
    names = sorted(task["name"] for task in omics.list_run_tasks(id=run["id"])["items"])
    assert [name.partition("-")[0] for name in names] == [
        *["Align"] * 2,
        *["CallVariants"] * 3,
        "MarkDuplicates",
        "MergeVcfs",
    ]
    vcf = s3.get_object(Bucket=BUCKET, Key=f"results/{run['id']}/out/vcf/NA1.vcf")["Body"].read().decode()
    assert called_variants(vcf) == SMALL.variants()
    assert len(SMALL.variants()) == 12


def test_a_sample_depends_on_its_seed(control: Control) -> None:
    """Only, so that the demo is the same everywhere."""
    assert list(SMALL.fastq_pairs(LANES)) == list(SMALL.fastq_pairs(LANES))
    assert Sample(seed=8).variants() != Sample(seed=7).variants()
