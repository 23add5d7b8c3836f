# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Summaries of runs for downstream tasks, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

#: Fields of GetRun in a summary. Fields with user data are omitted, since they must not get into XCom:
#: parameters, engineSettings, sessionPolicy, resourceDigests, tags.
RUN_SUMMARY_FIELDS: Final = (
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
    Return the fields of a run for downstream tasks, as JSON values. Absent fields stay absent.

    :param run: answer of GetRun; times become ISO 8601 text
    """
    return {field: _json(run[field]) for field in RUN_SUMMARY_FIELDS if field in run}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
