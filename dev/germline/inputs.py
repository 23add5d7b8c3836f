# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The inputs of the pipeline example in S3, where its parameters expect them by default."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, Final

from dev.germline.sample import Sample

BUCKET: Final = "example-bucket"
REFERENCE: Final = "references/tiny.fasta"
SAMPLE_SHEET: Final = "sheets/samples.csv"

SAMPLES: Final[Mapping[str, Sample]] = {f"sample-{seed}": Sample(seed=seed) for seed in (1, 2, 3)}


def write_inputs(s3: Any, samples: Mapping[str, Sample] = SAMPLES) -> None:
    """Write the reference, the reads of each sample and the sample sheet into an existing bucket."""
    (reference,) = {sample.fasta() for sample in samples.values()}
    s3.put_object(Bucket=BUCKET, Key=REFERENCE, Body=reference)
    sheet = io.StringIO()
    table = csv.writer(sheet)
    table.writerow(("sample", "fastq_1", "fastq_2"))
    for name, sample in samples.items():
        keys = [f"reads/{name}_{mate}.fastq.gz" for mate in (1, 2)]
        for key, reads in zip(keys, sample.fastq_pair(), strict=True):
            s3.put_object(Bucket=BUCKET, Key=key, Body=reads)
        table.writerow((name, *(f"s3://{BUCKET}/{key}" for key in keys)))
    s3.put_object(Bucket=BUCKET, Key=SAMPLE_SHEET, Body=sheet.getvalue().encode())
