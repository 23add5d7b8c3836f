# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The list of a DAG run: its runs and batches with their states."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from fastapi.testclient import TestClient

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.run_page import dag_run_routes, overview
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import WORKFLOW, Clock, calls_of
from tests.unit.metadata_database import DAG_ID
from tests.unit.run_page.api.api_server import RUNS, Tasks, deny, get

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def mapped(tasks_db: Tasks, started: Any) -> Any:
    """Add mapped tasks with new runs, and return the runs."""

    def add(number: int, *, xcoms: Any = lambda run: {}, **values: Any) -> list[dict[str, Any]]:
        with tasks_db.dag:
            task = HealthOmicsStartRunOperator.partial(task_id="mapped").expand(workflow_id=["1"])
        runs = [started() for _ in range(number)]
        for index, run in enumerate(runs):
            told = {"kind": "run", "id": run["id"], "uuid": run["uuid"], "region": "us-east-1"}
            tasks_db.add(
                task,
                map_index=index,
                xcoms={XCOM_KEY: told, **xcoms(run)},
                rendered={"aws_conn_id": "aws_default"},
                **values,
            )
        return runs

    return add


def completed(run: dict[str, Any]) -> dict[str, Any]:
    """Return the XComs of a task that has waited for the end of a run."""
    workflow = {"workflowId": WORKFLOW, "workflowType": "PRIVATE"}
    return {"summary": {"id": run["id"], "uuid": run["uuid"], "status": "COMPLETED", **workflow}}


def end_dag_run() -> None:
    """End the DAG run."""
    with create_session() as session:
        session.query(DagRun).filter_by(dag_id=DAG_ID).one().state = DagRunState.FAILED


