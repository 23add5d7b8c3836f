# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAGs of the retry tests; each has a workflow of its own, by which the test plans how its runs go."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

WORKFLOWS = {
    "retries_service_error": "1",
    "retries_user_error": "2",
    "retries_clear": "3",
    "retries_one": "4",
    "retries_other": "4",
    "retries_diagnosis": "5",
}

for dag_id, workflow_id in WORKFLOWS.items():
    with DAG(dag_id, schedule=None) as dag:
        HealthOmicsStartRunOperator(
            task_id="run",
            workflow_id=workflow_id,
            parameters={"sample": "NA12878"},
            wait_for_completion=True,
            deferrable=True,
            retries=0 if dag_id == "retries_diagnosis" else 2,
            retry_delay=timedelta(seconds=1),
        )
    globals()[dag_id] = dag
