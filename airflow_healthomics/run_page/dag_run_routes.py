# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The route of a DAG run's list."""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from airflow_healthomics.run_page.answers import PageError, error_lifetime
from airflow_healthomics.run_page.cache import BusyError, Cache, Entry
from airflow_healthomics.run_page.clients import lanes
from airflow_healthomics.run_page.dag_run_lookup import (
    MAX_TASKS,
    DagRunTasks,
    TaskKey,
    find_connections,
    find_summaries,
    list_tasks,
)
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.run_page.overview import Board, Reading, StatesReader, board_of, list_answer
from airflow_healthomics.run_page.turns import end_turn

#: Seconds that the list waits for states. It shows those that it has.
PATIENCE: Final = 3.0

router: Final = APIRouter()


def new_cache() -> Cache[Reading]:
    """Return a cache of readings, which keeps the polls of a DAG run apart."""
    return Cache[Reading](max_entries=1_000, max_bytes=1, error_lifetime=error_lifetime)


def found_tasks(dag_id: str, run_id: str) -> DagRunTasks:
    """Return the task instances of the DAG run of the path."""
    tasks = list_tasks(dag_id, run_id)
    if tasks is None:
        raise HTTPException(404, "There is no such DAG run.")
    return tasks


def board_with_database(
    dag_id: str, run_id: str, tasks: Annotated[DagRunTasks, Depends(found_tasks)]
) -> Board:
    """Return the known states of the DAG run, with those from the metadata database."""
    known = board_of(dag_id, run_id)
    if new := [key for key in tasks.tasks if key not in known.connections]:
        known.learn(find_summaries(dag_id, run_id, known.unknown(new)))
        versions = {key: tasks.versions[key] for key in new}
        known.connections.update(find_connections(dag_id, run_id, versions))
    return known


@router.get("/dags/{dag_id}/dagRuns/{run_id}")
async def dag_run(
    request: Request,
    dag_id: str,
    run_id: str,
    tasks: Annotated[DagRunTasks, Depends(found_tasks)],
    board: Annotated[Board, Depends(board_with_database)],
    limit: Annotated[int, Query(ge=0, le=MAX_TASKS)] = 100,
    offset: Annotated[int, Query(ge=0, le=MAX_TASKS)] = 0,
) -> dict[str, Any]:
    """Return the runs and batches of a DAG run's task instances with their states, failures first."""
    notices: list[str] = []
    as_of = datetime.now(UTC)
    if limit:
        readings = _readings(request.app.state.readings, (dag_id, run_id), board, tasks, notices)
        as_of = await _await(readings, notices, as_of)
    return list_answer(board, tasks, limit=limit, offset=offset, as_of=as_of, notices=notices)


def _readings(
    cache: Cache[Reading], dag_run: tuple[str, str], board: Board, tasks: DagRunTasks, notices: list[str]
) -> list[Entry[Reading]]:
    """Start to read the states that may have changed, by connection and region."""
    readings = []
    for (connection, region), keys in board.groups(tasks).items():
        fetch = partial(_read, connection=connection, region=region, board=board, keys=keys)
        try:
            readings.append(cache.get((*dag_run, connection, region), fetch, lanes.get(connection, region)))
        except BusyError:
            notices.append("Too many runs are being loaded right now, so states are missing.")
    return readings


async def _await(readings: list[Entry[Reading]], notices: list[str], as_of: datetime) -> datetime:
    """Wait for states, but not for long, and return the time of the earliest."""
    futures = [asyncio.wrap_future(each.future) for each in readings]
    if not all(each.future.done() for each in readings):
        end_turn()
    if futures:
        await asyncio.wait([asyncio.shield(each) for each in futures], timeout=PATIENCE)
    for entry, future in zip(readings, futures, strict=True):
        if not future.done():
            notices.append("HealthOmics has not answered yet, so states may be missing or old.")
        elif isinstance(error := future.exception(), PageError):
            notices.append(error.detail)
        elif error is not None:
            raise error
        else:
            notices += future.result().notices
        if entry.latest:
            as_of = min(as_of, entry.latest.as_of)
    return as_of


def _read(
    _: Reading | None, *, connection: TaskConnection, region: str, board: Board, keys: list[TaskKey]
) -> Reading:
    return StatesReader(connection, region).read(board, keys)
