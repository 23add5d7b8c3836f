# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAGs of the topology tests: mapped tasks that start a run and wait for it in a triggerer."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

TASKS = 60
STORM = 40

with DAG("topology", schedule=None, max_active_tasks=TASKS):
    HealthOmicsStartRunOperator.partial(
        task_id="run",
        workflow_id="1",
        wait_for_completion=True,
        deferrable=True,
        # More than the kills that can hit one task.
        retries=20,
        retry_delay=timedelta(seconds=1),
    ).expand(tags=[{"sample": str(number)} for number in range(TASKS)])

with DAG("storm", schedule=None, max_active_tasks=STORM):
    HealthOmicsStartRunOperator.partial(
        task_id="run",
        workflow_id="1",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
        retry_delay=timedelta(seconds=5),
    ).expand(tags=[{"sample": f"storm-{number}"} for number in range(STORM)])
