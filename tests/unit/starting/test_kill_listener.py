# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Kills that no process of the task notices, found in Airflow's own database."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from threading import Event
from typing import Any

import pytest

from airflow_healthomics.starting import kill_listener
from airflow_healthomics.starting.record import KEY, StartRecord
from tests.healthomics import Control

if not kill_listener.IS_SUPPORTED:
    pytest.skip("Airflow has no task state store before 3.3", allow_module_level=True)

from airflow.listeners.listener import get_listener_manager
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.utils.session import create_session

from airflow_healthomics.starting import killed_tasks
from airflow_healthomics.starting.killed_tasks import LOOKS, Kill
from tests.unit.conftest import DAG_RUN_ID, Clock
from tests.unit.kinds import KINDS, Kind
from tests.unit.metadata_database import DAG_ID, StoredTasks, clear, metadata_database

Start = Callable[..., dict[str, Any]]
CONNECTION = {"aws_conn_id": None, "region_name": "us-east-1", "verify": None}


@pytest.fixture(scope="module", autouse=True)
def _database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with metadata_database(tmp_path_factory.mktemp("database")):
        yield


class KilledTasks(StoredTasks):
    """Task instances with records in the task state store."""

    def add(self, task: Any, **values: Any) -> Any:
        """Add a task instance with its record."""
        record: StartRecord | None = values.pop("record", None)
        super().add(task, **values)
        if record is not None:
            self.store(task, KEY, {**record._asdict(), "earlier": []}, values.get("map_index", -1))

    def store(self, task: Any, key: str, value: Any, map_index: int = -1) -> None:
        """Store a state of a task instance."""
        with create_session() as session:
            session.add(
                TaskStateStoreModel(
                    dag_run_id=self.dag_run_id,
                    dag_id=self.dag.dag_id,
                    run_id=self.run_id,
                    task_id=task.task_id,
                    map_index=map_index,
                    key=key,
                    value=json.dumps(value),
                )
            )


@pytest.fixture
def killed() -> KilledTasks:
    """An empty DAG run."""
    clear()
    with create_session() as session:
        session.query(TaskStateStoreModel).delete()
    return KilledTasks()


def record_of(run: dict[str, Any], **changes: Any) -> StartRecord:
    """Return the record of a task that started a run."""
    record = StartRecord(
        request_id="r", epoch=0, resource_id=run["id"], uuid=run["uuid"], connection=CONNECTION, attempt=1
    )
    return record._replace(**changes)


def kill(*tasks: tuple[str, int]) -> Kill:
    """Return a new kill of these tasks, or of the whole DAG run."""
    return Kill(DAG_ID, DAG_RUN_ID, time.time(), set(tasks) or None)


def cancelled(omics: Control) -> list[bool]:
    """Return for each run whether it is cancelled."""
    return [run["status"] in ("STOPPING", "CANCELLED") for run in omics.runs()]


@pytest.fixture
def running(omics: Control, started: Start) -> Start:
    """Start runs that never end by themselves."""
    omics.plan_run(seconds={"RUNNING": None})
    return started


CASES = {
    "marked failed during the retry delay": ("failed", {}, True),
    "marked successful": ("success", {}, True),
    "skipped, as its DAG run was marked failed": ("skipped", {}, True),
    "not killed after all, or cleared": ("queued", {}, False),
    "waiting for its retry": ("up_for_retry", {}, False),
    "over by itself": ("failed", {"settled": 1.0}, False),
    "of a DAG author who keeps runs": ("failed", {"cancel_on_kill": False}, False),
    "of an attempt whose StartRun was never answered": (
        "failed",
        {"resource_id": None, "name": "mine"},
        True,
    ),
    "of such an attempt, with a name that others may have": ("failed", {"resource_id": None}, False),
    "with the id of another run by now": ("failed", {"uuid": "0" * 8}, False),
}


@pytest.mark.parametrize("whole", [False, True], ids=["task", "dag-run"])
@pytest.mark.parametrize(("state", "changes", "is_cancelled"), CASES.values(), ids=CASES.keys())
def test_a_kill_cancels_the_runs_of_its_tasks(
    omics: Control,
    running: Start,
    killed: KilledTasks,
    whole: bool,
    state: str,
    changes: Any,
    is_cancelled: bool,
) -> None:
    """And no others."""
    run = running(name="mine")
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state=state, record=record_of(run, **changes))
    (kill() if whole else kill(("sequence", -1))).look()
    assert cancelled(omics) == [is_cancelled]


