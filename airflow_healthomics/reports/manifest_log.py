# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch the manifest of a run from CloudWatch Logs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.links import LOG_GROUP
from airflow_healthomics.reports.usage import task_id
from airflow_healthomics.service.manifest import read_manifest

#: Pages of GetLogEvents. A page has up to 1 MB or 10,000 events, and may be empty:
#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
MAX_MANIFEST_PAGES: Final = 24


def fetch_manifest(
    aws: BestEffortClient, run: Mapping[str, Any], *, ids: Set[str | None], run_only: bool = False
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """
    Return the manifest's object of the run, and those of its tasks; no tasks if some may be missing.

    :param aws: makes the calls
    :param run: answer of GetRun, or a summary of it
    :param ids: tasks that a complete manifest has
    :param run_only: whether to stop after the object of the run
    """
    if not run.get("uuid"):
        return None, []
    request: dict[str, Any] = {
        "logGroupName": LOG_GROUP,
        # https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
        "logStreamName": f"manifest/run/{run['id']}/{run['uuid']}",
        "startFromHead": True,
    }
    own: dict[str, Any] | None = None
    # By id, since CloudWatch may deliver an event twice.
    tasks: dict[str | None, dict[str, Any]] = {}
    for _ in range(MAX_MANIFEST_PAGES):
        page = aws.call("logs:GetLogEvents", **request)
        found, more = read_manifest(event["message"] for event in page.get("events", ()))
        own = own or found
        tasks.update((task_id(task), task) for task in more)
        if own and run_only:
            break
        # The API reference: "The returned tokens are never null." A repeated token marks the end. A missing
        # token means a failed call.
        if page.get("nextForwardToken") in (None, request.get("nextToken")):
            is_whole = bool(page) and own is not None and ids <= tasks.keys()
            return own, list(tasks.values()) if is_whole else []
        request["nextToken"] = page["nextForwardToken"]
    return own, []
