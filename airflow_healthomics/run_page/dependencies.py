# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the routes of a task instance share: its path, its look-up, and the wait for an answer."""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

import asyncio
from typing import Annotated, Final, TypeVar

from fastapi import Depends, HTTPException, Path

from airflow_healthomics.run_page.answers import THROTTLED_SECONDS, PageError
from airflow_healthomics.run_page.cache import Answer, Entry
from airflow_healthomics.run_page.lookup import FoundTask, find_task

#: Path of a task instance.
TASK: Final = "/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}"

#: The maximum of integers in the metadata database.
LARGEST: Final = 2**31 - 1

MapIndex = Annotated[int, Path(ge=-1, le=LARGEST)]

A = TypeVar("A", bound=Answer)


def found_task(dag_id: str, run_id: str, task_id: str, map_index: MapIndex) -> FoundTask:
    """Return the task instance of the path."""
    task = find_task(dag_id, run_id, task_id, map_index)
    if task is None:
        raise HTTPException(404, "There is no such task instance.")
    return task


TaskDep = Annotated[FoundTask, Depends(found_task)]


async def answer_of(entry: Entry[A], seconds: float) -> A:
    """
    Wait for an answer.

    :param entry: of the cache
    :param seconds: to wait
    :raises PageError: if there is none by then
    """
    future = asyncio.shield(asyncio.wrap_future(entry.future))
    try:
        return await asyncio.wait_for(future, seconds)
    except TimeoutError:
        raise PageError(503, "HealthOmics has not answered yet.", THROTTLED_SECONDS) from None
