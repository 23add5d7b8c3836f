# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Failures on the run page, and the logs that it opens."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from botocore.exceptions import ClientError
from fastapi.testclient import TestClient

from airflow_healthomics.exceptions import HealthOmicsRunFailedError
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import WORKFLOW, Clock, FakeTaskInstance, calls_of, context_of
from tests.unit.metadata_database import DAG_ID
from tests.unit.run_page.api.api_server import Tasks, deny, get

LINES = [f"line {number}" for number in range(1, 6)]


@pytest.fixture
def log_of(page: TestClient, omics: Control, start: Any) -> Any:
    """Start a run that fails, and return a function that requests the log of its task or engine."""

    def begin(**arguments: Any) -> Any:
        omics.plan_run(
            status="FAILED",
            failure_reason="RUN_TASK_FAILED",
            tasks=[{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": LINES}],
            engine_log=["the engine"],
        )
        path, run_id = start(**arguments)
        omics.advance("FAILED", run_id=run_id)
        (task,) = get(page, path)["tasks"]

        def ask(*, of_engine: bool = False, **query: Any) -> Any:
            which = {} if of_engine else {"task": task["taskId"]}
            return page.get(f"{path}/runs/{run_id}/log", params=which | query)

        return ask

    return begin


def test_the_next_step_is_that_of_the_error(
    page: TestClient,
    omics: Control,
    tasks_db: Tasks,
    with_defaults: None,
    clock: Clock,
) -> None:
    """The task's log and the page use the same words."""
    omics.plan_run(status="FAILED", failure_reason="FILE_SYSTEM_OUT_OF_SPACE", seconds={"RUNNING": 30})
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(
            task_id="align", workflow_id=WORKFLOW, wait_for_completion=True, deferrable=False
        )
    ti = FakeTaskInstance(dag_id=DAG_ID, task_id="align")
    clock.control = omics
    with pytest.raises(HealthOmicsRunFailedError) as error:
        task.execute(context_of(ti))
    answer = get(page, tasks_db.add(task, xcoms=ti.xcoms, rendered={"aws_conn_id": "aws_default"}))
    assert answer["nextStep"] == "Raise storage_capacity, or set storage_type to DYNAMIC."
    assert f"Next step: {answer['nextStep']}" in str(error.value)


def test_a_cancelled_run(page: TestClient, omics: Control, start: Any, tasks_db: Tasks) -> None:
    """The task that started it repeats it, and a sensor does not."""
    with tasks_db.dag:
        declared = HealthOmicsRunSensor(task_id="wait", run_id="1")
    path, run_id = start()
    ti = FakeTaskInstance(dag_id=DAG_ID, task_id="wait")
    sensor = HealthOmicsRunSensor(task_id="wait", run_id=run_id)
    assert sensor.poke(context_of(ti)) is False
    of_sensor = tasks_db.add(declared, xcoms=ti.xcoms, rendered={"aws_conn_id": "aws_default"})
    omics.advance("CANCELLED", run_id=run_id)
    assert "Clear the task" in get(page, path)["nextStep"]
    assert "clear the task that starts it" in get(page, of_sensor)["nextStep"]


def test_an_active_run_has_no_next_step(page: TestClient, omics: Control, start: Any) -> None:
    """Even if a task of it failed: the engine may repeat it."""
    omics.plan_run(tasks=[{"name": "bad", "failure_reason": "TASK_TIMED_OUT", "seconds": 0}])
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    assert "nextStep" not in get(page, path)


def test_the_pages_of_a_log(log_of: Any, omics: Control) -> None:
    """They are read backwards from the end; the first page costs one call of each operation."""
    ask = log_of()
    calls = calls_of(omics, "GetRun")
    last = ask(limit=2).json()
    assert last["lines"] == ["line 4", "line 5"]
    middle = ask(limit=2, before=last["before"]).json()
    assert middle["lines"] == ["line 2", "line 3"]
    first = ask(limit=10, before=middle["before"]).json()
    assert first["lines"][-1] == "line 1"
    assert "before" not in ask(before=first["before"]).json()
    assert calls_of(omics, "GetRun") == calls + 1


def test_the_log_of_the_engine(log_of: Any) -> None:
    """It is the one without a task."""
    answer = log_of()(of_engine=True).json()
    assert answer["lines"][-1] == "the engine"
    assert answer["stream"].endswith("/engine")


def test_a_task_without_a_log(log_of: Any) -> None:
    """It has no lines, and is no error."""
    answer = log_of()(task="999").json()
    assert (answer["lines"], answer.get("before")) == ([], None)


@pytest.mark.parametrize(
    "query", [{"task": "1/../2"}, {"limit": 0}, {"limit": 10_001}, {"before": "x" * 1_001}]
)
def test_an_invalid_page_of_a_log(log_of: Any, query: dict[str, Any]) -> None:
    """It is refused before AWS is called."""
    assert log_of()(**query).status_code == 422


def test_a_long_line(log_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loses its middle."""
    monkeypatch.setattr("airflow_healthomics.run_page.task_logs.MAX_LINE", 5)
    assert log_of()(limit=1).json()["lines"] == ["l … 5"]


def test_logs_require_the_right_to_read_logs(log_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it no log is read, even if another user has just read it."""
    ask = log_of()
    assert ask().status_code == 200
    deny(monkeypatch, DagAccessEntity.TASK_LOGS)
    answer = ask()
    assert answer.status_code == 403
    assert "line" not in answer.text


def test_logs_that_are_turned_off(log_of: Any) -> None:
    """The page does not show them either."""
    answer = log_of(log_tail_lines=0)()
    assert answer.status_code == 403
    assert "log_tail_lines" in answer.json()["detail"]


@pytest.mark.parametrize("lines", [0, 20])
def test_the_page_says_whether_it_may_open_logs(
    page: TestClient,
    start: Any,
    monkeypatch: pytest.MonkeyPatch,
    lines: int,
) -> None:
    """A button that would be refused is not shown."""
    path, _ = start(log_tail_lines=lines)
    assert get(page, path).get("logs", False) == (lines > 0)
    deny(monkeypatch, DagAccessEntity.TASK_LOGS)
    assert "logs" not in get(page, path)


def test_the_log_of_another_run(page: TestClient, start: Any, started: Any) -> None:
    """It is not found."""
    path, _ = start()
    assert page.get(f"{path}/runs/{started()['id']}/log").status_code == 404


def test_the_logs_of_a_run_of_a_batch(
    page: TestClient, omics: Control, start_batch: Any, started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are like those of any run, for tasks and engine; a run outside of the batch is not found."""
    omics.plan_run(
        run_setting_id="s1",
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        tasks=[{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": LINES}],
        engine_log=["the engine"],
    )
    path, _ = start_batch()
    omics.advance_batch("PROCESSED")
    (run_id,) = [row["id"] for row in get(page, f"{path}/runs?status=FAILED")["rows"]]
    answer = get(page, f"{path}/runs/{run_id}")
    assert answer["failed"][0]["logLines"][-1] == LINES[-1]
    log = f"{path}/runs/{run_id}/log"
    task = f"{log}?task={answer['tasks'][0]['taskId']}"
    assert get(page, task)["lines"][-len(LINES) :] == LINES
    assert get(page, log)["lines"][-1] == "the engine"
    assert page.get(f"{path}/runs/{started()['id']}/log").status_code == 404
    deny(monkeypatch, DagAccessEntity.TASK_LOGS)
    assert page.get(task).status_code == 403
    assert LINES[-1] not in page.get(f"{path}/runs/{run_id}").text


def test_a_denied_log(log_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the permission of the connection."""
    ask = log_of()

    def refuse(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetLogEvents")

    monkeypatch.setattr("airflow_healthomics.run_page.log_source.read_log", refuse)
    answer = ask()
    assert answer.status_code == 502
    assert "logs:GetLogEvents" in answer.json()["detail"]
