# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""When a task starts a new run, and its report about a failed one."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

pytestmark = pytest.mark.slow

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
SECONDS = {"RUNNING": 12}

#: Seconds; the machine may be slow.
LIMIT = 600

#: Two DAGs have equal DAG-run IDs.
DAG_RUN_ID = "manual__2026-11-22T00:00:00+00:00"

NAMES = (
    "retries_service_error",
    "retries_user_error",
    "retries_clear",
    "retries_one",
    "retries_other",
    "retries_diagnosis",
)


@pytest.fixture(scope="module")
def dag_runs(server: HealthOmicsServer, airflow: LocalAirflow) -> dict[str, tuple[str, str]]:
    """Plan the HealthOmics runs, trigger every DAG, and return the ids of each one and of its DAG run."""
    plan = server.control.plan_run
    plan(workflow_id="1", status="FAILED", failure_reason="SERVICE_ERROR", seconds=SECONDS)
    plan(workflow_id="2", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND", seconds=SECONDS)
    plan(
        workflow_id="5",
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        status_message="1 task failed",
        tasks=[
            {"name": "align"},
            {
                "name": "call-variants",
                "failure_reason": "OUT_OF_MEMORY_ERROR",
                "status_message": "The container was killed",
                "log": ["reading chr20", "java.lang.OutOfMemoryError: Java heap space"],
            },
        ],
        seconds=SECONDS,
    )
    server.control.set_options(running_seconds=SECONDS["RUNNING"])
    return {
        name: (
            name,
            airflow.trigger_dag(
                name, run_id=DAG_RUN_ID if name in ("retries_one", "retries_other") else f"manual__{name}"
            ),
        )
        for name in NAMES
    }


def runs_of(server: HealthOmicsServer, workflow_id: str) -> list[dict[str, Any]]:
    """Return the runs of a workflow, in the order of their start."""
    return [run for run in server.control.runs() if run["workflowId"] == workflow_id]


def test_a_fault_of_the_service_is_retried_with_a_new_run(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_runs: dict[str, tuple[str, str]]
) -> None:
    """A run that failed with SERVICE_ERROR is followed by another one, with its own request ID."""
    dag_run = dag_runs["retries_service_error"]

    assert airflow.wait_for_dag_run(*dag_run, limit=LIMIT) == "success"

    failed, completed = runs_of(server, "1")
    assert (failed["status"], completed["status"]) == ("FAILED", "COMPLETED")
    assert failed["requestId"] != completed["requestId"]
    assert airflow.xcom(*dag_run, "run", "run")["id"] == completed["id"]


def test_a_failure_of_the_input_is_not_retried(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_runs: dict[str, tuple[str, str]]
) -> None:
    """A run that failed with INPUT_URI_NOT_FOUND is the task's last, although Airflow has retries left."""
    dag_run = dag_runs["retries_user_error"]

    assert airflow.wait_for_dag_run(*dag_run, limit=LIMIT) == "failed"

    assert [run["status"] for run in runs_of(server, "2")] == ["FAILED"]
    task = airflow.task_instance(*dag_run, "run")
    assert task["max_tries"] == 2


def test_a_cleared_success_runs_again(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_runs: dict[str, tuple[str, str]]
) -> None:
    """Clear means "run it again": a task that has succeeded starts a new run."""
    dag_run = dag_runs["retries_clear"]
    assert airflow.wait_for_dag_run(*dag_run, limit=LIMIT) == "success"
    assert len(runs_of(server, "3")) == 1

    airflow.clear_task(*dag_run, "run")

    assert airflow.wait_for_dag_run(*dag_run, limit=LIMIT) == "success"
    first, second = runs_of(server, "3")
    assert (first["status"], second["status"]) == ("COMPLETED", "COMPLETED")
    assert first["requestId"] != second["requestId"]
    assert airflow.xcom(*dag_run, "run", "run")["id"] == second["id"]


def test_equal_dag_run_ids_share_nothing(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_runs: dict[str, tuple[str, str]]
) -> None:
    """Two DAGs whose DAG runs have the same id have a run each."""
    ids = set()
    for name in ("retries_one", "retries_other"):
        assert airflow.wait_for_dag_run(*dag_runs[name], limit=LIMIT) == "success"
        ids.add(airflow.xcom(*dag_runs[name], "run", "run")["id"])

    runs = runs_of(server, "4")
    assert ids == {run["id"] for run in runs}
    assert len(ids) == len({run["requestId"] for run in runs}) == 2


def test_a_failure_says_why(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_runs: dict[str, tuple[str, str]]
) -> None:
    """The task's log has the reason, the failed task, the last lines of its log and the next step."""
    dag_run = dag_runs["retries_diagnosis"]

    assert airflow.wait_for_dag_run(*dag_run, limit=LIMIT) == "failed"

    log = airflow.task_log(*dag_run, "run")
    for text in (
        runs_of(server, "5")[0]["id"],
        "RUN_TASK_FAILED",
        "1 task failed",
        "call-variants",
        "OUT_OF_MEMORY_ERROR",
        "The container was killed",
        "java.lang.OutOfMemoryError: Java heap space",
        "Give the task more memory in the workflow definition.",
    ):
        assert text in log
    assert "NA12878" not in log
