# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Who cancels a run when its task is killed, and who does not."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger
from botocore.exceptions import EndpointConnectionError

from airflow_healthomics.compat import AirflowException, AirflowTaskTimeout, Context
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow_healthomics.sensors import HealthOmicsRunSensor
from airflow_healthomics.triggers import HealthOmicsRunTrigger
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import (
    HAS_STORE,
    IS_AIRFLOW_2,
    ONE_ATTEMPT,
    OUTPUT,
    ROLE,
    WORKFLOW,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
    try_of,
)

#: With which Airflow cancels the trigger of a killed task.
USER_ACTION = "__airflow_user_action__"

STORES = [pytest.param(True, id="store", marks=needs_store), pytest.param(False, id="names")]
TIMEOUTS = ["Trigger timeout", "Trigger/execution timeout"]


def start_of(**fields: Any) -> HealthOmicsStartRunOperator:
    defaults: dict[str, Any] = {"role_arn": ROLE, "output_uri": OUTPUT, "botocore_config": ONE_ATTEMPT}
    return HealthOmicsStartRunOperator(task_id="a_task", workflow_id=WORKFLOW, **{**defaults, **fields})


@pytest.fixture(autouse=True)
def _runs_stay_on_their_way(omics: Control) -> None:
    omics.plan_run(times=None, seconds={"PENDING": None})


class Killed(BaseException):
    """The process ends."""


def end_by_a_person(task: Any, context: Any, state: str = "failed") -> None:
    """Do what Airflow does when a person sets the state of a running task, up to SIGKILL."""
    context["ti"].state = state
    task.on_kill()
    # Airflow would kill the process after 5 seconds; this machine may be slower than its.
    task.kill_guard.wait(60)


def killed_while_waiting(task: Any, clock: Clock, context: Context) -> None:
    """Kill a task in the middle of its first sleep."""

    def kill() -> None:
        end_by_a_person(task, context)
        raise Killed

    clock.at(1, kill)
    with pytest.raises(Killed):
        task.execute(context)


# --- on a worker ---


@pytest.mark.parametrize(("cancel_on_kill", "status"), [(True, "STOPPING"), (False, "PENDING")])
def test_a_killed_operator_cancels_its_run(
    omics: Control, clock: Clock, context: Context, cancel_on_kill: bool, status: str
) -> None:
    """Unless the DAG author says otherwise."""
    task = start_of(wait_for_completion=True, deferrable=False, cancel_on_kill=cancel_on_kill)
    killed_while_waiting(task, clock, context)
    assert [run["status"] for run in omics.runs()] == [status]


@pytest.mark.parametrize(("fields", "status"), [({"cancel_on_kill": True}, "STOPPING"), ({}, "PENDING")])
def test_a_killed_sensor_leaves_the_run_unless_asked(
    omics: Control,
    clock: Clock,
    context: Context,
    started: Callable[..., Any],
    fields: dict[str, Any],
    status: str,
) -> None:
    """Another task has started it."""
    task = HealthOmicsRunSensor(task_id="a_task", run_id=started()["id"], deferrable=False, **fields)
    killed_while_waiting(task, clock, context)
    assert [run["status"] for run in omics.runs()] == [status]


