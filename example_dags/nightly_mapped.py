# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A night's samples, from a sheet to a task for each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_healthomics.batches.sample_sheet import read_sample_sheet
from airflow_healthomics.operators import HealthOmicsStartRunOperator

try:
    from airflow.sdk import DAG, Param, task, task_group
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task, task_group
    from airflow.models.param import Param

DOC = """
Each night a run for each sample of the night's sheet, as in `nightly_batch`, but with tasks of its own for
each sample. The run group limits how many run at once.

When to use which:

- **`nightly_batch`** has one task for up to 100,000 runs: one call starts them all, and the metadata database
  gets a few rows. What failed is repeated together, once the last run has ended, and only then comes what is
  to follow. The runs are of one private workflow.
- **`nightly_mapped`** has tasks for each sample: each is seen, cleared and repeated by itself, its log says
  why its run failed, and what follows begins when its own run has ended. The runs may be of any workflow.
  Each costs a StartRun call, of which an account has one a second by default, some rows in the metadata
  database and two launches on a worker; Airflow maps over 1,024 samples at most (`[core] max_map_length`).

So take the batch, unless samples are to be handled one by one, and are hundreds at most.
"""

with DAG(
    dag_id="nightly_mapped",
    doc_md=DOC,
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=True,
    tags=["healthomics", "example"],
    params={
        "workflow_id": Param(
            "1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of the workflow"
        ),
        "run_group_id": Param(
            "1234567", type="string", pattern="^[0-9]{1,18}$", description="Id of the run group"
        ),
    },
) as dag:
    # [START sheet]
    # Parameters do not belong in logs.
    @task(show_return_value_in_logs=False)
    def parameters_of_samples(sheet: str) -> list[dict[str, Any]]:
        """Read the sheet, a row for each sample."""
        settings = read_sample_sheet(
            sheet,
            columns={
                "run_setting_id": "sample",
                "parameters.sample_name": "sample",
                "parameters.fastq_1": "fastq_1",
                "parameters.fastq_2": "fastq_2",
                "parameters.min_depth": "depth",
            },
            types={"parameters.min_depth": "integer"},
        )
        return [{"reference": "GRCh38", **setting["parameters"]} for setting in settings]

    # [END sheet]

    @task
    def load(run: dict[str, Any]) -> str:
        """Use the outputs of a sample."""
        print(f"Run {run['id']} has its outputs in {run['runOutputUri']}/out")
        return f"{run['runOutputUri']}/out"

    # [START samples]
    @task_group
    def sample(parameters: dict[str, Any]) -> None:
        """Go all the way for one sample, whatever becomes of the others."""
        align = HealthOmicsStartRunOperator(
            task_id="align",
            workflow_id="{{ params.workflow_id }}",
            run_group_id="{{ params.run_group_id }}",
            parameters=parameters,
            wait_for_completion=True,
            deferrable=True,
            retries=2,
            retry_delay=timedelta(minutes=10),
        )
        load(align.output["summary"])

    sample.expand(
        parameters=parameters_of_samples("s3://example-bucket/sheets/{{ data_interval_end | ds }}.csv")
    )
    # [END samples]
