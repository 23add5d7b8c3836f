# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The number of log lines on the run page is the DAG author's, whatever users write to XComs."""

from __future__ import annotations

from typing import Any, Final

import pytest
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from fastapi.testclient import TestClient

from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import WORKFLOW
from tests.unit.metadata_database import DAG_ID
from tests.unit.run_page.api.api_server import Tasks, get

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

LINE: Final = "a line of the log"


class FailedRun:
    """A run with a log, and the XComs of the task that started it."""

    def __init__(self, omics: Control, started: Any) -> None:
        task = {"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": [LINE]}
        omics.plan_run(status="FAILED", failure_reason="RUN_TASK_FAILED", tasks=[task])
        self.run = started()
        omics.advance("FAILED", run_id=self.run["id"])

    @property
    def xcoms(self) -> dict[str, Any]:
        """The XCom of the start."""
        return {"run": {name: self.run[name] for name in ("id", "uuid", "arn")}}

    def is_shown(self, page: TestClient, path: str) -> bool:
        """Whether page and log both show the line; they must agree."""
        answer = get(page, path)
        shown = LINE in str(answer)
        assert answer.get("logs", False) == shown
        task_id = answer["failed"][0]["taskId"]
        log = page.get(f"{path}/runs/{self.run['id']}/log", params={"task": task_id})
        assert (log.status_code, LINE in log.text) == ((200, True) if shown else (403, False))
        return shown


@pytest.fixture
def failed_run(omics: Control, started: Any, tasks_db: Tasks) -> FailedRun:
    """A run with a log."""
    return FailedRun(omics, started)


@pytest.mark.parametrize("key", ["run", XCOM_KEY])
def test_an_edited_xcom(page: TestClient, tasks_db: Tasks, failed_run: FailedRun, key: str) -> None:
    """It enables no logs."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW, log_tail_lines=0)
    edited = {**failed_run.xcoms["run"], "kind": "run", "region": "us-east-1", "log_tail_lines": 50}
    rendered = {"aws_conn_id": "aws_default", "log_tail_lines": 0}
    path = tasks_db.add(task, xcoms={key: edited}, rendered=rendered)
    assert not failed_run.is_shown(page, path)


@pytest.mark.parametrize(
    ("lines", "is_shown"), [(20, True), ("20", True), ("<template is undefined>", False)]
)
def test_a_rendered_number(
    page: TestClient, tasks_db: Tasks, failed_run: FailedRun, lines: Any, is_shown: bool
) -> None:
    """It is that of the task, mapped or not."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator.partial(task_id="align").expand(log_tail_lines=[0, 20])
    rendered = {"aws_conn_id": "aws_default", "log_tail_lines": lines}
    path = tasks_db.add(task, map_index=1, xcoms=failed_run.xcoms, rendered=rendered)
    assert failed_run.is_shown(page, path) == is_shown


@pytest.mark.parametrize("kind", [HealthOmicsStartRunOperator, HealthOmicsRunSensor])
@pytest.mark.parametrize(
    ("declared", "is_shown"),
    [({}, True), ({"log_tail_lines": 0}, False), ({"log_tail_lines": "{{ 20 }}"}, False)],
)
def test_the_number_in_the_serialized_dag(
    page: TestClient,
    tasks_db: Tasks,
    failed_run: FailedRun,
    kind: Any,
    declared: dict[str, Any],
    is_shown: bool,
) -> None:
    """It applies once Airflow has deleted the rendered fields, unless it is a template."""
    given = {"workflow_id": WORKFLOW} if kind is HealthOmicsStartRunOperator else {"run_id": "1"}
    with tasks_db.dag:
        task = kind(task_id="align", **given, **declared)
    path = tasks_db.add(task, xcoms=failed_run.xcoms)
    assert failed_run.is_shown(page, path) == is_shown


@pytest.mark.parametrize(
    ("partial", "expanded", "is_shown"),
    [
        ({"log_tail_lines": 20}, {"workflow_id": ["1"]}, True),
        ({"log_tail_lines": 0}, {"workflow_id": ["1"]}, False),
        ({}, {"workflow_id": ["1"]}, False),
        ({"workflow_id": "1"}, {"log_tail_lines": [20]}, False),
    ],
)
def test_a_mapped_task_without_rendered_fields(
    page: TestClient,
    tasks_db: Tasks,
    failed_run: FailedRun,
    partial: dict[str, Any],
    expanded: dict[str, Any],
    is_shown: bool,
) -> None:
    """``partial`` sets the number; without it a default of the DAG may apply, so no logs are shown."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator.partial(task_id="align", **partial).expand(**expanded)
    path = tasks_db.add(task, map_index=0, xcoms=failed_run.xcoms)
    assert failed_run.is_shown(page, path) == is_shown


def test_a_deleted_dag(page: TestClient, tasks_db: Tasks, failed_run: FailedRun) -> None:
    """There is no page, and so no logs."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    path = tasks_db.add(task, xcoms=failed_run.xcoms)
    with create_session() as session:
        session.query(SerializedDagModel).filter_by(dag_id=DAG_ID).delete()
    assert page.get(path).status_code == 502
    assert page.get(f"{path}/runs/{failed_run.run['id']}/log").status_code == 403


@pytest.mark.parametrize("lines", [0, 20])
def test_runs_of_a_batch(
    page: TestClient, omics: Control, tasks_db: Tasks, start_batch: Any, lines: int
) -> None:
    """They have logs if the task's author allows it, also below another task whose XCom was edited."""
    with tasks_db.dag:
        tasks = [
            HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW, log_tail_lines=lines),
            HealthOmicsRunBatchSensor(task_id="wait", batch_id="1", log_tail_lines=lines),
        ]
    path, batch_id = start_batch(log_tail_lines=lines)
    omics.advance_batch("PROCESSED")
    run_id = omics.runs()[0]["id"]
    edited = {"kind": "batch", "id": batch_id, "region": "us-east-1"}
    for each in (path, *(tasks_db.add(task, xcoms={XCOM_KEY: edited}) for task in tasks)):
        assert get(page, f"{each}/runs/{run_id}").get("logs", False) == (lines > 0)
        assert page.get(f"{each}/runs/{run_id}/log").status_code == (200 if lines else 403)