def test_a_kill_touches_nothing_but_its_own_client(
    omics: Control, clock: Clock, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the state of the task instance: no store, XCom, connection or hook of the interrupted code."""
    store = Store()
    task = start_of(wait_for_completion=True, deferrable=False)
    used: list[str] = []

    def kill() -> None:
        # A failure in the thread of the kill would be lost.
        forbidden = [
            *((store, name) for name in ("get", "set", "delete")),
            *((context["ti"], name) for name in ("xcom_push", "xcom_pull")),
            (type(task.hook), "get_connection"),
            *((task.hook.conn, name) for name in ("cancel_run", "get_run", "list_runs")),
        ]
        with monkeypatch.context() as patch:
            for owner, name in forbidden:
                patch.setattr(owner, name, lambda *_, name=name, **__: used.append(name))
            patch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "nonsense")
            end_by_a_person(task, context)
        raise Killed

    clock.at(1, kill)
    with pytest.raises(Killed):
        task.execute(context)
    assert used == []
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


def test_the_client_of_the_kill_has_little_patience(omics: Control, context: Context) -> None:
    """SIGKILL comes five seconds later."""
    task = start_of(
        botocore_config={"read_timeout": 900, "connect_timeout": 900, "retries": {"max_attempts": 9}}
    )
    task.execute(context)
    config: Any = task.kill_guard._hook.conn.meta.config  # type: ignore[union-attr]
    assert config.connect_timeout + config.read_timeout < 5
    assert config.retries["total_max_attempts"] == 1


@pytest.mark.parametrize("with_store", STORES)
def test_a_killed_retry_cancels_the_run_that_it_found(omics: Control, clock: Clock, with_store: bool) -> None:
    """It is this task's, whichever try has started it."""
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    start_of().execute(try_of(ti, store))
    ti.try_number = 2
    killed_while_waiting(start_of(wait_for_completion=True, deferrable=False), clock, try_of(ti, store))
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


@pytest.mark.parametrize("event", ["before-send", "after-call"])
def test_a_kill_while_the_run_is_being_started_cancels_it(
    omics: Control, context: Context, event: str
) -> None:
    """As soon as StartRun has answered."""
    task = start_of()

    def kill(**_: Any) -> None:
        end_by_a_person(task, context)

    task.hook.conn.meta.events.register(f"{event}.omics.StartRun", kill)
    task.execute(context)
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


def test_a_kill_while_a_run_is_being_started_leaves_it_if_told_to(omics: Control, context: Context) -> None:
    """``cancel_on_kill=False`` holds there, too."""
    task = start_of(cancel_on_kill=False)
    events = task.hook.conn.meta.events
    events.register("after-call.omics.StartRun", lambda **_: end_by_a_person(task, context))
    task.execute(context)
    assert [run["status"] for run in omics.runs()] == ["PENDING"]


@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_a_kill_before_anything_was_started_does_nothing(omics: Control, cancel_on_kill: bool) -> None:
    """No call, and no error."""
    start_of(cancel_on_kill=cancel_on_kill).on_kill()
    HealthOmicsRunSensor(task_id="a_task", run_id="1", cancel_on_kill=cancel_on_kill).on_kill()
    assert omics.calls() == []


def unreachable(**_: Any) -> None:
    raise EndpointConnectionError(endpoint_url="https://omics")


@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "InternalServerException", "ConflictException", "AccessDeniedException", None],
)
def test_a_kill_never_raises(
    omics: Control, clock: Clock, context: Context, logged: Callable[[], str], code: str | None
) -> None:
    """It logs that the run continues."""
    task = start_of(wait_for_completion=True, deferrable=False)

    def break_cancellations() -> None:
        if code:
            omics.inject_error("CancelRun", code, times=None)
        else:
            events = task.kill_guard._hook.conn.meta.events  # type: ignore[union-attr]
            events.register("before-send.omics.CancelRun", unreachable)

    clock.at(0.5, break_cancellations)
    killed_while_waiting(task, clock, context)
    assert "could not be cancelled" in logged()


def test_a_throttled_cancellation_on_a_worker_is_repeated(
    omics: Control, clock: Clock, context: Context
) -> None:
    """Of many tasks killed at the same instant some meet the limit of 10 calls a second."""
    omics.inject_error("CancelRun", "ThrottlingException", times=5)
    killed_while_waiting(start_of(wait_for_completion=True, deferrable=False), clock, context)
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


def test_two_kills_are_one(omics: Control, clock: Clock, context: Context) -> None:
    """Airflow may call ``on_kill`` twice."""
    task = start_of(wait_for_completion=True, deferrable=False)
    clock.at(0.5, lambda: end_by_a_person(task, context))
    killed_while_waiting(task, clock, context)
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


# --- a kill that nobody meant ---


