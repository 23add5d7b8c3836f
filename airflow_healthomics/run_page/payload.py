# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""JSON of the page's API, with the names of the AWS API. Absent fields stay absent. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from airflow_healthomics.batches.outcomes import NOT_STARTED, counts_of_batch
from airflow_healthomics.exceptions import FailedTask
from airflow_healthomics.service import batch_states, run_states
from airflow_healthomics.starting.identity import is_derived

#: Fields of GetRun on the page. Fields with user data are excluded: parameters, tags, engineSettings and so
#: on.
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

#: Fields of ListRunTasks on the page. A run may have thousands of tasks.
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

#: Fields of GetBatch on the page.
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

#: Maximum number of failed tasks of a run, or failed runs of a batch, on the page.
MAX_FAILED: Final = 50


def is_active(status: str) -> bool:
    """Whether a run is active. An unknown status counts as active."""
    return status not in run_states.TERMINAL


def is_active_batch(status: str) -> bool:
    """Whether a batch is active. An unknown status counts as active."""
    return status not in batch_states.TERMINAL


def history(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """
    Return the states of a run that have a known time.

    :param run: answer of GetRun
    """
    steps = [("PENDING", "creationTime"), ("RUNNING", "startTime"), (run["status"], "stopTime")]
    return [{"status": status, "time": _json(run[time])} for status, time in steps if time in run]


def task_rows(tasks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Return the tasks of a run in the order of their creation.

    :param tasks: items of ListRunTasks
    """
    # Zero GPUs and cacheHit false are omitted, too.
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
    Return the failed tasks of a run, those with a diagnosis first.

    :param rows: the tasks of the run
    :param described: failed tasks from the diagnosis
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
    usage: Sequence[str],
    failed: Sequence[Mapping[str, Any]],
    tasks_known: bool = True,
    settling: bool = False,
    engine_log: Sequence[str],
    next_step: str | None = None,
    may_show_logs: bool = False,
    label: str | None = None,
    links: Mapping[str, str],
    notices: Sequence[str],
    as_of: datetime,
    poll_seconds: int,
) -> dict[str, Any]:
    """
    Return the page's answer for a run.

    :param run: answer of GetRun
    :param workflow_name: name of its workflow, if known
    :param rows: its tasks, with their usage if it is known
    :param truncated: whether it has more tasks
    :param usage: usage of the run as text
    :param failed: its failed tasks
    :param tasks_known: False if ListRunTasks was refused, so that an empty list means unknown
    :param settling: whether the diagnosis of a failed run may still change
    :param engine_log: the last lines of the engine log, if there is no log of a failed task
    :param next_step: what a person should do about a run that failed or was cancelled
    :param may_show_logs: whether the DAG author lets the page show logs
    :param label: what distinguishes it from other runs of the workflow: its run setting, or a name
    :param links: URLs
    :param notices: messages about refused calls
    :param as_of: time of the AWS calls
    :param poll_seconds: poll interval for the browser
    """
    shown = {field: _json(run[field]) for field in RUN_FIELDS if field in run}
    if "parametersUri" in run:
        # Not the URI, since it may be a presigned URL.
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
        "tasksTruncated": truncated,
        "usage": list(usage),
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
    if next_step:
        answer["nextStep"] = next_step
    if may_show_logs:
        answer["logs"] = True
    if label:
        answer["label"] = label
    if notices:
        answer["notices"] = list(notices)
    return answer


def custom_name(resource: Mapping[str, Any]) -> str | None:
    """
    Return the name that a person gave to a run or batch, or None for the default, which is the request ID.

    :param resource: answer of GetRun or GetBatch
    """
    name: str = resource.get("name", "")
    return None if is_derived(name) else name or None


def without_logs(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Remove log lines and the offer of outputs, for a user who may not read the logs of tasks."""
    shown = {key: value for key, value in answer.items() if key not in ("engineLogLines", "logs", "outputs")}
    if "failed" in shown:
        shown["failed"] = [{**item, "logLines": []} for item in shown["failed"]]
    return shown


def log_answer(lines: Sequence[str], *, stream: str, before: str | None, as_of: datetime) -> dict[str, Any]:
    """
    Return a page of a log.

    :param lines: of the page
    :param stream: log stream
    :param before: token of the page before; None at the beginning of the log
    :param as_of: time of the AWS call
    """
    return {
        "kind": "log",
        "asOf": _json(as_of),
        "stream": stream,
        "lines": list(lines),
        **({"before": before} if before else {}),
    }


def not_submitted(item: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a run setting of a batch whose run was not started.

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
    :param described: further details: runSettingId, failureReason, statusMessage
    """
    return _without_empty({"id": item["id"], "name": item.get("name"), "status": item["status"], **described})


def batch_answer(
    batch: Mapping[str, Any],
    *,
    workflow_name: str | None = None,
    failed: Sequence[Mapping[str, Any]],
    label: str | None = None,
    links: Mapping[str, str],
    notices: Sequence[str],
    as_of: datetime,
    poll_seconds: int,
) -> dict[str, Any]:
    """
    Return the page's answer for a batch.

    :param batch: answer of GetBatch
    :param workflow_name: name of its workflow, if known
    :param failed: some of its failed runs
    :param label: what distinguishes it from other batches of the workflow, such as a name
    :param links: URLs
    :param notices: messages about refused calls
    :param as_of: time of the AWS calls
    :param poll_seconds: poll interval for the browser
    """
    shown = {field: _json(batch[field]) for field in BATCH_FIELDS if field in batch}
    for field in ("workflowId", "workflowVersionName"):
        if value := batch.get("defaultRunSetting", {}).get(field):
            shown[field] = value
    if workflow_name:
        shown["workflowName"] = workflow_name
    counts = counts_of_batch(batch)
    answer: dict[str, Any] = {
        "kind": "batch",
        "asOf": _json(as_of),
        "active": is_active_batch(batch["status"]),
        "pollSeconds": poll_seconds,
        "batch": shown,
        "counts": counts,
        "failed": list(failed),
        # The counts of a batch lag behind its runs.
        "failedTotal": max(counts.get("FAILED", 0) + counts.get(NOT_STARTED, 0), len(failed)),
        "links": dict(links),
    }
    if label:
        answer["label"] = label
    if notices:
        answer["notices"] = list(notices)
    return answer


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "")}


def _json(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
