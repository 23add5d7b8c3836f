# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Airflow listener that cancels runs when a person ends their task or DAG run (Airflow 3.3 and later).

A task that waits for its retry, or whose worker is gone, has no process that could notice its end. Airflow
calls listeners in the process that sets the state: in the API server, or for ``dagrun_timeout`` in the
scheduler.

Every Airflow process imports this module, and calls it for every task of every DAG, so it must be cheap.
"""

from __future__ import annotations

from typing import Any, Final

from airflow import __version__ as airflow_version
from airflow.listeners import hookimpl

#: Whether Airflow has the task state store, which contains the record of the run.
IS_SUPPORTED: Final = tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 3)

#: The scheduler's message for a DAG run that exceeds its ``dagrun_timeout``.
_TIMED_OUT: Final = "timed_out"


class _Process:
    is_api_server = False


def mark_api_server() -> None:
    """Record that this process is an API server; in a worker, the same calls mean that the task ended."""
    _Process.is_api_server = True


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:
    """Cancel the run of a task that a person marked failed."""
    _task_is_ended(task_instance)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """Cancel the run of a task that a person marked successful."""
    _task_is_ended(task_instance)


@hookimpl
def on_task_instance_skipped(previous_state: Any, task_instance: Any) -> None:
    """Cancel the run of a task that a person marked skipped."""
    _task_is_ended(task_instance)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Cancel the runs of a DAG run that a person marked failed, or that timed out."""
    if _Process.is_api_server or msg == _TIMED_OUT:
        _look_after(dag_run.dag_id, dag_run.run_id, None)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Cancel the runs of a DAG run that a person marked successful."""
    if _Process.is_api_server:
        _look_after(dag_run.dag_id, dag_run.run_id, None)


def _task_is_ended(task_instance: Any) -> None:
    if _Process.is_api_server:
        task = (task_instance.task_id, task_instance.map_index)
        _look_after(task_instance.dag_id, task_instance.run_id, task)


def _look_after(dag_id: str, run_id: str, task: tuple[str, int] | None) -> None:
    from airflow_healthomics.starting.killed_tasks import look_after

    look_after(dag_id, run_id, task)