@pytest.mark.parametrize(
    "state",
    [
        "running",
        "queued",
        "scheduled",
        "deferred",
        "up_for_retry",
        pytest.param("restarting", marks=needs_store),
    ],
)
def test_a_process_that_ends_without_a_persons_word_leaves_the_run(
    omics: Control, clock: Clock, state: str, logged: Callable[[], str]
) -> None:
    """A pod that stops, a worker scaled in, failed heartbeats, a stalled process whose successor waits."""
    task = start_of(wait_for_completion=True, deferrable=False)
    context = try_of(FakeTaskInstance(), Store() if HAS_STORE else None)

    def kill() -> None:
        end_by_a_person(task, context, state)
        raise Killed

    clock.at(1, kill)
    with pytest.raises(Killed):
        task.execute(context)
    assert [run["status"] for run in omics.runs()] == ["PENDING"]
    assert f"killed while {state}" in logged()


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 reads the state from its database")
def test_a_state_that_is_not_known_leaves_the_run(
    omics: Control,
    clock: Clock,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    """While the API server is down, nobody has ended the task as far as is known."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def fail(**_: Any) -> Any:
        raise ConnectionError("the API server is down")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(fail))
    killed_while_waiting(start_of(wait_for_completion=True, deferrable=False), clock, context)
    assert [run["status"] for run in omics.runs()] == ["PENDING"]
    assert "its state could not be read" in logged()


def test_a_clear_of_a_running_task_without_a_record_cancels(omics: Control, clock: Clock) -> None:
    """Before Airflow 3.3 the next attempt knows nothing of the run."""
    task = start_of(wait_for_completion=True, deferrable=False)
    context = try_of(FakeTaskInstance())

    def kill() -> None:
        end_by_a_person(task, context, "restarting")
        raise Killed

    clock.at(1, kill)
    with pytest.raises(Killed):
        task.execute(context)
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


def test_a_kill_after_the_end_does_not_concern_the_run(omics: Control, context: Context) -> None:
    """Airflow kills the process of a task that is a success, if its callbacks take too long."""
    task = start_of()
    task.execute(context)
    end_by_a_person(task, context, "success")
    assert [run["status"] for run in omics.runs()] == ["PENDING"]


@pytest.mark.parametrize("has_answered", [True, False])
@needs_store
def test_a_retry_that_is_killed_before_it_knows_anything_cancels_its_run(
    omics: Control, has_answered: bool
) -> None:
    """The record names the run, or the name of a start that was never seen to answer."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    first = start_of()
    events = first.hook.conn.meta.events
    events.register("after-call.omics.StartRun", lambda **_: None if has_answered else die())
    with suppress(Killed):
        first.execute(try_of(ti, store))
    ti.try_number = 2
    task = start_of()
    operation = "GetRun" if has_answered else "ListRuns"

    def kill(**_: Any) -> None:
        end_by_a_person(task, try_of(ti, store))
        raise Killed

    task.hook.conn.meta.events.register(f"before-send.omics.{operation}", kill)
    with pytest.raises(Killed):
        task.execute(try_of(ti, store))
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


def die() -> None:
    raise Killed


# --- timeouts ---


def timed_out(task: Any, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``execution_timeout`` strike in the first sleep, for which Airflow calls ``on_kill`` too."""

    def sleep(_: float) -> None:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(AirflowTaskTimeout):
        task.execute(context)
    task.on_kill()


@pytest.mark.parametrize(
    ("try_number", "max_tries", "cancel_on_kill", "status"),
    [
        (1, 0, True, "STOPPING"),
        (3, 2, True, "STOPPING"),
        (1, 0, False, "PENDING"),
        (3, 2, False, "PENDING"),
        (1, 2, True, "PENDING"),
        (2, 2, True, "PENDING"),
    ],
)
def test_a_timeout_on_a_worker_cancels_the_run_of_the_last_try(
    omics: Control,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    try_number: int,
    max_tries: int,
    cancel_on_kill: bool,
    status: str,
) -> None:
    """With tries left the next one goes on with it."""
    task = start_of(wait_for_completion=True, deferrable=False, cancel_on_kill=cancel_on_kill)
    ti = FakeTaskInstance(try_number=try_number, max_tries=max_tries)
    timed_out(task, try_of(ti), monkeypatch)
    assert [run["status"] for run in omics.runs()] == [status]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("error", TIMEOUTS)
@pytest.mark.parametrize(
    ("try_number", "max_tries", "cancel_on_kill", "status"),
    [
        (1, 0, True, "STOPPING"),
        (3, 2, True, "STOPPING"),
        (1, 0, False, "PENDING"),
        (1, 2, True, "PENDING"),
        (2, 2, True, "PENDING"),
    ],
)
def test_a_deferral_that_times_out_cancels_the_run_of_the_last_try(
    omics: Control,
    with_store: bool,
    error: str,
    try_number: int,
    max_tries: int,
    cancel_on_kill: bool,
    status: str,
) -> None:
    """It comes back with ``__fail__``, in another process."""
    context = try_of(
        FakeTaskInstance(try_number=try_number, max_tries=max_tries), Store() if with_store else None
    )
    start_of().execute(context)
    with pytest.raises(AirflowException):
        start_of(cancel_on_kill=cancel_on_kill).resume_execution("__fail__", {"error": error}, context)
    assert [run["status"] for run in omics.runs()] == [status]


@pytest.mark.parametrize("with_store", STORES)
def test_the_retry_of_a_timed_out_try_goes_on_with_its_run(
    omics: Control, tasks: Tasks, with_store: bool
) -> None:
    """Hours of work are not lost."""
    ti, store = FakeTaskInstance(max_tries=1), Store() if with_store else None
    fields = {
        "wait_for_completion": True,
        "deferrable": True,
        "execution_timeout": timedelta(minutes=30),
    }
    with pytest.raises(AirflowException):
        tasks.run(lambda: start_of(**fields), try_of(ti, store))
    ti.try_number = 2
    assert start_of().execute(try_of(ti, store)) == omics.runs()[0]["id"]
    assert len(omics.runs()) == 1


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("kwargs", [{"error": "Trigger failure"}, {"error": "Trigger timeout."}, {}, None])
def test_a_fault_of_the_triggerer_cancels_nothing(
    omics: Control, with_store: bool, kwargs: dict[str, Any] | None
) -> None:
    """The run has nothing to do with it."""
    context = try_of(FakeTaskInstance(), Store() if with_store else None)
    start_of().execute(context)
    with pytest.raises((AirflowException, TypeError)):
        start_of().resume_execution("__fail__", kwargs, context)
    assert [run["status"] for run in omics.runs()] == ["PENDING"]


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "ConflictException"])
def test_a_timeout_stays_a_timeout_if_the_run_cannot_be_cancelled(
    omics: Control, context: Context, logged: Callable[[], str], code: str
) -> None:
    """And the log says that the run goes on."""
    start_of().execute(context)
    omics.inject_error("CancelRun", code, times=None)
    with pytest.raises(AirflowException, match="imeout"):
        start_of().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert code in logged()


@needs_store
def test_a_start_that_never_got_its_turn_has_nothing_to_cancel(omics: Control) -> None:
    """Its deferral times out like any other."""
    context = try_of(FakeTaskInstance(), Store())
    omics.inject_error("StartRun", "ThrottlingException", times=None)
    with pytest.raises(BaseException) as deferral:  # noqa: PT011
        start_of().execute(context)
    assert type(deferral.value).__name__ == "TaskDeferred"
    with pytest.raises(AirflowException, match="imeout"):
        start_of().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert calls_of(omics, "CancelRun") == 0


# --- in the triggerer ---

OVER = ["success", "failed", "skipped", "upstream_failed", "removed"]
GOES_ON = [
    "deferred", "scheduled", "queued", "running", "None", "up_for_retry", "up_for_reschedule", "restarting",
]  # fmt: skip


def kill_trigger(
    trigger: Any, state: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, rude: bool = False
) -> None:
    """Kill a deferred task whose instance has a state, and let the triggerer go on for a while."""
    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", lambda _: state)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)

    async def main() -> None:
        from airflow_healthomics.triggers import kill

        caller = asyncio.ensure_future(trigger.on_kill())
        await asyncio.sleep(0)
        if rude:
            for _ in range(3):
                caller.cancel()
                await asyncio.sleep(0)
        await asyncio.wait([caller])
        await asyncio.gather(*kill._running, return_exceptions=True)

    virtual_time.run(clock, main())


def run_trigger_of(run: dict[str, Any], **fields: Any) -> Any:
    """Return a trigger that waits for a run; Airflow, or a test, sets further attributes."""
    return HealthOmicsRunTrigger(
        **{
            "run_id": run["id"],
            "uuid": run["uuid"],
            "cancel_on_kill": True,
            "botocore_config": ONE_ATTEMPT,
            **fields,
        }
    )


@pytest.mark.parametrize("state", [*OVER, *GOES_ON])
def test_a_killed_trigger_cancels_the_run_of_a_task_that_is_over(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A takeover or a restart looks the same, and cancels nothing."""
    kill_trigger(run_trigger_of(started()), state, clock, monkeypatch)
    assert calls_of(omics, "CancelRun") == (state in OVER)


@pytest.mark.parametrize("state", ["failed", "deferred"])
def test_a_killed_start_cancels_the_run_of_a_lost_answer(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """It is found by its name, and no other run is."""
    other, run = started(name="b", requestId="b"), started(name="a", requestId="a")
    omics.set_options(name_filter="contains")
    started(name="ab", requestId="ab")
    targets = [{"kind": "run", "name": "a"}]
    trigger = HealthOmicsStartTrigger(targets=targets, botocore_config=ONE_ATTEMPT)
    kill_trigger(trigger, state, clock, monkeypatch)
    stopping = [each["id"] for each in omics.runs() if each["status"] == "STOPPING"]
    assert stopping == ([run["id"]] if state == "failed" else [])
    assert other["id"] not in stopping


@pytest.mark.parametrize("kind", ["run", "start"])
def test_a_killed_trigger_leaves_the_run_if_told_to(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """``cancel_on_kill=False``."""
    run = started(name="a")
    trigger: Any = run_trigger_of(run, cancel_on_kill=False)
    if kind == "start":
        trigger = HealthOmicsStartTrigger([{"kind": "run", "name": "a"}], cancel_on_kill=False)
    kill_trigger(trigger, "failed", clock, monkeypatch)
    assert calls_of(omics, "CancelRun") == 0


def test_a_killed_trigger_does_not_cancel_a_stranger(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id was given to another run."""
    kill_trigger(run_trigger_of(started(), uuid="another"), "failed", clock, monkeypatch)
    assert calls_of(omics, "CancelRun") == 0


def test_a_killed_trigger_leaves_an_ended_run_alone(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to cancel."""
    run = started()
    omics.advance("COMPLETED", run_id=run["id"])
    kill_trigger(run_trigger_of(run), "failed", clock, monkeypatch)
    assert calls_of(omics, "CancelRun") == 0


def test_an_aborted_on_kill_cancels_all_the_same(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow cancels it after a second, also more than once."""
    kill_trigger(run_trigger_of(started()), "failed", clock, monkeypatch, rude=True)
    assert calls_of(omics, "CancelRun") == 1


def record_state_requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """
    Return the list of task instances whose state is requested from now on; each of them has failed.

    The request is made in a background task, which would swallow a failure of the test.
    """
    asked: list[Any] = []

    def state_of(task_instance: Any) -> str:
        asked.append(task_instance)
        return "failed"

    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", state_of)
    return asked


@pytest.mark.parametrize("calls_on_kill", [True, False])
def test_a_cancelled_trigger_needs_no_on_kill(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    calls_on_kill: bool,
) -> None:
    """Airflow cancels a killed task's trigger again each second, and on_kill may not be called for that."""
    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", lambda _: "failed")
    kill_while_it_waits(run_trigger_of(started()), clock, USER_ACTION, calls_on_kill=calls_on_kill)
    assert calls_of(omics, "CancelRun") == 1


@pytest.mark.parametrize("is_aware", [True, False])
def test_a_trigger_that_has_timed_out_was_not_killed(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    is_aware: bool,
) -> None:
    """Airflow cancels it in the same way, and does not call on_kill."""
    asked = record_state_requests(monkeypatch)
    trigger = run_trigger_of(started())
    past = datetime.now(UTC) - timedelta(hours=1)
    trigger.timeout_after = past if is_aware else past.replace(tzinfo=None)
    kill_while_it_waits(trigger, clock, USER_ACTION)
    assert (asked, calls_of(omics, "CancelRun")) == ([], 0)


@pytest.mark.skipif(
    not hasattr(BaseTrigger, "on_kill"), reason="Airflow tells a trigger of no kill before 3.3"
)
def test_airflow_says_so_when_a_person_ends_a_task() -> None:
    """An upgrade that changes the word, or the attribute, fails here first."""
    source = inspect.getsource(import_module("airflow.jobs.triggerer_job_runner"))
    assert f'_USER_ACTION_CANCEL_MSG = "{USER_ACTION}"' in source
    assert "cancel(_USER_ACTION_CANCEL_MSG)" in source
    assert "trigger_instance.timeout_after = " in source


def test_a_triggerer_that_stops_cancels_nothing(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not even ask for the task's state."""
    asked = record_state_requests(monkeypatch)
    kill_while_it_waits(run_trigger_of(started()), clock)
    assert (asked, calls_of(omics, "CancelRun")) == ([], 0)


def kill_while_it_waits(trigger: Any, clock: Clock, *reason: str, calls_on_kill: bool = False) -> None:
    """Cancel a trigger as a triggerer does, after its first poll."""
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)

    async def main() -> None:
        from airflow_healthomics.triggers import kill

        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(5)
        for _ in range(3):
            waiting.cancel(*reason)
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if calls_on_kill:
            await trigger.on_kill()
        await asyncio.gather(*kill._running, return_exceptions=True)

    virtual_time.run(clock, main())


def test_trouble_of_airflow_does_not_lose_a_kill(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    """The task's state is asked for again; and if Airflow cannot tell it at all, the log says so."""
    states: Iterator[str | Exception] = itertools.chain([RuntimeError(), RuntimeError()], ["failed"])

    def state(_: Any) -> str:
        found = next(states)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", state)
    trigger = run_trigger_of(started())
    kill_while_it_waits(trigger, clock, calls_on_kill=True)
    assert calls_of(omics, "CancelRun") == 1

    states = itertools.repeat(RuntimeError())
    kill_while_it_waits(run_trigger_of(started()), clock, calls_on_kill=True)
    assert calls_of(omics, "CancelRun") == 1
    assert "could not be cancelled: RuntimeError" in logged()


def test_slow_cancellations_leave_the_loops_threads_alone(
    omics: Control, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow writes its log in them, before it calls on_kill."""
    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", lambda _: "failed")
    triggers = [run_trigger_of(started()) for _ in range(40)]
    omics.hold("CancelRun", "slow", times=None)

    async def main() -> None:
        from airflow_healthomics.triggers import kill

        for trigger in triggers:
            trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
            await trigger.on_kill()
        await asyncio.to_thread(omics.wait_until_held, "slow", count=8, timeout=60)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "a line"), 60) == "a line"
        omics.release("slow")
        await asyncio.gather(*kill._running)

    asyncio.run(main())
    assert {run["status"] for run in omics.runs()} == {"STOPPING"}


def test_on_kill_does_not_wait(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns before AWS was asked for anything."""
    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", lambda _: "failed")
    trigger = run_trigger_of(started())
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)

    async def main() -> int:
        from airflow_healthomics.triggers import kill

        await trigger.on_kill()
        meanwhile = calls_of(omics, "CancelRun") + calls_of(omics, "GetRun")
        await asyncio.gather(*kill._running)
        return meanwhile

    assert virtual_time.run(clock, main()) == 0
    assert calls_of(omics, "CancelRun") == 1


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
@pytest.mark.parametrize("operation", ["GetRun", "CancelRun"])
def test_a_throttled_cancellation_is_repeated(
    omics: Control,
    clock: Clock,
    started: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    code: str,
) -> None:
    """Many killed at once meet the limit of ten calls a second."""
    omics.inject_error(operation, code, times=5)
    kill_trigger(run_trigger_of(started()), "failed", clock, monkeypatch)
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


def test_a_cancellation_that_always_fails_ends(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some minutes."""
    omics.inject_error("CancelRun", "ThrottlingException", times=None)
    kill_trigger(run_trigger_of(started()), "failed", clock, monkeypatch)
    assert 60 < clock.elapsed < 600


def test_many_killed_at_once_are_all_cancelled(
    omics: Control, clock: Clock, started: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only those that a second is enough for."""
    monkeypatch.setattr("airflow_healthomics.triggers.kill.state_of", lambda _: "removed")
    triggers = [run_trigger_of(started()) for _ in range(30)]
    for trigger in triggers:
        trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)

    async def main() -> None:
        from airflow_healthomics.triggers import kill

        await asyncio.gather(*(trigger.on_kill() for trigger in triggers))
        await asyncio.gather(*kill._running)

    virtual_time.run(clock, main())
    assert {run["status"] for run in omics.runs()} == {"STOPPING"}


def test_a_timeout_that_airflows_signal_lost_ends_the_wait(omics: Control, clock: Clock) -> None:
    """The wait on a worker keeps execution_timeout by itself, to within a poll."""
    omics.plan_run(times=None, seconds={"PENDING": None})
    task = start_of(
        wait_for_completion=True, deferrable=False, waiter_delay=30, execution_timeout=timedelta(seconds=600)
    )
    clock.deadline = 3600
    with pytest.raises(AirflowTaskTimeout):
        task.execute(try_of(FakeTaskInstance()))
    assert 600 <= clock.elapsed <= 630
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]
