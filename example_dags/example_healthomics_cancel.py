# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel a run, and delete its record."""

from __future__ import annotations

from airflow_healthomics.operators import HealthOmicsCancelRunOperator, HealthOmicsDeleteRunOperator

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

DOC = """
Cancels a run and waits until it has ended, then deletes its record. Its logs stay, and so do outputs that it
wrote before.
"""

with DAG(
    dag_id="example_healthomics_cancel",
    doc_md=DOC,
    schedule=None,
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "healthomics_run_id": Param(
            "1234567",
            type="string",
            pattern="^[0-9]{1,18}$",
            description="Id of the HealthOmics run, as the HealthOmics console shows it",
        ),
    },
) as dag:
    # [START cancel]
    cancel = HealthOmicsCancelRunOperator(
        task_id="cancel",
        run_id="{{ params.healthomics_run_id }}",
        wait_for_completion=True,
        deferrable=True,
    )

    HealthOmicsDeleteRunOperator(task_id="delete", run_id=cancel.output, wait_for_completion=True)
    # [END cancel]
