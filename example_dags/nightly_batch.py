# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A night's samples, from a sheet to one batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

DOC = """
Each night a run for each sample of the night's sheet, in one batch:

    sample,fastq_1,fastq_2,depth
    NA12878,s3://example-bucket/reads/NA12878_1.fastq.gz,s3://example-bucket/reads/NA12878_2.fastq.gz,30

One task starts the batch and waits for it in the triggerer, whether there are ten samples or ten thousand. A
retry repeats just the runs that did not complete, and 95 % of them are enough for the night.

`load` is mapped over the samples that completed: up to 100 of them, which XCom `successes` has. For more,
map over `success_parts`, S3 objects of up to 1,000 completed runs each. `nightly_mapped` has a task of its
own for each sample, and says when to use which.
"""

with DAG(
    dag_id="nightly_batch",
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
    },
) as dag:
    # [START batch]
    batch = HealthOmicsStartRunBatchOperator(
        task_id="batch",
        workflow_id="{{ params.workflow_id }}",
        sample_sheet="s3://example-bucket/sheets/{{ data_interval_end | ds }}.csv",
        columns={
            "run_setting_id": "sample",
            "parameters.sample_name": "sample",
            "parameters.fastq_1": "fastq_1",
            "parameters.fastq_2": "fastq_2",
            "parameters.min_depth": "depth",
        },
        types={"parameters.min_depth": "integer"},
        parameters={"reference": "GRCh38"},
        settings_s3_uri="s3://example-bucket/batches",
        success_policy="95%",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
    )
    # [END batch]

    # [START outputs]
    # Names of samples do not belong in logs.
    @task(show_return_value_in_logs=False)
    def samples(successes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Hand them over, as Airflow maps over the return value of a task only."""
        return successes

    @task
    def load(sample: dict[str, Any]) -> str:
        """Use the outputs of a sample."""
        print(f"Run {sample['runId']} has its outputs in {sample['runOutputUri']}/out")
        return f"{sample['runOutputUri']}/out"

    load.expand(sample=samples(batch.output["successes"]))
    # [END outputs]
