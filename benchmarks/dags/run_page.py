# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAG of benchmarks/run_page.py: many runs by each of two connections, and a large one."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_healthomics.operators import HealthOmicsStartRunOperator

RUNS = int(os.environ["BENCH_RUNS"])

with DAG("run_page", schedule=None):
    for connection in ("quick", "slow"):
        HealthOmicsStartRunOperator.partial(
            task_id=connection, workflow_id="1234567", aws_conn_id=connection
        ).expand(name=[f"run-{number}" for number in range(RUNS)])
    HealthOmicsStartRunOperator(task_id="large", workflow_id="1234567", aws_conn_id="quick", name="large")
