# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which kills and timeouts of a task cancel its run or batch, and which do not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Timer
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from airflow_healthomics.compat import AirflowException, AirflowTaskTimeout, Context
from airflow_healthomics.waiting.kill_guard import Target
from tests.healthomics import Control, omics_client
from tests.sdk import TaskDeferred
from tests.unit.conftest import (
    HAS_STORE,
    IS_AIRFLOW_2,
    TRIGGER_TIMEOUT,
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
    try_of,
)
from tests.unit.histories import STORES, WAYS, start_of
from tests.unit.kinds import BATCH, KINDS, RUN, Kind
from tests.unit.waiting.kills import Killed, end_by_a_person, killed_while_waiting, timed_out

#: An operator that waits on a worker.
ON_A_WORKER: dict[str, Any] = {"wait_for_completion": True, "deferrable": False}


@pytest.fixture(autouse=True)
def _runs_stay_active(omics: Control) -> None:
    omics.plan_run(times=None, seconds={"PENDING": None})


# --- on a worker ---


@KINDS
@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_a_killed_operator_cancels(
    omics: Control, clock: Clock, context: Context, kind: Kind, cancel_on_kill: bool
) -> None:
    """Unless the DAG author has set ``cancel_on_kill=False``."""
    killed_while_waiting(kind.task(**ON_A_WORKER, cancel_on_kill=cancel_on_kill), clock, context)
    assert kind.is_cancelled(omics) == cancel_on_kill


@KINDS
def test_a_killed_operator_cancels_one_with_a_custom_name(
    omics: Control, clock: Clock, context: Context, kind: Kind
) -> None:
    """By its id, since others may have the name."""
    other = kind.start_beside(omics_client(), "mine")["id"]
    task = kind.task(**ON_A_WORKER, **{kind.task().name_argument: "mine"})
    killed_while_waiting(task, clock, context)
    (cancelled,) = kind.cancelled(omics)
    assert cancelled != other


@KINDS
@pytest.mark.parametrize("fields", [{"cancel_on_kill": True}, {}], ids=["asked", "default"])
def test_a_killed_sensor_cancels_only_on_request(
    omics: Control, clock: Clock, context: Context, kind: Kind, fields: dict[str, Any]
) -> None:
    """Another task has started the resource."""
    resource_id = kind.start_beside(omics_client())["id"]
    clock.advance(10)
    sensor = kind.sensor(task_id="a_task", deferrable=False, **kind.by_id(resource_id), **fields)
    killed_while_waiting(sensor, clock, context)
    assert kind.is_cancelled(omics) == bool(fields)


