# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The AWS connection of the run page: how it is found, and its mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from airflow.models import Connection
from airflow.utils.session import create_session
from fastapi.testclient import TestClient

from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.run_page import (
    calls,
)
from tests.healthomics import Control
from tests.unit.conftest import (
    WORKFLOW,
    Clock,
    intercepting,
)
from tests.unit.run_page.api.api_server import (
    CANARY,
    Tasks,
    fresh_server,
    get,
    headers,
    plan_failure,
    stale,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_expired_credentials(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """They discard the client, so renewed ones are used at once."""
    path, _ = start()
    get(page, path)
    (used,) = calls.hooks._memory._values
    omics.inject_error("GetRun", "ExpiredTokenException", times=1, status=403)
    clock.advance(11)
    assert "ExpiredTokenException" in stale(page.get(path))
    assert calls.hooks._memory.get(used) is None
    clock.advance(11)
    assert get(page, path)["kind"] == "run"


def test_a_role_is_assumed_once(
    page: TestClient, omics: Control, start: Any, clock: Clock, connection: Callable[..., None]
) -> None:
    """Until the connection is edited, which is noticed within minutes. The diagnosis shares the session."""
    counts: Counter[str] = Counter()

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        counts[operation] += 1
        return call()

    plan_failure(omics)
    path, run_id = start()
    connection(role_arn="arn:aws:iam::123456789012:role/airflow")
    omics.advance("FAILED", run_id=run_id)
    with intercepting(respond):
        for _ in range(4):
            get(page, path)
            clock.advance(301)
        assert (counts["AssumeRole"], counts["GetRun"]) == (1, 4)
        assert counts["GetRunTask"] > 0
        connection(role_arn="arn:aws:iam::123456789012:role/another")
        for _ in range(4):
            get(page, path)
            clock.advance(301)
        assert (counts["AssumeRole"], counts["GetRun"]) == (2, 8)


@pytest.mark.parametrize("mistake", [AttributeError, NotImplementedError])
def test_a_connection_with_mistakes(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, mistake: type[Exception]
) -> None:
    """The error names it, whatever the amazon provider raises."""
    path, _ = start()

    def fail(*_: Any, **__: Any) -> None:
        raise mistake(CANARY)

    monkeypatch.setattr(PollingHook, "get_client_type", fail)
    answer = page.get(path)
    assert answer.status_code == 502
    assert mistake.__name__ in answer.json()["detail"]
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("declared", "rendered", "status"),
    [
        ("other", None, 502),
        ("aws_default", None, 200),
        ("{{ params.connection }}", None, 502),
        ("{{ params.connection }}", {"aws_conn_id": "aws_default"}, 200),
        ("aws_default", {"aws_conn_id": "other"}, 502),
    ],
)
def test_the_connection_of_the_task(
    page: TestClient, tasks_db: Tasks, started: Any, declared: str, rendered: Any, status: int
) -> None:
    """It is the rendered one, else the declared one, and never replaced by another one."""
    run = started()
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW, aws_conn_id=declared)
    told = {"kind": "run", "id": run["id"], "uuid": run["uuid"], "region": "us-east-1"}
    path = tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered=rendered)
    assert page.get(path).status_code == status


def test_a_connection_in_the_metadata_database(page: TestClient, tasks_db: Tasks, started: Any) -> None:
    """It is looked up as in an API server, where no task runs."""
    run = started()
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW, aws_conn_id="laboratory")
    told = {"kind": "run", "id": run["id"], "uuid": run["uuid"], "region": "us-east-1"}
    path = tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "laboratory"})
    assert page.get(path).status_code == 502
    with create_session() as session:
        session.add(Connection(conn_id="laboratory", conn_type="aws"))
    calls.forget()
    try:
        assert page.get(f"{path}/runs/{run['id']}").status_code == 502
        with TestClient(fresh_server(), headers=headers("VIEWER")) as another:
            assert get(another, path)["run"]["id"] == run["id"]
    finally:
        with create_session() as session:
            session.query(Connection).filter_by(conn_id="laboratory").delete()
