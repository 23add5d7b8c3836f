# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Show what the pipeline made of the samples, and whether its variants are the planted ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import boto3
from rich.console import Console
from rich.table import Column, Table

from dev.germline.sample import Sample, called_variants

LOG_GROUP: Final = "/aws/omics/WorkflowLog"


def show_batch(summary: Mapping[str, Any], console: Console) -> None:
    """Show the XCom ``summary`` of the batch."""
    table = Table(
        "field",
        Column("value", overflow="fold"),
        title="The batch, as the operator's XCom has it",
        title_justify="left",
    )
    for name in ("id", "name", "status", "workflowId", "outputUri", "totalRuns", "counts"):
        if name in summary:
            table.add_row(name, str(summary[name]))
    console.print("", table)


def show_tasks(runs: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Show seconds and memory of the tasks of runs, as the manifests in CloudWatch have them."""
    table = Table(
        "sample",
        "task",
        Column("seconds", justify="right"),
        Column("CPUs on average", justify="right"),
        Column("MiB at most", justify="right"),
        title="The tasks of the runs, which ran on this machine",
        title_justify="left",
    )
    omics, logs = boto3.client("omics"), boto3.client("logs")
    for run in runs:
        stream = f"manifest/run/{run['runId']}/{omics.get_run(id=run['runId'])['uuid']}"
        answer = logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True)
        for event in answer["events"][1:]:
            task = json.loads(event["message"])
            metrics = task["metrics"]
            table.add_row(
                run["runSettingId"],
                task["name"],
                f"{metrics['runningSeconds']:.1f}",
                f"{metrics.get('cpusAverage', 0):.2f}",
                f"{metrics.get('memoryMaximumGiB', 0) * 1024:.0f}",
            )
    console.print("", table)


def show_outputs(uri: str, console: Console) -> None:
    """Show the objects below an S3 URI."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
    table = Table(
        "object", Column("bytes", justify="right"), title=f"Objects in {uri}/", title_justify="left"
    )
    for item in found:
        table.add_row(item["Key"].removeprefix(f"{prefix}/"), str(item["Size"]))
    console.print("", table)


def show_report(uri: str, console: Console) -> dict[str, int]:
    """Show the report, and return its number of variants by sample."""
    header, *rows = csv.reader(_text(uri).splitlines())
    table = Table(*header, title=f"The report: {uri}", title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print("", table)
    return {row[0]: int(row[header.index("variants")]) for row in rows}


def show_variants(samples: Mapping[str, Sample], runs: Sequence[Mapping[str, Any]], console: Console) -> bool:
    """Show the planted and the called variants, and return whether they are the same for each sample."""
    table = Table(
        "sample",
        "place",
        "change",
        "genotype",
        "planted",
        "called",
        title="Variants in the VCFs, and those that were planted into the reads",
        title_justify="left",
    )
    outputs = {
        run["runSettingId"]: f"{run['runOutputUri']}/out/vcf/{run['runSettingId']}.vcf" for run in runs
    }
    is_same = outputs.keys() == samples.keys()
    for name, sample in samples.items():
        planted = set(sample.variants())
        called = set(called_variants(_text(outputs[name]))) if name in outputs else set()
        is_same = is_same and planted == called
        for variant in sorted(planted | called):
            table.add_row(
                name,
                f"{variant.contig}:{variant.place}",
                f"{variant.ref} > {variant.alt}",
                variant.genotype,
                "yes" if variant in planted else "[red]no[/]",
                "yes" if variant in called else "[red]no[/]",
            )
    console.print("", table)
    return is_same


def _text(uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return str(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode())
