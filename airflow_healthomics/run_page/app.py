# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The API and the files of the run page, mounted in the API server.

Airflow authorizes each request first. A request requires the rights to read the task instance and its XComs;
log lines and outputs require the right to read its log.
"""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import pathlib
from functools import partial
from typing import Final

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page import (
    action_routes,
    batch_routes,
    dag_run_routes,
    log_routes,
    output_routes,
)
from airflow_healthomics.run_page.answers import Page, PageError, error_lifetime
from airflow_healthomics.run_page.cache import Cache
from airflow_healthomics.run_page.dependencies import TASK, RunDep, TaskDep, respond
from airflow_healthomics.run_page.lookup import FoundTask, TaskConnection
from airflow_healthomics.run_page.middleware import Responses
from airflow_healthomics.run_page.rights import Rights, RightsDep, authorize
from airflow_healthomics.run_page.source import fetch_page
from airflow_healthomics.run_page.turns import Turns

STATIC: Final = pathlib.Path(__file__).parent / "static"

#: Limits of the cache.
MAX_ANSWERS: Final = 1_000
MAX_BYTES: Final = 64 * 1024 * 1024

#: Says that the user may edit the task instance.
MAY_EDIT_HEADER: Final = "Healthomics-May-Edit"

api: Final = APIRouter(prefix="/api", dependencies=[Depends(authorize)])


api.include_router(dag_run_routes.router)
api.include_router(batch_routes.router)
api.include_router(log_routes.router)
api.include_router(output_routes.router)
api.include_router(action_routes.router)


@api.get(TASK)
async def task_instance(request: Request, task: TaskDep, rights: RightsDep) -> Response:
    """Return the run or batch of a task instance."""
    if task.resource is None:
        return JSONResponse({"kind": "none", "taskState": task.state, "delay": task.delay})
    return await _answer(request, task, None, rights)


@api.get(TASK + "/runs/{healthomics_run_id}")
async def run_of_task(request: Request, task: TaskDep, run_id: RunDep, rights: RightsDep) -> Response:
    """Return the run of a task instance, or a run of its batch."""
    return await _answer(request, task, run_id, rights)


async def _answer(request: Request, task: FoundTask, run_id: str | None, rights: Rights) -> Response:
    # Siblings of a mapped task may have the same run, but not the same label.
    label = task.label if run_id is None else None
    lines = task.log_tail_lines
    fetch = partial(_fetch, run_id=run_id, label=label, log_tail_lines=lines)
    response = await respond(request, task, (run_id, label, lines), fetch, with_logs=rights.may_read_logs)
    if rights.may_edit:
        response.headers[MAY_EDIT_HEADER] = "yes"
    return response


def _fetch(
    latest: Page | None,
    *,
    connection: TaskConnection,
    resource: TaskResource,
    run_id: str | None,
    label: str | None,
    log_tail_lines: int,
) -> Page:
    return fetch_page(connection, resource, latest, run_id=run_id, label=label, log_tail_lines=log_tail_lines)


def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, PageError):
        raise error
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse({"detail": error.detail}, error.status, headers)


def _page() -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html")


def create_app() -> FastAPI:
    """Return the app. Page and files contain no data and need no login, like those of Airflow."""
    app = FastAPI(title="AWS HealthOmics", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.cache = Cache[Page](
        max_entries=MAX_ANSWERS,
        max_bytes=MAX_BYTES,
        error_lifetime=error_lifetime,
    )
    app.state.readings = dag_run_routes.new_cache()
    app.state.batch_runs = batch_routes.new_cache()
    app.include_router(api)
    app.add_api_route("/page", _page, methods=["GET"], response_model=None)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(PageError, _refuse)
    app.add_middleware(Turns, prefix=api.prefix)
    app.add_middleware(Responses, api_prefix=api.prefix)
    return app
