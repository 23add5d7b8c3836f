# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The request ID of a task instance, which makes HealthOmics start its run only once."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.resources.base import Resource

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: StartRun's limit in characters (botocore model, shape RunRequestId).
MAX_LENGTH: Final = 128

_DIGEST_LENGTH: Final = 16


class TaskIdentity(NamedTuple):
    """
    Identity of a task instance, the same in all its attempts.

    :param dag_id: DAG of the task
    :param dag_run_id: DAG-run ID, such as ``scheduled__2026-11-22T00:00:00+00:00``
    :param task_id: id of the task
    :param map_index: index of a mapped task, -1 for others
    :param start_date: start of the DAG run, if known. It distinguishes two deployments on one AWS account,
        which often have equal DAG and run IDs. It changes only if a finished DAG run is cleared.
    :param epoch: number of Clears, or the task instance's ``max_tries``, which a Clear raises and a retry
        does not
    """

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    start_date: datetime | None
    epoch: int


def derive_request_id(identity: TaskIdentity, generation: int = 0, max_length: int = MAX_LENGTH) -> str:
    """
    Return ``{dag_run_id}.{16 hex digits}``, the same for every attempt of a task instance.

    The digest covers the whole identity. The DAG-run ID is a prefix for readability. It is truncated, and
    characters that the API rejects are replaced.

    :param identity: identity of the task instance
    :param generation: number of failed runs of this task so far
    :param max_length: maximum length in characters
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


def is_derived(request_id: str) -> bool:
    """Whether a text has the form of :func:`derive_request_id`, which is also the default name of a run."""
    return re.search(rf"\.[0-9a-f]{{{_DIGEST_LENGTH}}}$", request_id) is not None


def _allowed(character: str) -> str:
    # The API accepts letters, marks, separators, symbols, numbers and punctuation: all but category C.
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
    :param fixed: request ID from the DAG, used for every epoch and generation; None to derive it
    :param resource_type: kind of resource that the task starts
    """

    def __init__(self, context: Context, fixed: Any, resource_type: type[Resource]) -> None:
        self._context = context
        self._fixed = fixed
        self._resource_type = resource_type

    def are_all(self, request_id: str) -> bool:
        """
        Whether every start has this request ID, because the DAG sets it.

        :param request_id: request ID of an earlier start
        """
        return self._fixed is not None and self.of(0) == request_id

    def of(self, epoch: int, generation: int = 0) -> str:
        """
        Return the request ID of a start.

        :param epoch: number of Clears so far; without a task state store, ``max_tries``
        :param generation: number of failed runs in this epoch so far
        :raises HealthOmicsRequestError: if the template of the fixed request ID could not be rendered
        """
        if self._fixed is None:
            identity = task_identity(self._context, epoch)
            return derive_request_id(identity, generation, self._resource_type.name_length)
        argument = self._resource_type.request_id_argument
        refuse_broken_templates(self._resource_type.start_operation, {argument: self._fixed})
        return str(self._fixed)
