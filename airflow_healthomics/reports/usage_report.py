# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Read the usage of a run in a terminal state, without delaying or changing the outcome of the task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.reports.manifest_log import fetch_manifest
from airflow_healthomics.reports.usage import describe_run_usage, task_id, usage_of_run
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.service.log import Log

#: No call starts later than this many seconds after the first; it may last LONGEST_CALL_SECONDS.
MAX_SECONDS: Final = 10.0
#: Tasks per page, the maximum of ListRunTasks.
PAGE_SIZE: Final = 100
#: Pages of ListRunTasks, 8,000 tasks: more would exceed MAX_SECONDS at one page per PACE.
MAX_PAGES: Final = 80
#: Seconds between two pages of ListRunTasks. All callers of an account share 10 calls a second:
#: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
PACE: Final = 0.125


def add_usage(
    summary: Mapping[str, Any],
    *,
    hook: HealthOmicsHook,
    log: Log,
    time_left: timedelta | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """
    Add the usage of a run to its summary, and log it in two lines.

    Needs seconds at most and raises nothing: a missing figure must not fail the task of a completed run. What
    cannot be read is left out and logged. Requires the permissions omics:ListRunTasks and logs:GetLogEvents.

    :param summary: of a run in a terminal state
    :param hook: hook of the task's connection
    :param log: the task's log
    :param time_left: until the task times out, if it does. If that is too short for a call, nothing is added
    :returns: a copy of the summary, with the usage as ``usage``, and all tasks of the run from ListRunTasks;
        None if these are not known
    """
    summary = dict(summary)
    if summary["status"] == "DELETED":
        return summary, None
    seconds = BestEffortClient.seconds_within(MAX_SECONDS, time_left)
    subject = f"The usage report of run {summary['id']}"
    if seconds <= 0:
        log.info("%s is skipped: too little of the task's execution_timeout is left", subject)
        return summary, None
    try:
        summary["usage"], tasks = _read_usage(
            summary, BestEffortClient(hook, subject, seconds=seconds, on_error=log.info, on_missing=log.info)
        )
    except AirflowTaskTimeout:
        # The outcome of the run decides that of the task, whatever happens here.
        log.info("%s is skipped: the task timed out", subject)
        return summary, None
    except Exception as error:  # noqa: BLE001 - looking up the connection may raise anything
        log.info("%s is skipped: %s", subject, error_code(error))
        return summary, None
    for line in describe_run_usage(summary["usage"]):
        log.info("%s", line)
    return summary, tasks


def _read_usage(
    summary: Mapping[str, Any], aws: BestEffortClient
) -> tuple[dict[str, Any], list[dict[str, Any]] | None]:
    """
    Read the tasks from the cheaper source, and the storage from the manifest.

    For most runs, one page of ListRunTasks has all tasks. Only the list shows for certain which tasks came
    from the run cache. For longer lists the manifest is cheaper: one call per megabyte. HealthOmics writes it
    some time after the end of the run. It counts as complete only if it has the tasks of the first page;
    otherwise the remaining pages are read.
    """
    request: dict[str, Any] = {"id": summary["id"], "maxResults": PAGE_SIZE}
    started = time.monotonic()
    page = aws.call("omics:ListRunTasks", **request)
    listed = list(page.get("items", ()))
    token, is_known = page.get("nextToken"), "items" in page
    manifest_run, recorded = fetch_manifest(
        aws, summary, ids={task_id(item) for item in listed}, run_only=is_known and not token
    )
    if recorded and (token or not is_known):
        # Without the page, the manifest may be incomplete.
        return usage_of_run(summary, recorded, manifest_run=manifest_run, is_complete=is_known), None
    for _ in range(MAX_PAGES - 1):
        if not token:
            break
        time.sleep(max(0.0, started + PACE - time.monotonic()))
        started = time.monotonic()
        page = aws.call("omics:ListRunTasks", **request, startingToken=token)
        if "items" not in page:
            break
        listed += page["items"]
        token = page.get("nextToken")
    usage = usage_of_run(
        summary, listed if is_known else None, manifest_run=manifest_run, is_complete=not token
    )
    return usage, listed if is_known and not token else None
