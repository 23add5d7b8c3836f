# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Why a run failed, whether to try it again, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.exceptions import (
    Diagnosis,
    FailedTask,
    HealthOmicsRunFailedError,
    HealthOmicsRunFailedForGoodError,
)
from airflow_healthomics.hooks.best_effort import Inquiry
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.hooks.place import describe_place
from airflow_healthomics.links import LOG_GROUP, console_url
from airflow_healthomics.reports.remedies import _NOT_FAILED, _SENSOR_STEPS, remedy_for
from airflow_healthomics.service import run_states
from airflow_healthomics.service.log import Log

#: No call begins later than so many seconds after the first, since a diagnosis must not hold up the outcome.
MAX_SECONDS: Final = 15.0
#: Pages to turn until one is not empty; both lists may have empty pages that are not the last one.
MAX_PAGES: Final = 3
#: Tasks a page, the most that ListRunTasks gives.
PAGE_SIZE: Final = 100
#: Failed tasks to describe, a GetRunTask call each, of which an account has 10 a second.
MAX_TASKS: Final = 5
#: Lines of a log, and characters of a line or of a service's text: an exception is read by a person.
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
) -> Diagnosis:
    """
    Find out why a run did not succeed. Takes some seconds at most, and raises nothing that AWS answers.

    Needs the permissions omics:ListRunTasks, omics:GetRunTask and logs:GetLogEvents; each one that is missing
    costs a line in the log and what it would have told.

    :param hook: its connection, region, endpoints and settings are used, with shorter timeouts
    :param summary: of the run, in a terminal state
    :param log_tail_lines: lines of CloudWatch logs to fetch, up to :data:`MAX_LOG_LINES`; 0 fetches none
    :param log: the task's log
    :param each_log: whether to fetch the log of each failed task that is described, not only of the last one
    :param time_left: until the task times out, if it does. The diagnosis ends before that, and makes no call
        if there is no time for one
    """
    run_id: str = summary["id"]
    subject = f"The diagnosis of run {run_id}"
    seconds = Inquiry.seconds_within(MAX_SECONDS, time_left)
    if seconds <= 0 and summary["status"] not in _NOT_FAILED:
        log.warning("%s makes no calls: the task's execution_timeout is near", subject)
    if seconds <= 0 or summary["status"] in _NOT_FAILED:
        return _diagnosis_without_calls(summary)
    aws = Inquiry(hook, subject, seconds=seconds, say=log.warning, note=log.info)
    items = _list_failed_tasks(aws, run_id)
    details = [aws.ask("omics:GetRunTask", id=run_id, taskId=item["taskId"]) for item in items[:MAX_TASKS]]
    tasks = tuple(
        FailedTask(
            task_id=item["taskId"],
            name=item.get("name", ""),
            failure_reason=detail.get("failureReason"),
            status_message=_shorten(detail.get("statusMessage", ""), MAX_LINE),
        )
        for item, detail in zip(items, details, strict=False)
    )
    streams = [
        detail.get("logStream", f"run/{run_id}/task/{task.task_id}")
        for task, detail in zip(tasks, details, strict=True)
    ]
    engine_stream = summary.get("logLocation", {}).get("engineLogStream", f"run/{run_id}/engine")
    created, count = summary.get("creationTime"), min(log_tail_lines, MAX_LOG_LINES)
    log_stream, log_lines = _tail(aws, [*streams[:1], engine_stream], created, count)
    if each_log and tasks:
        first = log_lines if log_stream != _stream_name(engine_stream) else ()
        others = [_tail(aws, [stream], created, count)[1] for stream in streams[1:]]
        tasks = tuple(
            replace(task, log_lines=lines) for task, lines in zip(tasks, [first, *others], strict=True)
        )
    remedy = remedy_for(summary.get("failureReason"), [task.failure_reason for task in tasks])
    return Diagnosis(
        *remedy,
        failed_tasks=tasks,
        failed_task_count=len(items),
        log_stream=log_stream,
        log_lines=log_lines,
    )


def _diagnosis_without_calls(summary: Mapping[str, Any]) -> Diagnosis:
    return Diagnosis(*(_NOT_FAILED.get(summary["status"]) or remedy_for(summary.get("failureReason"))))


