# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Expired credentials, an unreachable AWS and missing values, in a real Airflow."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_healthomics.publishing.resource import DELAY_KEY
from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

from .conftest import CONNECTION
from .dags_outages.outages import TASKS
from .killed import LIMIT

pytestmark = pytest.mark.slow

#: Seconds of the time limit for refused waits here, and of the refused credentials.
PATIENCE = 60
OUTAGE = 30

#: A port without a listener.
UNREACHABLE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Shorten the time limit, and add a connection to an unreachable endpoint."""
    omics = {**CONNECTION["extra"]["service_config"]["omics"], "endpoint_url": UNREACHABLE}
    extra = {"endpoint_url": UNREACHABLE, "service_config": {"omics": omics}}
    return {
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__HEALTHOMICS__REFUSAL_PATIENCE": str(PATIENCE),
        "AIRFLOW_CONN_UNREACHABLE": json.dumps({**CONNECTION, "extra": extra}),
    }


@pytest.fixture(scope="module", autouse=True)
def _long_runs(server: HealthOmicsServer) -> None:
    server.control.set_options(running_seconds=1e6)


def refuse(server: HealthOmicsServer) -> None:
    """Refuse all credentials from now on."""
    for operation in ("GetRun", "ListRuns", "StartRun"):
        server.control.inject_error(operation, "ExpiredTokenException", status=403, times=None)


def runs_of(server: HealthOmicsServer, dag_run_id: str) -> list[dict[str, Any]]:
    """Return the runs that a DAG run has started."""
    return [run for run in server.control.runs() if run["requestId"].startswith(f"{dag_run_id}.")]


def test_expired_credentials_fail_no_task(airflow: LocalAirflow, server: HealthOmicsServer) -> None:
    """Each wait continues once they are renewed: no task has failed, and none has started a second run."""
    control = server.control
    dag_run_id = airflow.trigger_dag("credentials_expire", run_id="manual__credentials_expire")

    def are_waiting() -> bool:
        tasks = airflow.task_instances("credentials_expire", dag_run_id)
        return len(tasks) == TASKS and {task["state"] for task in tasks} == {"deferred"}

    airflow.wait_until(are_waiting, "all tasks wait", LIMIT)
    refuse(server)
    refused = time.monotonic()
    airflow.wait_until(lambda: time.monotonic() > refused + OUTAGE, "the outage is over", LIMIT)
    for run in runs_of(server, dag_run_id):
        control.advance("COMPLETED", run_id=run["id"])
    control.clear_faults()

    assert airflow.wait_for_dag_run("credentials_expire", dag_run_id, limit=LIMIT) == "success"
    tasks = airflow.task_instances("credentials_expire", dag_run_id)
    assert {(task["state"], task["try_number"]) for task in tasks} == {("success", 1)}
    assert [run["status"] for run in runs_of(server, dag_run_id)] == ["COMPLETED"] * TASKS


def test_a_clear_after_the_time_limit_starts_no_second_run(
    airflow: LocalAirflow, server: HealthOmicsServer
) -> None:
    """The failed attempt has recorded that the end of the run is unknown."""
    control = server.control
    dag_id, dag_run_id = "credentials_stay_away", "manual__credentials_stay_away"
    airflow.trigger_dag(dag_id, run_id=dag_run_id)
    airflow.wait_for_task_state(dag_id, dag_run_id, "task", "deferred", limit=LIMIT)
    refuse(server)
    airflow.wait_for_task_state(dag_id, dag_run_id, "task", "failed", limit=LIMIT)
    log = airflow.task_log(dag_id, dag_run_id, "task")
    (run,) = runs_of(server, dag_run_id)
    assert "ExpiredTokenException" in log
    assert run["id"] in log
    control.clear_faults()
    control.advance("COMPLETED", run_id=run["id"])
    # Until then the scheduler may set the state of the DAG run that a Clear has just reset.
    airflow.wait_for_dag_run(dag_id, dag_run_id, limit=LIMIT)

    airflow.clear_task(dag_id, dag_run_id, "task")
    airflow.wait_for_task_state(dag_id, dag_run_id, "task", "success", limit=LIMIT)
    assert len(runs_of(server, dag_run_id)) == 1


def test_an_unreachable_start_is_delayed(airflow: LocalAirflow) -> None:
    """It waits in the triggerer, and the task shows its beginning, the reason and the next attempt."""
    dag_run_id = airflow.trigger_dag("unreachable", run_id="manual__unreachable")
    airflow.wait_for_task_state("unreachable", dag_run_id, "task", "deferred", limit=LIMIT)
    delay = airflow.xcom("unreachable", dag_run_id, "task", DELAY_KEY)
    assert delay["reason"] == "EndpointConnectionError"
    assert delay["since"] < delay["nextAttempt"]
    airflow.mark_task("unreachable", dag_run_id, "task", "failed")


def test_a_missing_xcom_sends_nothing(airflow: LocalAirflow, server: HealthOmicsServer) -> None:
    """The error names the parameter."""
    dag_run_id = airflow.trigger_dag("missing_xcom", run_id="manual__missing_xcom")
    airflow.wait_for_task_state("missing_xcom", dag_run_id, "task", "failed", limit=LIMIT)
    assert "parameters.reads" in airflow.task_log("missing_xcom", dag_run_id, "task")
    assert runs_of(server, dag_run_id) == []