def test_a_kill_of_one_task_does_not_affect_another(
    omics: Control, running: Start, killed: KilledTasks
) -> None:
    """Even if the other one has crashed and left its run."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    other = EmptyOperator(task_id="call", dag=killed.dag)
    for index in range(3):
        killed.add(task, map_index=index, state="failed", record=record_of(running()))
    killed.add(other, map_index=1, state="failed", record=record_of(running()))
    kill(("sequence", 1)).look()
    assert cancelled(omics) == [False, True, False, False]


@pytest.mark.parametrize(
    ("dag_id", "run_id"), [(DAG_ID, "another"), ("relatives", DAG_RUN_ID)], ids=["dag-run", "dag"]
)
def test_a_kill_of_one_dag_run_does_not_affect_another(
    omics: Control, running: Start, killed: KilledTasks, dag_id: str, run_id: str
) -> None:
    """Of the same DAG, or with the same id."""
    for tasks in killed, KilledTasks(dag_id, run_id):
        task = EmptyOperator(task_id="sequence", dag=tasks.dag)
        tasks.add(task, state="failed", record=record_of(running()))
    kill().look()
    assert cancelled(omics) == [True, False]


@KINDS
def test_a_kill_uses_the_record_of_each_task_once(
    omics: Control,
    client: Any,
    killed: KilledTasks,
    caplog: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    """Whatever other tasks have recorded, and however many times the records are read."""
    caplog.set_level("INFO")
    settled, *others = (kind.start_beside(client) for _ in range(3))
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, map_index=0, state="failed", record=record_of(settled, kind=kind.name, settled=1.0))
    for index, each in enumerate(others, start=1):
        killed.add(task, map_index=index, state="failed", record=record_of(each, kind=kind.name))
    one = kill()
    one.look()
    calls = omics.call_counts()
    one.look()
    assert omics.call_counts() == calls
    assert sorted(kind.cancelled(omics)) == sorted(each["id"] for each in others)
    assert caplog.text.count(f"{DAG_ID}.sequence ") == 2


def test_a_users_own_task_state_is_no_record(omics: Control, running: Start, killed: KilledTasks) -> None:
    """Even if it looks like one."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state="failed")
    killed.store(task, "mine", {**record_of(running())._asdict(), "earlier": []})
    kill().look()
    assert cancelled(omics) == [False]


@pytest.mark.parametrize(
    ("tasks", "dag_run_state", "is_cancelled"),
    [
        pytest.param([], "failed", True, id="dag-run"),
        pytest.param([], "running", False, id="dag-run-continues"),
        pytest.param([("sequence", -1)], "failed", False, id="task"),
    ],
)
def test_a_task_that_defers_while_its_dag_run_is_killed(
    omics: Control, running: Start, killed: KilledTasks, tasks: Any, dag_run_state: str, is_cancelled: bool
) -> None:
    """It overwrites the state that the person set, and counts as ended unless only the task was killed."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state="deferred", record=record_of(running()))
    with create_session() as session:
        session.query(DagRun).update({"state": dag_run_state})
    kill(*tasks).look()
    assert cancelled(omics) == [is_cancelled]


def test_a_task_that_crashed_before_the_dag_run_was_killed_is_left(
    omics: Control, running: Start, killed: KilledTasks
) -> None:
    """Nobody has ended it."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state="failed", record=record_of(running()))
    with create_session() as session:
        long_ago = datetime.now(UTC) - timedelta(minutes=10)
        session.query(TaskInstance).update({"updated_at": long_ago})
    kill().look()
    assert cancelled(omics) == [False]


def test_a_run_that_starts_after_the_kill_is_found_later(
    omics: Control, running: Start, killed: KilledTasks
) -> None:
    """StartRun was in flight."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    empty = {"id": None, "uuid": None}
    killed.add(task, state="failed", record=record_of(empty, name="mine"))
    one = kill(("sequence", -1))
    one.look()
    running(name="another")
    running(name="mine")
    one.look()
    assert cancelled(omics) == [False, True]


def test_a_throttled_cancellation_is_repeated(omics: Control, running: Start, killed: KilledTasks) -> None:
    """In the same search."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state="failed", record=record_of(running()))
    omics.inject_error("CancelRun", "ThrottlingException", times=6)
    kill(("sequence", -1)).look()
    assert cancelled(omics) == [True]