def test_a_kill_uses_only_its_own_client(
    omics: Control, clock: Clock, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Besides the state of the task instance: no store, XCom, connection or hook of the interrupted code."""
    store = Store()
    task = start_of(**ON_A_WORKER)
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


def test_the_client_of_the_kill_has_short_timeouts(omics: Control, context: Context) -> None:
    """SIGKILL comes five seconds later."""
    task = start_of(
        region_name="eu-west-1",
        botocore_config={"read_timeout": 900, "connect_timeout": 900, "retries": {"max_attempts": 9}},
    )
    task.execute(context)
    client: Any = task.kill_guard._hook.conn  # type: ignore[union-attr]
    assert client.meta.region_name == "eu-west-1"
    config = client.meta.config
    assert config.connect_timeout + config.read_timeout < 5
    assert config.retries["total_max_attempts"] == 1


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_a_killed_retry_cancels_its_reattached_run(
    omics: Control, clock: Clock, kind: Kind, with_store: bool
) -> None:
    """It belongs to this task, whichever attempt has started it."""
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    kind.task().execute(try_of(ti, store))
    clock.advance(10)
    ti.try_number = 2
    killed_while_waiting(kind.task(**ON_A_WORKER), clock, try_of(ti, store))
    assert kind.is_cancelled(omics)


@KINDS
@pytest.mark.parametrize(
    ("event", "cancel_on_kill"), [("before-send", True), ("after-call", True), ("after-call", False)]
)
def test_a_kill_during_the_start_cancels(
    omics: Control, context: Context, kind: Kind, event: str, cancel_on_kill: bool
) -> None:
    """As soon as StartRun has returned and HealthOmics allows it, unless the DAG author has disabled it."""
    task = kind.task(cancel_on_kill=cancel_on_kill)
    events = task.hook.conn.meta.events
    events.register(f"{event}.omics.{kind.operation('Start')}", lambda **_: end_by_a_person(task, context))
    task.execute(context)
    assert kind.is_cancelled(omics) == cancel_on_kill


@KINDS
@needs_store
def test_a_kill_during_the_first_poll_of_a_retry_cancels(omics: Control, clock: Clock, kind: Kind) -> None:
    """The record has the id."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    kind.task().execute(try_of(ti, store))
    clock.advance(10)
    ti.try_number = 2
    task, context = kind.task(), try_of(ti, store)

    def kill(**_: Any) -> None:
        end_by_a_person(task, context)
        raise Killed

    task.hook.conn.meta.events.register(f"before-send.omics.{kind.get}", kill)
    with pytest.raises(Killed):
        task.execute(context)
    assert kind.is_cancelled(omics)


@KINDS
@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_a_kill_before_anything_was_started_does_nothing(
    omics: Control, kind: Kind, cancel_on_kill: bool
) -> None:
    """No call is made, and no error raised."""
    kind.task(cancel_on_kill=cancel_on_kill).on_kill()
    kind.sensor(task_id="a_task", cancel_on_kill=cancel_on_kill, **kind.by_id("1")).on_kill()
    assert omics.calls() == []


def unreachable(**_: Any) -> None:
    raise EndpointConnectionError(endpoint_url="https://omics")


@KINDS
@pytest.mark.parametrize(
    "code",
    ["ThrottlingException", "InternalServerException", "ConflictException", "AccessDeniedException", None],
)
def test_a_kill_never_raises(
    omics: Control, clock: Clock, context: Context, logged: Callable[[], str], kind: Kind, code: str | None
) -> None:
    """It logs that the run or batch continues."""
    task = kind.task(**ON_A_WORKER)
    operation = kind.operation("Cancel")

    def break_cancellations() -> None:
        if code:
            omics.inject_error(operation, code, times=None)
        else:
            events = task.kill_guard._hook.conn.meta.events
            events.register(f"before-send.omics.{operation}", unreachable)

    clock.at(0.5, break_cancellations)
    killed_while_waiting(task, clock, context)
    text = logged()
    assert "could not be cancelled" in text
    assert (code or "EndpointConnectionError") in text


def test_a_kill_with_expired_credentials_gives_up_at_once(
    omics: Control, clock: Clock, context: Context
) -> None:
    """Its client cannot renew them before SIGKILL."""
    omics.inject_error("CancelRun", "ExpiredTokenException", status=403, times=None)
    killed_while_waiting(start_of(**ON_A_WORKER), clock, context)
    assert calls_of(omics, "CancelRun") == 1


@KINDS
def test_a_throttled_cancellation_on_a_worker_is_repeated(
    omics: Control, clock: Clock, context: Context, kind: Kind
) -> None:
    """Of many tasks that are killed at once, some exceed the limit of 10 calls a second."""
    omics.inject_error(kind.operation("Cancel"), "ThrottlingException", times=9)
    killed_while_waiting(kind.task(**ON_A_WORKER), clock, context)
    assert kind.is_cancelled(omics)
    # Ten attempts fit into the time before SIGKILL.
    assert 0 < min(clock.sleeps[-9:]) <= max(clock.sleeps[-9:]) <= 0.5


def test_a_kill_does_not_wait_for_aws_for_long(omics: Control) -> None:
    """Airflow's signal handler has more to do before SIGKILL."""
    guard = start_of().kill_guard
    guard.context = try_of(FakeTaskInstance(state="failed"))
    guard.arm([Target(kind="run", id=RUN.start_beside(omics_client())["id"])])
    omics.hold("GetRun", "slow")
    in_the_end = Timer(20, omics.release, ["slow"])
    in_the_end.start()
    guard.fire()
    omics.wait_until_held("slow", timeout=20)
    guard.wait(0.01)
    assert omics.release("slow") == 1
    in_the_end.cancel()
    guard.wait(60)
    assert RUN.is_cancelled(omics)


@KINDS
def test_two_kills_are_one(omics: Control, clock: Clock, context: Context, kind: Kind) -> None:
    """Airflow may call ``on_kill`` twice."""
    task = kind.task(**ON_A_WORKER)
    clock.at(0.5, lambda: end_by_a_person(task, context))
    killed_while_waiting(task, clock, context)
    assert kind.is_cancelled(omics)


@pytest.mark.parametrize("seconds", [1.2, 3.0])
def test_a_batch_that_is_being_created_is_cancelled_as_soon_as_it_can_be(
    omics: Control, clock: Clock, context: Context, seconds: float
) -> None:
    """HealthOmics refuses to cancel it before, and SIGKILL comes five seconds after the kill."""
    omics.set_options(batch_creating_seconds=seconds, batch_pending_seconds=100.0)
    killed_while_waiting(BATCH.task(**ON_A_WORKER), clock, context)
    assert BATCH.is_cancelled(omics)


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_a_batch_that_stays_creating_continues(
    omics: Control, clock: Clock, context: Context, logged: Callable[[], str], code: str
) -> None:
    """The log says so."""
    omics.set_options(batch_creating_seconds=3600.0, cancel_error=code)
    killed_while_waiting(BATCH.task(**ON_A_WORKER), clock, context)
    assert "could not be cancelled" in logged()


# --- kills that nobody meant ---


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
def test_a_process_that_no_person_ended_leaves_the_run(
    omics: Control, clock: Clock, state: str, logged: Callable[[], str]
) -> None:
    """For instance a stopped pod, a worker scaled in, lost heartbeats, a stalled process with a successor."""
    context = try_of(FakeTaskInstance(), Store() if HAS_STORE else None)
    killed_while_waiting(start_of(**ON_A_WORKER), clock, context, state)
    assert not RUN.is_cancelled(omics)
    assert f"killed while {state}" in logged()


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 reads the state from its database")
def test_an_unknown_state_leaves_the_run(
    omics: Control,
    clock: Clock,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], str],
) -> None:
    """While the API server is down, no person is known to have ended the task."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    def fail(**_: Any) -> Any:
        raise ConnectionError("the API server is down")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(fail))
    killed_while_waiting(start_of(**ON_A_WORKER), clock, context)
    assert [run["status"] for run in omics.runs()] == ["PENDING"]
    assert "its state could not be read" in logged()


def test_a_clear_of_a_running_task_without_a_record_cancels(omics: Control, clock: Clock) -> None:
    """Before Airflow 3.3 the next attempt does not know the run."""
    killed_while_waiting(start_of(**ON_A_WORKER), clock, try_of(FakeTaskInstance()), "restarting")
    assert RUN.is_cancelled(omics)


def test_a_kill_after_the_end_does_not_affect_the_run(omics: Control, context: Context) -> None:
    """Airflow kills the process of a successful task if its callbacks take too long."""
    task = start_of()
    task.execute(context)
    end_by_a_person(task, context, "success")
    assert [run["status"] for run in omics.runs()] == ["PENDING"]


@pytest.mark.parametrize("has_answered", [True, False])
@needs_store
def test_a_retry_that_is_killed_at_once_cancels_its_run(omics: Control, has_answered: bool) -> None:
    """The record has the id of the run, or the name of a start without a response."""
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

#: Whether the run or batch is cancelled after a timeout: only if no attempt is left to reattach.
OUTCOMES = pytest.mark.parametrize(
    ("try_number", "max_tries", "cancel_on_kill", "is_cancelled"),
    [
        (1, 0, True, True),
        (3, 2, True, True),
        (1, 0, False, False),
        (3, 2, False, False),
        (1, 2, True, False),
        (2, 2, True, False),
    ],
)


@KINDS
@OUTCOMES
def test_a_timeout_on_a_worker_cancels_after_the_last_attempt(
    omics: Control,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    try_number: int,
    max_tries: int,
    cancel_on_kill: bool,
    is_cancelled: bool,
) -> None:
    """If attempts are left, the next one reattaches."""
    omics.set_options(batch_creating_seconds=0.0, batch_pending_seconds=0.0)
    ti = FakeTaskInstance(try_number=try_number, max_tries=max_tries)
    timed_out(kind.task(**ON_A_WORKER, cancel_on_kill=cancel_on_kill), try_of(ti), monkeypatch)
    assert kind.is_cancelled(omics) == is_cancelled


@KINDS
@pytest.mark.parametrize("with_store", STORES)
@OUTCOMES
def test_a_deferral_that_times_out_cancels_after_the_last_attempt(
    omics: Control,
    clock: Clock,
    kind: Kind,
    with_store: bool,
    try_number: int,
    max_tries: int,
    cancel_on_kill: bool,
    is_cancelled: bool,
) -> None:
    """It resumes with ``__fail__``, in another process."""
    ti = FakeTaskInstance(try_number=try_number, max_tries=max_tries)
    context = try_of(ti, Store() if with_store else None)
    kind.task().execute(context)
    clock.advance(10)
    with pytest.raises(AirflowException):
        kind.task(cancel_on_kill=cancel_on_kill).resume_execution(
            "__fail__", {"error": TRIGGER_TIMEOUT}, context
        )
    assert kind.is_cancelled(omics) == is_cancelled


@KINDS
@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
@pytest.mark.parametrize(("cancel_on_kill", "max_tries"), [(True, 0), (False, 0), (True, 2)])
@pytest.mark.parametrize("with_store", STORES)
def test_a_deferral_that_times_out_early(
    omics: Control, kind: Kind, error: str, cancel_on_kill: bool, max_tries: int, with_store: bool
) -> None:
    """Both of Airflow's messages count, and the cancellation waits for a batch that is CREATING."""
    context = try_of(FakeTaskInstance(max_tries=max_tries), Store() if with_store else None)
    kind.task().execute(context)
    omics.set_options(batch_creating_seconds=30.0)
    with pytest.raises(AirflowException):
        kind.task(cancel_on_kill=cancel_on_kill).resume_execution("__fail__", {"error": error}, context)
    assert kind.is_cancelled(omics) == (cancel_on_kill and not max_tries)


