# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The actions of the page: cancelling, with Airflow's own right and audit log, and copying a command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.models import Log
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_healthomics.run_page import app
from airflow_healthomics.run_page.commands import start_run_command
from tests.healthomics import Control
from tests.unit.conftest import DAG_RUN_ID, Clock, calls_of
from tests.unit.metadata_database import DAG_ID
from tests.unit.run_page.api.api_server import CANARY, RUNS, deny, get, headers, url

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_log(tasks_db: Any) -> None:
    with create_session() as session:
        session.query(Log).delete()


@pytest.fixture
def editor(server: FastAPI) -> Iterator[TestClient]:
    """A user who may edit task instances."""
    with TestClient(server, headers=headers("USER")) as client:
        yield client


def logged_events() -> list[Log]:
    """Return Airflow's audit log."""
    with create_session() as session:
        session.expire_on_commit = False
        return session.query(Log).all()


def test_cancel_a_run(editor: TestClient, omics: Control, start: Any) -> None:
    """Airflow's audit log names the user."""
    omics.set_options(manual=True)
    path, run_id = start()
    answer = editor.post(f"{path}/cancel", json={})
    assert (answer.status_code, answer.json()) == (200, {"detail": f"Run {run_id} is being cancelled."})
    assert calls_of(omics, "CancelRun") == 1
    (event,) = logged_events()
    assert event.event == "cancel_healthomics_run"
    assert (event.dag_id, event.task_id, event.owner) == (DAG_ID, "align", "somebody")
    assert event.run_id == DAG_RUN_ID


def test_cancel_a_batch_and_a_run_of_it(
    editor: TestClient, omics: Control, start_batch: Any, clock: Clock
) -> None:
    """Each has its route; a run of another batch is not found."""
    omics.set_options(manual=True)
    path, batch_id = start_batch()
    assert "CREATING" in editor.post(f"{path}/cancel", json={}).json()["detail"]
    omics.advance_batch("INPROGRESS")
    run = omics.runs()[0]
    answer = editor.post(f"{path}/runs/{run['id']}/cancel", json={})
    assert answer.json() == {"detail": f"Run {run['id']} is being cancelled."}
    answer = editor.post(f"{path}/cancel", json={})
    assert answer.json() == {"detail": f"Batch {batch_id} is being cancelled."}
    assert editor.post(f"{path}/runs/x/cancel", json={}).status_code == 404
    assert editor.post(f"{path}/runs/1/cancel", json={}).status_code == 404
    assert calls_of(omics, "CancelRun") == 1
    assert {event.event for event in logged_events()} == {
        "cancel_healthomics_run",
        "cancel_healthomics_run_of_batch",
    }


def test_the_page_shows_at_once_that_a_run_was_cancelled(
    editor: TestClient, omics: Control, start: Any, clock: Clock
) -> None:
    """So does the list of the DAG run, although no response has expired."""
    omics.set_options(manual=True)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)

    def states() -> list[str]:
        return [get(editor, path)["run"]["status"], get(editor, RUNS)["items"][0]["status"]]

    assert states() == ["RUNNING", "RUNNING"]
    assert editor.post(f"{path}/cancel", json={}).status_code == 200
    assert states() == ["STOPPING", "STOPPING"]


def test_the_page_shows_at_once_that_a_run_of_a_batch_was_cancelled(
    editor: TestClient, omics: Control, start_batch: Any, clock: Clock
) -> None:
    """So does the list of the batch's runs."""
    omics.set_options(manual=True)
    path, _ = start_batch()
    omics.advance_batch("INPROGRESS")
    run_path = f"{path}/runs/{omics.runs()[0]['id']}"

    def states() -> list[str]:
        rows = get(editor, f"{path}/runs")["rows"]
        return [get(editor, run_path)["run"]["status"], *(row["status"] for row in rows)]

    before = states()
    assert "STOPPING" not in before
    assert editor.post(f"{run_path}/cancel", json={}).status_code == 200
    assert states() == ["STOPPING", "STOPPING", *before[2:]]


def test_the_page_shows_at_once_that_a_run_has_ended(
    editor: TestClient, omics: Control, start: Any, clock: Clock
) -> None:
    """If it is too late to cancel it."""
    path, run_id = start()
    assert get(editor, path)["active"]
    omics.advance("COMPLETED", run_id=run_id)
    assert editor.post(f"{path}/cancel", json={}).status_code == 409
    assert get(editor, path)["run"]["status"] == "COMPLETED"


