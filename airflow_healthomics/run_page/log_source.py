# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fetch logs from AWS for the run page: those of the tasks of a run, and of its engine."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.reports.log_pages import engine_stream, task_stream
from airflow_healthomics.run_page import payload
from airflow_healthomics.run_page.answers import ENDED_SECONDS, POLL_SECONDS, Page, make_restricted_page
from airflow_healthomics.run_page.calls import NAME_SECONDS, Calls, engine_logs, identity_of
from airflow_healthomics.run_page.task_logs import LogPosition, read_log


class LogSource(Calls):
    """Logs, fetched with the connection of a task."""

    def log(self, resource: TaskResource, position: LogPosition, *, run_id: str | None = None) -> Page:
        """
        Fetch a page of a log of the run of a task, or of a run of its batch.

        :param resource: run or batch of the task
        :param position: the log and the page
        :param run_id: a run of the batch; it is checked to belong to the batch
        :raises PageError: if AWS refuses a call, or if the batch has no such run
        """
        shown_id = resource.id if run_id is None else run_id
        created, stream = self._engine_log(resource, run_id)
        if position.task_id:
            stream = task_stream(shown_id, position.task_id)
        as_of = datetime.now(UTC)
        with self._calling("logs:GetLogEvents", f"the log {stream}"):
            lines, before = read_log(self._hook.logs_client, stream, created, position)
        answer = payload.log_answer(lines, stream=stream, before=before, as_of=as_of)
        return make_restricted_page(answer, ENDED_SECONDS if position.before else POLL_SECONDS)

    def _engine_log(self, resource: TaskResource, run_id: str | None) -> tuple[str | datetime, str]:
        """Return the creation time of a run and the log stream of its engine."""
        key = (self._connection, self._region, resource, run_id)
        known: tuple[str | datetime, str] | None = engine_logs.get(key)
        if known is None:
            shown_id = resource.id if run_id is None else run_id
            run = self._get_run(shown_id, **identity_of(resource, run_id))
            known = run["creationTime"], engine_stream(run)
            engine_logs.put(key, known, NAME_SECONDS)
        return known
