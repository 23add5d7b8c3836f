# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Why a job of a store is no success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_healthomics.service.jobs import JobType

#: Sources in a message.
_MAX_SOURCES: Final = 20


def describe_job_failure(
    job_type: JobType,
    summary: Mapping[str, Any],
    missing: Sequence[Mapping[str, Any]],
    *,
    location: str,
    next_step: str,
) -> str:
    """
    Return the text of the error for a job that did not process all of its sources.

    :param job_type: kind of the job
    :param summary: from :func:`airflow_healthomics.service.jobs.summarize_job`
    :param missing: the sources of the summary that were not processed, each with the index to show
    :param location: command that describes the job
    :param next_step: for the reader
    """
    store = f"{job_type.store_noun} {summary[job_type.store]}"
    lines = [
        f"HealthOmics {job_type.noun} {summary['id']} of {store} ended as {summary['status']}: "
        f"{len(missing)} of {len(summary['sources'])} sources were not processed"
    ]
    if message := summary.get("statusMessage"):
        lines.append(message)
    lines += [_line(job_type, source) for source in missing[:_MAX_SOURCES]]
    if more := len(missing[_MAX_SOURCES:]):
        lines.append(f"  - and {more} more")
    return "\n".join([*lines, f"See {location}", f"Next step: {next_step}"])


def _line(job_type: JobType, source: Mapping[str, Any]) -> str:
    """Return a line with the read set or, as its files and names may identify a patient, the index."""
    is_read_set = job_type.key == ("readSetId",)
    label = f"read set {source['readSetId']}" if is_read_set else f"sources[{source['index']}]"
    message = source.get("statusMessage")
    return f"  - {label} {source['status']}" + (f": {message}" if message else "")
