# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""From reads to a report: register a workflow, run it on each sample of a sheet, and use the results."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_healthomics.operators import (
    HealthOmicsCreateRunCacheOperator,
    HealthOmicsCreateRunGroupOperator,
    HealthOmicsDeleteRunsOperator,
    HealthOmicsRegisterWorkflowOperator,
    HealthOmicsStartRunBatchOperator,
)

try:
    from airflow.sdk import DAG, Param, task
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.decorators import task
    from airflow.models.param import Param

DOC = """
Registers the WDL workflow beside this file, unless its content is registered already, and starts a run for
each sample of a CSV sheet:

    sample,fastq_1,fastq_2
    sample-1,s3://example-bucket/reads/sample-1_1.fastq.gz,s3://example-bucket/reads/sample-1_2.fastq.gz

Then it counts the variants of each sample, writes a report to S3, and deletes the records of old runs, unless
`dry_run` is set. The role of the runs comes from the connection's extra.
"""

#: A path on the worker, which parses this file, too.
WORKFLOW = Path(__file__).parent / "workflows" / "germline"

with DAG(
    dag_id="example_healthomics_pipeline",
    doc_md=DOC,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["healthomics", "example"],
    params={
        "sample_sheet": Param(
            "s3://example-bucket/sheets/samples.csv", type="string", description="URI of the sample sheet"
        ),
        "reference": Param(
            "s3://example-bucket/references/tiny.fasta", type="string", description="URI of the genome"
        ),
        "outputs": Param(
            "s3://example-bucket/germline", type="string", description="S3 URI for outputs, cache and report"
        ),
        "image": Param(
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/python:3.12",
            type="string",
            description="Amazon ECR image with Python",
        ),
        "workflow": Param(
            None,
            type=["null", "string"],
            description="Folder or zip file of the workflow; by default the folder beside the DAG",
        ),
        "older_than_days": Param(90, type="integer", minimum=1, description="Days since the end of a run"),
        "dry_run": Param(True, type="boolean", description="Whether to delete no records of runs"),
    },
) as dag:
    # [START prepare]
    register = HealthOmicsRegisterWorkflowOperator(
        task_id="register",
        source=f"{{{{ params.workflow or '{WORKFLOW}' }}}}",
        name="germline",
        deferrable=True,
    )
    group = HealthOmicsCreateRunGroupOperator(task_id="run_group", name="germline", max_runs=10)
    cache = HealthOmicsCreateRunCacheOperator(
        task_id="run_cache", name="germline", cache_s3_location="{{ params.outputs }}/cache"
    )
    # [END prepare]

    # [START batch]
    batch = HealthOmicsStartRunBatchOperator(
        task_id="batch",
        workflow_id=register.output["workflowId"],
        workflow_version_name=register.output["versionName"],
        sample_sheet="{{ params.sample_sheet }}",
        columns={
            "run_setting_id": "sample",
            "parameters.sample_name": "sample",
            "parameters.fastq_1": "fastq_1",
            "parameters.fastq_2": "fastq_2",
        },
        parameters={"reference": "{{ params.reference }}", "image": "{{ params.image }}"},
        output_uri="{{ params.outputs }}",
        settings_s3_uri="{{ params.outputs }}/batches",
        run_group_id=group.output,
        cache_id=cache.output,
        success_policy="90%",
        wait_for_completion=True,
        deferrable=True,
        retries=2,
        retry_delay=timedelta(minutes=10),
    )
    # [END batch]

    # [START count]
    # Airflow maps over the return value of a task only. Names of samples do not belong in logs.
    @task(show_return_value_in_logs=False)
    def completed_runs(successes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return successes

    @task(show_return_value_in_logs=False)
    def count_variants(run: dict[str, Any]) -> list[str | int]:
        """Return a row of the report."""
        sample = run["runSettingId"]
        vcf = S3Hook().read_key(f"{run['runOutputUri']}/out/vcf/{sample}.vcf")
        genotypes = [line.split("\t")[9][:3] for line in vcf.splitlines() if not line.startswith("#")]
        return [sample, run["runId"], len(genotypes), genotypes.count("0/1")]

    rows = count_variants.expand(run=completed_runs(batch.output["successes"]))
    # [END count]

    # [START report]
    @task
    def write_report(rows: Iterable[list[str | int]], outputs: str, batch_id: str) -> str:
        """Write a table of the samples beside their outputs, and return its URI."""
        table = io.StringIO()
        csv.writer(table).writerows([("sample", "run", "variants", "heterozygous"), *rows])
        uri = f"{outputs}/reports/{batch_id}.csv"
        S3Hook().load_string(table.getvalue(), uri, replace=True)
        return uri

    report = write_report(rows, "{{ params.outputs }}", batch.output)
    # [END report]

    # [START clean_up]
    report >> HealthOmicsDeleteRunsOperator(
        task_id="clean_up",
        run_group_id=group.output,
        older_than_days="{{ params.older_than_days }}",
        is_dry_run="{{ params.dry_run }}",
    )
    # [END clean_up]