def test_failures_come_first(page: TestClient, omics: Control, mapped: Any) -> None:
    """Each run has its state, its times, its workflow and the reason of its failure."""
    omics.add_workflow(WORKFLOW, name="germline")
    omics.set_options(manual=True)
    omics.plan_run(name="bad", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    done, running, bad = mapped(3)
    omics.advance("COMPLETED", run_id=done["id"])
    omics.advance("RUNNING", run_id=running["id"])
    omics.advance("FAILED", run_id=bad["id"])
    answer = get(page, RUNS)
    assert [(item["mapIndex"], item["status"]) for item in answer["items"]] == [
        (2, "FAILED"),
        (1, "RUNNING"),
        (0, "COMPLETED"),
    ]
    assert answer["items"][0]["id"] == bad["id"]
    assert answer["items"][0]["failureReason"]
    assert {item["workflowName"] for item in answer["items"]} == {"germline"}
    assert {"creationTime", "startTime", "stopTime", "taskState"} <= answer["items"][0].keys()
    assert (answer["active"], answer["total"], answer["pollSeconds"]) == (True, 3, 15)
    assert "unread" not in answer
    assert [item["mapIndex"] for item in get(page, f"{RUNS}?limit=1&offset=1")["items"]] == [1]
    assert page.get(f"{RUNS}?limit={overview.MAX_CALLS * 1000}").status_code == 422
    assert page.get(f"{RUNS}?offset={2**31}").status_code == 422
    assert page.get(RUNS.replace("dagRuns/", "dagRuns/another")).status_code == 404


def test_it_is_live_only_while_a_run_is_active(
    page: TestClient, omics: Control, mapped: Any, clock: Clock
) -> None:
    """Without an active run it waits for new ones, until the DAG run has ended."""
    (run,) = mapped(1)
    omics.advance("COMPLETED", run_id=run["id"])
    answer = get(page, RUNS)
    assert (answer["active"], answer["pollSeconds"]) == (False, 15)
    end_dag_run()
    assert get(page, RUNS)["pollSeconds"] == 0


def test_an_ended_run_is_read_once(page: TestClient, omics: Control, mapped: Any, clock: Clock) -> None:
    """An active one is read at intervals."""
    omics.set_options(manual=True)
    done, active = mapped(2)
    omics.advance("COMPLETED", run_id=done["id"])
    for _ in range(3):
        get(page, RUNS)
    assert calls_of(omics, "GetRun") == 2
    clock.advance(16)
    get(page, RUNS)
    assert calls_of(omics, "GetRun") == 3
    omics.advance("COMPLETED", run_id=active["id"])
    clock.advance(16)
    assert get(page, RUNS)["active"] is False
    before = omics.call_counts()
    clock.advance(16)
    get(page, RUNS)
    assert omics.call_counts() == before


def test_a_summary_saves_the_call(page: TestClient, omics: Control, mapped: Any) -> None:
    """That of another run is not used, nor one without an end."""
    mapped(
        3,
        xcoms=lambda run: {
            "summary": {
                "id": run["id"],
                "uuid": run["uuid"],
                "status": "FAILED",
                "failureReason": "RUN_TASK_FAILED",
                "parameters": {"sample": "patient-4711"},
            }
        },
    )
    answer = get(page, RUNS)
    assert [item["failureReason"] for item in answer["items"]] == ["RUN_TASK_FAILED"] * 3
    assert calls_of(omics, "GetRun") == 0


def test_the_workflow_of_an_awaited_run_that_has_ended(
    page: TestClient, omics: Control, mapped: Any, clock: Clock
) -> None:
    """It is read by its name, with one call for all its runs."""
    omics.add_workflow(WORKFLOW, name="germline")
    mapped(3, xcoms=completed)
    before = len(omics.calls())
    answer = get(page, RUNS)
    assert [item["workflowName"] for item in answer["items"]] == ["germline"] * 3
    clock.advance(16)
    get(page, RUNS)
    assert [call["operation"] for call in omics.calls()[before:]] == ["GetWorkflow"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_workflow_without_a_name(
    page: TestClient, omics: Control, mapped: Any, clock: Clock, code: str
) -> None:
    """It has its id instead, and is read again when that may help."""
    omics.add_workflow(WORKFLOW, name="germline")
    omics.inject_error("GetWorkflow", code, times=1)
    mapped(1, xcoms=completed)
    end_dag_run()
    answer = get(page, RUNS)
    (item,) = answer["items"]
    assert (item["workflowId"], item.get("workflowName")) == (WORKFLOW, None)
    assert ("notices" in answer, answer["pollSeconds"]) == (False, 0)
    clock.advance(301)
    assert get(page, RUNS)["items"][0]["workflowName"] == "germline"


@pytest.mark.parametrize("workflow_id", [["1"], 1, "../run/1"])
def test_a_summary_with_an_edited_workflow(
    page: TestClient, omics: Control, mapped: Any, workflow_id: Any
) -> None:
    """It costs no call, and is no error."""
    mapped(1, xcoms=lambda run: {"summary": {**completed(run)["summary"], "workflowId": workflow_id}})
    assert get(page, RUNS)["items"][0]["status"] == "COMPLETED"
    assert calls_of(omics, "GetWorkflow") == 0


@pytest.mark.parametrize("more", [{"uuid": "another"}, {"id": "1"}, {"status": "RUNNING"}, {"status": None}])
def test_a_summary_of_another_form(
    page: TestClient, omics: Control, mapped: Any, more: dict[str, Any]
) -> None:
    """It is not used."""
    mapped(
        1,
        xcoms=lambda run: {"summary": {"id": run["id"], "uuid": run["uuid"], "status": "FAILED", **more}},
    )
    assert get(page, RUNS)["items"][0]["status"] != "FAILED"
    assert calls_of(omics, "GetRun") == 1


def test_many_runs_arrive_one_after_the_other(
    page: TestClient, omics: Control, mapped: Any, clock: Clock
) -> None:
    """Each fetch makes a limited number of calls, and the response has the number of missing runs."""
    omics.set_options(manual=True)
    mapped(overview.MAX_CALLS + 10)
    omics.advance("COMPLETED")
    before = sum(omics.call_counts().values())
    answer = get(page, RUNS)
    assert answer["unread"] == 10
    assert answer["pollSeconds"] == 2
    assert [item.get("status") for item in answer["items"]].count(None) == 10
    assert calls_of(omics, "GetRun") == overview.MAX_CALLS
    assert sum(omics.call_counts().values()) - before <= overview.MAX_CALLS + 1
    clock.advance(30)
    answer = get(page, RUNS)
    assert "unread" not in answer
    assert {item["status"] for item in answer["items"]} == {"COMPLETED"}


def test_many_active_runs_cost_a_list_for_each_state(
    page: TestClient, omics: Control, mapped: Any, clock: Clock
) -> None:
    """GetRun is called only for those that have left their list."""
    omics.set_options(manual=True)
    first, *_ = mapped(10)
    get(page, RUNS)
    before = calls_of(omics, "GetRun")
    omics.advance("RUNNING")
    omics.advance("COMPLETED", run_id=first["id"])
    clock.advance(16)
    answer = get(page, RUNS)
    assert [item["status"] for item in answer["items"]] == ["RUNNING"] * 9 + ["COMPLETED"]
    assert calls_of(omics, "GetRun") == before + 1
    assert calls_of(omics, "ListRuns") == 4


def test_an_id_that_was_given_to_another_run(
    page: TestClient, omics: Control, tasks_db: Tasks, started: Any
) -> None:
    """It counts as deleted, and nothing of the other run is shown."""
    other = started(name="somebody else's")
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    told = {"kind": "run", "id": other["id"], "uuid": "another", "region": "us-east-1"}
    tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "aws_default"})
    (item,) = get(page, RUNS)["items"]
    assert item["status"] == "DELETED"
    assert "name" not in item


def test_a_sensor_and_the_start_share_a_call(
    page: TestClient, omics: Control, tasks_db: Tasks, started: Any
) -> None:
    """They show the same run."""
    run = started()
    with tasks_db.dag:
        tasks = [
            HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW),
            HealthOmicsRunSensor(task_id="wait", run_id=run["id"]),
        ]
    for task in tasks:
        told: dict[str, Any] = {"kind": "run", "id": run["id"], "region": "us-east-1"}
        told["is_awaited_only"] = task.task_id == "wait"
        tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "aws_default"})
    assert len({item["status"] for item in get(page, RUNS)["items"]}) == 1
    assert calls_of(omics, "GetRun") == 1


