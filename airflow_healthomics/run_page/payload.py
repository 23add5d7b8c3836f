# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the page shows of AWS's answers, by AWS's own names; absent fields stay absent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from airflow_healthomics.batches.outcomes import NOT_STARTED, counts_of_batch
from airflow_healthomics.exceptions import FailedTask
from airflow_healthomics.service import batch_states, run_states

#: What is shown of GetRun. Left out is what may hold values of the user's: parameters, tags, engineSettings
#: and so on.
RUN_FIELDS: Final = (
    "id",
    "uuid",
    "name",
    "status",
    "statusMessage",
    "failureReason",
    "workflowId",
    "workflowVersionName",
    "workflowType",
    "engineVersion",
    "storageType",
    "storageCapacity",
    "creationTime",
    "startTime",
    "stopTime",
    "runGroupId",
    "batchId",
    "cacheId",
    "cacheBehavior",
    "runOutputUri",
    "retentionMode",
    "requesterPaysEnabled",
)

#: What is shown of an item of ListRunTasks. There may be thousands of them.
TASK_FIELDS: Final = (
    "taskId",
    "name",
    "status",
    "creationTime",
    "startTime",
    "stopTime",
    "cpus",
    "memory",
    "gpus",
    "instanceType",
    "cacheHit",
)

#: What is shown of GetBatch.
BATCH_FIELDS: Final = (
    "id",
    "uuid",
    "name",
    "status",
    "creationTime",
    "submittedTime",
    "processedTime",
    "failedTime",
    "failureReason",
    "totalRuns",
)

#: Failed tasks of a run, and failed runs of a batch, that the page names.
MAX_FAILED: Final = 50


def is_active(status: str) -> bool:
    """Whether a run is on its way; a status that this version does not know is taken for that."""
    return status not in run_states.TERMINAL


def is_active_batch(status: str) -> bool:
    """Whether a batch is on its way; a status that this version does not know is taken for that."""
    return status not in batch_states.TERMINAL


