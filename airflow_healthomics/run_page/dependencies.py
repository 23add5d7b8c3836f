# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Common parts of the routes of a task instance: its path, its look-up, rights, and the response."""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import asyncio
import gzip
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote

from fastapi import Depends, HTTPException, Path, Request, Response

from airflow_healthomics.publishing.resource_xcom import TaskResource, is_resource_id
from airflow_healthomics.run_page.answers import THROTTLED_SECONDS, Page, PageError
from airflow_healthomics.run_page.cache import Answer, BusyError, Cache, Entry
from airflow_healthomics.run_page.clients import lanes
from airflow_healthomics.run_page.lookup import FoundTask, TaskConnection, find_task
from airflow_healthomics.run_page.turns import end_turn

#: Path of a task instance.
TASK: Final = "/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}"

#: The maximum of integers in the metadata database.
LARGEST: Final = 2**31 - 1

#: Seconds that a request waits for an answer, and for a new one if there is an earlier one.
PATIENCE: Final = 25.0
REFRESH_PATIENCE: Final = 3.0
#: Reason, percent-encoded, why an answer is an earlier one.
STALE_HEADER: Final = "Healthomics-Stale"

#: Messages for the user.
UNKNOWN_CONNECTION: Final = "Airflow no longer knows the connection of this task."
BUSY: Final = "Too many runs are being loaded right now."

MapIndex = Annotated[int, Path(ge=-1, le=LARGEST)]

A = TypeVar("A", bound=Answer)
T = TypeVar("T")


def found_task(dag_id: str, run_id: str, task_id: str, map_index: MapIndex) -> FoundTask:
    """Return the task instance of the path."""
    task = find_task(dag_id, run_id, task_id, map_index)
    if task is None:
        raise HTTPException(404, "There is no such task instance.")
    return task


TaskDep = Annotated[FoundTask, Depends(found_task)]


async def run_of_path(task: TaskDep, healthomics_run_id: str) -> str | None:
    """Return the id of a run of the task's batch, or None for the task's own run."""
    resource = task.resource
    if resource is not None and resource.kind == "run" and resource.id == healthomics_run_id:
        return None
    if resource is not None and resource.kind == "batch" and is_resource_id(healthomics_run_id):
        return healthomics_run_id
    raise HTTPException(404, "The task has no such run.")


RunDep = Annotated[str | None, Depends(run_of_path)]


async def answer_of(entry: Entry[A], seconds: float) -> A:
    """
    Wait for an answer.

    :param entry: of the cache
    :param seconds: to wait
    :raises PageError: if there is none by then
    """
    if entry.future.done():
        return entry.future.result()
    end_turn()
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(entry.future)), seconds)
    except TimeoutError:
        raise PageError(503, "HealthOmics has not answered yet.", THROTTLED_SECONDS) from None


async def latest_answer(
    cache: Cache[A], task: FoundTask, key: tuple[Any, ...], fetch: Callable[..., A]
) -> tuple[A, str | None]:
    """
    Return an answer from a cache; or an earlier one, and the reason why there is no new one.

    :param cache: the cache
    :param task: the task instance
    :param key: identifies the answer among those of the same connection and run or batch
    :param fetch: fetches the answer, given the previous one, ``connection`` and ``resource``
    :raises PageError: if there is no answer
    """
    resource, connection = task.resource, task.connection
    if resource is None or connection is None:
        raise PageError(502, UNKNOWN_CONNECTION)
    fetch = partial(fetch, connection=connection, resource=resource)
    try:
        entry = cache.get((connection, resource, *key), fetch, lanes.get(connection, resource.region))
    except BusyError:
        raise PageError(503, BUSY, THROTTLED_SECONDS) from None
    try:
        return await answer_of(entry, PATIENCE if entry.latest is None else REFRESH_PATIENCE), None
    except PageError as error:
        if entry.latest is None or error.status < 500:
            raise
        return entry.latest, error.detail


async def call_in_lane(
    task: FoundTask, call: Callable[[TaskConnection, TaskResource], T], *, unanswered: str
) -> T:
    """
    Make AWS calls whose result is not cached, in the lane of the task's connection, and return the result.

    :param task: the task instance
    :param call: makes the calls
    :param unanswered: message for the user if AWS does not answer in time
    :raises PageError: if the calls may not be made now, or if they fail
    """
    resource, connection = task.resource, task.connection
    if resource is None:
        raise HTTPException(404, "The task has no run.")
    if connection is None:
        raise PageError(502, UNKNOWN_CONNECTION)
    future = lanes.get(connection, resource.region).begin(partial(call, connection, resource), None)
    if future is None:
        raise PageError(503, BUSY, THROTTLED_SECONDS)
    end_turn()
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), PATIENCE)
    except TimeoutError:
        raise PageError(503, unanswered, THROTTLED_SECONDS) from None


async def respond(
    request: Request, task: FoundTask, key: tuple[Any, ...], fetch: Callable[..., Page], *, with_logs: bool
) -> Response:
    """
    Return an answer from the cache, perhaps an earlier one with the reason.

    :param request: of the browser
    :param task: the task instance
    :param key: identifies the answer among those of the same connection and run or batch
    :param fetch: fetches the answer, given the previous one, ``connection`` and ``resource``
    :param with_logs: whether the user may read logs
    :raises PageError: if there is no answer
    """
    page, reason = await latest_answer(request.app.state.cache, task, key, fetch)
    headers = {"Vary": "Accept-Encoding"}
    if reason:
        headers[STALE_HEADER] = quote(reason)
    body = page.body if with_logs else page.body_without_logs
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        body = gzip.decompress(body)
    return Response(body, media_type="application/json", headers=headers)
