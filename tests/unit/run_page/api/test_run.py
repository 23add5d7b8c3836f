# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The run page's API, with Airflow's own database, users and authorisation, and the local HealthOmics."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.models import Connection
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.publishing.resource import DELAY_KEY, XCOM_KEY
from airflow_healthomics.run_page import (
    answers,
    calls,
    clients,
    dag_run_routes,
    dependencies,
    lookup,
    source,
)
from airflow_healthomics.run_page.clients import lanes
from airflow_healthomics.run_page.plugin import URL_PREFIX
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor, HealthOmicsRunSensor
from tests.healthomics import Control
from tests.unit.conftest import (
    OUTPUT,
    WORKFLOW,
    Clock,
    FakeTaskInstance,
    calls_of,
    context_of,
    intercepting,
)
from tests.unit.metadata_database import DAG_ID
from tests.unit.run_page.api.api_server import CANARY, RUNS, Tasks, deny, fresh_server, get, headers, url

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_run_on_its_way(page: TestClient, omics: Control, start: Any) -> None:
    """By AWS's own names, with its states so far, its tasks and links."""
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
    assert answer["tasksTotal"] == len(answer["tasks"]) == 3
    assert datetime.fromisoformat(answer["asOf"]).tzinfo
    assert datetime.fromisoformat(answer["tasks"][0]["creationTime"]).tzinfo


def test_a_run_that_has_ended(page: TestClient, omics: Control, start: Any) -> None:
    """With its whole history, and its tasks' resources."""
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
    """Is no page."""
    start()
    assert page.get(url("another")).status_code == 404
    assert page.get(url("align", 3)).status_code == 404


def test_a_task_without_a_run(page: TestClient, omics: Control, tasks_db: Tasks) -> None:
    """Says so, and how the task is."""
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    path = tasks_db.add(task, state="queued", xcoms={"run": {"id": "1234567"}, "return_value": "1234567"})
    assert get(page, path) == {"kind": "none", "taskState": "queued", "delay": None}
    assert omics.calls() == []


def test_a_task_whose_start_is_delayed(page: TestClient, tasks_db: Tasks) -> None:
    """Says since when, why, and when the start is repeated; without anything else of the XCom."""
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
    """Has its page all the same, as it has its links."""
    path, run_id = start(do_xcom_push=False)
    assert get(page, path)["run"]["id"] == run_id


@pytest.mark.parametrize("kind", ["run", "batch"])
def test_a_sensor_that_waits(
    page: TestClient, start: Any, start_batch: Any, tasks_db: Tasks, kind: str
) -> None:
    """Shows what it waits for."""
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


@pytest.mark.parametrize("path", [RUNS, url("align"), url("align") + "/runs/1234567"])
@pytest.mark.parametrize(("role", "status"), [(None, 403), ("nobody", 401)])
def test_who_may_not(
    server: FastAPI, omics: Control, start: Any, path: str, role: str | None, status: int
) -> None:
    """Gets nothing, and AWS is not asked."""
    start()
    before = calls_of(omics, "GetRun")
    sent = {} if role == "nobody" else headers(role)
    answer = TestClient(server).get(path, headers=sent)
    assert answer.status_code == status
    assert calls_of(omics, "GetRun") == before


@pytest.mark.parametrize("entity", [DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM])
@pytest.mark.parametrize("path", [RUNS, url("align"), url("align") + "/runs/1234567"])
def test_the_rights_that_it_takes(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, entity: DagAccessEntity, path: str
) -> None:
    """Those for the task instance and for its XComs, both."""
    start()
    deny(monkeypatch, entity)
    assert page.get(path).status_code == 403