def history(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """
    Return the states of a run, as far as its times say when it came to them.

    :param run: what GetRun answered
    """
    steps = [("PENDING", "creationTime"), ("RUNNING", "startTime"), (run["status"], "stopTime")]
    return [{"status": status, "time": _json(run[time])} for status, time in steps if time in run]


def task_rows(tasks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Return the tasks of a run in the order of their creation.

    :param tasks: items of ListRunTasks
    """
    # Zero GPUs, no cache hit: nothing to tell.
    rows = [
        {field: _json(task[field]) for field in TASK_FIELDS if task.get(field) not in (None, False, "")}
        for task in tasks
    ]
    for row in rows:
        if not row.get("gpus", True):
            del row["gpus"]
    return sorted(rows, key=lambda row: (row.get("creationTime", ""), row["taskId"]))


def failed_task_rows(
    rows: Iterable[Mapping[str, Any]], described: Iterable[FailedTask]
) -> list[dict[str, Any]]:
    """
    Return the failed tasks of a run, those first that more is known of.

    :param rows: the tasks of the run
    :param described: those that the diagnosis has described
    """
    failed: dict[str, dict[str, Any]] = {}
    for task in described:
        failed[task.task_id] = _without_empty(
            {
                "taskId": task.task_id,
                "name": task.name,
                "failureReason": task.failure_reason,
                "statusMessage": task.status_message,
            }
        )
        failed[task.task_id]["logLines"] = list(task.log_lines)
    for row in rows:
        if row["status"] == "FAILED" and row["taskId"] not in failed:
            failed[row["taskId"]] = {"taskId": row["taskId"], "name": row.get("name", ""), "logLines": []}
    return list(failed.values())[:MAX_FAILED]


def run_answer(
    run: Mapping[str, Any],
    *,
    workflow_name: str | None,
    rows: Sequence[Mapping[str, Any]],
    truncated: bool,
    use: Sequence[str],
    failed: Sequence[Mapping[str, Any]],
    tasks_known: bool = True,
    settling: bool = False,
    engine_log: Sequence[str],
    links: Mapping[str, str],
    notices: Sequence[str],
    as_of: datetime,
    poll_seconds: int,
) -> dict[str, Any]:
    """
    Return what the page is told of a run.

    :param run: what GetRun answered
    :param workflow_name: what GetWorkflow calls its workflow, if that is known
    :param rows: its tasks
    :param truncated: whether there are more of them
    :param use: what the run has used, in words
    :param failed: its failed tasks
    :param tasks_known: whether AWS has told its tasks, so that no row means no task
    :param settling: whether more may be known soon, though the run has ended
    :param engine_log: the last lines of the engine's log, if no task has told why the run failed
    :param links: URLs
    :param notices: what could not be found out, and why
    :param as_of: when AWS was asked
    :param poll_seconds: seconds until there is something new
    """
    shown = {field: _json(run[field]) for field in RUN_FIELDS if field in run}
    if "parametersUri" in run:
        # Only that there is one: it may be a presigned URL.
        shown["parametersInFile"] = True
    if workflow_name:
        shown["workflowName"] = workflow_name
    answer: dict[str, Any] = {
        "kind": "run",
        "asOf": _json(as_of),
        "active": is_active(run["status"]),
        "pollSeconds": poll_seconds,
        "run": shown,
        "history": history(run),
        "tasks": list(rows),
        "tasksTotal": len(rows),
        "tasksTruncated": truncated,
        "usage": list(use),
        "failed": list(failed),
        "failedTotal": max(sum(row["status"] == "FAILED" for row in rows), len(failed)),
        "links": dict(links),
    }
    if not tasks_known:
        answer["tasksUnknown"] = True
    if settling:
        answer["settling"] = True
    if engine_log:
        answer["engineLogLines"] = list(engine_log)
    if notices:
        answer["notices"] = list(notices)
    return answer


def without_logs(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same answer for somebody who may not read the logs of tasks."""
    shown = {key: value for key, value in answer.items() if key != "engineLogLines"}
    if "failed" in shown:
        shown["failed"] = [{**item, "logLines": []} for item in shown["failed"]]
    return shown


def not_submitted(item: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a run setting of a batch that no run was started for.

    :param item: of ListRunsInBatch
    """
    return _without_empty(
        {
            "runSettingId": item["runSettingId"],
            "status": NOT_STARTED,
            "failureReason": item.get("submissionFailureReason"),
            "statusMessage": item.get("submissionFailureMessage"),
        }
    )


def failed_run(item: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a failed run of a batch.

    :param item: of ListRuns
    :param described: what else is known of it: runSettingId, failureReason, statusMessage
    """
    return _without_empty({"id": item["id"], "name": item.get("name"), "status": item["status"], **described})


def batch_answer(
    batch: Mapping[str, Any],
    *,
    failed: Sequence[Mapping[str, Any]],
    links: Mapping[str, str],
    notices: Sequence[str],
    as_of: datetime,
    poll_seconds: int,
) -> dict[str, Any]:
    """
    Return what the page is told of a batch.

    :param batch: what GetBatch answered
    :param failed: some of its failed runs
    :param links: URLs
    :param notices: what could not be found out, and why
    :param as_of: when AWS was asked
    :param poll_seconds: seconds until there is something new
    """
    shown = {field: _json(batch[field]) for field in BATCH_FIELDS if field in batch}
    for field in ("workflowId", "workflowVersionName"):
        if value := batch.get("defaultRunSetting", {}).get(field):
            shown[field] = value
    counts = counts_of_batch(batch)
    answer: dict[str, Any] = {
        "kind": "batch",
        "asOf": _json(as_of),
        "active": is_active_batch(batch["status"]),
        "pollSeconds": poll_seconds,
        "batch": shown,
        "counts": counts,
        "failed": list(failed),
        # The counts of a batch lag behind.
        "failedTotal": max(counts.get("FAILED", 0) + counts.get(NOT_STARTED, 0), len(failed)),
        "links": dict(links),
    }
    if notices:
        answer["notices"] = list(notices)
    return answer


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "")}


def _json(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
