# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch a run or batch from AWS for the run page, on the server and with the connection of the task."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, wait_random_exponential

from airflow_healthomics.batches.outcomes import NOT_STARTED, counts_of_batch
from airflow_healthomics.exceptions import Diagnosis
from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.links import (
    HealthOmicsEngineLogLink,
    HealthOmicsOutputsLink,
    HealthOmicsRunLink,
    HealthOmicsRunLogLink,
    batch_urls,
    run_urls,
    task_log_url,
)
from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.reports.diagnosis import diagnose
from airflow_healthomics.reports.log_pages import engine_stream, task_stream
from airflow_healthomics.reports.remedies import NOT_FAILED, SENSOR_STEPS
from airflow_healthomics.reports.usage import describe_run_usage, usage_of_run
from airflow_healthomics.run_page import payload
from airflow_healthomics.run_page.answers import (
    ENDED_SECONDS,
    INCOMPLETE_SECONDS,
    POLL_SECONDS,
    Page,
    PageError,
    make_log_page,
    make_page,
    not_found,
    page_error,
)
from airflow_healthomics.run_page.clients import Hooks, Memory, lanes
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.run_page.task_logs import LogPosition, read_log
from airflow_healthomics.run_page.task_use import fetch_task_use
from airflow_healthomics.service.errors import (
    error_code,
    is_credentials_error,
    is_transient,
)
from airflow_healthomics.service.summaries import summarize_run

if TYPE_CHECKING:
    _LoggerAdapter = logging.LoggerAdapter[logging.Logger]
else:
    _LoggerAdapter = logging.LoggerAdapter

#: Time after the end of a run until which CloudWatch may not have its logs yet.
SETTLED_AFTER: Final = timedelta(minutes=5)

#: Seconds of poll interval per page of ListRunTasks. All callers of an account share 10 calls a second
#: (https://docs.aws.amazon.com/general/latest/gr/healthomics-quotas.html).
SECONDS_PER_PAGE: Final = 2

#: Maximum number of tasks to show, and tasks per call.
MAX_TASKS: Final = 5_000
PAGE_SIZE: Final = 100

#: Attempts per page of tasks, so that one throttled call does not lose all pages; and seconds since the first
#: page after which each page has one attempt.
PAGE_ATTEMPTS: Final = 3
PAGES_SECONDS: Final = 20.0

#: Failed runs to describe per fetch of a batch. Each costs two calls.
MAX_DESCRIBED: Final = 10

#: Maximum number of cached workflow names and batches, and lifetime in seconds of a batch or a denied name.
_MAX_NAMES: Final = 1024
_NAME_SECONDS: Final = 300.0

_LINKS: Final = {
    HealthOmicsRunLink.key: "console",
    HealthOmicsRunLogLink.key: "runLog",
    HealthOmicsEngineLogLink.key: "engineLog",
    HealthOmicsOutputsLink.key: "outputs",
}

#: Key of what the tasks used, in the memory of a page.
_USE: Final = "use"

log = logging.getLogger(__name__)


class _Failure(NamedTuple):
    """
    The diagnosis of a failed run.

    :param diagnosis: the causes
    :param missing: warnings about missing parts
    :param expires: monotonic time of the next diagnosis
    """

    diagnosis: Diagnosis
    missing: tuple[str, ...] = ()
    expires: float = math.inf

    @property
    def is_complete(self) -> bool:
        """Whether the diagnosis is final."""
        return self.expires == math.inf


class _AttentiveLog(_LoggerAdapter):
    """A log that records its warnings. These have permissions and error codes, but no message of AWS."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger)
        self.warnings: list[str] = []

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log and record a warning."""
        self.warnings.append(f"{str(msg) % args}.")
        self.logger.warning(msg, *args, **kwargs)


