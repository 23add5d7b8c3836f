# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The DAGs of the crash tests: one for each point at which a task's process is killed, with Airflow's task state
store and without it.

The runs have the tag ``dag``, by which the test holds the calls of one of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.resources.base import StartRequest
from airflow_healthomics.resources.run import RunResource

POINTS = (
    "before_record",
    "before_start_lost",
    "before_start_late",
    "before_start_in_flight",
    "after_start",
    "before_run_id",
    "before_deferral",
    "after_resume",
)


#: Longer than a triggerer takes to die and be replaced, otherwise the test would prove nothing.
EXECUTION_TIMEOUT = timedelta(seconds=120)


class Runs(RunResource):
    """Runs, with a call after StartRun has answered that the test can hold."""

    def __init__(self, hook: HealthOmicsHook, log: Any, dag_id: str) -> None:
        super().__init__(hook, log)
        self.dag_id = dag_id

    def start(self, request: StartRequest) -> dict[str, Any]:
        """Start, then call."""
        run = super().start(request)
        self.hook.conn.list_runs(name=f"{self.dag_id} started")
        return run


class Task(HealthOmicsStartRunOperator):
    """Makes more calls, which the test can hold: when the run's id is on record, and after the resume."""

    @property
    def resource(self) -> RunResource:
        """Runs whose start is followed by a call."""
        return Runs(self.hook, self.log, self.dag_id)

    def publish(self, context: Any, started: Any) -> None:
        """Publish, then call."""
        super().publish(context, started)
        self._call("published")

    def finish(self, context: Any, summary: dict[str, Any]) -> str:
        """Call, then finish."""
        self._call("resumed")
        return super().finish(context, summary)

    def _call(self, point: str) -> None:
        self.hook.conn.list_runs(name=f"{self.dag_id} {point}")


class TaskWithoutStore(Task):
    """Has no task state store, as before Airflow 3.3."""

    def execute(self, context: Any) -> Any:
        """Take the store away, then execute."""
        context.pop("task_state_store")
        return super().execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Take the store away, then resume."""
        context.pop("task_state_store")
        return super().resume_execution(next_method, next_kwargs, context)


def make_dag(
    dag_id: str, operator: type[HealthOmicsStartRunOperator], *, retries: int = 2, **arguments: Any
) -> DAG:
    """Return a DAG of one task that starts a run and waits for it in the triggerer."""
    with DAG(dag_id, schedule=None) as dag:
        operator(
            task_id="run",
            tags={"dag": dag_id},
            wait_for_completion=True,
            deferrable=True,
            waiter_delay=1,
            retries=retries,
            retry_delay=timedelta(seconds=1),
            # Botocore must not repeat a held call.
            botocore_config={"read_timeout": 600},
            **arguments,
        )
    return dag


for point in POINTS:
    for suffix, operator, workflow_id in (("", Task, "1"), ("_without_store", TaskWithoutStore, "2")):
        dag_id = f"crash_{point}{suffix}"
        globals()[dag_id] = make_dag(
            dag_id, operator, workflow_id=workflow_id, validate_parameters=point == "before_record"
        )

for name in ("crash_triggerer", "crash_scheduler"):
    globals()[name] = make_dag(name, Task, workflow_id="3")

# The triggerer makes the start, without the calls of Task.
crash_start_in_triggerer = make_dag(
    "crash_start_in_triggerer", HealthOmicsStartRunOperator, retries=0, workflow_id="3"
)

crash_timeout = make_dag(
    "crash_timeout", Task, retries=0, workflow_id="3", execution_timeout=EXECUTION_TIMEOUT
)
