# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run is cancelled if a person has ended its task, and only then, whatever happens to the processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

from .killed import LIMIT, Killed, TaskStates, end_in_a_storm, throttled

pytestmark = pytest.mark.slow

#: Seconds without a heartbeat after which the scheduler fails an attempt.
SILENCE = 20


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Let many tasks run at once, and notice a lost one soon."""
    return {
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(SILENCE),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }


@pytest.fixture(scope="module", autouse=True)
def _long_runs(server: HealthOmicsServer) -> None:
    server.control.set_options(running_seconds=1e6)


@pytest.fixture(scope="module")
def task_states(airflow: LocalAirflow) -> TaskStates:
    """The task instances of all tests of this module."""
    return TaskStates(airflow)


def pids_of(case: Killed) -> list[int]:
    """Return the processes of the running attempt: the task's own, and its supervisor."""
    pid = case.task()["pid"]
    return [pid, psutil.Process(pid).ppid()]


def until_next_attempt(case: Killed) -> None:
    """Wait until the second attempt waits for the run of the first one."""
    case.until(lambda: case.task()["try_number"] == 2 and case.task()["state"] == "running", "is retried")
    polls = case.polls()
    case.until(lambda: case.polls() > polls + 1, "is polled by the second attempt")


# --- kills that nobody meant: the run continues, and the next attempt waits for it ---


def end_supervisor(case: Killed) -> None:
    """
    Stop the supervisor, as a pod that stops or a worker that is scaled in does.

    Airflow then calls on_kill, and the task continues until its pod's grace period is over.
    """
    case.until_waiting("running")
    pids = pids_of(case)
    _, supervisor = pids
    os.kill(supervisor, signal.SIGTERM)
    log = case.airflow.task_log
    case.until(
        lambda: "The task was killed while running" in log(case.dag_id, case.dag_run_id, "task"),
        "has looked at why it is killed",
    )
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
    until_next_attempt(case)
    case.end()


def stall(case: Killed) -> None:
    """Stall the processes of an attempt until the next one waits, and then let them wake up and be killed."""
    case.until_waiting("running")
    stalled = pids_of(case)
    for pid in stalled:
        os.kill(pid, signal.SIGSTOP)
    try:
        until_next_attempt(case)
    finally:
        for pid in stalled:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    task, _ = stalled
    case.until(lambda: not psutil.pid_exists(task), "has no second process any more")
    polls = case.polls()
    case.until(lambda: case.polls() > polls + 2, "is polled by the second attempt only")
    case.end()


# --- kills that a person meant, and that no process notices ---


def kill_while_starting(*, answer: str) -> Callable[[Killed], None]:
    """Mark the task as failed while its StartRun is in flight; the response follows at some point."""

    def kill(case: Killed) -> None:
        control = case.server.control
        control.wait_until_held(case.dag_id, timeout=LIMIT)
        pid = case.task()["pid"]
        case.airflow.mark_task(case.dag_id, case.dag_run_id, "task", "failed")
        if answer == "after on_kill":
            log = case.airflow.task_log
            case.until(
                lambda: (
                    "being terminated" in log(case.dag_id, case.dag_run_id, "task")
                    or not psutil.pid_exists(pid)
                ),
                "is killed",
            )
        elif answer == "to nobody":
            case.until(lambda: not psutil.pid_exists(pid), "has no process any more")
        control.release(case.dag_id)
        case.until_statuses("CANCELLED")

    return kill


def end_in_retry_delay(mark: Callable[[Killed], None]) -> Callable[[Killed], None]:
    """Mark a task as ended whose attempt has timed out, and which waits for its retry."""

    def kill(case: Killed) -> None:
        case.until_state("up_for_retry")
        assert case.statuses == ["RUNNING"]
        mark(case)
        case.until_statuses("CANCELLED")

    return kill


def mark_task(case: Killed) -> None:
    """Mark the task as failed."""
    case.airflow.mark_task(case.dag_id, case.dag_run_id, "task", "failed")


def mark_dag_run(case: Killed) -> None:
    """Mark the DAG run as failed."""
    case.airflow.mark_dag_run(case.dag_id, case.dag_run_id, "failed")


