# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The run page while AWS refuses calls or does not respond."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_healthomics.run_page import (
    answers,
    dependencies,
    source,
)
from tests.healthomics import Control
from tests.unit.conftest import (
    Clock,
    calls_of,
)
from tests.unit.run_page.api.api_server import (
    CANARY,
    get,
    plan_failure,
    stale,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_throttling(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """The response has the time to wait, and until then AWS is not called."""
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
    """The error names it, without AWS's own text."""
    path, _ = start()
    omics.inject_error("GetRun", "AccessDeniedException", times=None, message=f"no {CANARY} for you")
    answer = page.get(path)
    assert answer.status_code == 502
    assert "omics:GetRun" in answer.json()["detail"]
    assert CANARY not in answer.text


def test_a_missing_permission_for_tasks(page: TestClient, omics: Control, start: Any) -> None:
    """Only the tasks are missing."""
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
    """It is reported each time, and tried again after some minutes."""
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
def test_a_failure_with_unknown_facts(
    page: TestClient, omics: Control, start: Any, clock: Clock, code: str
) -> None:
    """The response says what is missing, and is soon completed."""
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    # Twice: the diagnosis itself repeats throttled calls.
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


def test_a_log_that_does_not_exist_yet(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """It is soon requested again, as long as it may be written."""
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


def test_a_log_that_is_never_written(
    page: TestClient, omics: Control, start: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer requested after some minutes."""
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


def test_a_throttled_page_of_tasks(page: TestClient, omics: Control, start: Any) -> None:
    """It is requested again, and the others are not lost; a final failure is temporary."""
    omics.plan_run(tasks=250)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    omics.inject_error("ListRunTasks", "ThrottlingException", times=source.PAGE_ATTEMPTS - 1)
    assert len(get(page, path)["tasks"]) == 250


def test_tasks_that_stay_throttled(page: TestClient, omics: Control, start: Any) -> None:
    """The failure is temporary, after a few attempts."""
    path, _ = start()
    omics.inject_error("ListRunTasks", "ThrottlingException", times=None)
    assert page.get(path).status_code == 503
    assert calls_of(omics, "ListRunTasks") == source.PAGE_ATTEMPTS


def test_the_last_known_state_outlives_an_outage(
    page: TestClient, omics: Control, start: Any, clock: Clock
) -> None:
    """It has its time and the reason, also in a page that is opened during the outage."""
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
    """It is shown soon, and the new response once it has arrived."""
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
