# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The DAG of benchmarks/waiting.py: a mapped task that defers for each run of the DAG run's conf."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

INTERVAL = float(os.environ["BENCH_INTERVAL"])


def _run_ids(**context: Any) -> list[str]:
    return list(context["dag_run"].conf["run_ids"])


with DAG("waiting", schedule=None):
    run_ids = PythonOperator(task_id="run_ids", python_callable=_run_ids)
    # Each side has a separate environment.
    if os.environ["BENCH_SIDE"] == "ours":
        from airflow_healthomics.sensors import HealthOmicsRunSensor

        HealthOmicsRunSensor.partial(task_id="wait", deferrable=True, poke_interval=INTERVAL).expand(
            run_id=run_ids.output
        )
    else:
        from benchmarks.peer import PeerRunOperator

        PeerRunOperator.partial(task_id="wait", waiter_delay=round(INTERVAL)).expand(run_id=run_ids.output)
