# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The routes of a batch's runs."""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

from typing import Annotated, Any, Final
from urllib.parse import quote

from airflow.utils.state import State
from fastapi import APIRouter, HTTPException, Query, Request, Response

from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page.answers import THROTTLED_SECONDS, PageError, error_lifetime
from airflow_healthomics.run_page.batch_answers import Sort, policy_answer, runs_answer, runs_csv
from airflow_healthomics.run_page.batch_runs import MAX_RUNS, REFRESH_SECONDS, BatchRuns, BatchRunsSource
from airflow_healthomics.run_page.cache import Cache
from airflow_healthomics.run_page.dependencies import TASK, TaskDep, latest_answer
from airflow_healthomics.run_page.lookup import FoundTask, TaskConnection

_MAX_BATCHES: Final = 100
_MAX_BYTES: Final = 64 * 1024 * 1024

router: Final = APIRouter()


def new_cache() -> Cache[BatchRuns]:
    """Return a cache of batches' runs."""
    return Cache[BatchRuns](max_entries=_MAX_BATCHES, max_bytes=_MAX_BYTES, error_lifetime=error_lifetime)


@router.get(TASK + "/runs")
async def runs_of_batch(
    request: Request,
    task: TaskDep,
    status: Annotated[str | None, Query(max_length=40)] = None,
    search: Annotated[str, Query(max_length=200)] = "",
    sort: Sort = "runSettingId",
    descending: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    offset: Annotated[int, Query(ge=0, le=MAX_RUNS)] = 0,
) -> dict[str, Any]:
    """Return some runs of the batch of a task instance."""
    runs, notices = await _runs(request, task)
    policy = policy_answer(runs.batch, task.success_policy, may_repeat=task.may_repeat, summary=task.summary)
    answer = runs_answer(
        runs,
        policy=policy,
        status=status,
        search=search,
        sort=sort,
        descending=descending,
        limit=limit,
        offset=offset,
    )
    if policy and "state" not in policy and task.state not in State.finished:
        # The task is about to publish the counts of all attempts.
        answer["pollSeconds"] = answer["pollSeconds"] or REFRESH_SECONDS
    return {**answer, "notices": [*answer.get("notices", ()), *notices]} if notices else answer


@router.get(TASK + "/runs.csv")
async def manifest_of_batch(request: Request, task: TaskDep) -> Response:
    """Return all runs of the batch of a task instance as CSV, once all are read."""
    runs, _ = await _runs(request, task)
    if not runs.is_complete:
        raise PageError(503, f"{len(runs.rows)} runs are read so far.", THROTTLED_SECONDS)
    name = quote(f"batch-{runs.batch['id']}.csv")
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response(runs_csv(runs.rows), media_type="text/csv", headers=headers)


async def _runs(request: Request, task: FoundTask) -> tuple[BatchRuns, list[str]]:
    """Return the runs, perhaps earlier ones with the reason."""
    if task.resource is None or task.resource.kind != "batch":
        raise HTTPException(404, "The task has no batch.")
    runs, reason = await latest_answer(request.app.state.batch_runs, task, (), _fetch)
    return runs, [reason] if reason else []


def _fetch(latest: BatchRuns | None, *, connection: TaskConnection, resource: TaskResource) -> BatchRuns:
    source = BatchRunsSource(connection, resource.region)
    return source.runs(resource.id, uuid=resource.uuid, latest=latest)