class Source:
    """
    The connection of a task, for one region.

    :param connection: the connection
    :param region: AWS region of the run or batch
    """

    def __init__(self, connection: TaskConnection, region: str) -> None:
        self._connection = connection
        self._region = region

    @cached_property
    def _hook(self) -> PollingHook:
        return _hooks.get(self._connection, self._region)

    def run(
        self,
        run_id: str,
        *,
        uuid: str | None = None,
        batch_id: str | None = None,
        batch_uuid: str | None = None,
        log_tail_lines: int,
        is_awaited_only: bool = False,
        label: str | None = None,
        latest: Page | None,
    ) -> Page:
        """
        Fetch a run with its tasks and, if it failed, a diagnosis.

        :param run_id: HealthOmics run id
        :param uuid: its uuid, if known
        :param batch_id: the batch of the run, to be checked; None for a run without a batch
        :param batch_uuid: uuid of the batch, if known
        :param log_tail_lines: number of log lines of a failed task
        :param is_awaited_only: whether the task awaits the run without having started it
        :param label: what distinguishes the task from its mapped siblings, if anything
        :param latest: the previous page
        :raises PageError: if AWS refuses a call
        """
        as_of = datetime.now(UTC)
        run = self._get_run(run_id, uuid=uuid, batch_id=batch_id, batch_uuid=batch_uuid)
        notices: list[str] = []
        tasks, truncated = self._tasks(run_id, notices)
        rows = payload.task_rows(tasks or ())
        failure = self._failure(run, rows, None if truncated else tasks, log_tail_lines, latest)
        diagnosis = failure.diagnosis
        notices += failure.missing
        active = payload.is_active(run["status"])
        use = {} if active or not rows else self._use(run, rows, latest, notices)
        rows = [{**row, **(use or {}).get(row["taskId"], {})} for row in rows]
        partition = self._hook.conn_partition
        failed = payload.failed_task_rows(rows, diagnosis.failed_tasks)
        for item in failed:
            item["logUrl"] = task_log_url(run_id, item["taskId"], self._region, partition)
        has_task_log = any(item["logLines"] for item in failed)
        is_complete = failure.is_complete and (use is not None or not _has_just_ended(run, as_of))
        settling = not is_complete and _has_just_ended(run, as_of)
        if settling:
            poll_seconds = INCOMPLETE_SECONDS
        else:
            poll_seconds = max(POLL_SECONDS, SECONDS_PER_PAGE * -(-len(rows) // PAGE_SIZE))
        answer = payload.run_answer(
            run,
            workflow_name=self._workflow_name(run, notices),
            rows=rows,
            truncated=truncated,
            usage=describe_run_usage(
                usage_of_run(
                    run,
                    tasks,
                    is_complete=not truncated,
                    until=as_of if active else None,
                )
            ),
            failed=failed,
            tasks_known=tasks is not None,
            settling=settling,
            engine_log=() if has_task_log else diagnosis.log_lines,
            next_step=_next_step(run, diagnosis, is_awaited_only),
            may_show_logs=log_tail_lines > 0,
            label=label or self._setting(run, notices) or payload.custom_name(run),
            links={_LINKS[key]: url for key, url in run_urls(run, self._region, partition).items()},
            notices=notices,
            as_of=as_of,
            poll_seconds=poll_seconds,
        )
        memory: dict[Any, Any] = {_failed_ids(run, rows): failure}
        if not active:
            memory[_USE] = use
        return make_page(answer, is_complete=is_complete, memory=memory)

    def log(
        self,
        run_id: str,
        position: LogPosition,
        *,
        uuid: str | None = None,
        batch_id: str | None = None,
        batch_uuid: str | None = None,
    ) -> Page:
        """
        Fetch a page of the log of a task or of the engine.

        :param run_id: HealthOmics run id
        :param position: the log and the page
        :param uuid: uuid of the run, if known
        :param batch_id: the batch of the run, to be checked; None for a run without a batch
        :param batch_uuid: uuid of the batch, if known
        :raises PageError: if AWS refuses a call
        """
        key = (self._connection, self._region, run_id, uuid, batch_id, batch_uuid)
        if (facts := _runs.get(key)) is None:
            run = self._get_run(run_id, uuid=uuid, batch_id=batch_id, batch_uuid=batch_uuid)
            facts = run["creationTime"], engine_stream(run)
            _runs.put(key, facts, _NAME_SECONDS)
        created, stream = facts
        if position.task_id:
            stream = task_stream(run_id, position.task_id)
        as_of = datetime.now(UTC)
        with self._calling("logs:GetLogEvents", f"the log {stream}"):
            lines, before = read_log(self._hook.logs_client, stream, created, position)
        answer = payload.log_answer(lines, stream=stream, before=before, as_of=as_of)
        return make_log_page(answer, ENDED_SECONDS if position.before else POLL_SECONDS)

    def _get_run(
        self, run_id: str, *, uuid: str | None, batch_id: str | None, batch_uuid: str | None
    ) -> Mapping[str, Any]:
        """Return a run, if it is still the one that the task knows and belongs to its batch."""
        with self._calling("GetRun", f"run {run_id}"):
            run = self._hook.get_run(run_id)
        if batch_id and run.get("batchId") != batch_id:
            # The same error as for a run that does not exist.
            raise not_found(f"run {run_id}")
        if batch_id:
            self._check_batch(batch_id, batch_uuid)
        if uuid and run.get("uuid") != uuid:
            raise PageError(404, f"Run {run_id} was deleted, and HealthOmics reused its id.")
        return run

    def batch(self, batch_id: str, *, uuid: str | None, latest: Page | None) -> Page:
        """
        Fetch a batch and some of its failed runs.

        :param batch_id: HealthOmics batch id
        :param uuid: its uuid, if known
        :param latest: the previous page
        :raises PageError: if AWS refuses a call
        """
        as_of = datetime.now(UTC)
        batch = self._get_batch(batch_id, uuid)
        notices: list[str] = []
        counts = counts_of_batch(batch)
        failed: list[dict[str, Any]] = []
        memory: dict[Any, Any] = {}
        # The counts of an active batch are inexact, but zero saves a call.
        if counts.get(NOT_STARTED):
            failed += self._not_submitted(batch_id, notices)
        if counts.get("FAILED") and len(failed) < payload.MAX_FAILED:
            known = latest.memory if latest else {}
            runs = self._failed_runs(batch_id, payload.MAX_FAILED - len(failed), notices)
            memory = self._described(batch_id, runs, known, notices)
            failed += [payload.failed_run(item, memory.get(item["id"], {})) for item in runs]
        urls = batch_urls(batch, self._region, self._hook.conn_partition)
        answer = payload.batch_answer(
            batch,
            failed=failed,
            links={_LINKS[key]: url for key, url in urls.items()},
            notices=notices,
            as_of=as_of,
            poll_seconds=POLL_SECONDS,
        )
        return make_page(answer, memory=memory)

    def _get_batch(self, batch_id: str, uuid: str | None) -> dict[str, Any]:
        with self._calling("GetBatch", f"batch {batch_id}"):
            batch = self._hook.get_batch(batch_id)
        if uuid and batch.get("uuid") != uuid:
            raise PageError(404, f"Batch {batch_id} was deleted, and HealthOmics reused its id.")
        return batch

    def _check_batch(self, batch_id: str, uuid: str | None) -> None:
        """Check that the uuid of a batch is unchanged, with one call for many of its runs."""
        key = (self._connection, self._region, batch_id, uuid)
        if uuid and not _batches.get(key):
            self._get_batch(batch_id, uuid)
            _batches.put(key, True, _NAME_SECONDS)

    def _tasks(self, run_id: str, notices: list[str]) -> tuple[list[Mapping[str, Any]] | None, bool]:
        """Return the tasks, or None if the call is refused, and whether there are more tasks."""
        deadline = time.monotonic() + PAGES_SECONDS
        retrying = Retrying(
            retry=retry_if_exception(is_transient),
            stop=lambda state: state.attempt_number >= PAGE_ATTEMPTS or time.monotonic() >= deadline,
            wait=wait_random_exponential(multiplier=0.5, max=4),
            reraise=True,
        )
        tasks: list[Mapping[str, Any]] = []
        request: dict[str, Any] = {"id": run_id, "maxResults": PAGE_SIZE}
        with self._calling("ListRunTasks", f"run {run_id}", notices):
            while len(tasks) <= MAX_TASKS:
                page = retrying(self._hook.conn.list_run_tasks, **request)
                tasks += page["items"]
                # A repeated token would loop forever.
                if page.get("nextToken") in (None, "", request.get("startingToken")):
                    break
                request["startingToken"] = page["nextToken"]
            return tasks[:MAX_TASKS], len(tasks) > MAX_TASKS
        return None, False

    def _failure(
        self,
        run: Mapping[str, Any],
        rows: list[dict[str, Any]],
        tasks: list[Mapping[str, Any]] | None,
        log_tail_lines: int,
        latest: Page | None,
    ) -> _Failure:
        key = _failed_ids(run, rows)
        if not key[1] and run["status"] not in ("FAILED", *NOT_FAILED):
            return _Failure(Diagnosis(retry=False, next_step=""))
        known: _Failure | None = latest.memory.get(key) if latest else None
        if known and time.monotonic() < known.expires:
            return known
        attentive = _AttentiveLog(log)
        diagnosis = diagnose(
            self._hook,
            summarize_run(run),
            log_tail_lines=log_tail_lines,
            log=attentive,
            each_log=True,
            tasks=tasks,
        )
        has_log = bool(diagnosis.log_lines) or any(task.log_lines for task in diagnosis.failed_tasks)
        awaits_log = log_tail_lines > 0 and not has_log and _has_just_ended(run, datetime.now(UTC))
        if attentive.warnings or awaits_log:
            return _Failure(diagnosis, tuple(attentive.warnings), time.monotonic() + INCOMPLETE_SECONDS)
        return _Failure(diagnosis)

    def _use(
        self,
        run: Mapping[str, Any],
        rows: list[dict[str, Any]],
        latest: Page | None,
        notices: list[str],
    ) -> Mapping[str, Mapping[str, float]] | None:
        """Return what each task of an ended run used, or None if that is not known."""
        if latest and (known := latest.memory.get(_USE)) is not None:
            return known  # type: ignore[no-any-return]
        attentive = _AttentiveLog(log)
        use = fetch_task_use(self._hook, run, rows, attentive)
        # The diagnosis of a failed run may have met the same refusal.
        if not any("logs:GetLogEvents" in notice for notice in notices):
            notices += attentive.warnings
        return use

    def _workflow_name(self, run: Mapping[str, Any], notices: list[str]) -> str | None:
        workflow_id = run.get("workflowId")
        if not workflow_id:
            return None
        key = (self._connection, self._region, workflow_id, run.get("workflowOwnerId"))
        if (known := _names.get(key)) is None:
            refusals: list[str] = []
            name = ""
            try:
                with self._calling("GetWorkflow", f"workflow {workflow_id}", refusals):
                    workflow = self._hook.get_workflow(
                        workflow_id,
                        workflow_type=run.get("workflowType"),
                        workflow_owner_id=run.get("workflowOwnerId"),
                    )
                    name = workflow.get("name", "")
            except PageError:
                # A transient error. The page works without the name.
                return None
            known = (name, refusals)
            _names.put(key, known, _NAME_SECONDS if refusals else math.inf)
        name, refusals = known
        notices += refusals
        return name or None

    def _setting(self, run: Mapping[str, Any], notices: list[str]) -> str | None:
        """Return the id of the run setting of a run of a batch."""
        if not (batch_id := run.get("batchId")):
            return None
        key = (self._connection, self._region, batch_id, run["id"])
        setting: str | None = _settings.get(key)
        if setting is None:
            with self._calling("ListRunsInBatch", f"batch {batch_id}", notices):
                for item in self._hook.list_runs_in_batch(batch_id, run_id=run["id"]):
                    setting = item["runSettingId"]
                    _settings.put(key, setting)
        return setting

    def _not_submitted(self, batch_id: str, notices: list[str]) -> list[dict[str, Any]]:
        with self._calling("ListRunsInBatch", f"batch {batch_id}", notices):
            page = self._hook.conn.list_runs_in_batch(
                batchId=batch_id, submissionStatus="FAILED", maxItems=payload.MAX_FAILED
            )
            return [payload.not_submitted(item) for item in page["runs"]]
        return []

    def _failed_runs(self, batch_id: str, count: int, notices: list[str]) -> list[Mapping[str, Any]]:
        with self._calling("ListRuns", f"batch {batch_id}", notices):
            page = self._hook.conn.list_runs(batchId=batch_id, status="FAILED", maxResults=count)
            return [*page["items"]]
        return []

    def _described(
        self,
        batch_id: str,
        runs: list[Mapping[str, Any]],
        known: Mapping[Any, Any],
        notices: list[str],
    ) -> dict[Any, Any]:
        """Return details of failed runs by id: those already known, and a few more from AWS."""
        described = {run["id"]: known[run["id"]] for run in runs if run["id"] in known}
        unknown = [run["id"] for run in runs if run["id"] not in known]
        for run_id in unknown[:MAX_DESCRIBED]:
            more: dict[str, Any] = {}
            before = len(notices)
            with self._calling("ListRunsInBatch", f"batch {batch_id}", notices):
                for item in self._hook.list_runs_in_batch(batch_id, run_id=run_id):
                    more["runSettingId"] = item["runSettingId"]
            with self._calling("GetRun", f"run {run_id}", notices):
                run = self._hook.get_run(run_id)
                more |= {name: run[name] for name in ("failureReason", "statusMessage") if name in run}
            if len(notices) > before:
                break
            described[run_id] = more
        return described

    @contextmanager
    def _calling(self, operation: str, subject: str, notices: list[str] | None = None) -> Iterator[None]:
        """
        Convert an error of AWS to a page error or, if ``notices`` is given, to a notice on the page.

        A transient error is always a page error: the browser keeps the previous answer and polls again.
        """
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            refusal = page_error(error, operation, subject, self._connection.aws_conn_id)
            log.info("Run page: %s for %s failed with %s", operation, subject, error_code(error))
            if is_credentials_error(error):
                _hooks.drop(self._connection, self._region)
            if notices is None or is_transient(error):
                raise refusal from None
            notices.append(refusal.detail)


_hooks: Final = Hooks()
_names: Final = Memory(_MAX_NAMES)
_batches: Final = Memory(_MAX_NAMES)
_runs: Final = Memory(_MAX_NAMES)
_settings: Final = Memory(_MAX_NAMES)


def forget() -> None:
    """Clear all caches, for tests."""
    for memory in (_hooks, _names, _batches, _runs, _settings, lanes):
        memory.clear()


def fetch_page(
    source: Source,
    resource: TaskResource,
    latest: Page | None,
    *,
    run_id: str | None = None,
    label: str | None = None,
) -> Page:
    """
    Fetch the run or batch of a task, or a run of its batch.

    :param source: the connection of the task
    :param resource: its run or batch
    :param latest: the previous page
    :param run_id: a run of the batch; it is checked to belong to the batch
    :param label: what distinguishes the task from its mapped siblings, if anything
    :raises PageError: if AWS refuses a call, or if the batch has no such run
    """
    if resource.kind == "batch" and run_id is None:
        return source.batch(resource.id, uuid=resource.uuid, latest=latest)
    return source.run(
        resource.id if run_id is None else run_id,
        **_identity(resource, run_id),
        log_tail_lines=resource.log_tail_lines,
        is_awaited_only=resource.is_awaited_only,
        label=label,
        latest=latest,
    )


def fetch_log(
    source: Source, resource: TaskResource, position: LogPosition, *, run_id: str | None = None
) -> Page:
    """
    Fetch a page of a log of the run of a task, or of a run of its batch.

    :param source: the connection of the task
    :param resource: its run or batch
    :param position: the log and the page
    :param run_id: a run of the batch; it is checked to belong to the batch
    :raises PageError: if AWS refuses a call, or if the batch has no such run
    """
    return source.log(resource.id if run_id is None else run_id, position, **_identity(resource, run_id))


def _identity(resource: TaskResource, run_id: str | None) -> dict[str, Any]:
    """Return what a run must have to be shown: the uuid of the task's run, or the batch of the task."""
    if run_id is None or resource.kind == "run":
        return {"uuid": resource.uuid}
    return {"batch_id": resource.id, "batch_uuid": resource.uuid}


def _next_step(run: Mapping[str, Any], diagnosis: Diagnosis, is_awaited_only: bool) -> str | None:
    """Return the next step of the task's error, unless the run may still succeed."""
    status = run["status"]
    if status != "FAILED" and status not in NOT_FAILED:
        return None
    return (SENSOR_STEPS.get(status) if is_awaited_only else None) or diagnosis.next_step or None


def _failed_ids(run: Mapping[str, Any], rows: list[dict[str, Any]]) -> tuple[str, frozenset[str]]:
    """Return the facts that a diagnosis depends on."""
    return run["status"], frozenset(row["taskId"] for row in rows if row["status"] == "FAILED")


def _has_just_ended(run: Mapping[str, Any], now: datetime) -> bool:
    """Whether a run ended so recently that CloudWatch may not have its logs and its manifest yet."""
    stopped = run.get("stopTime")
    if payload.is_active(run["status"]) or stopped is None:
        return False
    return now - datetime.fromisoformat(stopped) < SETTLED_AFTER
