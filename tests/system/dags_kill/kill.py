# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The DAGs of the kill tests: ``kill_{what}_cancel`` and ``kill_{what}_leave``, by ``cancel_on_kill``.

Every run stays RUNNING until it is cancelled or the test has seen enough.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor

WAITING: dict[str, Any] = {"workflow_id": "1", "wait_for_completion": True, "waiter_delay": 1}

DEFERRED = {"deferrable": True}
ON_WORKER = {"deferrable": False}
SOON = {"execution_timeout": timedelta(seconds=30), "waiter_delay": 5}
#: The next attempt has the same time to see the run end as the first one had until its timeout.
RETRIED = {
    "execution_timeout": timedelta(seconds=60),
    "waiter_delay": 5,
    "retries": 1,
    "retry_delay": timedelta(seconds=1),
}

OPERATORS: dict[str, dict[str, Any]] = {
    "failed_deferred": DEFERRED,
    "success_deferred": DEFERRED,
    "clear_deferred": DEFERRED,
    "dag_run_failed_deferred": DEFERRED,
    "dag_run_deleted": DEFERRED,
    "failed_running": ON_WORKER,
    "failed_reattached": ON_WORKER | {"retries": 1, "retry_delay": timedelta(seconds=1)},
    "clear_running": ON_WORKER,
    "dag_run_failed_running": ON_WORKER,
    "timeout_deferred": DEFERRED | SOON,
    "timeout_deferred_retry": DEFERRED | RETRIED,
    "timeout_running": ON_WORKER | SOON,
    "timeout_running_retry": ON_WORKER | RETRIED,
    "start_in_flight": DEFERRED,
}

#: The test starts their runs.
SENSORS = {
    "sensor_failed_deferred": DEFERRED,
    "sensor_clear_deferred": DEFERRED,
    "sensor_failed_running": ON_WORKER,
}

for suffix, cancel in (("cancel", True), ("leave", False)):
    for what, arguments in OPERATORS.items():
        dag_id = f"kill_{what}_{suffix}"
        with DAG(dag_id, schedule=None) as dag:
            HealthOmicsStartRunOperator(
                task_id="task",
                tags={"dag": dag_id},
                cancel_on_kill=cancel,
                **{"retries": 0} | WAITING | arguments,
            )
        globals()[dag_id] = dag
    for what, arguments in SENSORS.items():
        dag_id = f"kill_{what}_{suffix}"
        with DAG(dag_id, schedule=None) as dag:
            HealthOmicsRunSensor(
                task_id="task",
                run_id="{{ dag_run.conf['run'] }}",
                poke_interval=1,
                # cancel_on_kill is off by default
                **({"cancel_on_kill": True} if cancel else {}),
                **arguments,
            )
        globals()[dag_id] = dag

MANY = WAITING | {"waiter_delay": 20}

with DAG("kill_many", schedule=None, max_active_tasks=100):
    for number in range(10):
        HealthOmicsStartRunOperator(task_id=f"plain_{number}", deferrable=True, **MANY)
    HealthOmicsStartRunOperator.partial(task_id="mapped", deferrable=True, **MANY).expand(
        tags=[{"number": str(number)} for number in range(90)]
    )

with DAG("kill_takeover", schedule=None):
    HealthOmicsStartRunOperator.partial(task_id="mapped", deferrable=True, **WAITING).expand(
        tags=[{"number": str(number)} for number in range(5)]
    )