def describe_failure(
    summary: Mapping[str, Any], diagnosis: Diagnosis, *, console_url: str | None = None
) -> str:
    """
    Return the few lines that tell a person what happened.

    :param summary: of the run
    :param diagnosis: of the run
    :param console_url: the run in the HealthOmics console
    """
    reason = summary.get("failureReason")
    lines = [
        f"HealthOmics run {summary['id']} ended as {summary['status']}" + (f": {reason}" if reason else "")
    ]
    if message := _shorten(summary.get("statusMessage", ""), MAX_TEXT):
        lines.append(message)
    for task in diagnosis.failed_tasks:
        says = ": ".join(filter(None, (task.failure_reason, task.status_message)))
        lines.append(f"Failed task {task.name} ({task.task_id})" + (f": {says}" if says else ""))
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
    for_good: bool | None = None,
    time_left: timedelta | None = None,
    source: str | None = None,
) -> None:
    """
    Raise unless the run succeeded, with what can be found out about why it did not.

    :param summary: of a run in a terminal state
    :param hook: hook of the task's connection
    :param log_tail_lines: last lines of the failed task's log to show; 0 fetches none
    :param log: the task's log
    :param for_good: whether Airflow must not retry the task; None leaves it to the reason of the failure
    :param time_left: until the task times out, if it does. A timeout during the diagnosis ends the diagnosis,
        and the run's own failure is raised all the same
    :param source: where the run id comes from, for a sensor, which cannot start the run again
    :raises HealthOmicsRunFailedError: with the service's reason
    """
    if summary["status"] in run_states.SUCCEEDED:
        return
    place = None
    try:
        if is_missing(summary):
            place = describe_place(hook, log, time_left=time_left)
        diagnosis = diagnose(hook, summary, log_tail_lines=log_tail_lines, log=log, time_left=time_left)
    except AirflowTaskTimeout:
        # Raised by a signal. A timeout may be retried, whereas the failure of the run may be permanent.
        log.warning("The diagnosis of run %s ends early: the task has timed out", summary["id"])
        diagnosis = _diagnosis_without_calls(summary)
    if source and (step := _SENSOR_STEPS.get(summary["status"])):
        diagnosis = replace(diagnosis, next_step=step)
    if for_good is None:
        for_good = not diagnosis.retry
    error = HealthOmicsRunFailedForGoodError if for_good else HealthOmicsRunFailedError
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
    """Whether a run or batch counts as DELETED since it is not found, so that its id may be wrong as well."""
    return summary["status"] == "DELETED" and "arn" not in summary


def describe_missing(
    noun: str, resource_id: str, place: str | None, source: str | None, next_step: str
) -> str:
    """
    Return the few lines that tell a person what was not found.

    :param noun: run or batch
    :param resource_id: its id
    :param place: account and region that were asked, if known
    :param source: where the id comes from, for a sensor
    :param next_step: what to do
    """
    reason = "by a person or by retention mode REMOVE" if noun == "run" else "by a person"
    lines = [
        f"HealthOmics {noun} {resource_id} is not found" + (f" in {place}" if place else ""),
        f"It was deleted, {reason}, or the {noun} id, the account or the region is not the {noun}'s.",
    ]
    if source:
        lines.append(f"The {noun} id comes from {source}.")
    return "\n".join([*lines, f"Next step: {next_step}"])


def _list_failed_tasks(aws: Inquiry, run_id: str) -> list[Mapping[str, Any]]:
    """Return a page of failed tasks, the last one to stop first: the engine may have repeated others."""
    request: dict[str, Any] = {"id": run_id, "status": "FAILED", "maxResults": PAGE_SIZE}
    for _ in range(MAX_PAGES):
        page = aws.ask("omics:ListRunTasks", **request)
        if page.get("items"):
            return sorted(page["items"], key=lambda item: str(item.get("stopTime", "")), reverse=True)
        if not page.get("nextToken"):
            break
        request["startingToken"] = page["nextToken"]
    return []


def _tail(
    aws: Inquiry, streams: Sequence[str], created: str | None, count: int
) -> tuple[str | None, tuple[str, ...]]:
    """Return the last lines of the first log that has any since the run was created, and its name."""
    if count <= 0 or not created:
        return None, ()
    for stream in streams:
        stream = _stream_name(stream)
        request = {
            "logGroupName": LOG_GROUP,
            "logStreamName": stream,
            # The id of a deleted run is given to another one, whose log has the same name.
            "startTime": int(datetime.fromisoformat(created).timestamp() * 1000),
            "startFromHead": False,
            "limit": count,
        }
        for _ in range(MAX_PAGES):
            page = aws.ask("logs:GetLogEvents", **request)
            lines = [line for event in page.get("events", ()) for line in event["message"].splitlines()]
            if lines:
                return stream, tuple(_shorten(line, MAX_LINE) for line in lines[-count:])
            # "The returned tokens are never null": the same one again is the end.
            if page.get("nextBackwardToken") in (None, request.get("nextToken")):
                break
            request["nextToken"] = page["nextBackwardToken"]
    return None, ()


def _stream_name(stream: str) -> str:
    """Return the name of a log stream, which may be told by its ARN."""
    return stream.rpartition(":log-stream:")[2]


def _shorten(text: str, limit: int) -> str:
    """Return the text without its middle if it is too long: the beginning says what, the end says why."""
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"
