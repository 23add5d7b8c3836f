# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a run, with Airflow's own database and users, and the local HealthOmics."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import DELAY_KEY, XCOM_KEY
from airflow_healthomics.run_page import (
    source,
)
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import (
    OUTPUT,
    WORKFLOW,
    Clock,
    FakeTaskInstance,
    calls_of,
    context_of,
)
from tests.unit.metadata_database import DAG_ID
from tests.unit.run_page.api.api_server import (
    Tasks,
    get,
    plan_failure,
    url,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_an_active_run(page: TestClient, omics: Control, start: Any) -> None:
    """With AWS's own names, its states so far, its tasks and links."""
    omics.plan_run(tasks=3)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    answer = get(page, path)
    assert answer["kind"] == "run"
    assert answer["active"] is True
    assert answer["pollSeconds"] == 10
    assert answer["run"]["id"] == run_id
    assert answer["run"]["status"] == "RUNNING"
    assert answer["run"]["workflowId"] == WORKFLOW
    assert answer["run"]["runOutputUri"].startswith(OUTPUT)
    assert not answer["run"].keys() & {"parameters", "tags", "roleArn", "startedBy"}
    assert [step["status"] for step in answer["history"]] == ["PENDING", "RUNNING"]
    assert set(answer["links"]) == {"console", "runLog", "engineLog", "outputs"}
    assert answer["failed"] == []
    assert len(answer["tasks"]) == 3
    assert datetime.fromisoformat(answer["asOf"]).tzinfo
    assert datetime.fromisoformat(answer["tasks"][0]["creationTime"]).tzinfo


def test_a_client_that_accepts_no_compression(page: TestClient, start: Any) -> None:
    """It gets the same answer."""
    path, _ = start()
    compressed = page.get(path, headers={"Accept-Encoding": "gzip"})
    plain = page.get(path, headers={"Accept-Encoding": "identity"})
    assert (compressed.headers["Content-Encoding"], compressed.json()) == ("gzip", plain.json())
    assert "Content-Encoding" not in plain.headers
    assert {answer.headers["Vary"] for answer in (compressed, plain)} == {"Accept-Encoding"}


def test_an_ended_run(page: TestClient, omics: Control, start: Any) -> None:
    """It has its whole history, and the resources of its tasks."""
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    answer = get(page, path)
    assert answer["active"] is False
    assert [step["status"] for step in answer["history"]] == ["PENDING", "RUNNING", "COMPLETED"]
    task = answer["tasks"][0]
    assert {"taskId", "name", "status", "startTime", "stopTime", "cpus", "memory", "instanceType"} <= set(
        task
    )
    assert not task.keys() & {"uuid", "cacheS3Uri"}
    assert answer["usage"][0].startswith("Used ")
    assert "in 3 tasks" in answer["usage"][0]


def test_no_task_instance(page: TestClient, start: Any) -> None:
    """There is no page."""
    start()
    assert page.get(url("another")).status_code == 404
    assert page.get(url("align", 3)).status_code == 404


def test_a_task_without_a_run(page: TestClient, omics: Control, tasks_db: Tasks) -> None:
    """The page says so, and has the state of the task."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    path = tasks_db.add(task, state="queued", xcoms={"run": {"id": "1234567"}, "return_value": "1234567"})
    assert get(page, path) == {"kind": "none", "taskState": "queued", "delay": None}
    assert omics.calls() == []


def test_a_task_whose_start_is_delayed(page: TestClient, tasks_db: Tasks) -> None:
    """The page has its beginning, its reason and the next attempt; nothing else of the XCom is shown."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    delay = {
        "since": "2026-11-01T00:00:00+00:00",
        "nextAttempt": "2026-11-01T00:05:00+00:00",
        "reason": "EndpointConnectionError",
        "region": "us-east-1",
    }
    path = tasks_db.add(task, state="deferred", xcoms={DELAY_KEY: {**delay, "more": "x"}})
    assert get(page, path) == {"kind": "none", "taskState": "deferred", "delay": delay}


def test_a_task_that_pushes_no_xcoms(page: TestClient, start: Any) -> None:
    """It still has its page, and its links."""
    path, run_id = start(do_xcom_push=False)
    assert get(page, path)["run"]["id"] == run_id


