# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a run ended: its summary as JSON, and the error if it did not succeed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from airflow_healthomics import run_states
from airflow_healthomics.exceptions import HealthOmicsRunFailedError, HealthOmicsRunFailedForGoodError

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
    summary: Mapping[str, Any], *, for_good: bool = False, console_url: str | None = None
) -> None:
    """
    Raise unless the run succeeded.

    :param summary: of a run in a terminal state
    :param for_good: whether Airflow must not retry the task
    :param console_url: the run in the HealthOmics console
    :raises HealthOmicsRunFailedError: with the service's reason
    """
    if summary["status"] in run_states.SUCCEEDED:
        return
    error = HealthOmicsRunFailedForGoodError if for_good else HealthOmicsRunFailedError
    raise error(
        summary["id"],
        summary["status"],
        summary.get("failureReason"),
        summary.get("statusMessage"),
        console_url,
    )


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