def test_a_throttled_cancellation_does_not_delay_the_next_search(
    omics: Control, clock: Clock, running: Start, killed: KilledTasks, caplog: pytest.LogCaptureFixture
) -> None:
    """That repeats it, and a line names the run."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state="failed", record=record_of(running()))
    omics.inject_error("CancelRun", "ThrottlingException", times=100)
    kill(("sequence", -1)).look()
    assert cancelled(omics) == [False]
    assert clock.elapsed < LOOKS[3] - LOOKS[2]
    assert f"The run {omics.runs()[0]['id']} could not be cancelled: ThrottlingException" in caplog.text


@pytest.mark.parametrize("wrong", [{"region_name": "no region"}, {"aws_conn_id": "unknown"}], ids=str)
def test_an_unknown_connection_does_not_hide_the_others(
    omics: Control,
    running: Start,
    killed: KilledTasks,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
) -> None:
    """A line in the log names the run, and the next search tries again."""
    first, second = running(), running()
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    connection = {**CONNECTION, **wrong}
    killed.add(task, map_index=0, state="failed", record=record_of(first, connection=connection))
    killed.add(task, map_index=1, state="failed", record=record_of(second))
    one = kill()
    for _ in range(2):
        caplog.clear()
        one.look()
        assert cancelled(omics) == [False, True]
        assert f"un {first['id']} could not be cancelled" in caplog.text


@pytest.fixture
def looked_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleQueue[Kill]]:
    """The kills whose searches have begun, in an API server; they last until the end of the test."""
    kills: SimpleQueue[Kill] = SimpleQueue()
    is_over = Event()

    def run(self: Kill) -> None:
        kills.put(self)
        is_over.wait(60)

    monkeypatch.setattr(kill_listener._Process, "is_api_server", False)
    kill_listener.mark_api_server()
    monkeypatch.setattr(killed_tasks, "_TOGETHER_SECONDS", 60)
    monkeypatch.setattr(Kill, "run", run)
    yield kills
    is_over.set()
    killed_tasks._kills.clear()


def test_airflow_calls_the_listener(looked_after: SimpleQueue[Kill], killed: KilledTasks) -> None:
    """By the plugin's entry point; simultaneous kills count as one."""
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    for index in range(3):
        killed.add(task, map_index=index, state="failed")
    hook = get_listener_manager().hook
    with create_session() as session:
        first, second, third = session.query(TaskInstance).all()
        hook.on_task_instance_failed(previous_state=None, task_instance=first, error="a person")
        hook.on_task_instance_success(previous_state=None, task_instance=second)
        hook.on_task_instance_skipped(previous_state=None, task_instance=third)
        one = looked_after.get(timeout=60)
        assert (one.dag_id, one.run_id) == (DAG_ID, DAG_RUN_ID)
        assert one.tasks == {("sequence", 0), ("sequence", 1), ("sequence", 2)}
        hook.on_dag_run_failed(dag_run=session.query(DagRun).one(), msg="a person")
        assert one.tasks is None
    assert looked_after.empty()


def test_a_kill_is_forgotten_after_its_searches(clock: Clock, killed: KilledTasks) -> None:
    """The API server runs for months."""
    others = threading.enumerate()
    killed_tasks.look_after(DAG_ID, DAG_RUN_ID, None)
    for thread in set(threading.enumerate()) - set(others):
        thread.join()
    assert clock.elapsed == LOOKS[-1]
    assert killed_tasks._kills == {}


def test_a_worker_does_not_listen(
    looked_after: SimpleQueue[Kill], killed: KilledTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the same event means that a task has ended itself; a scheduler listens only for a timeout."""
    monkeypatch.setattr(kill_listener._Process, "is_api_server", False)
    task = EmptyOperator(task_id="sequence", dag=killed.dag)
    killed.add(task, state="failed")
    hook = get_listener_manager().hook
    with create_session() as session:
        instance, dag_run = session.query(TaskInstance).one(), session.query(DagRun).one()
        hook.on_task_instance_failed(previous_state=None, task_instance=instance, error=None)
        hook.on_task_instance_success(previous_state=None, task_instance=instance)
        hook.on_task_instance_skipped(previous_state=None, task_instance=instance)
        hook.on_dag_run_success(dag_run=dag_run, msg="success")
        hook.on_dag_run_failed(dag_run=dag_run, msg="task_failure")
        assert killed_tasks._kills == {}
        hook.on_dag_run_failed(dag_run=dag_run, msg="timed_out")
    assert looked_after.get(timeout=60).tasks is None


def test_the_searches_are_spread_over_the_duration_of_a_start(
    killed: KilledTasks, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing search does not end them, and a slow one delays only the next one."""
    times: list[float] = []

    def look(_: Kill) -> None:
        times.append(clock.elapsed)
        clock.advance(20)
        raise RuntimeError("the database is away")

    monkeypatch.setattr(Kill, "look", look)
    kill(("sequence", -1)).run()
    assert times == [2.0, 22.0, 42.0, 62.0, 100.0]
