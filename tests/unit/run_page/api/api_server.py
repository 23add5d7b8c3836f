# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""An API server with Airflow's own database and users, and tasks that have runs of the local HealthOmics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest
from airflow.api_fastapi.app import get_auth_manager, init_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator, HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.run_page import calls, dependencies, lookup, overview
from airflow_healthomics.run_page.app import create_app
from airflow_healthomics.run_page.plugin import URL_PREFIX
from tests.healthomics import Control
from tests.unit.conftest import DAG_RUN_ID, WORKFLOW, Clock, FakeTaskInstance, context_of
from tests.unit.metadata_database import DAG_ID, StoredTasks, clear, metadata_database

CANARY = "patient-4711"
RUNS = f"{URL_PREFIX}/api/dags/{DAG_ID}/dagRuns/{quote(DAG_RUN_ID)}"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A metadata database."""
    with metadata_database(tmp_path_factory.mktemp("database")):
        yield
    purge_cached_app()


@pytest.fixture
def tasks_db(database: None, omics: Control) -> Tasks:
    """An empty DAG run, in a server that remembers nothing."""
    clear()
    calls.forget()
    overview.boards.clear()
    lookup._declared_arguments.cache_clear()
    return Tasks()


def url(task_id: str, map_index: int = -1) -> str:
    """Return the URL of the page's request about a task instance."""
    return f"{RUNS}/taskInstances/{task_id}/{map_index}"


class Tasks(StoredTasks):
    """Task instances in the metadata database, by their URLs."""

    def add(self, task: Any, *, map_index: int = -1, **values: Any) -> str:
        """Add a task instance with its XComs and rendered fields, and return its URL."""
        super().add(task, map_index=map_index, **values)
        return url(task.task_id, map_index)


@pytest.fixture
def server(tasks_db: Tasks) -> FastAPI:
    """An API server with nothing but the page."""
    return fresh_server()


def fresh_server() -> FastAPI:
    """Return an API server that remembers nothing."""
    app = FastAPI()
    init_auth_manager(app)
    app.mount(URL_PREFIX, create_app())
    return app


def headers(role: str | None) -> dict[str, str]:
    """Return the token of a user."""
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def page(server: FastAPI) -> Iterator[TestClient]:
    """A user who may read DAGs, XComs and logs."""
    with TestClient(server, headers=headers("VIEWER")) as client:
        yield client


@pytest.fixture
def start(tasks_db: Tasks, with_defaults: None, clock: Clock) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Run the real operator for a task instance, and return its URL and its run."""

    def run(task_id: str = "align", *, do_xcom_push: bool = True, **arguments: Any) -> Any:
        with tasks_db.dag:
            task = HealthOmicsStartRunOperator(
                task_id=task_id,
                workflow_id=WORKFLOW,
                do_xcom_push=do_xcom_push,
                **{"parameters": {"sample": CANARY}, **arguments},
            )
        ti = FakeTaskInstance(dag_id=DAG_ID, task_id=task_id)
        run_id = task.execute(context_of(ti))
        rendered = {
            "aws_conn_id": "aws_default",
            "parameters": {"sample": CANARY},
            "log_tail_lines": task.log_tail_lines,
        }
        return tasks_db.add(task, xcoms=ti.xcoms, rendered=rendered), run_id

    return run


@pytest.fixture
def start_batch(tasks_db: Tasks, with_defaults: None, clock: Clock) -> Callable[..., tuple[str, str]]:
    """Run the real batch operator for a task instance, and return its URL and its batch."""

    def run(**arguments: Any) -> tuple[str, str]:
        arguments.setdefault(
            "run_settings",
            [{"run_setting_id": f"s{n}", "parameters": {"sample": f"{CANARY}-{n}"}} for n in range(3)],
        )
        with tasks_db.dag:
            task = HealthOmicsStartRunBatchOperator(task_id="cohort", workflow_id=WORKFLOW, **arguments)
        ti = FakeTaskInstance(dag_id=DAG_ID, task_id="cohort")
        batch_id = task.execute(context_of(ti))
        rendered = {"aws_conn_id": "aws_default", "log_tail_lines": task.log_tail_lines}
        return tasks_db.add(task, xcoms=ti.xcoms, rendered=rendered), batch_id

    return run


def get(page: TestClient, path: str) -> Any:
    """Return a successful response that contains no patient's data."""
    answer = page.get(path)
    assert answer.status_code == 200, answer.text
    assert CANARY not in answer.text
    return answer.json()


def deny(monkeypatch: pytest.MonkeyPatch, entity: DagAccessEntity) -> None:
    """Make the auth manager revoke one right of every user."""
    manager = get_auth_manager()
    allowed = manager.is_authorized_dag

    def is_authorized(*, access_entity: Any = None, **more: Any) -> bool:
        return access_entity is not entity and allowed(access_entity=access_entity, **more)

    monkeypatch.setattr(manager, "is_authorized_dag", is_authorized)


def plan_failure(omics: Control) -> None:
    """Let the next run fail, with a line in its log."""
    omics.plan_run(
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        tasks=[{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": ["a line"]}],
    )


def stale(answer: Any) -> str:
    """Return the reason why a response is an earlier one; empty if it is current."""
    assert answer.status_code == 200
    return unquote(answer.headers.get(dependencies.STALE_HEADER, ""))


def pages_of(tasks_db: Tasks, runs: list[str], *, last_region: str = "us-east-1") -> list[str]:
    """Return the URLs of mapped tasks with these runs; the last one may be in another region."""
    regions = ["us-east-1"] * (len(runs) - 1) + [last_region]
    with tasks_db.dag:
        mapped = HealthOmicsStartRunOperator.partial(task_id="mapped").expand(workflow_id=["1"])
    return [
        tasks_db.add(
            mapped,
            map_index=index,
            xcoms={XCOM_KEY: {"kind": "run", "id": run_id, "region": region}},
            rendered={"aws_conn_id": "aws_default"},
        )
        for index, (run_id, region) in enumerate(zip(runs, regions, strict=True))
    ]
