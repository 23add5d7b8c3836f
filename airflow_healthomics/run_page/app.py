# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The API and the files of the run page, mounted in the API server.

Airflow authorizes each request first. A request requires the rights to read the task instance and its XComs;
log lines require the right to read its log.
"""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import asyncio
import pathlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_healthomics.publishing.resource_xcom import is_resource_id
from airflow_healthomics.run_page.answers import THROTTLED_SECONDS, Page, PageError, error_lifetime
from airflow_healthomics.run_page.cache import BusyError, Cache, Entry
from airflow_healthomics.run_page.clients import lanes
from airflow_healthomics.run_page.lookup import FoundTask, find_task, list_resources
from airflow_healthomics.run_page.source import Source, fetch_log, fetch_page
from airflow_healthomics.run_page.task_logs import MAX_EVENTS, PAGE_EVENTS, LogPosition

STATIC: Final = pathlib.Path(__file__).parent / "static"

#: Seconds that a request waits for an answer, and for a new one if there is an earlier one.
PATIENCE: Final = 25.0
REFRESH_PATIENCE: Final = 3.0
#: Reason, percent-encoded, why an answer is an earlier one.
STALE_HEADER: Final = "Healthomics-Stale"
#: Limits of the cache.
MAX_ANSWERS: Final = 1_000
MAX_BYTES: Final = 64 * 1024 * 1024

#: The page loads nothing from other origins, and only Airflow may embed it.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_TASK: Final = "/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}"

#: The maximum of integers in the metadata database.
_LARGEST: Final = 2**31 - 1

MapIndex = Annotated[int, Path(ge=-1, le=_LARGEST)]

_requires_logs: Final = requires_access_dag("GET", DagAccessEntity.TASK_LOGS)

api: Final = APIRouter(
    prefix="/api",
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
        Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
    ],
)


def may_read_logs(request: Request, user: GetUserDep) -> bool:
    """Whether the user may read the logs of the DAG's tasks."""
    try:
        # None means permission. Anything else, such as a coroutine, means that nothing was checked.
        return _requires_logs(request, user) is None
    except HTTPException:
        return False


def found_task(dag_id: str, run_id: str, task_id: str, map_index: MapIndex) -> FoundTask:
    """Return the task instance of the path."""
    task = find_task(dag_id, run_id, task_id, map_index)
    if task is None:
        raise HTTPException(404, "There is no such task instance.")
    return task


LogsDep = Annotated[bool, Depends(may_read_logs)]
TaskDep = Annotated[FoundTask, Depends(found_task)]


@api.get("/dags/{dag_id}/dagRuns/{run_id}")
def dag_run(
    dag_id: str,
    run_id: str,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=_LARGEST)] = 0,
) -> dict[str, Any]:
    """Return the runs and batches of a DAG run's task instances, without calling AWS."""
    listed = list_resources(dag_id, run_id, limit=limit, offset=offset)
    if listed is None:
        raise HTTPException(404, "There is no such DAG run.")
    items, total = listed
    return {"items": items, "total": total}


@api.get(_TASK)
async def task_instance(request: Request, task: TaskDep, with_logs: LogsDep) -> Response:
    """Return the run or batch of a task instance."""
    if task.resource is None:
        return JSONResponse({"kind": "none", "taskState": task.state, "delay": task.delay})
    return await _answer(request, task, None, with_logs)


def run_of(task: TaskDep, healthomics_run_id: str) -> str | None:
    """Return the id of a run of the task's batch, or None for the task's own run."""
    resource = task.resource
    if resource is not None and resource.kind == "run" and resource.id == healthomics_run_id:
        return None
    if resource is not None and resource.kind == "batch" and is_resource_id(healthomics_run_id):
        return healthomics_run_id
    raise HTTPException(404, "The task has no such run.")


RunDep = Annotated[str | None, Depends(run_of)]


@api.get(_TASK + "/runs/{healthomics_run_id}")
async def run_of_task(request: Request, task: TaskDep, run_id: RunDep, with_logs: LogsDep) -> Response:
    """Return the run of a task instance, or a run of its batch."""
    return await _answer(request, task, run_id, with_logs)


