# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a run ended: its summary as JSON, and the error if it did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from airflow_healthomics import run_states
from airflow_healthomics.diagnosis import describe_failure, diagnose
from airflow_healthomics.exceptions import HealthOmicsRunFailedError, HealthOmicsRunFailedForGoodError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.links import console_url
from airflow_healthomics.polling import Log

#: What a summary says of a run, by GetRun's names. Left out is what holds values of the user's, which do not
#: belong into XCom: parameters, engineSettings, sessionPolicy, resourceDigests, tags.
SUMMARY_FIELDS: Final = (
    "id",
    "arn",
    "uuid",
    "name",
    "status",
    "statusMessage",
    "failureReason",
    "workflowId",
    "workflowType",
    "workflowVersionName",
    "workflowUuid",
    "runId",
    "runGroupId",
    "batchId",
    "cacheId",
    "cacheBehavior",
    "outputUri",
    "runOutputUri",
    "creationTime",
    "startTime",
    "stopTime",
    "storageType",
    "storageCapacity",
    "retentionMode",
    "priority",
    "accelerators",
    "engineVersion",
    "digest",
    "logLocation",
)


def summarize_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the next task may want to know of a run, as JSON values; absent fields stay absent.

    :param run: what GetRun answered; times become ISO 8601 text
    """
    return {field: _json(run[field]) for field in SUMMARY_FIELDS if field in run}


def raise_for_status(
    summary: Mapping[str, Any],
    *,
    hook: HealthOmicsHook,
    log_tail_lines: int,
    log: Log,
    for_good: bool | None = None,
) -> None:
    """
    Raise unless the run succeeded, with what can be found out about why it did not.

    :param summary: of a run in a terminal state
    :param hook: hook of the task's connection
    :param log_tail_lines: last lines of the failed task's log to show; 0 fetches none
    :param log: the task's log
    :param for_good: whether Airflow must not retry the task; None leaves it to the reason of the failure
    :raises HealthOmicsRunFailedError: with the service's reason
    """
    if summary["status"] in run_states.SUCCEEDED:
        return
    diagnosis = diagnose(hook, summary, log_tail_lines=log_tail_lines, log=log)
    if for_good is None:
        for_good = not diagnosis.retry
    error = HealthOmicsRunFailedForGoodError if for_good else HealthOmicsRunFailedError
    url = console_url(summary["id"], hook)
    raise error(
        summary["id"],
        summary["status"],
        summary.get("failureReason"),
        summary.get("statusMessage"),
        url,
        diagnosis,
        describe_failure(summary, diagnosis, console_url=url),
    )


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