@pytest.mark.parametrize("answer", [True, False, object()])
def test_rights_that_are_told_in_a_way_that_is_not_known(
    page: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Are no rights to read logs."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    monkeypatch.setattr(dependencies, "_requires_logs", lambda *_: answer)
    assert get(page, path)["failed"][0]["logLines"] == []


def test_airflows_own_check() -> None:
    """A tripwire: it is called and not awaited, and says no by raising."""
    assert not inspect.iscoroutinefunction(dependencies._requires_logs)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (url("align", 2**31), 422),
        (url("align", -2), 422),
        (url("align%00"), 404),
        (f"{RUNS}%00", 404),
    ],
)
def test_what_no_database_takes(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    """Is refused before it is asked."""
    start()
    for module, name in ((dependencies, "find_task"), (dag_run_routes, "list_tasks")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("was asked"))
    assert page.get(path).status_code == status


def test_an_xcom_of_somebody_elses(page: TestClient, omics: Control, tasks_db: Tasks) -> None:
    """Is no run, and where it looks like one it has no connection, unless the task has."""
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
    """Cannot be read by its id."""
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
    """Is not shown."""
    other = started()
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW)
    told = {"kind": "run", "id": other["id"], "uuid": "another", "region": "us-east-1"}
    path = tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "aws_default"})
    assert page.get(path).status_code == 404


def test_a_parameters_file(page: TestClient, omics: Control, start: Any) -> None:
    """The page says that there is one, and not where: the URL is a credential."""
    path, _ = start(parameters=None, parameters_uri="s3://outputs/x.json", requester_pays_enabled=True)
    answer = get(page, path)
    assert (answer["run"]["parametersInFile"], answer["run"]["requesterPaysEnabled"]) == (True, True)
    assert "x.json" not in json.dumps(answer)


def test_failed_tasks(page: TestClient, omics: Control, start: Any) -> None:
    """With the reason and the last lines of the log of each."""
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