def test_ended_runs_and_foreign_runs(editor: TestClient, omics: Control, start: Any) -> None:
    """Neither can be cancelled, the latter also not by a path of this task."""
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    answer = editor.post(f"{path}/cancel", json={})
    assert answer.status_code == 409
    assert "COMPLETED" in answer.json()["detail"]
    assert editor.post(f"{path}/runs/{run_id}/cancel", json={}).status_code == 404
    assert editor.post(f"{url('another')}/cancel", json={}).status_code == 404
    assert calls_of(omics, "CancelRun") == 0


@pytest.mark.parametrize(("role", "status"), [(None, 403), ("nobody", 401), ("VIEWER", 403), ("USER", 200)])
def test_who_may_cancel(server: FastAPI, omics: Control, start: Any, role: str | None, status: int) -> None:
    """Only users who may edit the task instance; the page shows it in advance."""
    omics.set_options(manual=True)
    path, _ = start()
    sent = {} if role == "nobody" else headers(role)
    client = TestClient(server, headers=sent)
    read = client.get(path)
    assert (read.headers.get(app.MAY_EDIT_HEADER) == "yes") == (status == 200)
    assert client.post(f"{path}/cancel", json={}).status_code == status
    assert calls_of(omics, "CancelRun") == (status == 200)


def test_a_right_that_is_taken_away(
    editor: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It disables the action."""
    path, _ = start()
    deny(monkeypatch, DagAccessEntity.XCOM)
    assert editor.post(f"{path}/cancel", json={}).status_code == 403
    assert calls_of(omics, "CancelRun") == 0


@pytest.mark.parametrize(
    "request_",
    [
        {"data": {"a": "b"}},
        {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
        {"content": b"{}"},
        {"json": {}, "headers": {"Sec-Fetch-Site": "cross-site"}},
        {"json": {}, "headers": {"Sec-Fetch-Site": "same-site"}},
    ],
)
def test_requests_of_other_sites(
    editor: TestClient, omics: Control, start: Any, request_: dict[str, Any]
) -> None:
    """They are refused."""
    path, _ = start()
    assert editor.post(f"{path}/cancel", **request_).status_code == 403
    assert editor.get(f"{path}/cancel").status_code in (404, 405)
    assert calls_of(omics, "CancelRun") == 0
    assert logged_events() == []


def test_a_missing_permission(editor: TestClient, omics: Control, start: Any) -> None:
    """The error names it, without AWS's own text."""
    omics.set_options(manual=True)
    path, _ = start()
    omics.inject_error("CancelRun", "AccessDeniedException", times=1, message=f"no {CANARY} for you")
    answer = editor.post(f"{path}/cancel", json={})
    assert answer.status_code == 502
    assert "omics:CancelRun" in answer.json()["detail"]
    assert CANARY not in answer.text


def test_the_command(page: TestClient, omics: Control, start: Any) -> None:
    """It has the settings of the run, and no values of parameters, tags and roles."""
    path, _ = start(name="a name; rm -rf", tags={"patient": CANARY}, priority=7)
    command = get(page, path)["command"]
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["aws", "omics", "start-run"]
    assert words[words.index("--name") + 1] == "a name; rm -rf"
    assert words[words.index("--priority") + 1] == "7"
    assert words[words.index("--parameters") + 1] == "file://parameters.json"
    assert words[words.index("--role-arn") + 1] == "$ROLE_ARN"
    assert words[words.index("--region") + 1] == "us-east-1"
    assert "arn:aws:iam" not in command


def test_the_command_of_a_run_with_a_parameters_file() -> None:
    """It has no presigned URL, and the storage only if it is static."""
    run = {"parametersUri": "https://secret", "storageType": "DYNAMIC", "storageCapacity": 9}
    command = start_run_command(run, "us-east-1")
    assert "secret" not in command
    assert '--parameters-uri "$PARAMETERS_URI"' in command
    assert "storage-capacity" not in command
    assert "--storage-capacity 9" in start_run_command({**run, "storageType": "STATIC"}, "us-east-1")