@api.get(_TASK + "/runs/{healthomics_run_id}/log")
async def log_of_run(
    request: Request,
    task: TaskDep,
    run_id: RunDep,
    with_logs: LogsDep,
    omics_task_id: Annotated[str | None, Query(alias="task", pattern="^[0-9]{1,18}$")] = None,
    before: Annotated[str | None, Query(min_length=1, max_length=1_000)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = PAGE_EVENTS,
) -> Response:
    """Return the last lines of the log of a task of a run, or of its engine, or the lines before these."""
    if not with_logs:
        raise HTTPException(403, "Reading logs requires the right to read the logs of this task.")
    if task.resource is None or task.resource.log_tail_lines <= 0:
        raise HTTPException(403, "The task's argument log_tail_lines turns logs off.")
    position = LogPosition(task_id=omics_task_id, before=before, limit=limit)
    fetch = partial(_fetch_log, resource=task.resource, run_id=run_id, position=position)
    return await _respond(request, task, (run_id, position), fetch, with_logs)


async def _answer(request: Request, task: FoundTask, run_id: str | None, with_logs: bool) -> Response:
    label = task.label if run_id is None else None
    fetch = partial(_fetch, resource=task.resource, run_id=run_id, label=label)
    return await _respond(request, task, (run_id, label), fetch, with_logs)


async def _respond(
    request: Request, task: FoundTask, key: tuple[Any, ...], fetch: Callable[..., Page], with_logs: bool
) -> Response:
    resource, connection = task.resource, task.connection
    if resource is None or connection is None:
        raise PageError(502, "Airflow no longer knows the connection of this task.")
    source = Source(connection, resource.region)
    cache: Cache[Page] = request.app.state.cache
    lane = lanes.get(connection, resource.region)
    try:
        entry = cache.get((connection, resource, *key), partial(fetch, source=source), lane)
    except BusyError:
        raise PageError(503, "Too many runs are being loaded right now.", THROTTLED_SECONDS) from None
    headers = {}
    try:
        page = await _page_of(entry)
    except PageError as error:
        if entry.latest is None or error.status < 500:
            raise
        page, headers = entry.latest, {STALE_HEADER: quote(error.detail)}
    body = page.body if with_logs else page.body_without_logs
    return Response(body, media_type="application/json", headers=headers)


async def _page_of(entry: Entry[Page]) -> Page:
    future = asyncio.shield(asyncio.wrap_future(entry.future))
    try:
        return await asyncio.wait_for(future, PATIENCE if entry.latest is None else REFRESH_PATIENCE)
    except TimeoutError:
        raise PageError(503, "HealthOmics has not answered yet.", THROTTLED_SECONDS) from None


def _fetch(
    latest: Page | None, *, source: Source, resource: Any, run_id: str | None, label: str | None
) -> Page:
    return fetch_page(source, resource, latest, run_id=run_id, label=label)


def _fetch_log(
    _: Page | None, *, source: Source, resource: Any, run_id: str | None, position: LogPosition
) -> Page:
    return fetch_log(source, resource, position, run_id=run_id)


def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, PageError):
        raise error
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse({"detail": error.detail}, error.status, headers)


async def _refuse_nul(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse NUL characters. No id has them, and PostgreSQL raises an error for them."""
    if "\0" in request.scope["path"]:
        return JSONResponse({"detail": "Not Found"}, 404)
    return await call_next(request)


async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(SECURITY_HEADERS)
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    # Files keep their names across releases, so the browser must revalidate them.
    is_file = path == "/page" or path.startswith("/static/")
    response.headers["Cache-Control"] = "no-cache" if is_file else "no-store"
    return response


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
    app.include_router(api)
    app.add_api_route("/page", _page, methods=["GET"], response_model=None)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(PageError, _refuse)
    app.middleware("http")(_refuse_nul)
    app.middleware("http")(_add_headers)
    return app
