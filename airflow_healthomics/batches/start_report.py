# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The report on the batches of a task that started them, and the manifest in S3."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from airflow_healthomics.batches.outcomes import describe_shortfall, manifest_entries
from airflow_healthomics.batches.output_uris import read_output_uris
from airflow_healthomics.batches.report import BatchReport, ReportPlan
from airflow_healthomics.batches.result import BatchReview
from airflow_healthomics.batches.s3_folder import BatchFolder
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service import batch_states
from airflow_healthomics.service.log import Log


def open_folder(plan: ReportPlan, hook: HealthOmicsHook) -> BatchFolder | None:
    """
    Return the S3 folder for the manifest, if there is one.

    :param plan: what the task needs to know
    :param hook: hook of the task's connection
    """
    return BatchFolder(**plan.folder, hook=hook) if plan.folder else None


def report_on_start(
    review: BatchReview,
    summary: Mapping[str, Any],
    plan: ReportPlan,
    *,
    wanted: Set[str] | None,
    folder: BatchFolder | None,
    log: Log,
) -> tuple[BatchReport, list[dict[str, Any]]]:
    """
    Return the report on the batches of a task that started them, and the completed runs. Write the manifest.

    :param review: outcomes of the batches
    :param summary: of the last batch
    :param plan: what the task needs to know
    :param wanted: ids of the task's current run settings, if known
    :param folder: S3 folder for the manifest, if there is one
    :param log: the task's log
    :raises HealthOmicsResultUnavailableError: if a list is refused, or the manifest cannot be written
    """
    result = review.result(summary, plan.earlier, wanted)
    is_success = summary["status"] in batch_states.MEASURED and result.meets(plan.policy)
    uris = None
    # The next attempt reads the output URIs of all runs anyway.
    if plan.output_uris and (is_success or plan.is_last_attempt):
        uris = read_output_uris(review.client, result.outcomes, log)
    manifest = manifest_entries(result.outcomes, uris.by_run if uris else None)
    successes = [entry for entry in manifest if entry["status"] == "COMPLETED"]
    if folder is not None:
        folder.write_outcomes(manifest, successes)
    text = ""
    if not is_success:
        text, _ = describe_shortfall(
            review.client, summary, result.outcomes, plan.policy, log, total=result.total
        )
    report = BatchReport(
        counts=result.counts,
        is_success=is_success,
        text=text,
        successes=len(successes),
        output_uris=uris.source if uris else None,
        usage=review.usage.figures(),
    )
    return report, successes
