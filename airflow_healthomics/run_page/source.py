# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch a run or batch from AWS for the run page, on the server and with the connection of the task."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tenacity import Retrying, retry_if_exception, wait_random_exponential

from airflow_healthomics.exceptions import Diagnosis
from airflow_healthomics.links import run_urls, task_log_url
from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.reports.cost import estimate
from airflow_healthomics.reports.diagnosis import diagnose
from airflow_healthomics.reports.remedies import NOT_FAILED, SENSOR_STEPS
from airflow_healthomics.reports.usage import describe_run_usage, usage_of_run
from airflow_healthomics.run_page import payload
from airflow_healthomics.run_page.answers import (
    INCOMPLETE_SECONDS,
    POLL_SECONDS,
    Page,
    make_page,
)
from airflow_healthomics.run_page.batch_source import BatchSource
from airflow_healthomics.run_page.calls import LINKS, Calls, identity_of
from airflow_healthomics.run_page.commands import start_run_command
from airflow_healthomics.run_page.live_use import LiveUse, LiveUseSource
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.run_page.outputs import WITH_OUTPUTS, outputs_are_on
from airflow_healthomics.run_page.price_source import PriceSource
from airflow_healthomics.run_page.run_use import RunUse, fetch_run_use, prices_are_on
from airflow_healthomics.service.errors import is_transient
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

#: Key of what the tasks use or used, in the memory of a page.
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


class Source(Calls):
    """Runs, fetched with the connection of a task."""

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
        used = self._used(run, rows, latest, notices)
        rows = [{**row, **(used.tasks.get(row["taskId"], {}) if used else {})} for row in rows]
        cost = self._cost(used, notices)
        partition = self._hook.conn_partition
        failed = payload.failed_task_rows(rows, diagnosis.failed_tasks)
        for item in failed:
            item["logUrl"] = task_log_url(run_id, item["taskId"], self._region, partition)
        has_task_log = any(item["logLines"] for item in failed)
        is_complete = failure.is_complete and (used is not None or not _has_just_ended(run, as_of))
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
            links={LINKS[key]: url for key, url in run_urls(run, self._region, partition).items()},
            notices=notices,
            as_of=as_of,
            poll_seconds=poll_seconds,
        )
        answer["command"] = start_run_command(run, self._region)
        if run["status"] in WITH_OUTPUTS and outputs_are_on():
            answer["outputs"] = True
        if cost:
            answer["cost"] = cost
        memory: dict[Any, Any] = {_failed_ids(run, rows): failure, _USE: used}
        return make_page(answer, is_complete=is_complete, memory=memory)

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

    def _used(
        self,
        run: Mapping[str, Any],
        rows: list[dict[str, Any]],
        latest: Page | None,
        notices: list[str],
    ) -> LiveUse | RunUse | None:
        """Return what the tasks of a run use or, after its end, what they used; None if that is unknown."""
        known = latest.memory.get(_USE) if latest else None
        if payload.is_active(run["status"]):
            source = LiveUseSource(self._connection, self._region)
            return source.read(run, rows, known if isinstance(known, LiveUse) else None)
        if not rows:
            return RunUse({})
        if isinstance(known, RunUse):
            return known
        attentive = _AttentiveLog(log)
        used = fetch_run_use(self._hook, run, rows, attentive)
        # The diagnosis of a failed run may have met the same refusal.
        if not any("logs:GetLogEvents" in notice for notice in notices):
            notices += attentive.warnings
        return used

    def _cost(self, used: LiveUse | RunUse | None, notices: list[str]) -> Mapping[str, Any]:
        """Return the estimated cost of an ended run, if it is known and turned on."""
        if not isinstance(used, RunUse) or not used.amounts or not prices_are_on():
            return {}
        prices = PriceSource(self._connection, self._region).price_list(notices)
        return estimate(used.amounts, prices) if prices else {}


def fetch_page(
    connection: TaskConnection,
    resource: TaskResource,
    latest: Page | None,
    *,
    log_tail_lines: int = 0,
    run_id: str | None = None,
    label: str | None = None,
) -> Page:
    """
    Fetch the run or batch of a task, or a run of its batch.

    :param connection: the connection of the task
    :param resource: its run or batch
    :param latest: the previous page
    :param log_tail_lines: number of log lines of a failed task
    :param run_id: a run of the batch; it is checked to belong to the batch
    :param label: what distinguishes the task from its mapped siblings, if anything
    :raises PageError: if AWS refuses a call, or if the batch has no such run
    """
    if resource.kind == "batch" and run_id is None:
        batches = BatchSource(connection, resource.region)
        return batches.batch(resource.id, uuid=resource.uuid, label=label, latest=latest)
    return Source(connection, resource.region).run(
        resource.id if run_id is None else run_id,
        **identity_of(resource, run_id),
        log_tail_lines=log_tail_lines,
        is_awaited_only=resource.is_awaited_only,
        label=label,
        latest=latest,
    )


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
