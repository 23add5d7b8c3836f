# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The responses of each route of the run page to each user, with both of Airflow's auth managers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_healthomics.run_page.app import create_app
from airflow_healthomics.testing import HealthOmicsServer
from dev.fab_airflow import FabAirflow
from dev.local_airflow import LocalAirflow

from .conftest import AIRFLOW, CONNECTION

#: Of the environment with the FAB provider.
FAB_PYTHON = Path(__file__).parents[2] / ".venv-topology/bin/python"

#: Seconds; the machine may be slow.
LIMIT = 600

LOG_LINE = "java.lang.OutOfMemoryError: Java heap space"

#: Airflow's own permissions for a task. The logs are missing on purpose, and DAGs have separate permissions.
READABLE = ("Website", "DAG Runs", "Task Instances", "XComs")

USERS = {"viewer": "viewer", "editor": "user", "guest": ""}

#: Users with custom roles, and the permissions of these roles for all DAGs.
CUSTOM_ROLES = {"NoLogs": READABLE, "OtherDag": (*READABLE, "Task Logs")}
CUSTOM_USERS = {"no_logs": "NoLogs", "other_dag": "OtherDag"}

#: Statuses by user. Only FAB has the users with custom roles.
OPEN = dict.fromkeys(("nobody", "guest", "viewer", "editor", "admin", "other_dag", "no_logs"), 200)
READ = OPEN | {"nobody": 401, "guest": 403, "other_dag": 403}
LOGS = READ | {"no_logs": 403}
EDIT = LOGS | {"viewer": 403}

#: Users who see lines of logs in the response for a run.
READERS_OF_LOGS = {user for user, status in LOGS.items() if status == 200}

TASK = "/api/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}"
RUN = TASK + "/runs/{healthomics_run_id}"

#: The routes that read, each with a task to read.
READING = {
    "/page": (OPEN, "run"),
    "/static": (OPEN, "run"),
    "/api/dags/{dag_id}/dagRuns/{run_id}": (READ, "run"),
    TASK: (READ, "run"),
    RUN: (READ, "run"),
    RUN + "/log": (LOGS, "run"),
    RUN + "/outputs": (LOGS, "run"),
    RUN + "/outputs/view": (LOGS, "run"),
    TASK + "/runs": (READ, "batch"),
    TASK + "/runs.csv": (READ, "batch"),
}

#: The routes that read a run of a batch like any other run.
READING_IN_BATCH = (RUN, RUN + "/log")

#: The routes that act.
ACTIONS = {TASK + "/cancel": EDIT, RUN + "/cancel": EDIT}

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


@dataclass(frozen=True)
class Started:
    """A DAG run, and the HealthOmics runs of its tasks: one that has failed, and those of an active batch."""

    dag_id: str
    dag_run_id: str
    failed: str
    in_batch: tuple[str, ...]

    def path(self, route: str, task_id: str, run_id: str | None = None) -> str:
        """Return the path of a route for a task and, by default, its first run."""
        own = self.failed if task_id == "run" else self.in_batch[0]
        with_file = route.replace("/static", "/static/page.js").replace("/view", "/view?path=logs/engine.log")
        return with_file.format(
            dag_id=self.dag_id,
            run_id=quote(self.dag_run_id, safe=""),
            task_id=task_id,
            map_index=-1,
            healthomics_run_id=run_id or own,
        )


