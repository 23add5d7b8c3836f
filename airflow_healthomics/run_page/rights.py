# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The rights of a user, which Airflow's auth manager decides.

Several are checked by one dependency, because FastAPI hands each synchronous dependency to a thread.
"""

# Without ``from __future__ import annotations``, since FastAPI reads annotations of dependencies at run time.

from dataclasses import dataclass
from typing import Annotated, Any, Final

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Request

#: Each request requires the rights to read the task instance and its XComs.
_REQUIRED: Final = (
    requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE),
    requires_access_dag("GET", DagAccessEntity.XCOM),
)
_LOGS: Final = requires_access_dag("GET", DagAccessEntity.TASK_LOGS)
_EDIT: Final = requires_access_dag("PUT", DagAccessEntity.TASK_INSTANCE)


@dataclass(frozen=True)
class Rights:
    """
    What a user may do beyond reading the task instance and its XComs.

    :param may_read_logs: whether the user may read the logs of the DAG's tasks
    :param may_edit: whether the user may edit the task instances of the DAG
    """

    may_read_logs: bool
    may_edit: bool


def authorize(request: Request, user: GetUserDep) -> None:
    """Refuse the request without the required rights."""
    for check in _REQUIRED:
        _require(check, request, user)


def rights_of(request: Request, user: GetUserDep) -> Rights:
    """Return the further rights."""
    return Rights(
        may_read_logs=_allows(_LOGS, request, user),
        may_edit=_allows(_EDIT, request, user),
    )


RightsDep = Annotated[Rights, Depends(rights_of)]


async def require_edit(rights: RightsDep) -> None:
    """Refuse the request of a user who may not edit the task instances of the DAG."""
    if not rights.may_edit:
        raise HTTPException(403, "Forbidden")


def _require(check: Any, request: Request, user: Any) -> None:
    # None means permission. Anything else, such as a coroutine, means that nothing was checked.
    if check(request, user) is not None:
        raise HTTPException(403, "Forbidden")


def _allows(check: Any, request: Request, user: Any) -> bool:
    try:
        _require(check, request, user)
    except HTTPException:
        return False
    return True
