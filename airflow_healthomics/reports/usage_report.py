# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Ask what a run has used, once it has ended, without delaying or changing the outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks.best_effort import Inquiry
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.links import LOG_GROUP
from airflow_healthomics.reports.usage import describe_run_use, task_id, use_of_run
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.service.log import Log
from airflow_healthomics.service.manifest import read_manifest

#: No call begins later than so many seconds after the first; the last one may take LAST_CALL more.
MAX_SECONDS: Final = 10.0
#: Tasks a page, the most that ListRunTasks gives.
PAGE_SIZE: Final = 100
#: Pages of ListRunTasks: 8,000 tasks, which is as many as there is time for at this pace.
MAX_PAGES: Final = 80
#: Seconds from one page of ListRunTasks to the next. An account has 10 calls a second for all who ask:
#: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
PACE: Final = 0.125
#: Pages of GetLogEvents, of 1 MB or 10,000 events each, and perhaps empty ones among them:
#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
MAX_MANIFEST_PAGES: Final = 24


def with_use(
    summary: Mapping[str, Any],
    *,
    hook: HealthOmicsHook,
    log: Log,
    time_left: timedelta | None = None,
) -> dict[str, Any]:
    """
    Return the summary of a run that has ended with what it has used as ``use``, and log that in two lines.

    Takes some seconds at most, and raises nothing, since no figure is worth a run that has completed. What
    cannot be read is left out, and a line in the log says so. Needs the permissions omics:ListRunTasks and
    logs:GetLogEvents.

    :param summary: of a run in a terminal state
    :param hook: hook of the task's connection
    :param log: the task's log
    :param time_left: until the task times out, if it does: then it is not risked
    """
    summary = dict(summary)
    if summary["status"] == "DELETED":
        return summary
    seconds = Inquiry.seconds_within(MAX_SECONDS, time_left)
    subject = f"The use report of run {summary['id']}"
    if seconds <= 0:
        log.info("%s is left out: the task's execution_timeout is near", subject)
        return summary
    try:
        summary["use"] = _read_use(
            summary, Inquiry(hook, subject, seconds=seconds, say=log.info, note=log.info)
        )
    except AirflowTaskTimeout:
        # The run has ended, and so does the task, by what the run said.
        log.info("%s is left out: the task has timed out", subject)
        return summary
    except Exception as error:  # noqa: BLE001 - looking up the connection may raise anything
        log.info("%s is left out: %s", subject, error_code(error))
        return summary
    for line in describe_run_use(summary["use"]):
        log.info("%s", line)
    return summary


def _read_use(summary: Mapping[str, Any], aws: Inquiry) -> dict[str, Any]:
    """
    Read the tasks from where it is cheaper, and the storage from the manifest.

    A page of ListRunTasks is all tasks of most runs, and tells for sure which of them came from the cache. Of
    a run with more tasks the manifest has them all in a call for each megabyte; but it is written some time
    after the end, so it is believed only if it has the tasks of that page, and else the list is read on.
    """
    request: dict[str, Any] = {"id": summary["id"], "maxResults": PAGE_SIZE}
    asked = time.monotonic()
    page = aws.ask("omics:ListRunTasks", **request)
    listed = list(page.get("items", ()))
    token, is_known = page.get("nextToken"), "items" in page
    manifest_run, recorded = _read_manifest(
        summary, aws, run_only=is_known and not token, ids={task_id(item) for item in listed}
    )
    if recorded and (token or not is_known):
        # Without the page, nothing says that the manifest was written to its end.
        return use_of_run(summary, recorded, manifest_run=manifest_run, is_complete=is_known)
    for _ in range(MAX_PAGES - 1):
        if not token:
            break
        time.sleep(max(0.0, asked + PACE - time.monotonic()))
        asked = time.monotonic()
        page = aws.ask("omics:ListRunTasks", **request, startingToken=token)
        if "items" not in page:
            break
        listed += page["items"]
        token = page.get("nextToken")
    return use_of_run(summary, listed if is_known else None, manifest_run=manifest_run, is_complete=not token)


def _read_manifest(
    summary: Mapping[str, Any], aws: Inquiry, *, run_only: bool, ids: set[str | None]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Return the run's object of the manifest, and those of all its tasks: none if some may be missing."""
    if not summary.get("uuid"):
        return None, []
    request: dict[str, Any] = {
        "logGroupName": LOG_GROUP,
        # https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
        "logStreamName": f"manifest/run/{summary['id']}/{summary['uuid']}",
        "startFromHead": True,
    }
    run: dict[str, Any] | None = None
    # By id, as nobody says that an event is not delivered to CloudWatch twice.
    tasks: dict[str | None, dict[str, Any]] = {}
    for _ in range(MAX_MANIFEST_PAGES):
        page = aws.ask("logs:GetLogEvents", **request)
        found, more = read_manifest(event["message"] for event in page.get("events", ()))
        run = run or found
        tasks.update((task_id(task), task) for task in more)
        if run and run_only:
            break
        # "The returned tokens are never null": the same one again is the end, and none is no answer.
        if page.get("nextForwardToken") in (None, request.get("nextToken")):
            is_whole = bool(page) and run is not None and ids <= tasks.keys()
            return run, list(tasks.values()) if is_whole else []
        request["nextToken"] = page["nextForwardToken"]
    return run, []
