# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Access to the run page's API: rights, foreign runs, and data that is never shown, stored or logged."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.run_page import (
    dag_run_routes,
    dependencies,
    rights,
)
from airflow_healthomics.run_page.plugin import URL_PREFIX
from tests.healthomics import Control
from tests.unit.conftest import (
    WORKFLOW,
    calls_of,
)
from tests.unit.run_page.api.api_server import (
    CANARY,
    RUNS,
    Tasks,
    deny,
    get,
    headers,
    plan_failure,
    url,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("path", [RUNS, url("align"), url("align") + "/runs/1234567"])
@pytest.mark.parametrize(("role", "status"), [(None, 403), ("nobody", 401)])
def test_users_without_rights(
    server: FastAPI, omics: Control, start: Any, path: str, role: str | None, status: int
) -> None:
    """They get nothing, and AWS is not called."""
    start()
    before = calls_of(omics, "GetRun")
    sent = {} if role == "nobody" else headers(role)
    answer = TestClient(server).get(path, headers=sent)
    assert answer.status_code == status
    assert calls_of(omics, "GetRun") == before


@pytest.mark.parametrize("entity", [DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM])
@pytest.mark.parametrize("path", [RUNS, url("align"), url("align") + "/runs/1234567"])
def test_the_required_rights(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, entity: DagAccessEntity, path: str
) -> None:
    """Both those for the task instance and those for its XComs."""
    start()
    deny(monkeypatch, entity)
    assert page.get(path).status_code == 403


@pytest.mark.parametrize("answer", [True, False, object()])
def test_rights_of_an_unknown_form(
    page: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """They do not allow reading logs."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    monkeypatch.setattr(rights, "_LOGS", lambda *_: answer)
    assert get(page, path)["failed"][0]["logLines"] == []


@pytest.mark.parametrize("answer", [True, False, object()])
def test_required_rights_of_an_unknown_form(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """They do not allow anything."""
    path, _ = start()
    monkeypatch.setattr(rights, "_REQUIRED", (lambda *_: None, lambda *_: answer))
    assert page.get(path).status_code == 403


def test_airflows_own_checks() -> None:
    """A tripwire: the checks are called, not awaited, and raise to refuse."""
    for check in (*rights._REQUIRED, rights._LOGS, rights._EDIT):
        assert not inspect.iscoroutinefunction(check)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (url("align", 2**31), 422),
        (url("align", -2), 422),
        (url("align%00"), 404),
        (f"{RUNS}%00", 404),
    ],
)
def test_values_that_the_database_rejects(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    """They are refused before the database is queried."""
    start()
    for module, name in ((dependencies, "find_task"), (dag_run_routes, "list_tasks")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("was asked"))
    assert page.get(path).status_code == status


def test_an_xcom_of_another_operator(page: TestClient, omics: Control, tasks_db: Tasks) -> None:
    """It is no run; one that looks like a run has only the connection of its task."""
    with tasks_db.dag:
        odd, task = PythonOperator(task_id="odd", python_callable=print), EmptyOperator(task_id="plain")
    path = tasks_db.add(odd, xcoms={XCOM_KEY: "[" * 100_000})
    assert get(page, path)["kind"] == "none"
    told = {"kind": "run", "id": "1234567", "region": "us-east-1"}
    path = tasks_db.add(task, xcoms={XCOM_KEY: told})
    answer = page.get(path)
    assert answer.status_code == 502
    assert "connection" in answer.json()["detail"]
    assert omics.calls() == []


def test_another_run_of_the_account(page: TestClient, omics: Control, start: Any, started: Any) -> None:
    """It cannot be read by its id."""
    path, run_id = start()
    other = started()["id"]
    assert get(page, f"{path}/runs/{run_id}")["run"]["id"] == run_id
    before = calls_of(omics, "GetRun")
    for forged in (other, "x", "1" * 19, "..%2F1"):
        assert page.get(f"{path}/runs/{forged}").status_code == 404
    assert calls_of(omics, "GetRun") == before


def test_an_id_that_was_given_to_another_run(
    page: TestClient, tasks_db: Tasks, started: Any, start: Any
) -> None:
    """It is not shown."""
    other = started()
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    told = {"kind": "run", "id": other["id"], "uuid": "another", "region": "us-east-1"}
    path = tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "aws_default"})
    assert page.get(path).status_code == 404


def test_a_user_who_may_not_read_logs(
    page: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They get everything else, even if another user has just read the logs."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    assert get(page, path)["failed"][0]["logLines"][-1] == "a line"
    deny(monkeypatch, DagAccessEntity.TASK_LOGS)
    answer = get(page, path)
    assert "a line" not in json.dumps(answer)
    assert answer["failed"][0]["failureReason"] == "OUT_OF_MEMORY_ERROR"


def test_the_page_and_its_files(server: FastAPI) -> None:
    """They are public and have no data; they load nothing else, and only Airflow may frame them."""
    client = TestClient(server)
    answer = client.get(f"{URL_PREFIX}/page?dag_id=a&run_id=b")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"{URL_PREFIX}/static/index.html").status_code == 200
    assert client.get(f"{URL_PREFIX}/static/..%2Fapp.py").status_code == 404
    for path in ("docs", "openapi.json", "redoc"):
        assert client.get(f"{URL_PREFIX}/{path}").status_code == 404


def test_nothing_is_stored_by_browsers(page: TestClient, start: Any) -> None:
    """Refused responses included."""
    path, _ = start()
    assert page.get(path).headers["Cache-Control"] == "no-store"
    for missing in (url("another"), f"{URL_PREFIX}/nothing", f"{URL_PREFIX}/api", f"{URL_PREFIX}/pages"):
        assert page.get(missing).headers["Cache-Control"] == "no-store"


def test_nothing_of_a_patient_is_logged(
    page: TestClient, omics: Control, start_batch: Any, logged: Callable[[], str]
) -> None:
    """The page's data and its errors are not logged."""
    path, _ = start_batch()
    logged()
    omics.inject_error("GetBatch", "ValidationException", times=1, message=CANARY)
    assert page.get(path).status_code == 502
    assert CANARY not in logged()