def test_a_batch(page: TestClient, omics: Control, start_batch: Any) -> None:
    """Its state comes from its counts; one with failed runs counts as a failure."""
    omics.plan_run(run_setting_id="s1", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    start_batch()
    omics.advance_batch("PROCESSED")
    (item,) = get(page, RUNS)["items"]
    assert (item["kind"], item["status"], item["totalRuns"]) == ("batch", "PROCESSED", 3)
    assert item["counts"] == {"COMPLETED": 2, "FAILED": 1}
    assert item["workflowId"] == WORKFLOW
    assert item["stopTime"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_calls_that_aws_refuses(
    page: TestClient, omics: Control, mapped: Any, clock: Clock, code: str
) -> None:
    """The response has the reason and the last known states."""
    mapped(2)
    omics.inject_error("GetRun", code, times=1)
    answer = get(page, RUNS)
    assert len(answer["notices"]) == 1
    assert "GetRun" in answer["notices"][0]
    assert [item.get("status") for item in answer["items"]] == [None, None]
    assert answer["pollSeconds"] == 15
    clock.advance(21)
    answer = get(page, RUNS)
    assert "notices" not in answer
    assert all(item["status"] for item in answer["items"])


def test_a_region_that_hangs_loses_its_own_states(
    page: TestClient, omics: Control, mapped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is soon shown without them, and later with them."""
    mapped(1)
    omics.hold("GetRun", "hanging", times=None)
    try:
        monkeypatch.setattr(dag_run_routes, "PATIENCE", 0)
        answer = get(page, RUNS)
    finally:
        omics.release("hanging")
    assert "has not answered" in answer["notices"][0]
    assert answer["unread"] == 1
    monkeypatch.setattr(dag_run_routes, "PATIENCE", 30)
    assert "unread" not in get(page, RUNS)


def test_an_unknown_connection(page: TestClient, omics: Control, tasks_db: Tasks) -> None:
    """The response says so, and AWS is not called."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(
            task_id="align", workflow_id=WORKFLOW, aws_conn_id="{{ params.connection }}"
        )
    tasks_db.add(task, xcoms={XCOM_KEY: {"kind": "run", "id": "1234567", "region": "us-east-1"}})
    answer = get(page, RUNS)
    assert "connection" in answer["notices"][0]
    assert "unread" not in answer
    assert omics.calls() == []


def test_a_start(page: TestClient, start: Any, tasks_db: Tasks) -> None:
    """It is known by the XCom that it pushes for other tasks, and each task instance is listed once."""
    with tasks_db.dag:
        both = HealthOmicsStartRunOperator(task_id="both", workflow_id=WORKFLOW)
    _, run_id = start()
    told = {"kind": "run", "id": "1", "region": "us-east-1"}
    value = {"id": run_id, "arn": f"arn:aws:omics:us-east-1:123456789012:run/{run_id}"}
    tasks_db.add(both, xcoms={XCOM_KEY: told, "run": value}, rendered={"aws_conn_id": "aws_default"})
    items = {(item["taskId"], item["mapIndex"]): item for item in get(page, RUNS)["items"]}
    assert len(items) == 2
    assert items["align", -1]["id"] == items["both", -1]["id"] == run_id


def test_a_large_xcom_of_another_task(page: TestClient, omics: Control, tasks_db: Tasks) -> None:
    """It is not read, even if it has the same key."""
    with tasks_db.dag:
        other = HealthOmicsStartRunOperator(task_id="other", workflow_id=WORKFLOW)
    value = {"id": "7", "arn": "arn:aws:omics:us-east-1:123456789012:batch/7", "rows": "x" * 10_000}
    path = tasks_db.add(other, xcoms={"batch": value}, rendered={"aws_conn_id": "aws_default"})
    assert get(page, RUNS)["items"] == []
    assert get(page, path)["kind"] == "none"


def test_tasks_without_a_run(page: TestClient, omics: Control, tasks_db: Tasks, mapped: Any) -> None:
    """They are not in the list; counting them costs no call."""
    with tasks_db.dag:
        other = HealthOmicsStartRunOperator(task_id="other", workflow_id=WORKFLOW)
    mapped(2)
    tasks_db.add(other, xcoms={"run": {"id": "1"}})
    before = omics.call_counts()
    assert get(page, f"{RUNS}?limit=0")["total"] == 2
    assert omics.call_counts() == before


def test_users_who_may_not_read_xcoms(
    page: TestClient, omics: Control, mapped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They get nothing, and AWS is not called."""
    mapped(1)
    deny(monkeypatch, DagAccessEntity.XCOM)
    assert page.get(RUNS).status_code == 403
    assert calls_of(omics, "GetRun") == 0
