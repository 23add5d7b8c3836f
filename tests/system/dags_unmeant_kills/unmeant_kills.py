# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The DAGs of the tests about kills that nobody meant, and kills that no process hears.

Every run stays RUNNING until it is cancelled or the test has seen enough.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

WAITING: dict[str, Any] = {"workflow_id": "1", "wait_for_completion": True, "waiter_delay": 1}
ON_WORKER = {"deferrable": False}
DEFERRED = {"deferrable": True}
RETRIED = {"retries": 3, "retry_delay": timedelta(seconds=1)}
#: The test ends the task before its retry.
TIMED_OUT = {"execution_timeout": timedelta(seconds=20), "retries": 1, "retry_delay": timedelta(hours=1)}

#: The test edits it.
RETRIES = Path(os.environ["AIRFLOW_HOME"]) / "retries"

TASKS: dict[str, dict[str, Any]] = {
    # Airflow launches each attempt that becomes due meanwhile, and fails it.
    "api_server_is_down": ON_WORKER | {"retries": 3, "retry_delay": timedelta(seconds=30)},
    "supervisor_ends": ON_WORKER | RETRIED,
    "process_stalls": ON_WORKER | RETRIED,
    "start_is_answered_at_once": DEFERRED,
    "start_is_answered_after_on_kill": DEFERRED,
    "start_is_answered_to_nobody": DEFERRED,
    "task_failed_in_retry_delay_running": ON_WORKER | TIMED_OUT,
    "task_failed_in_retry_delay_deferred": DEFERRED | TIMED_OUT,
    "dag_run_failed_in_retry_delay_deferred": DEFERRED | TIMED_OUT,
    "retries_are_edited": DEFERRED | {"retries": int(RETRIES.read_text()) if RETRIES.exists() else 2},
}

for dag_id, arguments in TASKS.items():
    with DAG(dag_id, schedule=None) as dag:
        HealthOmicsStartRunOperator(task_id="task", tags={"dag": dag_id}, **WAITING | arguments)
    globals()[dag_id] = dag

for size in (40, 200):
    with DAG(f"storm_{size}", schedule=None, max_active_tasks=size) as dag:
        HealthOmicsStartRunOperator.partial(
            task_id="run", deferrable=True, retries=2, retry_delay=timedelta(seconds=5), **WAITING
        ).expand(tags=[{"number": str(number)} for number in range(size)])
    globals()[dag.dag_id] = dag
