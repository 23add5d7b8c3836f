# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
One task, one run, whatever crashes: the local HealthOmics counts the runs.

All DAG runs are triggered up front. The call at which a task's process dies is held by the local
HealthOmics, so the moment is exact, and the process is killed by its id.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

from .dags_crashes.crashes import EXECUTION_TIMEOUT

pytestmark = pytest.mark.slow

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
RUNNING_SECONDS = 12

#: Seconds; the machine may be slow.
LIMIT = 600


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Let a triggerer's triggers be taken over soon after its death."""
    return {
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    }


@dataclass(frozen=True)
class Case:
    """A DAG run with one task, named ``run``."""

    airflow: LocalAirflow
    server: HealthOmicsServer
    dag_id: str
    dag_run_id: str

    @property
    def task(self) -> dict[str, Any]:
        """The task instance."""
        return self.airflow.task_instance(self.dag_id, self.dag_run_id, "run")

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The HealthOmics runs that the task has started."""
        return [
            run for run in self.server.control.runs() if run["requestId"].startswith(f"{self.dag_run_id}.")
        ]

    @property
    def polls(self) -> int:
        """The number of GetRun calls for the task's run."""
        (run,) = self.runs
        return len([call for call in self.server.control.calls("GetRun") if call["ids"]["id"] == run["id"]])

    @property
    def deadline(self) -> datetime | None:
        """The time at which Airflow ends the wait of the deferred task, which its API does not return."""
        with closing(
            sqlite3.connect(f"file:{self.airflow.home / 'airflow.db'}?mode=ro", uri=True)
        ) as database:
            ((deadline,),) = database.execute(
                "SELECT trigger_timeout FROM task_instance WHERE dag_id = ? AND run_id = ?",
                (self.dag_id, self.dag_run_id),
            )
        return deadline and datetime.fromisoformat(deadline).replace(tzinfo=UTC)

    def hold(self, operation: str, match: dict[str, Any], name: str = "", **when: Any) -> None:
        """Hold a call, by default under the name of the DAG."""
        self.server.control.hold(operation, name or self.dag_id, match=match, **when)

    def kill_when_held(self) -> None:
        """Kill the task's process once its call is held."""
        self.server.control.wait_until_held(self.dag_id, timeout=LIMIT)
        pid = self.task["pid"]
        assert os.getsid(pid) == self.airflow.process_id("scheduler")
        os.kill(pid, signal.SIGKILL)

    def release(self) -> None:
        """Release the held call of the dead process."""
        self.server.control.release(self.dag_id)


def before_record(case: Case, workflow_id: str) -> Iterator[None]:
    """Nothing is recorded, and StartRun was not called."""
    case.hold("GetWorkflow", {"id": workflow_id})
    yield
    case.kill_when_held()
    case.release()


def before_start_lost(case: Case, workflow_id: str) -> Iterator[None]:
    """The intention is recorded, and StartRun never takes effect."""
    case.hold("StartRun", {"tags": {"dag": case.dag_id}})
    case.server.control.inject_error("StartRun", match={"tags": {"dag": case.dag_id}})
    yield
    case.kill_when_held()
    case.release()


def before_start_late(case: Case, workflow_id: str) -> Iterator[None]:
    """The intention is recorded, and StartRun takes effect when the process is dead."""
    case.hold("StartRun", {"tags": {"dag": case.dag_id}})
    yield
    case.kill_when_held()
    case.release()


def before_start_in_flight(case: Case, workflow_id: str) -> Iterator[None]:
    """The intention is recorded, and StartRun takes effect only after the next try has called it."""
    case.hold("StartRun", {"tags": {"dag": case.dag_id}})
    yield
    case.kill_when_held()
    case.airflow.wait_until(
        lambda: any(
            call["error"] == "ConflictException"
            and call["ids"]["requestId"].startswith(f"{case.dag_run_id}.")
            for call in case.server.control.calls("StartRun")
        ),
        f"the next try of {case.dag_id} meets the StartRun in flight",
        LIMIT,
    )
    case.release()


