# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a computed run did, and whether its variants are the planted ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import boto3
from rich.console import Console
from rich.table import Column, Table

from dev.germline.sample import Sample, called_variants

LOG_GROUP: Final = "/aws/omics/WorkflowLog"


def show_tasks(run: Mapping[str, Any], console: Console) -> None:
    """Show seconds and memory of the run's tasks, as the manifest in CloudWatch has them."""
    events = boto3.client("logs").get_log_events(
        logGroupName=LOG_GROUP, logStreamName=f"manifest/run/{run['id']}/{run['uuid']}", startFromHead=True
    )["events"]
    table = Table(
        "task",
        Column("seconds", justify="right"),
        Column("CPUs on average", justify="right"),
        Column("MiB at most", justify="right"),
        title="The tasks, which ran on this machine",
        title_justify="left",
    )
    for event in events[1:]:
        task = json.loads(event["message"])
        metrics = task["metrics"]
        table.add_row(
            task["name"],
            f"{metrics['runningSeconds']:.1f}",
            f"{metrics.get('cpusAverage', 0):.2f}",
            f"{metrics.get('memoryMaximumGiB', 0) * 1024:.0f}",
        )
    console.print("", table)


def show_variants(sample: Sample, vcf: str, console: Console) -> bool:
    """Show the planted and the called variants, and return whether they are the same."""
    planted, called = set(sample.variants()), set(called_variants(vcf))
    table = Table(
        "place",
        "change",
        "genotype",
        "planted",
        "called",
        title="Variants in the VCF, and those that were planted into the reads",
        title_justify="left",
    )
    for variant in sorted(planted | called):
        table.add_row(
            f"{variant.contig}:{variant.place}",
            f"{variant.ref} > {variant.alt}",
            variant.genotype,
            "yes" if variant in planted else "[red]no[/]",
            "yes" if variant in called else "[red]no[/]",
        )
    console.print("", table)
    return planted == called
