# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The workflow of the pipeline example finds the variants that were planted, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import Control
from dev.germline.inputs import BUCKET as INPUTS
from dev.germline.inputs import REFERENCE, write_inputs
from dev.germline.sample import Sample, called_variants
from tests.local.archives import archive
from tests.local.conftest import BUCKET, ROLE, aws

pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)

WORKFLOW = Path(__file__).parents[3] / "example_dags" / "workflows" / "germline" / "main.wdl"

SMALL = Sample(contig_length=3_000)
OTHER = Sample(contig_length=3_000, seed=2)


def test_its_variants_are_the_planted_ones(control: Control, omics: Any) -> None:
    """With their genotypes, for two samples in one batch."""
    s3 = aws("s3")
    s3.create_bucket(Bucket=INPUTS)
    samples = {"NA1": SMALL, "NA2": OTHER}
    write_inputs(s3, samples)
    workflow = omics.create_workflow(definitionZip=archive(main_wdl=WORKFLOW.read_text()))
    reads = f"s3://{INPUTS}/reads"
    batch = omics.start_run_batch(
        requestId="germline",
        defaultRunSetting={
            "workflowId": workflow["id"],
            "roleArn": ROLE,
            "outputUri": f"s3://{BUCKET}/results",
            "parameters": {"reference": f"s3://{INPUTS}/{REFERENCE}", "image": "python:3.12"},
        },
        batchRunSettings={
            "inlineSettings": [
                {
                    "runSettingId": name,
                    "parameters": {
                        "sample_name": name,
                        "fastq_1": f"{reads}/{name}_1.fastq.gz",
                        "fastq_2": f"{reads}/{name}_2.fastq.gz",
                    },
                }
                for name in samples
            ]
        },
    )
    control.wait_for_run("COMPLETED", count=2, timeout=60)
    for item in omics.list_runs_in_batch(batchId=batch["id"])["runs"]:
        name = item["runSettingId"]
        tasks = omics.list_run_tasks(id=item["runId"])["items"]
        assert sorted(task["name"].partition("-")[0] for task in tasks) == [
            "Align",
            *["CallVariants"] * 3,
            "MarkDuplicates",
            "MergeVcfs",
        ]
        key = f"results/{item['runId']}/out/vcf/{name}.vcf"
        vcf = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        assert called_variants(vcf) == samples.pop(name).variants()
    assert samples == {}


def test_a_sample_depends_on_its_seeds(control: Control) -> None:
    """Only, so that the demo is the same everywhere. Samples have the same reference."""
    assert SMALL.fastq_pair() == SMALL.fastq_pair()
    assert SMALL.fasta() == OTHER.fasta()
    assert len(SMALL.variants()) == 12
    assert SMALL.variants() != OTHER.variants()