@pytest.mark.parametrize("kind", ["run", "batch"])
def test_a_waiting_sensor(page: TestClient, start: Any, start_batch: Any, tasks_db: Tasks, kind: str) -> None:
    """Its page shows the run."""
    make: dict[str, Any] = {
        "run": lambda resource_id: HealthOmicsRunSensor(task_id="wait", run_id=resource_id),
        "batch": lambda resource_id: HealthOmicsRunBatchSensor(task_id="wait", batch_id=resource_id),
    }
    with tasks_db.dag:
        declared = make[kind]("1")
    _, resource_id = start() if kind == "run" else start_batch()
    ti = FakeTaskInstance(dag_id=DAG_ID, task_id="wait")
    assert make[kind](resource_id).poke(context_of(ti)) is False
    path = tasks_db.add(declared, xcoms=ti.xcoms, rendered={"aws_conn_id": "aws_default"})
    assert get(page, path)[kind]["id"] == resource_id
    assert ti.xcoms[XCOM_KEY]["uuid"]


def test_a_parameters_file(page: TestClient, omics: Control, start: Any) -> None:
    """The page shows that there is one, but not where: the URL is a credential."""
    path, _ = start(parameters=None, parameters_uri="s3://outputs/x.json", requester_pays_enabled=True)
    answer = get(page, path)
    assert (answer["run"]["parametersInFile"], answer["run"]["requesterPaysEnabled"]) == (True, True)
    assert "x.json" not in json.dumps(answer)


def test_failed_tasks(page: TestClient, omics: Control, start: Any) -> None:
    """Each has its reason and the last lines of its log."""
    omics.plan_run(
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        tasks=[
            {"name": "good"},
            {"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": ["one", "two", "three"]},
            {"name": "worse", "failure_reason": "TASK_TIMED_OUT", "log": ["four"]},
        ],
    )
    path, run_id = start(log_tail_lines=2)
    omics.advance("FAILED", run_id=run_id)
    answer = get(page, path)
    assert answer["run"]["failureReason"] == "RUN_TASK_FAILED"
    failed = {item["name"]: item for item in answer["failed"]}
    assert {name: item["failureReason"] for name, item in failed.items()} == {
        "bad": "OUT_OF_MEMORY_ERROR",
        "worse": "TASK_TIMED_OUT",
    }
    assert failed["bad"]["logLines"] == ["two", "three"]
    assert failed["worse"]["logLines"][-1] == "four"
    assert f"run%2F{run_id}%2Ftask%2F{failed['bad']['taskId']}" in failed["bad"]["logUrl"]
    assert answer["failedTotal"] == 2
    assert calls_of(omics, "ListRunTasks") == 1


def test_logs_that_the_dag_author_has_turned_off(page: TestClient, omics: Control, start: Any) -> None:
    """They are not requested."""
    plan_failure(omics)
    path, run_id = start(log_tail_lines=0)
    omics.advance("FAILED", run_id=run_id)
    answer = get(page, path)
    assert answer["failed"][0]["logLines"] == []
    assert "a line" not in json.dumps(answer)


def test_a_deleted_run(page: TestClient, omics: Control, start: Any) -> None:
    """It is not found."""
    path, run_id = start()
    omics.advance("DELETED", run_id=run_id)
    answer = page.get(path)
    assert answer.status_code == 404
    assert run_id in answer.json()["detail"]


def test_too_many_tasks(
    page: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is cut, which the page shows; long lists are requested at longer intervals."""
    monkeypatch.setattr(source, "MAX_TASKS", 700)
    omics.plan_run(tasks=750)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    answer = get(page, path)
    assert len(answer["tasks"]) == 700
    assert answer["tasksTruncated"] is True
    assert answer["usage"][0].startswith("Used at least")
    assert answer["pollSeconds"] == 14


def test_the_workflow_by_its_name(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """It is requested once, even if refused."""
    omics.add_workflow(WORKFLOW, name="germline")
    path, _ = start()
    assert get(page, path)["run"]["workflowName"] == "germline"
    clock.advance(11)
    get(page, path)
    assert calls_of(omics, "GetWorkflow") == 1
