# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAGs of the tests in a browser: the example with a form, and what its run cannot show."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator

EXAMPLES = Path(__file__).parents[3] / "example_dags"

form = runpy.run_path(str(EXAMPLES / "example_healthomics_trigger_form.py"))["dag"]

#: On the worker, which is no slower, and nothing is lost when a run ends soon (apache/airflow#67287).
WAITING: dict[str, Any] = {
    "workflow_id": "7654321",
    "wait_for_completion": True,
    "deferrable": False,
    "retries": 0,
}

with DAG("page_failed", schedule=None):
    HealthOmicsStartRunOperator(task_id="run", name="failed", parameters={"sample": "NA12878"}, **WAITING)

with DAG("page_large", schedule=None):
    HealthOmicsStartRunOperator(task_id="run", name="large", **WAITING | {"deferrable": True})

with DAG("page_batch", schedule=None):
    HealthOmicsStartRunBatchOperator(
        task_id="batch",
        run_settings=[{"run_setting_id": f"sample-{number}"} for number in range(20)],
        **WAITING,
    )
