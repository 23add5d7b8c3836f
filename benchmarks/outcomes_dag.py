# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The DAG of benchmarks/outcomes.py. As a script, it runs the DAG and prints measurements as JSON.

A process of the task holds a worker slot from its first to its last statement.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from airflow.sdk import DAG

from airflow_healthomics.batches import output_uris
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator
from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger

#: Seconds between two measurements of the event loop's delay.
_HEARTBEAT: Final = 0.02

#: Beginning and end of each process of the task.
processes: list[tuple[float, float]] = []

#: Times of the event loop of the triggerer, and its delay at each in seconds.
delays: list[tuple[float, float]] = []

if os.environ["BENCH_SIDE"] == "before":
    # GetRun for each run, on a worker.
    output_uris.MAX_READ = sys.maxsize  # type: ignore[misc]
    HealthOmicsStartRunBatchOperator._has_report_in_trigger = False  # type: ignore[method-assign,assignment]


@contextmanager
def process() -> Iterator[None]:
    """Measure a process of the task."""
    began = time.time()
    try:
        yield
    finally:
        processes.append((began, time.time()))


class MeasuredOperator(HealthOmicsStartRunBatchOperator):
    """The operator, with measured processes."""

    def start(self, *args: Any, **kwargs: Any) -> Any:
        """Start the batch."""
        with process():
            return super().start(*args, **kwargs)

    def resume_execution(self, *args: Any, **kwargs: Any) -> Any:
        """Resume after the deferral."""
        with process():
            return super().resume_execution(*args, **kwargs)


async def _beat() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _HEARTBEAT
        await asyncio.sleep(_HEARTBEAT)
        delays.append((time.time(), loop.time() - due))


async def _measured_event(trigger: Any) -> dict[str, Any]:
    beating = asyncio.create_task(_beat())
    try:
        return await _event(trigger)
    finally:
        beating.cancel()


_event: Final = HealthOmicsRunBatchTrigger.event

with DAG("outcomes", schedule=None) as dag:
    MeasuredOperator(
        task_id="run",
        workflow_id="1",
        role_arn="arn:aws:iam::123456789012:role/omics",
        output_uri="s3://benchmark/outputs",
        sample_sheet=os.environ["BENCH_SHEET"],
        columns={"run_setting_id": "sample"},
        settings_s3_uri="s3://benchmark/batches",
        wait_for_completion=True,
        deferrable=True,
        waiter_delay=5,
    )

if __name__ == "__main__":
    HealthOmicsRunBatchTrigger.event = _measured_event  # type: ignore[method-assign,assignment]
    state = dag.test().state
    print(json.dumps({"state": state, "processes": processes, "delays": delays}))
