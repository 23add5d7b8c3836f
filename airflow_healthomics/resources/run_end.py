# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outcome of a run whose record was deleted, by a person or by retention mode REMOVE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.links import LOG_GROUP
from airflow_healthomics.service import run_states
from airflow_healthomics.service.log import Log
from airflow_healthomics.service.manifest import read_manifest

#: Seconds after the first call in which further calls may begin.
MAX_SECONDS: Final = 10.0

#: Fields with the same name in the manifest and in GetRun's response.
_SAME_FIELDS: Final = (
    "arn",
    "uuid",
    "name",
    "status",
    "statusMessage",
    "failureReason",
    "workflowType",
    "outputUri",
    "creationTime",
    "startTime",
    "stopTime",
    "storageType",
    "storageCapacity",
    "retentionMode",
    "priority",
    "digest",
)


def recorded_end(hook: HealthOmicsHook, run_id: str, uuid: str | None, log: Log) -> dict[str, Any] | None:
    """
    Return the summary of an ended run from its manifest in CloudWatch, which outlives the run's record.

    Requires the permission logs:GetLogEvents. If it is denied, log a warning and return None.

    :param hook: hook of the run's connection
    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, part of the name of the manifest's log stream. If it is None, return None.
    :param log: the task's log
    :return: summary by GetRun's names, or None if there is no manifest
    """
    if uuid is None:
        return None
    aws = BestEffortClient(
        hook, f"The manifest of run {run_id}", seconds=MAX_SECONDS, on_error=log.warning, on_missing=log.info
    )
    # https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
    run = _run_in(aws, f"manifest/run/{run_id}/{uuid}")
    if run is None or run.get("uuid") != uuid or run.get("status") not in run_states.TERMINAL:
        return None
    log.info("HealthOmics run %s no longer exists; its manifest reports %s", run_id, run["status"])
    return {"id": run_id, **_summary(run)}


def _run_in(aws: BestEffortClient, stream: str) -> dict[str, Any] | None:
    """Return the object of the run from the first page of the manifest that has it; pages may be empty."""
    request: dict[str, Any] = {"logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": True}
    while True:
        page = aws.call("logs:GetLogEvents", **request)
        run, _ = read_manifest(event["message"] for event in page.get("events", ()))
        token = page.get("nextForwardToken")
        # A repeated token marks the end. A call that fails, or would exceed the time limit, returns none.
        if run is not None or token in (None, request.get("nextToken")):
            return run
        request["nextToken"] = token


def _summary(run: Mapping[str, Any]) -> dict[str, Any]:
    summary = {name: run[name] for name in _SAME_FIELDS if run.get(name) is not None}
    for name in ("creationTime", "startTime", "stopTime"):
        if isinstance(text := summary.get(name), str):
            summary[name] = _with_zone(text)
    for name, arn in (("workflowId", "workflow"), ("runGroupId", "runGroup"), ("cacheId", "runCache")):
        if isinstance(text := run.get(arn), str):
            summary[name] = text.rpartition("/")[2]
    return summary


def _with_zone(text: str) -> str:
    # Some times of a manifest have no zone; they are UTC.
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return time.isoformat() if time.tzinfo else f"{time.isoformat()}+00:00"
