# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Why a job of a store is no success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_healthomics.service.jobs import JobType, unprocessed

#: Sources in a message.
_MAX_SOURCES: Final = 20


def describe_job_failure(
    job_type: JobType, summary: Mapping[str, Any], labels: Sequence[str], *, location: str, next_step: str
) -> str:
    """
    Return the text of the error for a job that did not process all of its sources.

    :param job_type: kind of the job
    :param summary: from :func:`airflow_healthomics.service.jobs.summarize_job`
    :param labels: what to call each source of the job, without a value that may identify a patient
    :param location: command that describes the job
    :param next_step: for the reader
    """
    missing = unprocessed(summary)
    store = f"{job_type.store_noun} {summary[job_type.store]}"
    lines = [
        f"HealthOmics {job_type.noun} {summary['id']} of {store} ended as {summary['status']}: "
        f"{len(missing)} of {len(summary['sources'])} sources were not processed"
    ]
    if message := summary.get("statusMessage"):
        lines.append(message)
    lines += [_line(labels[source["index"]], source) for source in missing[:_MAX_SOURCES]]
    if more := len(missing[_MAX_SOURCES:]):
        lines.append(f"  - and {more} more")
    return "\n".join([*lines, f"See {location}", f"Next step: {next_step}"])


def _line(label: str, source: Mapping[str, Any]) -> str:
    message = source.get("statusMessage")
    return f"  - {label} {source['status']}" + (f": {message}" if message else "")
