# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for the next task, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

#: What a summary says of a run, by GetRun's names. Left out is what holds values of the user's, which do not
#: belong into XCom: parameters, engineSettings, sessionPolicy, resourceDigests, tags.
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
    Return what the next task may want to know of a run, as JSON values; absent fields stay absent.

    :param run: what GetRun answered; times become ISO 8601 text
    """
    return {field: _json(run[field]) for field in RUN_SUMMARY_FIELDS if field in run}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