@pytest.fixture(scope="module")
def started(server: HealthOmicsServer, airflow: LocalAirflow) -> dict[str, Started]:
    """Run both DAGs until one HealthOmics run of each has failed, and those of its batch are active."""
    at_once = dict.fromkeys(("PENDING", "STARTING", "RUNNING", "STOPPING"), 0)
    server.control.plan_run(
        name="failed",
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        seconds=at_once,
        tasks=[{"name": "align", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": [LOG_LINE]}],
        times=None,
    )
    server.control.plan_run(seconds={**at_once, "RUNNING": None}, times=None)
    found = {}
    active = {run["id"] for run in server.control.runs() if run["status"] == "RUNNING"}
    for dag_id in ("theirs", "others"):
        before = {run["id"] for run in server.control.runs()}
        dag_run_id = airflow.trigger_dag(dag_id)
        assert airflow.wait_for_dag_run(dag_id, dag_run_id, limit=LIMIT) == "failed"
        server.control.wait_for_run("RUNNING", count=len(active) + 3)
        runs = [run for run in server.control.runs() if run["id"] not in before]
        (failed,) = [run["id"] for run in runs if not run["batchId"]]
        batch = tuple(run["id"] for run in runs if run["batchId"])
        active |= set(batch)
        found[dag_id] = Started(dag_id, dag_run_id, failed, batch)
    return found


def answer(airflow: LocalAirflow, user: str, path: str, method: str = "GET") -> requests.Response:
    """Return the response to a request of a user."""
    headers = {} if user == "nobody" else {"Authorization": f"Bearer {airflow.token(user)}"}
    if method == "POST":
        headers["Content-Type"] = "application/json"
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, f"{airflow.url}/healthomics{path}", headers=headers, timeout=60)


def users_of(airflow: LocalAirflow) -> list[str]:
    """Return the users, and somebody without a login."""
    return [user for user in OPEN if isinstance(airflow, FabAirflow) or user not in CUSTOM_USERS]


def test_the_matrix_has_each_route() -> None:
    """A new route must have an entry here."""
    routes = {
        (getattr(route, "path", None), method)
        for route in create_app().routes
        for method in getattr(route, "methods", {"GET"})
    }
    assert routes == {(path, "GET") for path in READING} | {(path, "POST") for path in ACTIONS}


@pytest.mark.parametrize(
    ("route", "task_id"),
    [
        *((route, task_id) for route, (_, task_id) in READING.items()),
        *((each, "batch") for each in READING_IN_BATCH),
    ],
)
def test_who_may_read(airflow: LocalAirflow, started: dict[str, Started], route: str, task_id: str) -> None:
    """A route requires the rights to read the DAG's tasks and XComs; a route of logs also that for logs."""
    expected, _ = READING[route]
    path = started["theirs"].path(route, task_id)
    users = users_of(airflow)
    statuses = {user: answer(airflow, user, path).status_code for user in users}
    assert statuses == {user: expected[user] for user in users}


@pytest.mark.parametrize("route", [TASK, RUN], ids=str)
def test_who_sees_lines_of_logs(airflow: LocalAirflow, started: dict[str, Started], route: str) -> None:
    """Lines of logs require the right to read the DAG's logs, wherever they are shown."""
    path = started["theirs"].path(route, "run")
    users = users_of(airflow)
    seeing = {user for user in users if LOG_LINE in answer(airflow, user, path).text}
    assert seeing == READERS_OF_LOGS & set(users)


def test_a_right_to_one_dag_does_not_show_another(airflow: LocalAirflow, started: dict[str, Started]) -> None:
    """A user who may read only one DAG sees its run, but no run of another DAG by its path."""
    theirs, others = started["theirs"], started["others"]
    for user in {"admin", "other_dag"}.intersection(users_of(airflow)):
        assert answer(airflow, user, others.path(TASK, "run")).status_code == 200
        for path in (
            others.path(RUN, "run", theirs.failed),
            others.path(RUN, "batch", theirs.in_batch[0]),
            others.path(RUN + "/log", "run", theirs.failed),
            others.path(RUN + "/log", "batch", theirs.in_batch[0]),
        ):
            assert answer(airflow, user, path).status_code == 404


# The last test, since it changes states.
def test_who_may_cancel(
    airflow: LocalAirflow, server: HealthOmicsServer, started: dict[str, Started]
) -> None:
    """Cancelling requires the right to edit the DAG's tasks. A refused request cancels nothing."""
    theirs, others = started["theirs"], started["others"]
    users = users_of(airflow)
    calls = cancellations(server)
    forbidden = [user for user in users if EDIT[user] != 200]
    for route in ACTIONS:
        path = theirs.path(route, "batch")
        statuses = {user: answer(airflow, user, path, "POST").status_code for user in forbidden}
        assert statuses == {user: EDIT[user] for user in forbidden}
    foreign = others.path(RUN + "/cancel", "batch", theirs.in_batch[0])
    assert answer(airflow, "admin", foreign, "POST").status_code == 404
    assert states_of(server, theirs) == {"RUNNING"}
    assert cancellations(server) == calls

    for user, run_id in zip(("editor", "admin"), theirs.in_batch, strict=False):
        path = theirs.path(RUN + "/cancel", "batch", run_id)
        assert answer(airflow, user, path, "POST").status_code == 200
        server.control.wait_for_run("CANCELLED", run_id=run_id)
    assert answer(airflow, "editor", theirs.path(TASK + "/cancel", "batch"), "POST").status_code == 200
    server.control.wait_for_run("CANCELLED", run_id=theirs.in_batch[-1])
    assert states_of(server, others) == {"RUNNING"}


def cancellations(server: HealthOmicsServer) -> int:
    """Return the number of calls that cancel, including those with the other auth manager."""
    return len(server.control.calls("CancelRun")) + len(server.control.calls("CancelRunBatch"))


def states_of(server: HealthOmicsServer, started: Started) -> set[str]:
    """Return the states of the runs of a batch."""
    return {run["status"] for run in server.control.runs() if run["id"] in started.in_batch}
