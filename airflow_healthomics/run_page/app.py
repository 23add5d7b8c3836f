# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The API and the files of the run page, mounted in the API server.

Airflow authorizes each request first. A request requires the rights to read the task instance and its XComs;
log lines require the right to read its log.
"""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import pathlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from airflow_healthomics.monitoring import metrics
from airflow_healthomics.publishing.resource_xcom import TaskResource, is_resource_id
from airflow_healthomics.run_page import action_routes, batch_routes, dag_run_routes
from airflow_healthomics.run_page.action_routes import MAY_EDIT_HEADER, EditDep
from airflow_healthomics.run_page.answers import THROTTLED_SECONDS, Page, PageError, error_lifetime
from airflow_healthomics.run_page.cache import BusyError, Cache
from airflow_healthomics.run_page.clients import lanes
from airflow_healthomics.run_page.dependencies import TASK as _TASK
from airflow_healthomics.run_page.dependencies import TaskDep, answer_of
from airflow_healthomics.run_page.lookup import FoundTask, TaskConnection
from airflow_healthomics.run_page.source import fetch_page

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

_requires_logs: Final = requires_access_dag("GET", DagAccessEntity.TASK_LOGS)

api: Final = APIRouter(
    prefix="/api",
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
        Depends(requires_access_dag("GET", DagAccessEntity.XCOM)),
    ],
)


api.include_router(dag_run_routes.router)
api.include_router(batch_routes.router)
api.include_router(action_routes.router)


def may_read_logs(request: Request, user: GetUserDep) -> bool:
    """Whether the user may read the logs of the DAG's tasks."""
    try:
        # None means permission. Anything else, such as a coroutine, means that nothing was checked.
        return _requires_logs(request, user) is None
    except HTTPException:
        return False


LogsDep = Annotated[bool, Depends(may_read_logs)]


@api.get(_TASK)
async def task_instance(request: Request, task: TaskDep, with_logs: LogsDep, may_edit: EditDep) -> Response:
    """Return the run or batch of a task instance."""
    if task.resource is None:
        return JSONResponse({"kind": "none", "taskState": task.state, "delay": task.delay})
    return await _answer(request, task, None, with_logs, may_edit)


@api.get(_TASK + "/runs/{healthomics_run_id}")
async def run_of_task(
    request: Request, task: TaskDep, healthomics_run_id: str, with_logs: LogsDep, may_edit: EditDep
) -> Response:
    """Return the run of a task instance, or a run of its batch."""
    resource = task.resource
    is_own = resource is not None and resource.kind == "run" and resource.id == healthomics_run_id
    is_in_batch = resource is not None and resource.kind == "batch" and is_resource_id(healthomics_run_id)
    if not is_own and not is_in_batch:
        raise HTTPException(404, "The task has no such run.")
    return await _answer(request, task, None if is_own else healthomics_run_id, with_logs, may_edit)


async def _answer(
    request: Request, task: FoundTask, run_id: str | None, with_logs: bool, may_edit: bool
) -> Response:
    resource, connection = task.resource, task.connection
    if resource is None or connection is None:
        raise PageError(502, "Airflow no longer knows the connection of this task.")
    cache: Cache[Page] = request.app.state.cache
    fetch = partial(_fetch, connection=connection, resource=resource, run_id=run_id)
    try:
        entry = cache.get((connection, resource, run_id), fetch, lanes.get(connection, resource.region))
    except BusyError:
        raise PageError(503, "Too many runs are being loaded right now.", THROTTLED_SECONDS) from None
    headers = {MAY_EDIT_HEADER: "yes"} if may_edit else {}
    try:
        page = await answer_of(entry, PATIENCE if entry.latest is None else REFRESH_PATIENCE)
    except PageError as error:
        if entry.latest is None or error.status < 500:
            raise
        page = entry.latest
        headers[STALE_HEADER] = quote(error.detail)
    body = page.body if with_logs else page.body_without_logs
    return Response(body, media_type="application/json", headers=headers)


def _fetch(
    latest: Page | None, *, connection: TaskConnection, resource: TaskResource, run_id: str | None
) -> Page:
    return fetch_page(connection, resource, latest, run_id=run_id)


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


async def _count(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    status = 500
    try:
        response = await call_next(request)
        status = response.status_code
    finally:
        if _path_of(request).startswith(api.prefix):
            metrics.page_answered(status)
    return response


async def _add_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(SECURITY_HEADERS)
    path = _path_of(request)
    # Files keep their names across releases, so the browser must revalidate them.
    is_file = path == "/page" or path.startswith("/static/")
    response.headers["Cache-Control"] = "no-cache" if is_file else "no-store"
    return response


def _path_of(request: Request) -> str:
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


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
    app.middleware("http")(_refuse_nul)
    app.middleware("http")(_add_headers)
    app.middleware("http")(_count)
    return app
