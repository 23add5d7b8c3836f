# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAGs of the tests of outages. Every run stays RUNNING until the test lets it end."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

TASKS = 20

WAITING: dict[str, Any] = {"workflow_id": "1", "wait_for_completion": True, "waiter_delay": 1}

with DAG("credentials_expire", schedule=None, max_active_tasks=TASKS):
    HealthOmicsStartRunOperator.partial(task_id="mapped", deferrable=True, retries=0, **WAITING).expand(
        tags=[{"number": str(number)} for number in range(TASKS)]
    )

with DAG("credentials_stay_away", schedule=None):
    HealthOmicsStartRunOperator(task_id="task", deferrable=True, retries=0, **WAITING)

with DAG("unreachable", schedule=None):
    HealthOmicsStartRunOperator(task_id="task", aws_conn_id="unreachable", retries=0, **WAITING)

with DAG("missing_xcom", schedule=None):
    HealthOmicsStartRunOperator(
        task_id="task",
        parameters={"reads": "{{ ti.xcom_pull('nobody') }}"},
        retries=0,
        **WAITING,
    )
