# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Build the report on a failed run from its tasks, their logs and the table of failure reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.exceptions import (
    Diagnosis,
    FailedTask,
    HealthOmicsRunFailedError,
    HealthOmicsRunFailedPermanentlyError,
)
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.hooks.place import describe_place
from airflow_healthomics.links import console_url
from airflow_healthomics.reports.blame import failed_by_blame
from airflow_healthomics.reports.log_pages import (
    earlier_token,
    engine_stream,
    log_lines,
    log_request,
    stream_name,
    task_stream,
)
from airflow_healthomics.reports.remedies import NOT_FAILED, SENSOR_STEPS, remedy_for
from airflow_healthomics.service import run_states
from airflow_healthomics.service.log import Log
from airflow_healthomics.service.text import shorten

#: No call starts later than this many seconds after the first: a diagnosis must not delay the outcome.
MAX_SECONDS: Final = 15.0
#: Pages to read until one is not empty. ListRunTasks and GetLogEvents may return empty pages before the last.
MAX_PAGES: Final = 3
#: Tasks per page, the maximum of ListRunTasks.
PAGE_SIZE: Final = 100
#: Failed tasks to describe. Each costs one GetRunTask call (account limit: 10/s).
MAX_TASKS: Final = 5
#: Limits that keep an error readable: log lines, characters per line, characters of a service message.
MAX_LOG_LINES: Final = 50
MAX_LINE: Final = 300
MAX_TEXT: Final = 1_000


def diagnose(
    hook: HealthOmicsHook,
    summary: Mapping[str, Any],
    *,
    log_tail_lines: int,
    log: Log,
    each_log: bool = False,
    time_left: timedelta | None = None,
    tasks: Sequence[Mapping[str, Any]] | None = None,
) -> Diagnosis:
    """
    Find out why a run did not succeed, within seconds and without raising AWS errors.

    Requires the permissions omics:ListRunTasks, omics:GetRunTask and logs:GetLogEvents. Without one of them,
    its part is missing from the diagnosis, and a warning names the permission.

    :param hook: provides connection, region, endpoints and settings; the timeouts are shorter
    :param summary: of the run, in a terminal state
    :param log_tail_lines: lines of CloudWatch logs to fetch, up to :data:`MAX_LOG_LINES`; 0 fetches none
    :param log: the task's log
    :param each_log: whether to fetch the log of each described task instead of only the first one
    :param time_left: until the task times out, if it does. The diagnosis ends before that, and makes no call
        without enough time for it
    :param tasks: all tasks of the run, from ListRunTasks. Without them, the failed ones are requested
    """
    run_id: str = summary["id"]
    subject = f"The diagnosis of run {run_id}"
    seconds = BestEffortClient.seconds_within(MAX_SECONDS, time_left)
    if seconds <= 0 and summary["status"] not in NOT_FAILED:
        log.warning("%s is skipped: too little of the task's execution_timeout is left", subject)
    if seconds <= 0 or summary["status"] in NOT_FAILED:
        return _diagnosis_without_calls(summary)
    aws = BestEffortClient(hook, subject, seconds=seconds, on_error=log.warning, on_missing=log.info)
    items = failed_by_blame(
        _list_failed_tasks(aws, run_id) if tasks is None else tasks, summary.get("statusMessage")
    )
    details = [aws.call("omics:GetRunTask", id=run_id, taskId=item["taskId"]) for item in items[:MAX_TASKS]]
    failed_tasks = tuple(
        FailedTask(
            task_id=item["taskId"],
            name=item.get("name", ""),
            failure_reason=detail.get("failureReason"),
            status_message=shorten(detail.get("statusMessage", ""), MAX_LINE),
        )
        for item, detail in zip(items, details, strict=False)
    )
    streams = [
        stream_name(detail.get("logStream", task_stream(run_id, task.task_id)))
        for task, detail in zip(failed_tasks, details, strict=True)
    ]
    engine = engine_stream(summary)
    created, count = summary.get("creationTime"), min(log_tail_lines, MAX_LOG_LINES)
    log_stream, lines = _tail(aws, [*streams[:1], engine], created, count)
    if each_log and failed_tasks:
        first = lines if log_stream != engine else ()
        others = [_tail(aws, [stream], created, count)[1] for stream in streams[1:]]
        failed_tasks = tuple(
            task._replace(log_lines=tail) for task, tail in zip(failed_tasks, [first, *others], strict=True)
        )
    remedy = remedy_for(summary.get("failureReason"), [task.failure_reason for task in failed_tasks])
    return Diagnosis(
        *remedy,
        failed_tasks=failed_tasks,
        failed_task_count=len(items),
        log_stream=log_stream,
        log_lines=lines,
    )


def _diagnosis_without_calls(summary: Mapping[str, Any]) -> Diagnosis:
    return Diagnosis(*(NOT_FAILED.get(summary["status"]) or remedy_for(summary.get("failureReason"))))