def after_start(case: Case, workflow_id: str) -> Iterator[None]:
    """HealthOmics received StartRun, and the process dies before the response."""
    case.hold("StartRun", {"tags": {"dag": case.dag_id}}, when="after")
    yield
    case.kill_when_held()
    case.release()


def before_run_id(case: Case, workflow_id: str) -> Iterator[None]:
    """StartRun has returned, and the run's id is not recorded yet."""
    case.hold("ListRuns", {"name": f"{case.dag_id} started"})
    yield
    case.kill_when_held()
    case.release()


def before_deferral(case: Case, workflow_id: str) -> Iterator[None]:
    """The run's id is recorded, and the task is about to defer."""
    case.hold("ListRuns", {"name": f"{case.dag_id} published"})
    yield
    case.kill_when_held()
    case.release()


def after_resume(case: Case, workflow_id: str) -> Iterator[None]:
    """The run has ended and the trigger has fired."""
    case.hold("ListRuns", {"name": f"{case.dag_id} resumed"})
    yield
    case.kill_when_held()
    case.release()


POINTS: tuple[Callable[[Case, str], Iterator[None]], ...] = (
    before_record,
    before_start_lost,
    before_start_late,
    before_start_in_flight,
    after_start,
    before_run_id,
    before_deferral,
    after_resume,
)

CRASHES = {
    f"crash_{point.__name__}{suffix}": (point, workflow_id)
    for point in POINTS
    for suffix, workflow_id in (("", "1"), ("_without_store", "2"))
}


@pytest.fixture(scope="module")
def waiting(airflow: LocalAirflow, server: HealthOmicsServer) -> dict[str, Case]:
    """Tasks whose runs stay RUNNING until the test has seen enough."""
    server.control.set_options(running_seconds=RUNNING_SECONDS)
    server.control.plan_run(workflow_id="3", seconds={"RUNNING": None}, times=None)
    names = ("crash_triggerer", "crash_scheduler")
    return {name: Case(airflow, server, name, airflow.trigger_dag(name)) for name in names}


@pytest.fixture(scope="module")
def crashed(
    airflow: LocalAirflow, server: HealthOmicsServer, waiting: dict[str, Case]
) -> Iterator[dict[str, tuple[Case, Future[str]]]]:
    """Kill a process of every task, and return the results of the DAG runs."""

    def prepared(dag_id: str, run_id: str) -> tuple[Case, Iterator[None]]:
        case = Case(airflow, server, dag_id, run_id)
        point, workflow_id = CRASHES[dag_id]
        steps = point(case, workflow_id)
        next(steps)
        return case, steps

    def crash(case: Case, steps: Iterator[None]) -> str:
        next(steps, None)
        return airflow.wait_for_dag_run(case.dag_id, case.dag_run_id, limit=LIMIT)

    cases = {}
    with ThreadPoolExecutor(len(CRASHES)) as pool:
        for dag_id in CRASHES:
            case, steps = prepared(dag_id, f"manual__{dag_id}")
            airflow.trigger_dag(dag_id, run_id=case.dag_run_id)
            cases[dag_id] = (case, pool.submit(crash, case, steps))
        yield cases


@pytest.mark.parametrize("dag_id", CRASHES)
def test_a_killed_worker_starts_no_second_run(
    crashed: dict[str, tuple[Case, Future[str]]], dag_id: str
) -> None:
    """A task whose process is killed at any point continues with its only run, and succeeds."""
    case, state = crashed[dag_id]

    assert state.result() == "success", case.airflow.task_log(case.dag_id, case.dag_run_id, "run")
    assert [run["status"] for run in case.runs] == ["COMPLETED"]
    assert case.task["try_number"] > 1, "the process was killed"


@pytest.fixture(scope="module")
def timed(
    airflow: LocalAirflow, server: HealthOmicsServer, waiting: dict[str, Case]
) -> tuple[Case, datetime]:
    """A waiting task with an execution_timeout, and the time at which Airflow will end its wait."""
    case = Case(airflow, server, "crash_timeout", airflow.trigger_dag("crash_timeout"))
    airflow.wait_for_task_state(case.dag_id, case.dag_run_id, "run", "deferred", limit=LIMIT)
    deadline = case.deadline
    assert deadline
    return case, deadline