@KINDS
@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_retry_of_an_attempt_that_timed_out_reattaches(
    omics: Control, clock: Clock, tasks: Tasks, kind: Kind, with_store: bool, deferrable: bool
) -> None:
    """Hours of work are kept."""
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    fields = {
        "wait_for_completion": True,
        "deferrable": deferrable,
        "execution_timeout": timedelta(minutes=30),
    }
    if not deferrable:
        clock.deadline = 24 * 3600
    with pytest.raises((AirflowException, AirflowTaskTimeout)):
        tasks.run(lambda: kind.task(**fields), try_of(ti, store))
    clock.deadline = None
    ti.try_number = 2
    ti.start_date += timedelta(seconds=clock.elapsed)
    clock.at(clock.elapsed + 100, lambda: omics.advance("COMPLETED"))
    assert tasks.run(lambda: kind.task(**fields), try_of(ti, store)) == kind.all(omics)[0]["id"]
    assert len(kind.all(omics)) == 1


@KINDS
@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("kwargs", [{"error": "Trigger failure"}, {"error": "Trigger timeout."}, {}, None])
def test_a_failure_of_the_triggerer_cancels_nothing(
    omics: Control, clock: Clock, kind: Kind, with_store: bool, kwargs: dict[str, Any] | None
) -> None:
    """The run or batch is not the cause."""
    context = try_of(FakeTaskInstance(), Store() if with_store else None)
    kind.task().execute(context)
    clock.advance(10)
    with pytest.raises((AirflowException, TypeError)):
        kind.task().resume_execution("__fail__", kwargs, context)
    assert not kind.is_cancelled(omics)


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "ConflictException"])
def test_a_timeout_stays_a_timeout_if_the_run_cannot_be_cancelled(
    omics: Control, context: Context, logged: Callable[[], str], code: str
) -> None:
    """The log says that the run continues."""
    start_of().execute(context)
    omics.inject_error("CancelRun", code, times=None)
    with pytest.raises(AirflowException, match="imeout"):
        start_of().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert code in logged()


