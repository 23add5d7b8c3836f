# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAGs of the smoke test; each run has a name, by which the test plans how it goes."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor

WORKFLOW_ID = "1234567"

with DAG("smoke_deferred", schedule=None):
    start = HealthOmicsStartRunOperator(
        task_id="start", workflow_id=WORKFLOW_ID, name="deferred", parameters={"sample": "NA12878"}
    )
    HealthOmicsRunSensor(task_id="wait", run_id=start.output, deferrable=True)

with DAG("smoke_failed", schedule=None):
    HealthOmicsStartRunOperator(
        task_id="run",
        workflow_id=WORKFLOW_ID,
        name="failed",
        parameters={"sample": "NA12878"},
        wait_for_completion=True,
        deferrable=True,
    )

with DAG("smoke_worker", schedule=None):
    HealthOmicsStartRunOperator(
        task_id="run",
        workflow_id=WORKFLOW_ID,
        name="operator",
        parameters={"sample": "NA12878"},
        wait_for_completion=True,
        deferrable=False,
    )

with DAG("smoke_poke", schedule=None):
    start = HealthOmicsStartRunOperator(
        task_id="start", workflow_id=WORKFLOW_ID, name="sensor", parameters={"sample": "NA12878"}
    )
    HealthOmicsRunSensor(task_id="wait", run_id=start.output, deferrable=False, do_xcom_push=False)

with DAG(
    "smoke_mapped",
    schedule=None,
    params={
        "cpus": Param(4, type="integer"),
        "ratio": Param(0.5, type="number"),
        "reads": Param([{"lane": 1, "paired": True}], type="array"),
        "barcode": Param("0042", type="string"),
    },
):
    HealthOmicsStartRunOperator.partial(task_id="start", workflow_id=WORKFLOW_ID, name="mapped").expand(
        parameters=[
            {"cpus": "{{ params.cpus }}", "label": "{{ params.cpus }} cores"},
            {"reads": "{{ params.reads }}", "ratio": "{{ params.ratio }}"},
            {"barcode": "{{ params.barcode }}", "nested": {"cpus": ["{{ params.cpus * 2 }}"]}},
        ]
    )
