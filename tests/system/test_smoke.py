# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A smoke test in a real Airflow: scheduler, workers, triggerer and API server in processes of their own.

All DAG runs are triggered up front, so that they share their waiting. A run whose wait is observed stays
RUNNING until the test has seen enough.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287): a
#: run ends no sooner than this after its task was seen deferred.
STOPPING_SECONDS = 12

LINKS = {"HealthOmics Run", "HealthOmics Run Log", "HealthOmics Engine Log", "HealthOmics Outputs"}

HELD = {"PENDING": 0, "STARTING": 0, "RUNNING": None, "STOPPING": 0}

STATUS_MESSAGE = "The task align of the run ran out of memory"


@pytest.fixture(scope="module")
def dag_runs(server: HealthOmicsServer, airflow: LocalAirflow) -> dict[str, str]:
    """Plan the HealthOmics runs, trigger every DAG, and return the id of each DAG run."""
    plan = server.control.plan_run
    plan(name="deferred", seconds=HELD | {"STOPPING": STOPPING_SECONDS})
    plan(name="operator", seconds=HELD)
    plan(name="sensor", seconds=HELD)
    plan(
        name="failed",
        status="FAILED",
        failure_reason="OUT_OF_MEMORY_ERROR",
        status_message=STATUS_MESSAGE,
        seconds={"PENDING": 2, "STARTING": 2, "RUNNING": 8, "STOPPING": STOPPING_SECONDS},
    )
    names = ("smoke_deferred", "smoke_failed", "smoke_worker", "smoke_poke", "smoke_mapped")
    return {dag_id: airflow.trigger_dag(dag_id) for dag_id in names}


def let_end(server: HealthOmicsServer, name: str) -> None:
    """Complete the held run with a name."""
    run = next(run for run in server.control.runs() if run["name"] == name)
    server.control.advance("STOPPING", run_id=run["id"])


def test_a_sensor_waits_in_the_triggerer(
    airflow: LocalAirflow, server: HealthOmicsServer, dag_runs: dict[str, str]
) -> None:
    """The run is awaited without a worker, its links exist meanwhile, and its summary is published."""
    of_task = ("smoke_deferred", dag_runs["smoke_deferred"], "wait")
    airflow.wait_for_task_state(*of_task, "deferred")
    links = airflow.wait_for_links(*of_task)
    state = airflow.task_instance(*of_task)["state"]
    let_end(server, "deferred")

    assert airflow.wait_for_dag_run(*of_task[:2]) == "success"

    run = airflow.xcom(*of_task[:2], "start", "run")
    summary = airflow.xcom(*of_task)
    assert state == "deferred"
    assert links.keys() == LINKS
    assert all(run["id"] in url for url in links.values())
    assert run.keys() == {"id", "arn", "uuid", "runOutputUri", "requestId"}
    assert run["requestId"].startswith(dag_runs["smoke_deferred"])
    assert airflow.xcom(*of_task[:2], "start") == run["id"]
    assert summary["status"] == "COMPLETED"
    assert {key: summary[key] for key in ("id", "arn", "uuid", "runOutputUri")} == {
        key: run[key] for key in ("id", "arn", "uuid", "runOutputUri")
    }


@pytest.mark.parametrize(
    ("dag_id", "task_id", "name"), [("smoke_worker", "run", "operator"), ("smoke_poke", "wait", "sensor")]
)
def test_links_exist_while_a_worker_waits(
    airflow: LocalAirflow,
    server: HealthOmicsServer,
    dag_runs: dict[str, str],
    dag_id: str,
    task_id: str,
    name: str,
) -> None:
    """The links of a task that waits on its worker exist before its end, even without XComs."""
    of_task = (dag_id, dag_runs[dag_id], task_id)
    airflow.wait_for_task_state(*of_task, "running")
    links = airflow.wait_for_links(*of_task)
    state = airflow.task_instance(*of_task)["state"]
    let_end(server, name)

    assert airflow.wait_for_dag_run(dag_id, dag_runs[dag_id]) == "success"
    assert state == "running"
    assert links.keys() == LINKS


def test_a_failed_run_says_why(airflow: LocalAirflow, dag_runs: dict[str, str]) -> None:
    """The task's log has HealthOmics' reason, in its own words."""
    of_task = ("smoke_failed", dag_runs["smoke_failed"], "run")

    assert airflow.wait_for_dag_run(*of_task[:2]) == "failed"

    log = airflow.task_log(*of_task)
    assert "OUT_OF_MEMORY_ERROR" in log
    assert STATUS_MESSAGE in log
    assert airflow.xcom(*of_task, "summary")["failureReason"] == "OUT_OF_MEMORY_ERROR"


def test_a_change_of_state_is_in_the_tasks_own_log(airflow: LocalAirflow, dag_runs: dict[str, str]) -> None:
    """Although one poller polls all runs, each task's log has its own run, and its end once."""
    for dag_id, task_id, end in (("smoke_deferred", "wait", "COMPLETED"), ("smoke_failed", "run", "FAILED")):
        airflow.wait_for_dag_run(dag_id, dag_runs[dag_id])
        log = airflow.task_log(dag_id, dag_runs[dag_id], task_id)
        changes = re.findall(r"HealthOmics run (\d+) is ([A-Z]+)", log)
        assert len({run_id for run_id, _ in changes}) == 1, changes
        assert [status for _, status in changes].count(end) == 1, changes


def test_mapped_starts_send_typed_parameters(
    airflow: LocalAirflow, omics: Any, dag_runs: dict[str, str]
) -> None:
    """Each set of parameters has a run, and templates arrive as their values."""
    dag_run = ("smoke_mapped", dag_runs["smoke_mapped"])

    assert airflow.wait_for_dag_run(*dag_run) == "success"

    run_ids = [airflow.xcom(*dag_run, "start", map_index=index) for index in range(3)]
    assert [omics.get_run(id=run_id)["parameters"] for run_id in run_ids] == [
        {"cpus": 4, "label": "4 cores"},
        {"reads": [{"lane": 1, "paired": True}], "ratio": 0.5},
        {"barcode": "0042", "nested": {"cpus": [8]}},
    ]


def test_airflow_knows_the_provider(airflow: LocalAirflow) -> None:
    """Airflow lists the provider and its links."""
    providers = airflow.get("providers", limit=100)["providers"]
    links = json.loads(airflow.run_cli("providers", "links", "--output", "json"))

    assert "airflow-provider-healthomics" in {provider["package_name"] for provider in providers}
    assert {
        "airflow_healthomics.links.HealthOmicsRunLink",
        "airflow_healthomics.links.HealthOmicsRunLogLink",
        "airflow_healthomics.links.HealthOmicsEngineLogLink",
        "airflow_healthomics.links.HealthOmicsOutputsLink",
    } <= {link["extra_link_class_name"] for link in links}
