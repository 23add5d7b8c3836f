# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAGs of the lineage tests."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor

#: Represents a patient's data, which must not be reported.
CANARY = "canary-patient-7"

READ_SET = "omics://123456789012.storage.us-east-1.amazonaws.com/1234567890/readSet/5678901234/source1"

PARAMETERS = {"sample": CANARY, "depth": 30, "reads": ["s3://reads/a_1.fastq.gz", READ_SET]}

WAITING: dict[str, Any] = {"wait_for_completion": True, "deferrable": True}

with DAG("lineage_new", schedule=None):
    HealthOmicsStartRunOperator(task_id="run", workflow_id="1", parameters=PARAMETERS, **WAITING)

with DAG("lineage_apart", schedule=None):
    start = HealthOmicsStartRunOperator(task_id="start", workflow_id="1", parameters=PARAMETERS)
    HealthOmicsRunSensor(task_id="wait", run_id=start.output, deferrable=True)

with DAG("lineage_duplicate", schedule=None):
    HealthOmicsStartRunOperator(task_id="run", run_id="{{ dag_run.conf['healthomics_run_id'] }}", **WAITING)

with DAG("lineage_failed", schedule=None):
    HealthOmicsStartRunOperator(
        task_id="run", name="failing", workflow_id="1", parameters=PARAMETERS, **WAITING
    )

with DAG("lineage_batch", schedule=None):
    HealthOmicsStartRunBatchOperator(
        task_id="run",
        workflow_id="1",
        parameters={"reference": "s3://references/hg38.fa"},
        sample_sheet="s3://system-tests/sheet.csv",
        columns={"run_setting_id": "sample", "parameters.sample": "sample", "parameters.reads": "reads"},
        settings_s3_uri="s3://system-tests/batches",
        **WAITING,
    )
