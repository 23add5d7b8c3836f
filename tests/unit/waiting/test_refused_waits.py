# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Refused polls neither lose a run nor start a second one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError, HealthOmicsUnwatchedError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.run import RunResource
from airflow_healthomics.service.errors import IncompleteAnswerError, is_transient
from airflow_healthomics.starting.record import KEY
from tests.healthomics import Control
from tests.unit.conftest import (
    ONE_ATTEMPT,
    SHOWN,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    answering,
    calls_of,
    intercepting,
    needs_store,
    try_of,
)
from tests.unit.histories import WAYS, waiting
from tests.unit.resources.conftest import Records

CODES = ["ExpiredTokenException", "AccessDeniedException"]
HOUR = 3600


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("code", CODES)
def test_a_refusal_of_half_an_hour_fails_nothing(
    omics: Control, tasks: Tasks, clock: Clock, logged: Callable[[], str], deferrable: bool, code: str
) -> None:
    """Three warnings, and a line at the end."""
    omics.plan_run(seconds={"RUNNING": 2 * HOUR})
    clock.at(600, lambda: omics.inject_error("GetRun", code, status=403, times=None))
    clock.at(2300, omics.clear_faults)
    assert tasks.run(waiting(deferrable, retries=2), try_of(FakeTaskInstance(max_tries=2), Store()))
    text = logged()
    assert text.count(f"with {code}") == 3 * SHOWN
    assert text.count("succeed again") == SHOWN
    assert calls_of(omics, "StartRun") == 1


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("since", [0, 600])
def test_after_an_hour_the_attempt_fails_retryably_and_the_next_one_reattaches(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool, code: str, since: int
) -> None:
    """From the first poll on."""
    omics.plan_run(seconds={"RUNNING": 3 * HOUR})
    store = Store()
    if since:
        clock.at(since, lambda: omics.inject_error("GetRun", code, status=403, times=None))
    else:
        omics.inject_error("GetRun", code, status=403, times=None)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match=code) as caught:
        tasks.run(waiting(deferrable, retries=2), try_of(FakeTaskInstance(max_tries=2), store))
    assert not isinstance(caught.value, AirflowFailException)
    assert since + HOUR <= clock.elapsed <= since + HOUR + 200
    assert store.get(KEY)["is_outcome_unknown"]
    omics.clear_faults()
    again = try_of(FakeTaskInstance(max_tries=2, try_number=2), store)
    assert tasks.run(waiting(deferrable, retries=2), again) == omics.runs()[0]["id"]
    assert calls_of(omics, "StartRun") == 1
    assert calls_of(omics, "CancelRun") == 0


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_clear_after_a_refusal_reattaches(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """The run has completed meanwhile, and nobody meant to pay for a second one."""
    omics.plan_run(seconds={"RUNNING": 2 * HOUR})
    store = Store()
    clock.at(600, lambda: omics.inject_error("GetRun", "ExpiredTokenException", status=403, times=None))
    with pytest.raises(HealthOmicsUnwatchedError, match="Clear the task to reattach"):
        tasks.run(waiting(deferrable, retries=2), try_of(FakeTaskInstance(max_tries=0), store))
    omics.clear_faults()
    clock.advance(3 * HOUR)
    cleared = try_of(FakeTaskInstance(max_tries=3, try_number=2), store)
    assert tasks.run(waiting(deferrable, retries=2), cleared) == omics.runs()[0]["id"]
    assert calls_of(omics, "StartRun") == 1


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_time_limit_is_a_setting(
    omics: Control, tasks: Tasks, clock: Clock, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """For a test or a short pipeline."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__REFUSAL_PATIENCE", "120")
    omics.plan_run(seconds={"RUNNING": HOUR})
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsOutcomeUnknownError):
        tasks.run(waiting(deferrable, retries=2), try_of(FakeTaskInstance(max_tries=2), Store()))
    assert 120 <= clock.elapsed <= 300


@needs_store
def test_a_sync_wait_uses_new_credentials(
    omics: Control, tasks: Tasks, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credentials of the connection are part of the client, so a new one is made."""
    omics.plan_run(seconds={"RUNNING": HOUR})
    clock.at(600, lambda: omics.inject_error("GetRun", "ExpiredTokenException", status=403, times=3))
    hooks: set[int] = set()
    task = waiting(False)()
    kept: list[Any] = []

    def look() -> None:
        kept.append(task.hook)
        hooks.add(id(task.hook))

    for seconds in (300, 900):
        clock.at(seconds, look)
    task.execute(try_of(FakeTaskInstance(max_tries=2), Store()))
    assert len(hooks) == 2


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("answer", [{}, {"message": "Service for this host is not registered"}], ids=str)
def test_a_response_of_a_proxy_starts_no_second_run(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool, answer: dict[str, Any]
) -> None:
    """Nor does it look like another run."""
    omics.plan_run(seconds={"RUNNING": HOUR})
    broken: list[int] = []

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        reply = call()
        if operation == "GetRun" and 3 <= clock.elapsed / 60 <= 6:
            broken.append(1)
            return {"ResponseMetadata": reply["ResponseMetadata"], **answer}
        return reply

    with intercepting(respond):
        assert (
            tasks.run(waiting(deferrable, retries=2), try_of(FakeTaskInstance(max_tries=2), Store()))
            == omics.runs()[0]["id"]
        )
    assert broken
    assert calls_of(omics, "StartRun") == 1


def test_a_cancellation_answered_by_a_proxy_is_repeated(omics: Control) -> None:
    """It is a temporary error, and not a KeyError."""
    hook = HealthOmicsHook(config=ONE_ATTEMPT)
    answering(hook.conn, "GetRun", {"id": "1"})
    with pytest.raises(IncompleteAnswerError) as caught:
        RunResource(hook, Records()).cancel("1", "a uuid")
    assert is_transient(caught.value)


def test_a_list_answered_by_a_proxy_is_not_empty(omics: Control) -> None:
    """Otherwise a run of an earlier attempt would not be found."""
    hook = HealthOmicsHook(config=ONE_ATTEMPT)
    answering(hook.conn, "ListRuns", {})
    with pytest.raises(IncompleteAnswerError):
        list(hook.list_runs())


@pytest.mark.parametrize(
    "error",
    [
        HealthOmicsOutcomeUnknownError("run 1", "GetRun was refused.", "AccessDenied", 3600.0),
        IncompleteAnswerError(operation="GetRun", member="uuid"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_its_errors_pickle(error: Exception) -> None:
    """Airflow and its executors pass them between processes."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_the_error_has_the_next_step() -> None:
    """As well as the subject, cause and duration."""
    error = HealthOmicsOutcomeUnknownError("run 1", "GetRun was refused with X.", "X", 3600.0)
    for word in ("run 1", "GetRun was refused with X", "3600 seconds", "continues", "next attempt"):
        assert word in str(error)
