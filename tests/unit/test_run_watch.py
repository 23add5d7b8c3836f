# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Watching a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.run_watch import RunWatch
from tests.healthomics import Control

from .conftest import ONE_ATTEMPT


class Records:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def info(self, message: str, *args: Any) -> None:
        self.lines.append((logging.INFO, message % args))

    def warning(self, message: str, *args: Any) -> None:
        self.lines.append((logging.WARNING, message % args))


@pytest.fixture
def hook(omics: Control) -> HealthOmicsHook:
    """A hook whose calls are not repeated by botocore."""
    return HealthOmicsHook(config=ONE_ATTEMPT)


@pytest.fixture
def log() -> Records:
    """An empty log."""
    return Records()


@pytest.fixture
def run(omics: Control, started: Callable[..., Any]) -> dict[str, Any]:
    """A run that moves only when it is told."""
    omics.set_options(manual=True)
    answer: dict[str, Any] = started()
    return answer


def answering(hook: HealthOmicsHook, *answers: dict[str, Any]) -> None:
    """Let GetRun answer what the local HealthOmics never would, over the wire."""
    left = list(answers)

    def answer(request: Any, **_: Any) -> AWSResponse:
        body = json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode()
        response = AWSResponse(request.url, 200, {"content-type": "application/json"}, None)
        response._content = body
        return response

    hook.conn.meta.events.register_first("before-send.omics.GetRun", answer)


def test_it_logs_each_status_once(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """A change is news; a poll is none."""
    watch = RunWatch(run["id"], log=log)
    for status in ("PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"):
        omics.advance(status, run_id=run["id"])
        for _ in range(3):
            watch.poll(hook.conn)
    assert [line.rpartition(" is ")[2] for _, line in log.lines] == [
        "PENDING",
        "STARTING",
        "RUNNING",
        "STOPPING",
        "COMPLETED",
    ]


def test_a_status_that_nobody_knows_is_waited_on(hook: HealthOmicsHook, log: Records) -> None:
    """AWS may invent one; it is logged once, as a warning."""
    answering(hook, {"id": "1", "uuid": "u", "status": "HIBERNATING"})
    watch = RunWatch("1", log=log)
    assert [watch.poll(hook.conn) for _ in range(3)] == [None] * 3
    assert len(log.lines) == 1
    assert log.lines[0][0] == logging.WARNING
    assert "HIBERNATING" in log.lines[0][1]


def test_a_run_that_ends_after_it_is_noticed(hook: HealthOmicsHook, log: Records) -> None:
    """The unknown status is on the way to a known one."""
    unknown = {"id": "1", "uuid": "u", "status": "HIBERNATING"}
    answering(hook, unknown, unknown | {"status": "COMPLETED"})
    watch = RunWatch("1", log=log)
    assert watch.poll(hook.conn) is None
    assert watch.poll(hook.conn) == {"id": "1", "uuid": "u", "status": "COMPLETED"}


def test_a_failing_poll_is_logged_until_polls_succeed_again(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """Once for each time that the service is away."""
    watch = RunWatch(run["id"], log=log)
    for _ in range(2):
        omics.inject_error("GetRun", "ThrottlingException", times=4)
        for _ in range(5):
            assert watch.poll(hook.conn) is None
    assert [line for level, line in log.lines if level == logging.WARNING and "Throttling" in line][1:]
    assert len([line for level, line in log.lines if level == logging.WARNING]) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_any_fault_of_the_service_is_passing(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records, status: int
) -> None:
    """Whatever it is called."""
    omics.inject_error("GetRun", "NobodyKnowsException", status=status)
    watch = RunWatch(run["id"], log=log)
    assert watch.poll(hook.conn) is None
    assert watch.latest is None


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "ValidationException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
    ],
)
def test_a_refusal_ends_the_watch(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records, code: str
) -> None:
    """With AWS's code."""
    omics.inject_error("GetRun", code, status=403)
    with pytest.raises(HealthOmicsApiError, match=run["id"]) as caught:
        RunWatch(run["id"], log=log).poll(hook.conn)
    assert caught.value.code == code


def test_credentials_that_are_missing_end_the_watch(
    omics: Control, run: dict[str, Any], log: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of botocore itself is one of ours."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(HealthOmicsApiError, match="credentials"):
        RunWatch(run["id"], log=log).poll(HealthOmicsHook().conn)


def test_a_run_that_is_gone_is_deleted(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """GetRun does not find it, whatever deleted it."""
    watch = RunWatch(run["id"], log=log)
    watch.poll(hook.conn)
    omics.advance("DELETED", run_id=run["id"])
    summary = watch.poll(hook.conn)
    assert summary is not None
    assert (summary["id"], summary["status"]) == (run["id"], "DELETED")


def test_a_run_that_says_deleted_is_deleted(
    hook: HealthOmicsHook, omics: Control, run: dict[str, Any], log: Records
) -> None:
    """The status exists as well."""
    omics.set_options(show_deleted_runs=True)
    omics.advance("DELETED", run_id=run["id"])
    summary = RunWatch(run["id"], log=log).poll(hook.conn)
    assert summary is not None
    assert summary["status"] == "DELETED"


@pytest.mark.parametrize("known", [True, False])
def test_another_run_under_the_same_id_is_an_error(
    hook: HealthOmicsHook,
    omics: Control,
    run: dict[str, Any],
    started: Callable[..., Any],
    log: Records,
    known: bool,
) -> None:
    """Whether the uuid was given or learned."""
    omics.set_options(reuse_run_ids=True)
    watch = RunWatch(run["id"], uuid=run["uuid"] if known else None, log=log)
    assert watch.poll(hook.conn) is None
    omics.advance("DELETED", run_id=run["id"])
    other = started()
    assert other["id"] == run["id"]
    with pytest.raises(HealthOmicsApiError, match=other["uuid"]):
        watch.poll(hook.conn)


@pytest.mark.parametrize("status", [408, 429])
def test_throttling_by_another_name_is_passing(
    omics: Control, started: Callable[..., Any], status: int
) -> None:
    """A proxy or front end answers with the status only."""
    omics.inject_error("GetRun", "TooManyRequests", status=status)
    watch = RunWatch(started()["id"], log=Records())
    assert watch.poll(HealthOmicsHook(config=ONE_ATTEMPT).conn) is None


def test_a_run_without_a_uuid_is_waited_for(omics: Control) -> None:
    """GetRun's model requires none, and old runs may have none."""
    hook = HealthOmicsHook(config=ONE_ATTEMPT)
    answering(hook, {"id": "1", "status": "RUNNING"}, {"id": "1", "status": "COMPLETED"})
    watch = RunWatch("1", log=Records())
    assert watch.poll(hook.conn) is None
    assert watch.poll(hook.conn) == {"id": "1", "status": "COMPLETED"}
