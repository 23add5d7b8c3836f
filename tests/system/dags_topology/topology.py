# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAG of the topology test: mapped tasks that start a run and wait for it in a triggerer."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

TASKS = 60

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