@pytest.fixture(scope="module")
def starting(airflow: LocalAirflow, server: HealthOmicsServer, waiting: dict[str, Case]) -> Case:
    """A task whose start the triggerer has made, with the response held."""
    name = "crash_start_in_triggerer"
    case = Case(airflow, server, name, f"manual__{name}")
    server.control.inject_error("StartRun", "ThrottlingException", match={"tags": {"dag": name}})
    case.hold("StartRun", {"tags": {"dag": name}}, when="after")
    airflow.trigger_dag(name, run_id=case.dag_run_id)
    server.control.wait_until_held(name, timeout=LIMIT)
    assert case.task["state"] == "deferred"
    return case


@pytest.fixture(scope="module")
def replaced(
    airflow: LocalAirflow, waiting: dict[str, Case], starting: Case, timed: tuple[Case, datetime]
) -> None:
    """Kill the triggerer, and wait until another one has taken over its triggers."""
    case = waiting["crash_triggerer"]
    airflow.wait_for_task_state(case.dag_id, case.dag_run_id, "run", "deferred", limit=LIMIT)
    polls = case.polls
    airflow.wait_until(lambda: case.polls > polls, "the triggerer polls", LIMIT)

    airflow.stop_process("triggerer", gracefully=False)
    starting.release()
    polls = case.polls
    airflow.start_process("triggerer")
    airflow.wait_until(lambda: case.polls > polls, "the new triggerer polls", LIMIT)


def test_a_killed_triggerer_is_replaced(
    airflow: LocalAirflow, waiting: dict[str, Case], replaced: None
) -> None:
    """The next triggerer continues the wait of a triggerer that died."""
    case = waiting["crash_triggerer"]
    case.server.control.advance("STOPPING", run_id=case.runs[0]["id"])

    assert airflow.wait_for_dag_run(case.dag_id, case.dag_run_id, limit=LIMIT) == "success"
    assert [run["status"] for run in case.runs] == ["COMPLETED"]


def test_a_triggerer_that_dies_after_its_start_starts_no_second_run(
    airflow: LocalAirflow, starting: Case, replaced: None
) -> None:
    """The response is lost, and the next triggerer finds the run."""
    airflow.wait_until(lambda: starting.polls > 0, "the task waits for the run", LIMIT)
    starting.server.control.advance("STOPPING", run_id=starting.runs[0]["id"])

    assert airflow.wait_for_dag_run(starting.dag_id, starting.dag_run_id, limit=LIMIT) == "success"
    assert [run["status"] for run in starting.runs] == ["COMPLETED"]
    assert starting.task["try_number"] == 1


def test_a_takeover_does_not_restart_a_timeout(
    airflow: LocalAirflow, timed: tuple[Case, datetime], replaced: None
) -> None:
    """A task's timeout counts from its start, whichever triggerer waits, and finally cancels the run."""
    case, deadline = timed
    assert case.deadline in (deadline, None)
    assert airflow.wait_for_dag_run(case.dag_id, case.dag_run_id, limit=LIMIT) == "failed"
    start, end = (datetime.fromisoformat(case.task[key]) for key in ("start_date", "end_date"))
    assert start < deadline <= end
    assert start + EXECUTION_TIMEOUT <= end
    assert [run["status"] for run in case.runs] == ["CANCELLED"]


def test_a_restarted_scheduler_changes_nothing(airflow: LocalAirflow, waiting: dict[str, Case]) -> None:
    """A task that waits while the scheduler restarts continues to wait for its run."""
    case = waiting["crash_scheduler"]
    airflow.wait_for_task_state(case.dag_id, case.dag_run_id, "run", "deferred", limit=LIMIT)

    airflow.stop_process("scheduler")
    airflow.start_process("scheduler")
    polls = case.polls
    airflow.wait_until(lambda: case.polls > polls, "the triggerer polls on", LIMIT)
    case.server.control.advance("STOPPING", run_id=case.runs[0]["id"])

    assert airflow.wait_for_dag_run(case.dag_id, case.dag_run_id, limit=LIMIT) == "success"
    assert [run["status"] for run in case.runs] == ["COMPLETED"]
