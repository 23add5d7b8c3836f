# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Who gets what from the run page's API, with both of Airflow's auth managers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_healthomics.testing import HealthOmicsServer
from dev.fab_airflow import FabAirflow
from dev.local_airflow import LocalAirflow

from .conftest import AIRFLOW, CONNECTION

#: Of the environment with the FAB provider.
FAB_PYTHON = Path(__file__).parents[2] / ".venv-topology/bin/python"

#: Seconds; the machine may be slow.
LIMIT = 600

LOG_LINE = "java.lang.OutOfMemoryError: Java heap space"

#: What Airflow shows of a task. The logs are missing on purpose, and DAGs have permissions of their own.
READABLE = ("Website", "DAG Runs", "Task Instances", "XComs")

USERS = {"viewer": "viewer", "editor": "user", "guest": ""}

#: Users with custom roles, and what these roles may read of all DAGs.
CUSTOM_ROLES = {"NoLogs": READABLE, "OtherDag": (*READABLE, "Task Logs")}
CUSTOM_USERS = {"no_logs": "NoLogs", "other_dag": "OtherDag"}

#: Status of the answers, and whether they contain lines of logs.
NO_LOGIN, FORBIDDEN, WITHOUT_LOGS, WITH_LOGS = (401, False), (403, False), (200, False), (200, True)

EXPECTED = {
    "nobody": NO_LOGIN,
    "guest": FORBIDDEN,
    "viewer": WITH_LOGS,
    "editor": WITH_LOGS,
    "admin": WITH_LOGS,
}
EXPECTED_WITH_FAB = EXPECTED | {"other_dag": FORBIDDEN, "no_logs": WITHOUT_LOGS}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["SimpleAuthManager", "FAB"])
def airflow(
    server: HealthOmicsServer, dags_folder: Path, request: pytest.FixtureRequest
) -> Iterator[LocalAirflow]:
    """Run Airflow with one of the auth managers."""
    arguments: dict[str, Any] = {"separate_execution_api": True, "connections": {"aws_default": CONNECTION}}
    if request.param == "FAB":
        if not FAB_PYTHON.exists():
            pytest.skip("missing: .venv-topology; `make test-slow` installs it")
        environment = {**server.environ, "CUSTOM_ROLES": ",".join(CUSTOM_ROLES)}
        airflow: LocalAirflow = FabAirflow(
            dags_folder,
            environment=environment,
            other_users={**USERS, **CUSTOM_USERS},
            custom_roles=CUSTOM_ROLES,
            python=FAB_PYTHON,
            **arguments,
        )
    else:
        airflow = LocalAirflow(dags_folder, environment=server.environ, other_users=USERS, **arguments)
    with airflow:
        request.config.stash[AIRFLOW] = airflow
        yield airflow
        del request.config.stash[AIRFLOW]


@pytest.fixture(scope="module")
def dag_runs(server: HealthOmicsServer, airflow: LocalAirflow) -> dict[str, str]:
    """Run both DAGs until their HealthOmics runs have failed, and return the ids of the DAG runs."""
    server.control.plan_run(
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        seconds=dict.fromkeys(("PENDING", "STARTING", "RUNNING", "STOPPING"), 0),
        tasks=[{"name": "align", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": [LOG_LINE]}],
        times=None,
    )
    started = {dag_id: airflow.trigger_dag(dag_id) for dag_id in ("theirs", "others")}
    for dag_id, dag_run_id in started.items():
        assert airflow.wait_for_dag_run(dag_id, dag_run_id, limit=LIMIT) == "failed"
    return started


def answer(airflow: LocalAirflow, user: str, path: str) -> requests.Response:
    """Return the answer to a request of a user."""
    headers = {} if user == "nobody" else {"Authorization": f"Bearer {airflow.token(user)}"}
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{airflow.url}/healthomics/api/{path}", headers=headers, timeout=60)


def expected(airflow: LocalAirflow) -> dict[str, tuple[int, bool]]:
    """Return what each user may see."""
    return EXPECTED_WITH_FAB if isinstance(airflow, FabAirflow) else EXPECTED


def path_of(dag_id: str, dag_run_id: str, more: str = "") -> str:
    """Return the path of a DAG run in the API."""
    return f"dags/{dag_id}/dagRuns/{quote(dag_run_id, safe='')}{more}"


def test_who_may_read_a_run(airflow: LocalAirflow, dag_runs: dict[str, str]) -> None:
    """Its page requires the rights to read the DAG's tasks and XComs; lines of logs that to read its logs."""
    path = path_of("theirs", dag_runs["theirs"], "/taskInstances/run/-1")
    seen = {}
    for user in expected(airflow):
        response = answer(airflow, user, path)
        seen[user] = (response.status_code, LOG_LINE in response.text)
    assert seen == expected(airflow)


def test_who_may_read_the_list_of_a_dag_run(airflow: LocalAirflow, dag_runs: dict[str, str]) -> None:
    """The list requires the same rights."""
    path = path_of("theirs", dag_runs["theirs"])
    statuses = {user: answer(airflow, user, path).status_code for user in expected(airflow)}
    assert statuses == {user: status for user, (status, _) in expected(airflow).items()}


def test_a_right_to_one_dag_does_not_show_another(airflow: LocalAirflow, dag_runs: dict[str, str]) -> None:
    """Who may read only one DAG sees its run, but no run of another DAG by its path."""
    (theirs,) = answer(airflow, "admin", path_of("theirs", dag_runs["theirs"])).json()["items"]
    for user in expected(airflow).keys() & {"admin", "other_dag"}:
        own = path_of("others", dag_runs["others"], "/taskInstances/run/-1")
        assert answer(airflow, user, own).status_code == 200
        assert answer(airflow, user, f"{own}/runs/{theirs['id']}").status_code == 404
