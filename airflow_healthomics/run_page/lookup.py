# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Look up the run or batch of a task instance, and its connection, in the metadata database.

A user who may read the task instance may see exactly this run, and nothing else of the AWS account. Each
function opens a separate session and closes it before any AWS call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import Text, and_, bindparam, cast, func, select

from airflow_healthomics.publishing.resource import DELAY_KEY
from airflow_healthomics.publishing.resource_xcom import (
    RESOURCE_KEYS,
    TaskResource,
    parse_delay,
    parse_resource,
    parse_summary,
)
from airflow_healthomics.reports.log_pages import line_count

#: Other tasks may push large XComs by the names ``run`` and ``batch``. Those of this package are smaller.
IS_SMALL: Final = func.length(cast(XComModel.value, Text)) <= 10_000

#: Default connection of the amazon provider's operators.
DEFAULT_CONNECTION: Final = "aws_default"

_ARGUMENTS: Final = ("aws_conn_id", "verify", "log_tail_lines")


def _matches_key(model: Any) -> Any:
    """Return the condition for the rows of one task instance."""
    names = ("dag_id", "run_id", "task_id", "map_index")
    return and_(*(getattr(model, name) == bindparam(name) for name in names))


#: A column in some releases of Airflow, and an expression in others.
_LABEL: Final[Any] = TaskInstance.rendered_map_index

_TASK: Final = (
    select(
        TaskInstance.state,
        TaskInstance.dag_version_id,
        TaskInstance.try_number,
        _LABEL.label("label"),
        RenderedTaskInstanceFields.rendered_fields,
    )
    .outerjoin(RenderedTaskInstanceFields, _matches_key(RenderedTaskInstanceFields))
    .where(_matches_key(TaskInstance))
)
_XCOMS: Final = select(XComModel.key, XComModel.value).where(
    _matches_key(XComModel), XComModel.key.in_((*RESOURCE_KEYS, DELAY_KEY, "summary")), IS_SMALL
)


@dataclass(frozen=True, kw_only=True)
class TaskConnection:
    """
    The connection arguments of a task, except ``botocore_config``. Airflow does not store that one.

    :param aws_conn_id: Airflow connection; None for boto3's default credentials
    :param verify: whether to verify TLS certificates, or the path of a CA bundle
    """

    aws_conn_id: str | None
    verify: bool | str | None = None


@dataclass(frozen=True, kw_only=True)
class FoundTask:
    """
    A task instance and its run or batch.

    :param state: its state in Airflow
    :param resource: its run or batch, if there is one yet
    :param connection: its connection, if there is a run or batch and Airflow still knows the connection
    :param log_tail_lines: maximum number of log lines to show of a failed task of the run
    :param delay: if its start is delayed: reason, time of the first and of the next attempt, region
    :param success_policy: rendered argument of a task with a batch, if Airflow still has it
    :param summary: of the run or batch, if the task has published it after the end
    :param may_repeat: whether the batch may repeat only a part of the runs of an earlier attempt
    :param label: what its ``map_index_template`` renders to, if it has one
    """

    state: str | None
    resource: TaskResource | None = None
    connection: TaskConnection | None = None
    log_tail_lines: int = 0
    delay: Mapping[str, str] | None = None
    success_policy: Any = None
    summary: Mapping[str, Any] | None = None
    may_repeat: bool = False
    label: str | None = None


def find_task(dag_id: str, run_id: str, task_id: str, map_index: int) -> FoundTask | None:
    """
    Find a task instance, or return None.

    :param dag_id: its DAG
    :param run_id: its DAG run
    :param task_id: its task
    :param map_index: its map index; -1 if it is not mapped
    """
    key = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
    with create_session() as session:
        found = session.execute(_TASK, key).one_or_none()
        if found is None:
            return None
        xcoms = {row.key: row.value for row in session.execute(_XCOMS, key)}
    if (resource := parse_resource(xcoms)) is None:
        return FoundTask(state=found.state, delay=parse_delay(xcoms.get(DELAY_KEY)))
    rendered = found.rendered_fields
    arguments = arguments_of_task(rendered, found.dag_version_id, task_id)
    own_arguments = rendered if isinstance(rendered, Mapping) else {}
    # Without a template, the expression is the map index.
    own = found.label if found.label != str(map_index) else None
    return FoundTask(
        state=found.state,
        resource=resource,
        connection=connection_of(arguments),
        # The users who may edit the XComs of a task must not thereby see its logs.
        log_tail_lines=line_count(arguments.get("log_tail_lines")),
        success_policy=own_arguments.get("success_policy"),
        summary=parse_summary(xcoms.get("summary"), resource),
        # A sensor awaits the batch of another task.
        may_repeat=found.try_number > 1 and "batch_id" not in own_arguments,
        label=own or None,
    )


def arguments_of_task(rendered: Any, dag_version_id: Any, task_id: str) -> Mapping[str, Any]:
    """
    Return the known arguments of a task instance. Unlike its XComs, users cannot edit them.

    :param rendered: its rendered fields, if Airflow still has them
    :param dag_version_id: the version of its DAG, if known
    :param task_id: its task
    """
    if isinstance(rendered, Mapping) and "aws_conn_id" in rendered:
        return rendered
    # Airflow deletes the rendered fields of older DAG runs.
    return _declared_arguments(dag_version_id, task_id) if dag_version_id else {}


def connection_of(arguments: Mapping[str, Any]) -> TaskConnection | None:
    """
    Return the connection of a task instance; None if it is unknown or an unrendered template.

    :param arguments: of the task instance, as far as they are known
    """
    if "aws_conn_id" not in arguments:
        return None
    conn_id, verify = arguments["aws_conn_id"], arguments.get("verify")
    if any(isinstance(value, str) and "{" in value for value in (conn_id, verify)):
        return None
    return TaskConnection(
        aws_conn_id=None if conn_id is None else str(conn_id),
        verify=verify if isinstance(verify, (bool, str)) else None,
    )


@lru_cache(maxsize=1024)
def _declared_arguments(dag_version_id: Any, task_id: str) -> Mapping[str, Any]:
    """Return the arguments of a task of the serialized DAG that are the same for each of its instances."""
    with create_session() as session:
        stored = session.execute(
            select(SerializedDagModel).where(SerializedDagModel.dag_version_id == dag_version_id)
        ).scalar_one_or_none()
        dag: Any = stored.dag if stored else None
    if dag is None or not dag.has_task(task_id):
        return {}
    task = dag.get_task(task_id)
    if "aws_conn_id" not in task.template_fields:
        # Not a task of this package, though it pushed the XCom. It has no connection.
        return {}
    if not getattr(task, "is_mapped", False):
        return {name: getattr(task, name, None) for name in _ARGUMENTS}
    mapped = getattr(task.expand_input, "value", None)
    if not isinstance(mapped, Mapping) or mapped.keys() & {"aws_conn_id", "verify"}:
        return {}
    # Airflow does not store the defaults of a task group, so log_tail_lines is known only from partial().
    given = {"aws_conn_id": DEFAULT_CONNECTION, **task.partial_kwargs}
    return {name: given[name] for name in _ARGUMENTS if name in given}
