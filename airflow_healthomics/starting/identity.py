# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The identity of a start: the request ID that makes HealthOmics start a task's run only once."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.resources.base import Resource

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: StartRun's limit in characters (botocore model, shape RunRequestId).
MAX_LENGTH: Final = 128

_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True, kw_only=True)
class TaskIdentity:
    """
    What makes a task instance itself, apart from its tries.

    :param dag_id: DAG of the task
    :param dag_run_id: DAG-run ID, such as ``scheduled__2026-11-22T00:00:00+00:00``
    :param task_id: id of the task
    :param map_index: index of a mapped task, -1 for others
    :param start_date: when the DAG run started. Two deployments on one AWS account often have equal DAG and
        run IDs, this tells them apart; it changes only when a finished DAG run is cleared. May be None.
    :param epoch: the task instance's ``max_tries``, which a Clear raises and a retry does not
    """

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    start_date: datetime | None
    epoch: int


def derive_request_id(identity: TaskIdentity, generation: int = 0, max_length: int = MAX_LENGTH) -> str:
    """
    Return ``{dag_run_id}.{16 hex digits}``, the same for every try of a task instance.

    The digest goes over all of the identity. The DAG-run ID in front is for people, shortened and cleaned of
    characters that the API does not allow.

    :param identity: the task instance
    :param generation: number of runs of this task that were seen to have failed
    :param max_length: in characters
    """
    start = identity.start_date.astimezone(UTC).isoformat() if identity.start_date else None
    parts = [
        identity.dag_id,
        identity.dag_run_id,
        identity.task_id,
        identity.map_index,
        start,
        identity.epoch,
        generation,
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGEST_LENGTH]
    readable = "".join(map(_allowed, identity.dag_run_id))[: max_length - _DIGEST_LENGTH - 1]
    return f"{readable}.{digest}"


def _allowed(character: str) -> str:
    # The API's pattern is letters, marks, separators, symbols, numbers and punctuation: all but category C.
    return "-" if unicodedata.category(character).startswith("C") else character


def task_identity(context: Context, epoch: int) -> TaskIdentity:
    ti = context["ti"]
    return TaskIdentity(
        dag_id=ti.dag_id,
        dag_run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        start_date=context["dag_run"].start_date,
        epoch=epoch,
    )


class RequestIds:
    """
    The request IDs of a task instance.

    :param context: the task's context
    :param fixed: request ID that the DAG author has chosen, the same for every epoch and generation
    :param resource_type: the kind of resource that is started
    """

    def __init__(self, context: Context, fixed: Any, resource_type: type[Resource]) -> None:
        self._context = context
        self._fixed = fixed
        self._resource_type = resource_type

    @property
    def is_fixed(self) -> bool:
        """Whether the DAG author has chosen the request ID."""
        return self._fixed is not None

    def of(self, epoch: int, generation: int = 0) -> str:
        """
        Return the request ID of a start.

        :param epoch: number of Clears before; without a task state store, ``max_tries``
        :param generation: number of failed runs of this epoch before
        :raises HealthOmicsRequestError: if the template of the chosen one could not be rendered
        """
        if self._fixed is None:
            identity = task_identity(self._context, epoch)
            return derive_request_id(identity, generation, self._resource_type.name_length)
        refuse_broken_templates(self._resource_type.start_operation, {"request_id": self._fixed})
        return str(self._fixed)
