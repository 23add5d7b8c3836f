# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The route of the logs of a run: those of its tasks, and of its engine."""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Query, Request, Response

from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page.answers import Page
from airflow_healthomics.run_page.dependencies import TASK, RunDep, TaskDep, respond
from airflow_healthomics.run_page.log_source import LogSource
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.run_page.rights import RightsDep
from airflow_healthomics.run_page.task_logs import MAX_EVENTS, PAGE_EVENTS, LogPosition

router: Final = APIRouter()


@router.get(TASK + "/runs/{healthomics_run_id}/log")
async def log_of_run(
    request: Request,
    task: TaskDep,
    run_id: RunDep,
    rights: RightsDep,
    omics_task_id: Annotated[str | None, Query(alias="task", pattern="^[0-9]{1,18}$")] = None,
    before: Annotated[str | None, Query(min_length=1, max_length=1_000)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = PAGE_EVENTS,
) -> Response:
    """Return the last lines of the log of a task of a run, or of its engine, or the lines before these."""
    if not rights.may_read_logs:
        raise HTTPException(403, "Reading logs requires the right to read the logs of this task.")
    if task.log_tail_lines <= 0:
        raise HTTPException(
            403, "The task's argument log_tail_lines turns logs off, or is unknown to Airflow."
        )
    position = LogPosition(task_id=omics_task_id, before=before, limit=limit)
    fetch = partial(_fetch, run_id=run_id, position=position)
    return await respond(request, task, (run_id, position), fetch, with_logs=rights.may_read_logs)


def _fetch(
    _: Page | None,
    *,
    connection: TaskConnection,
    resource: TaskResource,
    run_id: str | None,
    position: LogPosition,
) -> Page:
    return LogSource(connection, resource.region).log(resource, position, run_id=run_id)
