# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The DAGs of the batch tests: a batch from a sheet, the same samples by mapped single runs, and one for each
point at which a task's process is killed.
"""

from __future__ import annotations

import os
import resource
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_healthomics.batches.sample_sheet import read_sample_sheet
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.resources.base import StartRequest
from airflow_healthomics.resources.batch import BatchResource

COLUMNS = {
    "run_setting_id": "sample",
    "parameters.sample_name": "sample",
    "parameters.fastq_1": "fastq_1",
    "parameters.fastq_2": "fastq_2",
    "parameters.min_depth": "depth",
}
TYPES = {"parameters.min_depth": "integer"}

BUCKET_URI = "s3://system-tests"

#: With Airflow's task state store, and without it.
POINTS = (
    "before_write",
    "before_start_lost",
    "before_start_late",
    "before_start_in_flight",
    "after_start",
    "before_batch_id",
    "before_deferral",
    "after_resume",
)

WAITING: dict[str, Any] = {
    "wait_for_completion": True,
    "deferrable": True,
    "waiter_delay": 1,
    "retry_delay": timedelta(seconds=1),
}


class MeasuredTask(HealthOmicsStartRunBatchOperator):
    """Notes the peak memory of each of its processes."""

    def execute(self, context: Any) -> Any:
        """Submit, and note."""
        try:
            return super().execute(context)
        finally:
            self._note(context, "submit")

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> Any:
        """Finish, and note."""
        try:
            return super().execute_complete(context, event)
        finally:
            self._note(context, "finish")

    def _note(self, context: Any, leg: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with (Path(os.environ["AIRFLOW_HOME"]) / f"peaks-{context['dag_run'].run_id}").open("a") as file:
            file.write(f"{context['ti'].try_number} {leg} {peak}\n")


class Batches(BatchResource):
    """Batches, with a call before and after StartRunBatch that the test can hold."""

    def __init__(self, hook: HealthOmicsHook, log: Any, verdict: Any, dag_id: str) -> None:
        super().__init__(hook, log, verdict)
        self.dag_id = dag_id

    def start(self, request: StartRequest) -> dict[str, Any]:
        """Call, start and call."""
        self._call("sending")
        batch = super().start(request)
        self._call("started")
        return batch

    def _call(self, point: str) -> None:
        self.hook.conn.list_batch(name=f"{self.dag_id} {point}")


class CrashingTask(HealthOmicsStartRunBatchOperator):
    """Makes more calls, which the test can hold."""

    @property
    def resource(self) -> BatchResource:
        """Batches whose start is between two calls."""
        return Batches(self.hook, self.log, self._verdict, self.dag_id)

    def publish(self, context: Any, started: Any) -> None:
        """Publish, then call."""
        super().publish(context, started)
        self._call("published")

    def finish(self, context: Any, summary: dict[str, Any]) -> str:
        """Call, then finish."""
        self._call("resumed")
        return super().finish(context, summary)

    def _call(self, point: str) -> None:
        self.hook.conn.list_batch(name=f"{self.dag_id} {point}")


class CrashingTaskWithoutStore(CrashingTask):
    """Has no task state store, as before Airflow 3.3."""

    def execute(self, context: Any) -> Any:
        """Take the store away, then execute."""
        context.pop("task_state_store")
        return super().execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Take the store away, then resume."""
        context.pop("task_state_store")
        return super().resume_execution(next_method, next_kwargs, context)


with DAG("batch", schedule=None):
    MeasuredTask(
        task_id="run",
        workflow_id="1",
        sample_sheet="{{ dag_run.conf['sheet'] }}",
        columns=COLUMNS,
        types=TYPES,
        settings_s3_uri=f"{BUCKET_URI}/batches",
        retries=1,
        **WAITING,
    )

with DAG("mapped", schedule=None, max_active_tasks=64):

    @task
    def parameters_of_samples(sheet: str) -> list[dict[str, Any]]:
        """Read the sheet."""
        settings = read_sample_sheet(sheet, columns=COLUMNS, types=TYPES)
        return [setting["parameters"] for setting in settings]

    HealthOmicsStartRunOperator.partial(task_id="run", workflow_id="1", retries=1, **WAITING).expand(
        parameters=parameters_of_samples("{{ dag_run.conf['sheet'] }}")
    )


def make_crash_dag(dag_id: str, operator: type[HealthOmicsStartRunBatchOperator]) -> DAG:
    """Return a DAG of one task whose settings stand in S3, and which waits in the triggerer."""
    with DAG(dag_id, schedule=None) as dag:
        operator(
            task_id="run",
            workflow_id="2",
            # More settings than a request may have.
            run_settings=[{"run_setting_id": f"s{number}"} for number in range(101)],
            settings_s3_uri=f"{BUCKET_URI}/crashes",
            tags={"dag": dag_id},
            output_uris=False,
            retries=2,
            # Botocore must not repeat a held call.
            botocore_config={"read_timeout": 600},
            **WAITING,
        )
    return dag


for point in POINTS:
    for suffix, operator in (("", CrashingTask), ("_without_store", CrashingTaskWithoutStore)):
        dag_id = f"crash_{point}{suffix}"
        globals()[dag_id] = make_crash_dag(dag_id, operator)