def plan_failure(omics: Control) -> None:
    """Let the next run fail, with a line in its log."""
    omics.plan_run(
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        tasks=[{"name": "bad", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": ["a line"]}],
    )


def test_logs_that_the_dag_author_has_turned_off(page: TestClient, omics: Control, start: Any) -> None:
    """Are not asked for."""
    plan_failure(omics)
    path, run_id = start(log_tail_lines=0)
    omics.advance("FAILED", run_id=run_id)
    answer = get(page, path)
    assert answer["failed"][0]["logLines"] == []
    assert "a line" not in json.dumps(answer)


def test_a_user_who_may_not_read_logs(
    page: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gets the rest, also when somebody else has got them just before."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    assert get(page, path)["failed"][0]["logLines"][-1] == "a line"
    deny(monkeypatch, DagAccessEntity.TASK_LOGS)
    answer = get(page, path)
    assert "a line" not in json.dumps(answer)
    assert answer["failed"][0]["failureReason"] == "OUT_OF_MEMORY_ERROR"


def test_a_batch(page: TestClient, omics: Control, start_batch: Any, clock: Clock) -> None:
    """Counts, and what has failed; its runs by their ids, and no others."""
    omics.plan_run(run_setting_id="s1", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    omics.fail_submission(["s2"])
    path, batch_id = start_batch()
    assert get(page, path)["active"] is True
    omics.advance_batch("PROCESSED")
    clock.advance(11)
    answer = get(page, path)
    assert answer["batch"]["id"] == batch_id
    assert answer["batch"]["status"] == "PROCESSED"
    assert answer["batch"]["workflowId"] == WORKFLOW
    assert answer["active"] is False
    assert answer["counts"] == {"COMPLETED": 1, "FAILED": 1, "NOT_STARTED": 1}
    by_setting = {item["runSettingId"]: item for item in answer["failed"]}
    assert by_setting["s1"]["failureReason"] == "INPUT_URI_NOT_FOUND"
    assert by_setting["s2"]["status"] == "NOT_STARTED"
    assert answer["failedTotal"] == 2
    run = get(page, f"{path}/runs/{by_setting['s1']['id']}")
    assert run["run"]["batchId"] == batch_id


def test_a_run_of_another_batch(page: TestClient, omics: Control, start_batch: Any, started: Any) -> None:
    """Is not found, and neither is a run of none; nothing else is asked about them."""
    path, _ = start_batch()
    other = started()["id"]
    assert page.get(f"{path}/runs/{other}").status_code == 404
    assert page.get(f"{path}/runs/999").status_code == 404
    assert calls_of(omics, "ListRunTasks") == 0


def test_an_id_that_was_given_to_another_batch(
    page: TestClient, omics: Control, tasks_db: Tasks, start_batch: Any, clock: Clock
) -> None:
    """Is not shown, and neither are the runs of that batch; for those the batch is asked for once."""
    omics.plan_run(run_setting_id="s1", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    with tasks_db.dag:
        other = HealthOmicsRunBatchSensor(task_id="wait", batch_id="1")
    path, batch_id = start_batch()
    omics.advance_batch("PROCESSED")
    (failed,) = get(page, path)["failed"]
    before = calls_of(omics, "GetBatch")
    for _ in range(2):
        get(page, f"{path}/runs/{failed['id']}")
        clock.advance(301)
    assert calls_of(omics, "GetBatch") == before + 2
    told = {"kind": "batch", "id": batch_id, "uuid": "another", "region": "us-east-1"}
    path = tasks_db.add(other, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "aws_default"})
    assert page.get(path).status_code == 404
    assert page.get(f"{path}/runs/{failed['id']}").status_code == 404


def test_too_many_at_once(page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are refused for a while, and do not wait in a queue without end."""
    monkeypatch.setattr(clients, "MAX_PENDING", 0)
    path, _ = start()
    with TestClient(fresh_server(), headers=headers("VIEWER")) as client:
        answer = client.get(path)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) == 20


def test_fifty_tabs(server: FastAPI, omics: Control, start: Any, clock: Clock) -> None:
    """Cost one request in an interval."""
    path, _ = start()
    sent = headers("VIEWER")
    before = calls_of(omics, "GetRun")

    async def look() -> list[int]:
        transport = httpx.ASGITransport(app=server)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=sent) as client:
            return [each.status_code for each in await asyncio.gather(*[client.get(path) for _ in range(50)])]

    assert asyncio.run(look()) == [200] * 50
    assert calls_of(omics, "GetRun") == before + 1
    assert asyncio.run(look()) == [200] * 50
    assert calls_of(omics, "GetRun") == before + 1
    clock.advance(11)
    assert asyncio.run(look()) == [200] * 50
    assert calls_of(omics, "GetRun") == before + 2


def test_a_run_that_has_ended_is_asked_for_rarely(
    page: TestClient, omics: Control, start: Any, clock: Clock
) -> None:
    """Nothing of it changes."""
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    get(page, path)
    before = calls_of(omics, "GetRun")
    clock.advance(200)
    get(page, path)
    assert calls_of(omics, "GetRun") == before


def test_throttling(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """Is told with the time to wait, in which AWS is left alone."""
    path, _ = start()
    omics.inject_error("GetRun", "ThrottlingException", times=1)
    answer = page.get(path)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) == 20
    before = calls_of(omics, "GetRun")
    assert page.get(path).status_code == 503
    assert calls_of(omics, "GetRun") == before
    clock.advance(21)
    assert get(page, path)["kind"] == "run"


def test_a_missing_permission(page: TestClient, omics: Control, start: Any) -> None:
    """Is named, and AWS's own text is not shown."""
    path, _ = start()
    omics.inject_error("GetRun", "AccessDeniedException", times=None, message=f"no {CANARY} for you")
    answer = page.get(path)
    assert answer.status_code == 502
    assert "omics:GetRun" in answer.json()["detail"]
    assert CANARY not in answer.text


def test_a_missing_permission_for_tasks(page: TestClient, omics: Control, start: Any) -> None:
    """Costs the tasks only."""
    path, _ = start()
    omics.inject_error("ListRunTasks", "AccessDeniedException", times=None)
    answer = get(page, path)
    assert answer["tasks"] == []
    assert not [line for line in answer["usage"] if line.startswith("Used")]
    assert answer["tasksUnknown"] is True
    assert "omics:ListRunTasks" in answer["notices"][0]


def test_a_missing_permission_for_the_workflow(
    page: TestClient, omics: Control, start: Any, clock: Clock
) -> None:
    """Is said each time, and asked for again after some minutes."""
    path, _ = start()
    omics.inject_error("GetWorkflow", "AccessDeniedException", times=1)
    for _ in range(2):
        assert "omics:GetWorkflow" in get(page, path)["notices"][0]
        clock.advance(11)
    assert calls_of(omics, "GetWorkflow") == 1
    clock.advance(300)
    assert "notices" not in get(page, path)
    assert calls_of(omics, "GetWorkflow") == 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_failure_that_not_all_is_known_of(
    page: TestClient, omics: Control, start: Any, clock: Clock, code: str
) -> None:
    """Says what is missing, and is completed soon."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    # Twice: the diagnosis itself tries again what is throttled.
    omics.inject_error("GetRunTask", code, times=1 if code.startswith("Access") else 2)
    answer = get(page, path)
    assert "omics:GetRunTask" in answer["notices"][0]
    assert "failureReason" not in answer["failed"][0]
    assert answer["settling"] is True
    assert answer["pollSeconds"] == answers.INCOMPLETE_SECONDS
    clock.advance(31)
    answer = get(page, path)
    assert answer["failed"][0]["failureReason"] == "OUT_OF_MEMORY_ERROR"
    assert not answer.keys() & {"notices", "settling"}


def test_a_log_that_is_not_there_yet(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """Is looked for again soon, as long as it may come."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_healthomics.reports.diagnosis._tail", lambda *_: (None, ()))
        assert get(page, path)["settling"] is True
    clock.advance(31)
    answer = get(page, path)
    assert answer["failed"][0]["logLines"][-1] == "a line"
    assert "settling" not in answer


def test_a_log_that_does_not_come(
    page: TestClient, omics: Control, start: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is not waited for any more after some minutes."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    monkeypatch.setattr("airflow_healthomics.reports.diagnosis._tail", lambda *_: (None, ()))
    monkeypatch.setattr(source, "SETTLED_AFTER", timedelta(days=-1))
    assert "settling" not in get(page, path)
    before = calls_of(omics, "GetRun")
    clock.advance(200)
    get(page, path)
    assert calls_of(omics, "GetRun") == before


def test_a_page_of_tasks_that_is_throttled(page: TestClient, omics: Control, start: Any) -> None:
    """Is asked for again, and does not cost the others; in vain it is an error that passes."""
    omics.plan_run(tasks=250)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    omics.inject_error("ListRunTasks", "ThrottlingException", times=source.PAGE_ATTEMPTS - 1)
    assert get(page, path)["tasksTotal"] == 250


def test_tasks_that_stay_throttled(page: TestClient, omics: Control, start: Any) -> None:
    """Are an error that passes, after a few attempts."""
    path, _ = start()
    omics.inject_error("ListRunTasks", "ThrottlingException", times=None)
    assert page.get(path).status_code == 503
    assert calls_of(omics, "ListRunTasks") == source.PAGE_ATTEMPTS


def test_expired_credentials(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """Cost the client, so that renewed ones are noticed at once."""
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
    """Until the connection is edited, which is noticed within minutes. The diagnosis shares it."""
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


def test_the_calls_of_a_diagnosis_count(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """As any others of the connection."""
    budget = lanes.get(lookup.TaskConnection(aws_conn_id="aws_default"), "us-east-1").budget
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    before = omics.call_counts()
    left = budget._left
    get(page, path)
    after = omics.call_counts()
    assert after["GetRunTask"] > before.get("GetRunTask", 0)
    assert left - budget._left > sum(after.values()) - sum(before.values())  # with GetLogEvents


@pytest.mark.parametrize("mistake", [AttributeError, NotImplementedError])
def test_a_connection_with_mistakes(
    page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch, mistake: type[Exception]
) -> None:
    """Is named, whatever the amazon provider makes of it."""
    path, _ = start()

    def fail(*_: Any, **__: Any) -> None:
        raise mistake(CANARY)

    monkeypatch.setattr(PollingHook, "get_client_type", fail)
    answer = page.get(path)
    assert answer.status_code == 502
    assert mistake.__name__ in answer.json()["detail"]
    assert CANARY not in answer.text


def stale(answer: Any) -> str:
    """Return the reason why an answer is an earlier one; empty if it is not."""
    assert answer.status_code == 200
    return unquote(answer.headers.get(dependencies.STALE_HEADER, ""))


def test_the_last_known_state_outlives_an_outage(
    page: TestClient, omics: Control, start: Any, clock: Clock
) -> None:
    """With its time and the reason, also in a page that is opened during the outage."""
    path, _ = start()
    before = page.get(path)
    assert stale(before) == ""
    clock.advance(11)
    omics.inject_error("GetRun", "ServiceUnavailableException", times=1, status=503)
    during = page.get(path)
    assert "ServiceUnavailableException" in stale(during)
    assert during.json() == before.json()
    clock.advance(21)
    assert stale(page.get(path)) == ""


def test_the_last_known_state_is_shown_while_aws_hangs(
    page: TestClient, omics: Control, start: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, and the new answer is shown when it has arrived."""
    monkeypatch.setattr(dependencies, "REFRESH_PATIENCE", 0)
    omics.set_options(manual=True)
    path, run_id = start()
    get(page, path)
    clock.advance(11)
    omics.advance("RUNNING", run_id=run_id)
    omics.hold("GetRun", "hanging", times=None)
    try:
        during = page.get(path)
    finally:
        omics.release("hanging")
    assert stale(during) == "HealthOmics has not answered yet."
    assert during.json()["run"]["status"] == "PENDING"
    monkeypatch.setattr(dependencies, "REFRESH_PATIENCE", dependencies.PATIENCE)
    assert get(page, path)["run"]["status"] == "RUNNING"


def test_a_region_that_hangs_delays_no_other(
    page: TestClient, omics: Control, tasks_db: Tasks, started: Any
) -> None:
    """Eight requests wait for AWS, and the page of a run in another region is answered."""
    runs = [started()["id"] for _ in range(8)]
    *hanging, other = pages_of(tasks_db, [*runs, "7654321"], last_region="us-west-2")
    for run_id in runs:
        omics.hold("GetRun", "hanging", times=None, match={"id": run_id})
    with ThreadPoolExecutor(len(hanging) + 1) as pool:
        waiting = [pool.submit(page.get, path) for path in hanging]
        try:
            omics.wait_until_held("hanging", count=clients.THREADS)
            assert pool.submit(page.get, other).result(60).status_code == 404
            assert not any(answer.done() for answer in waiting)
        finally:
            omics.release("hanging")
        assert {answer.result().status_code for answer in waiting} == {200}


def test_a_deleted_run(page: TestClient, omics: Control, start: Any) -> None:
    """Is not there any more."""
    path, run_id = start()
    omics.advance("DELETED", run_id=run_id)
    answer = page.get(path)
    assert answer.status_code == 404
    assert run_id in answer.json()["detail"]


def test_too_many_tasks(
    page: TestClient, omics: Control, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are cut off, which is said; and many are asked for at longer intervals."""
    monkeypatch.setattr(source, "MAX_TASKS", 700)
    omics.plan_run(tasks=750)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    answer = get(page, path)
    assert answer["tasksTotal"] == len(answer["tasks"]) == 700
    assert answer["tasksTruncated"] is True
    assert answer["usage"][0].startswith("Used at least")
    assert answer["pollSeconds"] == 14


def test_all_pages_of_a_connection_share_a_bound(
    page: TestClient, omics: Control, tasks_db: Tasks, started: Any, clock: Clock
) -> None:
    """Twenty pages would cost four calls a second; with a bound of two, each waits twice as long."""
    omics.set_options(manual=True)
    runs = [started()["id"] for _ in range(20)]
    paths = pages_of(tasks_db, runs)
    get(page, paths[0])
    clock.advance(100)
    before = sum(omics.call_counts().values())
    seen: dict[str, tuple[str, int]] = {}
    ages: list[int] = []
    for second in range(120):
        clock.advance(1)
        for path in paths[second % 10 :: 10]:
            as_of = get(page, path)["asOf"]
            since = seen[path][1] if path in seen and seen[path][0] == as_of else second
            seen[path] = (as_of, since)
            ages.append(second - since)
    made = sum(omics.call_counts().values()) - before
    assert 120 * 2 * 0.9 <= made <= 120 * 2 + 40
    assert 10 <= max(ages) <= 60
    omics.advance("COMPLETED", run_id=runs[0])
    clock.advance(20)
    assert get(page, paths[0])["run"]["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("variable", "value", "loaded"),
    [
        ("", "", 19),
        ("AIRFLOW__HEALTHOMICS__PAGE_RATE", "0.5", 4),
        ("AIRFLOW__API__WORKERS", "4", 4),
    ],
)
def test_too_many_pages_at_once(
    page: TestClient,
    omics: Control,
    tasks_db: Tasks,
    started: Any,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    loaded: int,
) -> None:
    """Are refused until others are paid for. Another region has its own quotas."""
    if variable:
        monkeypatch.setenv(variable, value)
    runs = [started()["id"] for _ in range(25)]
    *paths, elsewhere = pages_of(tasks_db, [*runs, "1"], last_region="eu-west-1")
    answers = [page.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * loaded + [503] * (25 - loaded)
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert page.get(elsewhere).status_code == 404
    clock.advance(20)
    assert get(page, paths[-1])["kind"] == "run"


def pages_of(tasks_db: Tasks, runs: list[str], *, last_region: str = "us-east-1") -> list[str]:
    """Return the URLs of mapped tasks with these runs, of which the last one may be in another region."""
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


def test_the_workflow_by_its_name(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """Asked for once; a refusal too."""
    omics.add_workflow(WORKFLOW, name="germline")
    path, _ = start()
    assert get(page, path)["run"]["workflowName"] == "germline"
    clock.advance(11)
    get(page, path)
    assert calls_of(omics, "GetWorkflow") == 1


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
    """Is the rendered one, else the declared one, and never another one in its place."""
    run = started()
    with tasks_db.dag:
        task = HealthOmicsStartRunOperator(task_id="align", workflow_id=WORKFLOW, aws_conn_id=declared)
    told = {"kind": "run", "id": run["id"], "uuid": run["uuid"], "region": "us-east-1"}
    path = tasks_db.add(task, xcoms={XCOM_KEY: told}, rendered=rendered)
    assert page.get(path).status_code == status


def test_a_connection_in_the_metadata_database(page: TestClient, tasks_db: Tasks, started: Any) -> None:
    """Is looked up as an API server does it, where no task runs."""
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


def test_the_page_and_its_files(server: FastAPI) -> None:
    """Are for everybody and hold no data; nothing else may be loaded, nor show them in a frame."""
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


def test_data_is_stored_nowhere(page: TestClient, start: Any) -> None:
    """Not even what was refused."""
    path, _ = start()
    assert page.get(path).headers["Cache-Control"] == "no-store"
    for missing in (url("another"), f"{URL_PREFIX}/nothing", f"{URL_PREFIX}/api", f"{URL_PREFIX}/pages"):
        assert page.get(missing).headers["Cache-Control"] == "no-store"


def test_nothing_of_a_patient_is_logged(
    page: TestClient, omics: Control, start_batch: Any, logged: Callable[[], str]
) -> None:
    """Neither in what is shown nor in what goes wrong."""
    path, _ = start_batch()
    logged()
    omics.inject_error("GetBatch", "ValidationException", times=1, message=CANARY)
    assert page.get(path).status_code == 502
    assert CANARY not in logged()
