# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Airflow's listener for a person who ends a task or a DAG run (Airflow 3.3 and later).

A task that waits for its retry, or whose worker is gone, has no process that could hear of its end. Airflow
calls listeners where the state is set: in the API server, and for ``dagrun_timeout`` in the scheduler.

Every Airflow process imports this module, and calls it for every task of every DAG.
"""

from __future__ import annotations

from typing import Any, Final

from airflow import __version__ as airflow_version
from airflow.listeners import hookimpl

#: Of the task state store, from which the run of such a task is known.
IS_SUPPORTED: Final = tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 3)

#: What the scheduler says of a DAG run that exceeds its ``dagrun_timeout``.
_TIMED_OUT: Final = "timed_out"


class _Process:
    is_api_server = False


def mark_api_server() -> None:
    """Record that this process is an API server; in a worker the same calls mean a task's own end."""
    _Process.is_api_server = True


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:
    """Look after a task that a person has marked failed."""
    _task_is_ended(task_instance)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """Look after a task that a person has marked successful."""
    _task_is_ended(task_instance)


@hookimpl
def on_task_instance_skipped(previous_state: Any, task_instance: Any) -> None:
    """Look after a task that a person has marked skipped."""
    _task_is_ended(task_instance)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Look after the tasks of a DAG run that a person has marked failed, or that has timed out."""
    if _Process.is_api_server or msg == _TIMED_OUT:
        _look_after(dag_run.dag_id, dag_run.run_id, None)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Look after the tasks of a DAG run that a person has marked successful."""
    if _Process.is_api_server:
        _look_after(dag_run.dag_id, dag_run.run_id, None)


def _task_is_ended(task_instance: Any) -> None:
    if _Process.is_api_server:
        map_index = -1 if task_instance.map_index is None else task_instance.map_index
        _look_after(task_instance.dag_id, task_instance.run_id, (task_instance.task_id, map_index))


def _look_after(dag_id: str, run_id: str, task: tuple[str, int] | None) -> None:
    from airflow_healthomics.starting.killed_tasks import look_after

    look_after(dag_id, run_id, task)
