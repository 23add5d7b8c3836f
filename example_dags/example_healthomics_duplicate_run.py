# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Repeat a run, with all that it was started with."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Start a duplicate of a HealthOmics run and wait for it, in one task.

The duplicate inherits workflow, parameters, storage and the rest from the run it repeats; only what is given
here differs. StartRun requires `role_arn` and `output_uri` again, which come from the connection's extra.
"""

with DAG(
    dag_id="example_healthomics_duplicate_run",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "healthomics_run_id": Param(
            "1234567",
            type="string",
            pattern="^[0-9]{1,18}$",
            title="Run to repeat",
            description="Id of the HealthOmics run, as the HealthOmics console shows it",
        ),
    },
) as dag:
    # [START repeat]
    HealthOmicsStartRunOperator(
        task_id="repeat",
        run_id="{{ params.healthomics_run_id }}",
        tags={"repeats": "{{ params.healthomics_run_id }}"},
        wait_for_completion=True,
        deferrable=True,
    )
    # [END repeat]
