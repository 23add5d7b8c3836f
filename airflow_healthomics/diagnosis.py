# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Why a run failed, whether to try it again, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from airflow_healthomics import run_states
from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.exceptions import HealthOmicsRunFailedError, HealthOmicsRunFailedForGoodError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.inquiry import Inquiry
from airflow_healthomics.links import LOG_GROUP, console_url
from airflow_healthomics.place import describe_place
from airflow_healthomics.watch import Log

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


class Remedy(NamedTuple):
    """What to do about a failed run: whether another try may succeed, and the next step of a person."""

    retry: bool
    next_step: str


#: The next step for every documented reason, by whether another try may succeed: after faults and shortages
#: of the service, and after what says too little. The other reasons the same input meets again.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-errors.html
_NEXT_STEPS: Final = {
    True: {
        "SERVICE_ERROR": "Run it again; if that keeps failing, ask AWS Support.",
        "INSTANCE_RESERVATION_FAILED": "Run it again later, or ask for other CPUs, GPUs or memory.",
        "MODIFIED_INPUT_RESOURCE": "Run it again, and leave its inputs unchanged meanwhile.",
        "RUN_TASK_FAILED": "Read the log of the failed task.",
        "WORKFLOW_RUN_FAILED": "Read the engine log.",
    },
    False: {
        "RUN_TIMED_OUT": "Make the run shorter, or raise the maximum duration of run group or account.",
        "TASK_TIMED_OUT": "Raise the task's timeout in the workflow definition.",
        "OUT_OF_MEMORY_ERROR": "Give the task more memory in the workflow definition.",
        "FILE_SYSTEM_OUT_OF_SPACE": "Raise storage_capacity, or set storage_type to DYNAMIC.",
        "ASSUME_ROLE_FAILED": "Allow omics.amazonaws.com in the trust policy of the role_arn.",
        "ECR_PERMISSION_ERROR": "Allow omics.amazonaws.com to pull from the image's ECR repository.",
        "CANNOT_START_CONTAINER_ERROR": "Repair the task's container image.",
        "CANNOT_START_CONTAINER_SIZE_ERROR": "Make the task's container image smaller.",
        "IMAGE_VERIFICATION_FAILURE": "Push the task's container image to ECR anew.",
        "INVALID_ECR_IMAGE_URI": "Correct the URI of the task's container image.",
        "IMPORT_FAILED": "Check that the inputs exist and that the role_arn may read them.",
        "EXPORT_FAILED": "Check that the output bucket exists and that the role_arn may write to it.",
        "INPUT_URI_NOT_FOUND": "Check that the input exists and that the role_arn may read it.",
        "INVALID_RUN_PARAMETERS": "Correct the parameters file, which is read after the start.",
        "INVALID_URI_INPUT": "Correct the URI of the input.",
        "INACTIVE_OMICS_STORAGE_RESOURCE": "Activate the read set, then clear the task.",
        "INVALID_TASK_RESOURCE_VALUE": "Ask for CPUs, GPUs and memory that an instance type has.",
        "UNSUPPORTED_INPUT_SIZE": "Give the run less input.",
        "UNSUPPORTED_GPU_INSTANCE_TYPE": "Ask for a GPU that the region has.",
        "WORKFLOW_VER_VALIDATION_FAILED": "Choose a Nextflow version that HealthOmics supports.",
    },
}

#: The remedy for every documented reason.
REMEDIES: Final[Mapping[str, Remedy]] = MappingProxyType(
    {reason: Remedy(retry, step) for retry, steps in _NEXT_STEPS.items() for reason, step in steps.items()}
)
_NO_REASON: Final = Remedy(True, "Read the run log and the engine log.")
_UNKNOWN_REASON: Final = Remedy(True, "Look the reason up in the user guide, and read the engine log.")
_NOT_FAILED: Final[Mapping[str, Remedy]] = MappingProxyType(
    {
        "CANCELLED": Remedy(True, "Find out who cancelled the run; clear the task to start it again."),
        "DELETED": Remedy(True, "Find out who deleted the run; clear the task to start it again."),
    }
)


#: The same for a sensor, which starts nothing.
_SENSOR_STEPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CANCELLED": "Find out who cancelled the run; to run it again, clear the task that starts it.",
        "DELETED": "Check the run id, and where the connection leads. A sensor starts nothing: to run it "
        "again, clear the task that starts it.",
    }
)


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """
    A task of a run that failed.

    :param task_id: HealthOmics task id
    :param name: name of the task in the workflow
    :param failure_reason: the service's code; AWS documents no list of them. None if it could not be asked.
    :param status_message: the service's text, shortened
    :param log_lines: the last lines of its log, shortened, if those of each task were asked for
    """

    task_id: str
    name: str = ""
    failure_reason: str | None = None
    status_message: str = ""
    log_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """
    What was found out about a run that did not succeed; plain values that pickle and become JSON.

    :param retry: whether another try may succeed
    :param next_step: what a person should do
    :param failed_tasks: those that failed last, the last one first, up to :data:`MAX_TASKS`
    :param failed_task_count: how many there are, counted up to :data:`PAGE_SIZE`
    :param log_stream: the stream of the log lines, in the log group of HealthOmics
    :param log_lines: the last lines of the last failed task's log, or of the engine's, shortened
    """

    retry: bool
    next_step: str
    failed_tasks: tuple[FailedTask, ...] = ()
    failed_task_count: int = 0
    log_stream: str | None = None
    log_lines: tuple[str, ...] = ()


def remedy_for(failure_reason: str | None, task_reasons: Sequence[str | None] = ()) -> Remedy:
    """
    Return what to do about a FAILED run.

    RUN_TASK_FAILED says nothing by itself. Such a run is not retried if all its failed tasks have reasons
    that they will meet again; with a mixture, the engine may have repeated one of them with success.

    :param failure_reason: of the run, if there is one
    :param task_reasons: of its failed tasks, None where unknown
    """
    if not failure_reason:
        return _NO_REASON
    remedy = REMEDIES.get(failure_reason, _UNKNOWN_REASON)
    if failure_reason != "RUN_TASK_FAILED" or not task_reasons:
        return remedy
    # What a task's unknown reason calls for is what RUN_TASK_FAILED does.
    remedies = [REMEDIES.get(reason or "", remedy) for reason in task_reasons]
    hopeless = [each for each in remedies if not each.retry]
    return Remedy(len(hopeless) < len(remedies), (hopeless or remedies)[0].next_step)


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
