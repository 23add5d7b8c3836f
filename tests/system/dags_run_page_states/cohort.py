# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A DAG run with a run or batch in each state that the page shows, as planned by page_runs.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator

#: For a worker that a busy machine cannot launch in time. A failed run is not repeated.
RETRIES: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1)}

#: On the worker, which is no slower, and nothing is lost when a run ends soon (apache/airflow#67287).
ENDED: dict[str, Any] = {"wait_for_completion": True, "deferrable": False, **RETRIES}
#: A cancelled run is not replaced before the test has seen it.
ACTIVE: dict[str, Any] = {
    "wait_for_completion": True,
    "deferrable": True,
    **RETRIES,
    "retry_delay": timedelta(minutes=2),
}
NOT_AWAITED: dict[str, Any] = {"wait_for_completion": False, **RETRIES}

with DAG("cohort", schedule=None):
    HealthOmicsStartRunOperator(task_id="call_variants", workflow_id="1111111", name="tumor-normal", **ENDED)
    HealthOmicsStartRunOperator(task_id="quantify", workflow_id="2222222", name="blood-panel", **ENDED)
    HealthOmicsStartRunOperator(task_id="germline", workflow_id="3333333", name="NA12878", **ACTIVE)
    HealthOmicsStartRunBatchOperator(
        task_id="germline_batch",
        workflow_id="3333333",
        batch_name="november",
        run_settings=[{"run_setting_id": f"sample-{number:02}"} for number in range(1, 61)],
        success_policy="90%",
        **ACTIVE,
    )
    HealthOmicsStartRunOperator(task_id="annotate", workflow_id="4444444", name="trio", **NOT_AWAITED)
    HealthOmicsStartRunOperator(task_id="joint_call", workflow_id="5555555", name="trio", **NOT_AWAITED)

with DAG("no_run", schedule=None):

    @task
    def nothing() -> None:
        """Has no run."""

    nothing()