@needs_store
@KINDS
@pytest.mark.parametrize(
    ("code", "when", "starts"),
    [
        ("ThrottlingException", "before", False),
        ("InternalServerException", "before", False),
        ("InternalServerException", "after", True),
    ],
)
def test_a_start_that_times_out_at_the_turnstile(
    omics: Control, clock: Clock, kind: Kind, code: str, when: Any, starts: bool
) -> None:
    """The run of a lost response is cancelled, and otherwise nothing is."""
    context = try_of(FakeTaskInstance(), Store())
    omics.inject_error(kind.operation("Start"), code, times=None, when=when)
    with pytest.raises(TaskDeferred):
        kind.task().execute(context)
    clock.advance(10)
    with pytest.raises(AirflowException, match="imeout"):
        kind.task().resume_execution("__fail__", {"error": TRIGGER_TIMEOUT}, context)
    assert (len(kind.all(omics)), len(kind.cancelled(omics))) == (starts, starts)
    assert starts or calls_of(omics, kind.operation("Cancel")) == 0


def test_a_timeout_whose_signal_was_lost_ends_the_wait(omics: Control, clock: Clock) -> None:
    """The wait on a worker checks execution_timeout itself, once in each poll."""
    task = start_of(**ON_A_WORKER, waiter_delay=30, execution_timeout=timedelta(seconds=600))
    clock.deadline = 3600
    with pytest.raises(AirflowTaskTimeout):
        task.execute(try_of(FakeTaskInstance()))
    assert 600 <= clock.elapsed <= 630
    assert [run["status"] for run in omics.runs()] == ["STOPPING"]


@KINDS
def test_a_kill_cancels_one_with_a_custom_name(
    omics: Control, clock: Clock, context: Context, kind: Kind
) -> None:
    """It cannot be found by its name, but the response of the start had its id."""
    name = {kind.task().name_argument: "mine"}
    killed_while_waiting(kind.task(**ON_A_WORKER, **name), clock, context)
    assert kind.is_cancelled(omics)


@KINDS
def test_a_kill_cancels_everything_that_the_guard_watches(
    omics: Control, clock: Clock, context: Context, kind: Kind
) -> None:
    """A discarded one may be active while its successor is being started."""
    ids = [kind.start_beside(omics_client())["id"] for _ in range(2)]
    clock.advance(10)
    task = kind.task()
    task.kill_guard.context = context
    task.kill_guard.arm([Target(kind=kind.name, id=each) for each in ids])
    end_by_a_person(task, context)
    assert kind.cancelled(omics) == ids
