# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one run: regressions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import AirflowException, AirflowTaskTimeout
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsError
from airflow_healthomics.service import run_states
from airflow_healthomics.starting.record import KEY
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.conftest import (
    Clock,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    context_of,
    die,
    needs_store,
    try_of,
)
from tests.unit.histories import STORES, WAYS, History, start_of
from tests.unit.kinds import RUN
from tests.unit.waiting.kills import Killed, end_by_a_person, kill_trigger


def test_a_kill_cancels_an_adopted_run(omics: Control, clock: Clock, tasks: Tasks) -> None:
    """It was found by name after an endless conflict."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    ti = FakeTaskInstance(max_tries=2)
    operator = start_of(parameters={"a": 1})
    operator.hook.conn.meta.events.register("after-call.omics.StartRun", die)
    with pytest.raises(Crash):
        operator.execute(try_of(ti))
    task = start_of(parameters={"a": 2}, wait_for_completion=True, deferrable=False)

    def kill() -> None:
        end_by_a_person(task, try_of(ti))
        raise Killed

    clock.at(1, kill)
    with pytest.raises(Killed):
        task.resume_start(try_of(ti), {"turns": 3, "conflict_turns": 3})
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


@pytest.mark.parametrize("with_store", STORES)
def test_a_timeout_on_a_worker_leaves_the_run_to_the_next_try(
    omics: Control, clock: Clock, monkeypatch: pytest.MonkeyPatch, with_store: bool
) -> None:
    """Airflow (2.11, 3.0, 3.3) calls on_kill when execution_timeout strikes."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    task = start_of(wait_for_completion=True, deferrable=False)

    def sleep(_: float) -> None:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(time, "sleep", sleep)
    try:
        task.execute(try_of(ti, store))
    except AirflowTaskTimeout:
        task.on_kill()  # task_runner.py, _execute_task
    assert [run["status"] for run in omics.runs()] == ["PENDING"]


@needs_store
@pytest.mark.parametrize("with_store", [True])
def test_a_crashed_attempt_is_repeated_with_the_recorded_request_id(omics: Control, with_store: bool) -> None:
    """Even if the DAG was edited."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    operator = start_of(request_id="mine-1")
    operator.hook.conn.meta.events.register("after-call.omics.StartRun", die)
    with pytest.raises(Crash):
        operator.execute(try_of(ti, store))
    ti.try_number = 2
    start_of(request_id="mine-2").execute(try_of(ti, store))
    assert len(omics.runs()) == 1


@needs_store
def test_the_record_has_the_request_id_of_its_run(omics: Control) -> None:
    """It is the one that started the run."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    operator = start_of(request_id="mine-1")
    operator.hook.conn.meta.events.register("before-send.omics.StartRun", die)
    with pytest.raises(Crash):
        operator.execute(try_of(ti, store))
    start_of(request_id="mine-2").execute(try_of(ti, store))
    assert omics.runs()[0]["requestId"] == store.get("healthomics_start")["request_id"]


@pytest.mark.parametrize("survives", [True, False])
def test_names_find_a_later_generation_past_a_removed_one(omics: Control, survives: bool) -> None:
    """Retention removes the failed run of generation 0 while the run of generation 1 is active."""
    history = History(omics, with_store=False)
    omics.set_options(request_id_survives_delete=survives)
    first = history.try_again()
    omics.advance("FAILED", run_id=first)
    second = history.try_again()
    omics.advance("DELETED", run_id=first)
    assert history.try_again() == second
    assert len([r for r in omics.runs() if r["status"] in run_states.ACTIVE]) == 1


@pytest.mark.parametrize("fault", ["ThrottlingException", "InternalServerException"])
def test_a_throttled_search_is_no_empty_result(omics: Control, fault: str) -> None:
    """A busy ListRuns delays the start, since otherwise a second run might be started."""
    history = History(omics, with_store=False)
    history.try_again()
    omics.set_options(request_id_lifetime=60)
    omics.advance_clock(600)
    omics.inject_error("ListRuns", fault)
    with contextlib.suppress(ClientError, HealthOmicsError, TaskDeferred):
        history.try_again()
    assert len(omics.runs()) == 1


@pytest.mark.parametrize("with_store", STORES)
def test_a_lost_start_is_cancelled_when_its_turn_times_out(omics: Control, with_store: bool) -> None:
    """If no attempt is left."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    context = try_of(FakeTaskInstance(max_tries=0), Store() if with_store else None)
    omics.drop_connection("StartRun", when="after", times=None)
    with pytest.raises(TaskDeferred):
        start_of().execute(context)
    assert len(omics.runs()) == 1
    with pytest.raises(AirflowException):
        start_of().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


@needs_store
@pytest.mark.parametrize("crash_at", ["after-call", "before-run-id"])
def test_listruns_denied_does_not_stop_a_clear(omics: Control, crash_at: str) -> None:
    """Without omics:ListRuns the old run continues, and botocore's error is not raised."""
    history = History(omics, with_store=True)
    history.try_again(crash_at)
    history.clear()
    omics.inject_error("ListRuns", "AccessDeniedException", times=None)
    with contextlib.suppress(HealthOmicsError):
        history.try_again()