def describe_failure(
    summary: Mapping[str, Any], diagnosis: Diagnosis, *, console_url: str | None = None
) -> str:
    """
    Return a short text on the failure of a run.

    :param summary: of the run
    :param diagnosis: of the run
    :param console_url: the run in the HealthOmics console
    """
    reason = summary.get("failureReason")
    lines = [
        f"HealthOmics run {summary['id']} ended as {summary['status']}" + (f": {reason}" if reason else "")
    ]
    if message := shorten(summary.get("statusMessage", ""), MAX_TEXT):
        lines.append(message)
    for task in diagnosis.failed_tasks:
        cause = ": ".join(filter(None, (task.failure_reason, task.status_message)))
        lines.append(f"Failed task {task.name} ({task.task_id})" + (f": {cause}" if cause else ""))
    if more := diagnosis.failed_task_count - len(diagnosis.failed_tasks):
        least = "at least " if diagnosis.failed_task_count == PAGE_SIZE else ""
        lines.append(f"... and {least}{more} more failed tasks")
    if diagnosis.log_lines:
        lines.append(f"Last lines of the log {diagnosis.log_stream}:")
        lines += [f"    {line}" for line in diagnosis.log_lines]
    if console_url:
        lines.append(f"See {console_url}")
    lines.append(f"Next step: {diagnosis.next_step}")
    return "\n".join(lines)


def raise_for_status(
    summary: Mapping[str, Any],
    *,
    hook: HealthOmicsHook,
    log_tail_lines: int,
    log: Log,
    retryable: bool | None = None,
    time_left: timedelta | None = None,
    source: str | None = None,
    tasks: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """
    Raise an error with a diagnosis unless the run succeeded.

    :param summary: of a run in a terminal state
    :param hook: hook of the task's connection
    :param log_tail_lines: last lines of the failed task's log to show; 0 fetches none
    :param log: the task's log
    :param retryable: whether Airflow may retry the task; by default, the failure reason decides
    :param time_left: until the task times out, if it does. A timeout during the diagnosis ends the diagnosis;
        the error of the run is raised nevertheless
    :param source: for a sensor, where the run id comes from; a sensor cannot start the run again
    :param tasks: all tasks of the run, from ListRunTasks, if they are known
    :raises HealthOmicsRunFailedError: with the failure reason of HealthOmics
    """
    if summary["status"] in run_states.SUCCEEDED:
        return
    place = None
    try:
        if is_missing(summary):
            place = describe_place(hook, log, time_left=time_left)
        diagnosis = diagnose(
            hook, summary, log_tail_lines=log_tail_lines, log=log, time_left=time_left, tasks=tasks
        )
    except AirflowTaskTimeout:
        # Airflow would retry a timeout, but the failure of the run may be permanent.
        log.warning("The diagnosis of run %s is incomplete: the task timed out", summary["id"])
        diagnosis = _diagnosis_without_calls(summary)
    if source and (step := SENSOR_STEPS.get(summary["status"])):
        diagnosis = diagnosis._replace(next_step=step)
    if retryable is None:
        retryable = diagnosis.retry
    error = HealthOmicsRunFailedError if retryable else HealthOmicsRunFailedPermanentlyError
    url = console_url(summary["id"], hook)
    if is_missing(summary):
        text = describe_missing("run", summary["id"], place, source, diagnosis.next_step)
    else:
        text = describe_failure(summary, diagnosis, console_url=url)
    raise error(
        summary["id"],
        summary["status"],
        summary.get("failureReason"),
        summary.get("statusMessage"),
        url,
        diagnosis,
        text,
    )


def is_missing(summary: Mapping[str, Any]) -> bool:
    """Whether a run or batch counts as DELETED because it was not found. Then its id may be wrong, too."""
    return summary["status"] == "DELETED" and "arn" not in summary


def describe_missing(
    noun: str, resource_id: str, place: str | None, source: str | None, next_step: str
) -> str:
    """
    Return a short text on a run or batch that was not found.

    :param noun: run or batch
    :param resource_id: its id
    :param place: account and region of the connection, if known
    :param source: for a sensor, where the id comes from
    :param next_step: for the reader
    """
    deleter = "somebody or retention mode REMOVE" if noun == "run" else "somebody"
    lines = [
        f"HealthOmics {noun} {resource_id} was not found" + (f" in {place}" if place else ""),
        f"Either {deleter} deleted it, or the {noun} id, the account or the region is wrong.",
    ]
    if source:
        lines.append(f"The {noun} id comes from {source}.")
    return "\n".join([*lines, f"Next step: {next_step}"])


def _list_failed_tasks(aws: BestEffortClient, run_id: str) -> list[Mapping[str, Any]]:
    """Return a page of failed tasks."""
    request: dict[str, Any] = {"id": run_id, "status": "FAILED", "maxResults": PAGE_SIZE}
    for _ in range(MAX_PAGES):
        page = aws.call("omics:ListRunTasks", **request)
        if page.get("items"):
            return list(page["items"])
        if not page.get("nextToken"):
            break
        request["startingToken"] = page["nextToken"]
    return []


def _tail(
    aws: BestEffortClient, streams: Sequence[str], created: str | None, count: int
) -> tuple[str | None, tuple[str, ...]]:
    """Return the name and the last lines of the first log with lines since the creation of the run."""
    if count <= 0 or not created:
        return None, ()
    for stream in streams:
        request = log_request(stream, created, count)
        for _ in range(MAX_PAGES):
            page = aws.call("logs:GetLogEvents", **request)
            if lines := log_lines(page, MAX_LINE):
                return stream, tuple(lines[-count:])
            if not (token := earlier_token(page, request)):
                break
            request["nextToken"] = token
    return None, ()