def clear_after_edit(case: Killed) -> None:
    """Clear a task after ``retries`` was edited so that ``max_tries`` stays the same."""
    case.until_waiting("deferred")
    case.end()
    # 2 tries may follow the first one, and 1 the second.
    (case.airflow.home / "retries").write_text("1")
    path = f"dags/{case.dag_id}/tasks/task"
    case.until(lambda: case.airflow.get(path)["retries"] == 1, "has fewer retries")
    case.airflow.wait_for_dag_run(case.dag_id, case.dag_run_id, limit=LIMIT)
    case.airflow.clear_task(case.dag_id, case.dag_run_id, "task")
    case.until_statuses("COMPLETED", "RUNNING")
    assert case.airflow.task_instance(case.dag_id, case.dag_run_id, "task")["max_tries"] == 2
    case.end()


#: The kills, and the final statuses of the runs.
CASES: Mapping[str, tuple[Callable[[Killed], None], list[str]]] = {
    "supervisor_ends": (end_supervisor, ["COMPLETED"]),
    "process_stalls": (stall, ["COMPLETED"]),
    "start_is_answered_at_once": (kill_while_starting(answer="at once"), ["CANCELLED"]),
    "start_is_answered_after_on_kill": (kill_while_starting(answer="after on_kill"), ["CANCELLED"]),
    "start_is_answered_to_nobody": (kill_while_starting(answer="to nobody"), ["CANCELLED"]),
    "task_failed_in_retry_delay_running": (end_in_retry_delay(mark_task), ["CANCELLED"]),
    "task_failed_in_retry_delay_deferred": (end_in_retry_delay(mark_task), ["CANCELLED"]),
    "dag_run_failed_in_retry_delay_deferred": (end_in_retry_delay(mark_dag_run), ["CANCELLED"]),
    "retries_are_edited": (clear_after_edit, ["COMPLETED", "COMPLETED"]),
}


@pytest.fixture(scope="module")
def killed(
    airflow: LocalAirflow, server: HealthOmicsServer, task_states: TaskStates
) -> Iterator[dict[str, tuple[Killed, Future[None]]]]:
    """Kill every task in its way, all at the same time."""
    cases: dict[str, tuple[Killed, Future[None]]] = {}
    with ThreadPoolExecutor(len(CASES)) as pool:
        for dag_id, (kill, _) in CASES.items():
            case = Killed(airflow, server, task_states, dag_id, f"manual__{dag_id}")
            if dag_id.startswith("start_"):
                server.control.hold("StartRun", dag_id, match={"tags": {"dag": dag_id}})
            airflow.trigger_dag(dag_id, run_id=case.dag_run_id)
            cases[dag_id] = case, pool.submit(kill, case)
        yield cases


@pytest.mark.parametrize("dag_id", CASES)
def test_a_kill_cancels_the_run_only_if_a_person_has_ended_the_task(
    killed: dict[str, tuple[Killed, Future[None]]], dag_id: str
) -> None:
    """No other run is started, except by a Clear."""
    case, future = killed[dag_id]
    future.result()
    assert case.statuses == CASES[dag_id][1]


def test_an_api_server_that_is_down_loses_no_run(
    airflow: LocalAirflow,
    server: HealthOmicsServer,
    task_states: TaskStates,
    killed: dict[str, tuple[Killed, Future[None]]],
) -> None:
    """Airflow kills the task, as its heartbeats fail, and the next attempt waits for the same run."""
    for _, future in killed.values():
        future.exception()
    case = Killed(airflow, server, task_states, "api_server_is_down", "manual__api_server_is_down")
    airflow.trigger_dag(case.dag_id, run_id=case.dag_run_id)
    case.until_waiting("running")
    pid, _ = pids_of(case)
    airflow.stop_process("execution-api", gracefully=False)
    case.until(lambda: not psutil.pid_exists(pid), "has no process any more")
    airflow.start_process("execution-api")
    case.until(
        lambda: case.task()["try_number"] > 1 and case.task()["state"] in ("running", "failed"), "is retried"
    )
    polls = case.polls()
    case.until(lambda: case.polls() > polls + 1, "is polled by the next attempt")
    case.end()
    assert case.statuses == ["COMPLETED"]


def test_dag_runs_that_are_ended_during_a_storm_leave_no_run(
    airflow: LocalAirflow,
    server: HealthOmicsServer,
    killed: dict[str, tuple[Killed, Future[None]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Although some tasks are starting, some wait for their turn, and some for their runs."""
    for _, future in killed.values():
        future.exception()
    sizes = (40, 200)
    with throttled(server), ThreadPoolExecutor(len(sizes)) as pool:
        storms = [pool.submit(end_in_a_storm, airflow, server, f"storm_{size}", size) for size in sizes]
    for storm in storms:
        with capsys.disabled():
            print(f"\n{storm.result()}")