def test_endless_conflict_with_listruns_denied_is_one_of_our_errors(omics: Control, tasks: Tasks) -> None:
    """It has the next step, even if the search is denied."""
    omics.inject_error("StartRun", "ConflictException", times=None)
    omics.inject_error("ListRuns", "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsError):
        tasks.run(start_of, context_of(FakeTaskInstance(max_tries=2)))


@needs_store
def test_reused_id_not_cancelled_by_timeout(omics: Control) -> None:
    """Another task's run with the id of this task's deleted run continues."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    context = try_of(FakeTaskInstance(max_tries=2), Store())
    first = start_of().execute(context)
    omics.set_options(reuse_run_ids=True)
    omics.advance("DELETED", run_id=first)
    start_of(request_id="stranger").execute(context_of(FakeTaskInstance(task_id="x")))
    with pytest.raises(AirflowException):
        start_of().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert calls_of(omics, "CancelRun") == 0


def test_a_kill_before_start_run_starts_nothing_later(omics: Control, clock: Clock) -> None:
    """Killed between two calls of StartRun, the task makes no second one."""
    omics.inject_error("StartRun", "InternalServerException", times=1)
    task = start_of()
    clock.at(0.0, task.on_kill)
    with contextlib.suppress(HealthOmicsError):
        task.execute(context_of(FakeTaskInstance(max_tries=2)))
    assert omics.runs() == []


@needs_store
@pytest.mark.parametrize("is_killed", [False, True])
def test_an_attempt_that_is_killed_in_its_start_has_not_ended_itself(
    omics: Control, clock: Clock, is_killed: bool
) -> None:
    """So the API server cancels the run, too."""
    store, task = Store(), start_of()
    context = try_of(FakeTaskInstance(max_tries=2), store)

    def kill(**_: Any) -> None:
        if is_killed:
            end_by_a_person(task, context)

    task.hook.conn.meta.events.register("after-call.omics.StartRun", kill)
    task.execute(context)
    assert (store.get(KEY)["settled"] is None) is is_killed


def test_a_denied_cancellation_in_the_triggerer_is_logged(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    logged: Callable[[], str],
) -> None:
    """Nothing waits for the detached task."""
    omics.inject_error("CancelRun", "AccessDeniedException", times=None)
    kill_trigger(RUN.trigger_of(started()), "failed", clock)
    assert "AccessDenied" in logged()


@needs_store
def test_clear_cancels_unknown_status(omics: Control) -> None:
    """A later status of HealthOmics does not count as an end."""
    history = History(omics, with_store=True)
    history.try_again()
    history.clear()

    def strange(parsed: dict[str, Any], **_: Any) -> None:
        parsed["status"] = "NEXT_YEAR"

    history.hook.conn.meta.events.register("after-call.omics.GetRun", strange)
    history.try_again()
    assert calls_of(omics, "CancelRun") == 1


@needs_store
def test_repeat_on_store_looks_by_name_when_forgotten(omics: Control) -> None:
    """HealthOmics may have forgotten the request ID since the crash; the run is still found by name."""
    history = History(omics, with_store=True)
    history.try_again("after-call")
    omics.set_options(request_id_lifetime=60)
    omics.advance_clock(600)
    history.try_again()
    assert len(omics.runs()) == 1


@pytest.mark.parametrize("with_store", STORES)
def test_own_name_explicit_id_failed_says_so(omics: Control, with_store: bool) -> None:
    """A fixed request ID starts no second run, and the task fails."""
    history = History(omics, with_store=with_store, request_id="mine", name="my run")
    first = history.try_again()
    omics.advance("FAILED", run_id=first)
    with pytest.raises(AirflowException):
        history.try_again()


@pytest.mark.parametrize("with_store", STORES)
def test_own_name_failed_then_next_generation(omics: Control, with_store: bool) -> None:
    """A custom name does not prevent a new run after a failure."""
    history = History(omics, with_store=with_store, name="my run")
    first = history.try_again()
    omics.advance("FAILED", run_id=first)
    assert history.try_again() != first


@needs_store
def test_crashed_and_failed_unseen(omics: Control) -> None:
    """A run that failed after the crash does not count as started successfully."""
    history = History(omics, with_store=True)
    history.try_again("after-call")
    omics.advance("FAILED", run_id=omics.runs()[0]["id"])
    answer = history.try_again()
    assert answer != omics.runs()[0]["id"]


def test_the_limit_of_stored_runs_says_what_to_do(omics: Control) -> None:
    """A reader of the error need not know about retention modes."""
    omics.set_options(max_stored_runs=1)
    start_of(retention_mode="RETAIN").execute(context_of(FakeTaskInstance(task_id="another_task")))
    with pytest.raises(HealthOmicsApiError, match="retention_mode REMOVE"):
        start_of(retention_mode="RETAIN").execute(context_of(FakeTaskInstance(max_tries=2)))


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_waits_for_a_run_that_is_not_visible_yet(
    omics: Control, tasks: Tasks, deferrable: bool
) -> None:
    """The attempt that started it did, and within the grace period a missing run has not ended."""
    history = History(omics, with_store=True)
    assert history.store is not None
    omics.set_options(manual=False)
    assert history.try_again("after-run-id") is None
    history.store.after_set = lambda value: None
    omics.inject_error("GetRun", "ResourceNotFoundException", times=3)
    history.ti.try_number += 1
    fields = {"wait_for_completion": True, "deferrable": deferrable, "waiter_delay": 10}
    assert tasks.run(lambda: start_of(**fields), try_of(history.ti, history.store)) == omics.runs()[0]["id"]


@needs_store
def test_a_lost_attempt_does_not_record_its_end(omics: Control, clock: Clock) -> None:
    """Airflow gave it up and started the next attempt, which owns the record."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    lost = start_of(wait_for_completion=True, deferrable=False, waiter_delay=60)
    context = try_of(ti, store)

    def take_over() -> None:
        store.set(KEY, store.get(KEY) | {"attempt": 2})

    omics.plan_run(seconds={"RUNNING": 600})
    clock.at(100, take_over)
    lost.execute(context)
    assert store.get(KEY)["settled"] is None
