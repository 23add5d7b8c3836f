# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The CPUs and the memory that running tasks use, from CloudWatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.run_page import live_use
from tests.healthomics import Control
from tests.unit.conftest import Clock, calls_of, intercepting
from tests.unit.run_page.api.api_server import Tasks, get, pages_of

TASKS: list[dict[str, Any]] = [
    {"name": "align", "cpus": 16, "memory": 48, "cpus_in_use": 3.5, "memory_in_use": 9.25},
    {"name": "index", "cpus": 2, "memory": 4, "cpus_in_use": 1, "memory_in_use": 1, "seconds": 60},
]


@pytest.fixture
def running(omics: Control, started: Callable[..., Any], tasks_db: Tasks) -> Callable[..., list[str]]:
    """Start runs, let them run, and return their URLs."""

    def start(number: int = 1, *, tasks: list[dict[str, Any]] = TASKS, **fields: Any) -> list[str]:
        omics.set_options(manual=True)
        omics.plan_run(tasks=tasks, times=number)
        runs = [started(**fields)["id"] for _ in range(number)]
        omics.advance("RUNNING")
        return pages_of(tasks_db, runs)

    return start


def in_use(page: TestClient, path: str) -> dict[str, tuple[float, float]]:
    """Return CPUs and GiB in use by the name of the task."""
    return {
        task["name"]: (task["cpusInUse"], task["memoryInUseGiB"])
        for task in get(page, path)["tasks"]
        if "cpusInUse" in task
    }


def test_a_running_task_shows_what_it_uses(
    page: TestClient, omics: Control, running: Callable[..., list[str]], clock: Clock
) -> None:
    """One query for each metric serves all running tasks, twice a minute."""
    (path,) = running()
    assert in_use(page, path) == {"align": (3.5, 9.25), "index": (1, 1)}
    assert calls_of(omics, "QueryMetrics") == 2
    for _ in range(3):
        clock.advance(10.1)
        get(page, path)
    assert (calls_of(omics, "QueryMetrics"), calls_of(omics, "GetRun")) == (4, 4)
    clock.advance(61)
    assert in_use(page, path) == {"align": (3.5, 9.25)}


def test_an_ended_task_uses_nothing(
    page: TestClient, running: Callable[..., list[str]], clock: Clock
) -> None:
    """Its figures are cached by the page, and PromQL returns those of the last minutes."""
    (path,) = running()
    answers: list[Any] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if operation != "QueryMetrics":
            return call()
        answers.append(call() if len(answers) < 2 else answers[len(answers) % 2])
        return answers[-1]

    with intercepting(respond):
        clock.advance(45)
        assert in_use(page, path).keys() == {"align", "index"}
        clock.advance(20)
        assert in_use(page, path).keys() == {"align"}
        assert len(answers) == 2
        clock.advance(20)
        assert in_use(page, path).keys() == {"align"}
        assert len(answers) == 4


@pytest.mark.parametrize(
    ("status", "more"),
    [("COMPLETED", {}), ("RUNNING", {"logLevel": "OFF"}), ("RUNNING", {"tasks": []})],
    ids=["ended", "without logs", "without tasks"],
)
def test_some_runs_cost_no_query(
    page: TestClient, omics: Control, running: Callable[..., list[str]], status: str, more: dict[str, Any]
) -> None:
    """Those that have ended, have no running task, or do not publish metrics by their settings."""
    (path,) = running(**more)
    omics.advance(status)
    assert in_use(page, path) == {}
    assert calls_of(omics, "QueryMetrics") == 0


@pytest.mark.parametrize(
    ("code", "status", "pause"),
    [
        ("AccessDeniedException", None, live_use.REFUSED_SECONDS),
        ("403", 403, live_use.REFUSED_SECONDS),
        ("ThrottlingException", None, live_use.FAILED_SECONDS),
    ],
)
def test_a_refusal(
    page: TestClient,
    omics: Control,
    running: Callable[..., list[str]],
    clock: Clock,
    code: str,
    status: int | None,
    pause: float,
) -> None:
    """The page works without a notice, and the refusal applies to all runs of the connection for a while."""
    path, other = running(2)
    omics.inject_error("QueryMetrics", code, status=status)
    answer = get(page, path)
    assert "notices" not in answer
    assert [task["status"] for task in answer["tasks"]] == ["RUNNING"] * 2
    clock.advance(11)
    assert in_use(page, path) == in_use(page, other) == {}
    assert calls_of(omics, "QueryMetrics") == 1
    clock.advance(pause)
    assert in_use(page, other) == {"align": (3.5, 9.25)}


def test_a_run_whose_role_publishes_nothing(
    page: TestClient, omics: Control, running: Callable[..., list[str]], clock: Clock
) -> None:
    """It is queried again at doubling intervals, for one metric only."""
    (path,) = running(tasks=[{"name": "align"}])
    times = []
    for second in range(0, 1200, 10):
        before = calls_of(omics, "QueryMetrics")
        assert in_use(page, path) == {}
        times += [second] * (calls_of(omics, "QueryMetrics") - before)
        clock.advance(10)
    assert times == [0, 30, 90, 210, 450, 930]


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ({}, {}),
        ({"data": None}, {}),
        ({"data": {"result": []}}, {}),
        ({"data": {"result": [{"metric": {}, "value": [1, "2"]}]}}, {}),
        ({"data": {"result": [{"metric": {live_use._TASK_LABEL: "7"}, "value": [1, "NaN"]}]}}, {}),
        ({"data": {"result": [{"metric": {live_use._TASK_LABEL: "7"}, "value": [1, "3e12"]}]}}, {"7": 1500}),
    ],
)
def test_the_values_of_an_answer(answer: dict[str, Any], values: dict[str, float]) -> None:
    """They are numbers of tasks, in their unit."""
    assert live_use.latest_values(answer, 2_000_000_000) == values


def test_queries_have_the_endpoint_of_cloudwatch(connection: Callable[..., None]) -> None:
    """It is that of the region, or of the connection, such as a VPC endpoint."""
    client = PollingHook(aws_conn_id=None, region_name="eu-west-2").promql_client
    assert client.meta.endpoint_url == "https://monitoring.eu-west-2.amazonaws.com"
    url = "https://vpce-1.monitoring.eu-west-2.vpce.amazonaws.com"
    connection(region_name="eu-west-2", service_config={"cloudwatch": {"endpoint_url": url}})
    assert PollingHook(aws_conn_id="aws_default").promql_client.meta.endpoint_url == url
