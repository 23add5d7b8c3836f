# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Look up the runs and batches of a DAG run in the metadata database.

Each function opens a separate session and closes it before any AWS call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import and_, select, tuple_

from airflow_healthomics.publishing.resource_xcom import (
    RESOURCE_KEYS,
    TaskResource,
    parse_resource,
    parse_summary,
)
from airflow_healthomics.run_page.lookup import (
    IS_SMALL,
    TaskConnection,
    arguments_of_task,
    connection_of,
)

#: Maximum number of task instances to list.
MAX_TASKS: Final = 5_000

#: Task instances per query. SQLite has at most 999 variables in its older releases.
_CHUNK: Final = 400


class TaskKey(NamedTuple):
    """
    A task instance with its run or batch. A Clear gives it another one.

    :param task_id: its task
    :param map_index: its map index; -1 if it is not mapped
    :param resource: its run or batch
    """

    task_id: str
    map_index: int
    resource: TaskResource


@dataclass(frozen=True, kw_only=True)
class DagRunTasks:
    """
    The task instances of a DAG run that have a run or batch.

    :param state: state of the DAG run in Airflow
    :param tasks: state of each task instance in Airflow
    :param versions: version of the DAG of each task instance, if known
    """

    state: str | None
    tasks: Mapping[TaskKey, str | None]
    versions: Mapping[TaskKey, Any]


def list_tasks(dag_id: str, run_id: str) -> DagRunTasks | None:
    """
    List the task instances of a DAG run with their run or batch, at most :data:`MAX_TASKS`.

    :param dag_id: the DAG
    :param run_id: its DAG run
    :return: None if there is no such DAG run
    """
    with create_session() as session:
        dag_run = session.execute(
            select(DagRun.id, DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        ).one_or_none()
        if dag_run is None:
            return None
        rows = session.execute(
            select(
                XComModel.task_id,
                XComModel.map_index,
                XComModel.key,
                XComModel.value,
                TaskInstance.state,
                TaskInstance.dag_version_id,
            )
            # dag_run_id is the first column of the primary key. A DAG run may have thousands of mapped tasks.
            .where(XComModel.dag_run_id == dag_run.id, XComModel.key.in_(RESOURCE_KEYS), IS_SMALL)
            .join(
                TaskInstance,
                and_(
                    TaskInstance.dag_id == XComModel.dag_id,
                    TaskInstance.run_id == XComModel.run_id,
                    TaskInstance.task_id == XComModel.task_id,
                    TaskInstance.map_index == XComModel.map_index,
                ),
            )
            .order_by(XComModel.task_id, XComModel.map_index)
            .limit(MAX_TASKS)
        ).all()
    xcoms: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        xcoms.setdefault((row.task_id, row.map_index), {})[row.key] = row.value
    found = {
        TaskKey(row.task_id, row.map_index, resource): row
        for row in rows
        if (resource := parse_resource(xcoms[row.task_id, row.map_index]))
    }
    return DagRunTasks(
        state=dag_run.state,
        tasks={key: row.state for key, row in found.items()},
        versions={key: row.dag_version_id for key, row in found.items()},
    )


def find_summaries(dag_id: str, run_id: str, keys: Iterable[TaskKey]) -> dict[TaskKey, dict[str, Any]]:
    """
    Return the summaries that tasks pushed to XCom after their run or batch ended.

    :param dag_id: the DAG
    :param run_id: its DAG run
    :param keys: task instances
    """
    found = {}
    for chunk in _chunks(keys):
        with create_session() as session:
            rows = session.execute(
                select(XComModel.task_id, XComModel.map_index, XComModel.value).where(
                    XComModel.dag_id == dag_id,
                    XComModel.run_id == run_id,
                    XComModel.key == "summary",
                    tuple_(XComModel.task_id, XComModel.map_index).in_(list(chunk)),
                )
            ).all()
        for row in rows:
            key = chunk[row.task_id, row.map_index]
            if summary := parse_summary(row.value, key.resource):
                found[key] = summary
    return found


def find_connections(
    dag_id: str, run_id: str, versions: Mapping[TaskKey, Any]
) -> dict[TaskKey, TaskConnection | None]:
    """
    Return the connections of task instances; None for one that Airflow no longer knows.

    :param dag_id: the DAG
    :param run_id: its DAG run
    :param versions: version of the DAG of each task instance, if known
    """
    found = {}
    fields = RenderedTaskInstanceFields
    for chunk in _chunks(versions):
        with create_session() as session:
            rows = session.execute(
                select(fields.task_id, fields.map_index, fields.rendered_fields).where(
                    fields.dag_id == dag_id,
                    fields.run_id == run_id,
                    tuple_(fields.task_id, fields.map_index).in_(list(chunk)),
                )
            ).all()
        rendered = {(row.task_id, row.map_index): row.rendered_fields for row in rows}
        for place, key in chunk.items():
            arguments = arguments_of_task(rendered.get(place), versions[key], key.task_id)
            found[key] = connection_of(arguments)
    return found


def _chunks(keys: Iterable[TaskKey]) -> Sequence[dict[tuple[str, int], TaskKey]]:
    places = [((key.task_id, key.map_index), key) for key in keys]
    return [dict(places[start : start + _CHUNK]) for start in range(0, len(places), _CHUNK)]
