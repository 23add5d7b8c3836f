# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The task that started a run cancels it when it is killed, and no other task does."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import ENDED_TASK, LocalAirflow
from dev.sessions import members

from .killed import LIMIT, Killed, TaskStates

pytestmark = pytest.mark.slow

#: Seconds from the end of the kill's request to the last cancellation.
KILL_LIMIT = 30

#: Seconds without a heartbeat after which another triggerer takes over the triggers.
SILENCE = 15


@pytest.fixture(scope="module", autouse=True)
def _each_run_is_polled(server: HealthOmicsServer) -> None:
    """Deny the triggerer its lists, so that each run's polls are separate GetRun calls."""
    for status in ("PENDING", "STARTING", "RUNNING", "STOPPING"):
        server.control.inject_error(
            "ListRuns", "AccessDeniedException", status=403, times=None, match={"status": status}
        )


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Let many tasks run at once, and a triggerer's triggers be taken over soon."""
    return {
        "AIRFLOW__CORE__PARALLELISM": "16",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(SILENCE),
    }


@pytest.fixture(scope="module", autouse=True)
def _long_runs(server: HealthOmicsServer) -> None:
    server.control.set_options(running_seconds=1e6)


@pytest.fixture(scope="module")
def task_states(airflow: LocalAirflow) -> TaskStates:
    """The task instances of all tests of this module."""
    return TaskStates(airflow)


def mark_task(state: str, waiting: str) -> Callable[[Killed], None]:
    """Mark the task instance as ended while it waits."""

    def kill(case: Killed) -> None:
        case.until_waiting(waiting)
        case.airflow.mark_task(case.dag_id, case.dag_run_id, "task", state)
        if case.cancels:
            case.until_statuses("CANCELLED")

    return kill


def mark_reattached_task(case: Killed) -> None:
    """Mark the task instance as failed while its second try waits for the run of a crashed one."""
    case.until_waiting("running")
    pid = case.task()["pid"]
    os.kill(pid, signal.SIGKILL)
    case.until(
        lambda: case.task()["state"] == "running" and case.task()["pid"] not in (None, pid), "runs again"
    )
    mark_task("failed", "running")(case)


def mark_dag_run(waiting: str) -> Callable[[Killed], None]:
    """Mark the DAG run as failed while its task waits."""

    def kill(case: Killed) -> None:
        case.until_waiting(waiting)
        case.airflow.mark_dag_run(case.dag_id, case.dag_run_id, "failed")
        if case.cancels:
            case.until_statuses("CANCELLED")

    return kill


def clear_task(waiting: str) -> Callable[[Killed], None]:
    """Clear the task while it waits: it has exactly one new run."""

    def kill(case: Killed) -> None:
        case.until_waiting(waiting)
        case.airflow.clear_task(case.dag_id, case.dag_run_id, "task")
        case.until_statuses("CANCELLED" if case.cancels else "RUNNING", "RUNNING")
        case.until_waiting(waiting)
        case.end()

    return kill


def clear_sensor(case: Killed) -> None:
    """Clear the sensor while it waits in the triggerer: it waits again."""
    case.until_waiting("deferred")
    tries = case.task()["try_number"]
    case.airflow.clear_task(case.dag_id, case.dag_run_id, "task")
    case.until(lambda: case.task()["try_number"] > tries, "is tried again")
    case.until_waiting("deferred")
    case.end()


def time_out(case: Killed) -> None:
    """Wait for the timeout of the last try."""
    case.until_state("failed")
    if case.cancels:
        case.until_statuses("CANCELLED")


def time_out_and_retry(case: Killed) -> None:
    """Wait for the timeout of a try that is not the last: the next one waits for the same run."""
    case.until(
        lambda: case.task()["try_number"] == 2 and case.task()["state"] in ("running", "deferred"),
        "is tried again",
    )
    polls = case.polls()
    case.until(lambda: case.polls() > polls, "is polled by the second try")
    case.end()


def kill_while_starting(case: Killed) -> None:
    """Mark the task as failed while its StartRun is in flight; the response follows at once."""
    case.server.control.wait_until_held(case.dag_id, timeout=LIMIT)
    case.airflow.mark_task(case.dag_id, case.dag_run_id, "task", "failed")
    case.server.control.release(case.dag_id)
    if case.cancels:
        case.until_statuses("CANCELLED")
    else:
        case.until_statuses("RUNNING")


#: The kills, and the final statuses of the runs with cancel_on_kill and without.
CASES: Mapping[str, tuple[Callable[[Killed], None], list[str], list[str]]] = {
    "failed_deferred": (mark_task("failed", "deferred"), ["CANCELLED"], ["RUNNING"]),
    "success_deferred": (mark_task("success", "deferred"), ["CANCELLED"], ["RUNNING"]),
    "clear_deferred": (clear_task("deferred"), ["CANCELLED", "COMPLETED"], ["RUNNING", "COMPLETED"]),
    "dag_run_failed_deferred": (mark_dag_run("deferred"), ["CANCELLED"], ["RUNNING"]),
    "failed_running": (mark_task("failed", "running"), ["CANCELLED"], ["RUNNING"]),
    "failed_reattached": (mark_reattached_task, ["CANCELLED"], ["RUNNING"]),
    "clear_running": (clear_task("running"), ["CANCELLED", "COMPLETED"], ["RUNNING", "COMPLETED"]),
    "dag_run_failed_running": (mark_dag_run("running"), ["CANCELLED"], ["RUNNING"]),
    "timeout_deferred": (time_out, ["CANCELLED"], ["RUNNING"]),
    "timeout_deferred_retry": (time_out_and_retry, ["COMPLETED"], ["COMPLETED"]),
    "timeout_running": (time_out, ["CANCELLED"], ["RUNNING"]),
    "timeout_running_retry": (time_out_and_retry, ["COMPLETED"], ["COMPLETED"]),
    "start_in_flight": (kill_while_starting, ["CANCELLED"], ["RUNNING"]),
    "sensor_failed_deferred": (mark_task("failed", "deferred"), ["CANCELLED"], ["RUNNING"]),
    "sensor_clear_deferred": (clear_sensor, ["COMPLETED"], ["COMPLETED"]),
    "sensor_failed_running": (mark_task("failed", "running"), ["CANCELLED"], ["RUNNING"]),
}


def test_a_hundred_killed_tasks_cancel_a_hundred_runs(
    airflow: LocalAirflow,
    server: HealthOmicsServer,
    task_states: TaskStates,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """When a DAG run is marked failed, the runs of its 100 deferred tasks are all cancelled soon."""
    begin = time.monotonic()
    dag_run_id = airflow.trigger_dag("kill_many")

    def waiting() -> bool:
        states = [task["state"] for task in task_states.of("kill_many", dag_run_id)]
        return len(states) == 100 and set(states) == {"deferred"}

    airflow.wait_until(waiting, "all tasks are deferred", LIMIT)
    ids = {run["id"] for run in server.control.runs()}

    def polled() -> bool:
        calls = [call["ids"]["id"] for call in server.control.calls("GetRun")]
        return all(calls.count(run_id) > 1 for run_id in ids)

    airflow.wait_until(polled, "the triggerer polls all runs", LIMIT)
    asked = time.monotonic()
    airflow.mark_dag_run("kill_many", dag_run_id, "failed")
    marked = time.monotonic()
    try:
        server.control.wait_for_run("CANCELLED", count=100, timeout=4 * KILL_LIMIT)
    finally:
        statuses = [run["status"] for run in server.control.runs()]
        with capsys.disabled():
            print(
                f"\n{statuses.count('CANCELLED')} of {len(statuses)} runs cancelled "
                f"{time.monotonic() - marked:.1f} s after the mark, which took {marked - asked:.1f} s; "
                f"{asked - begin:.0f} s until all were deferred"
            )
    cancelled = time.monotonic()

    assert len(ids) == 100
    assert cancelled - marked < KILL_LIMIT


@pytest.fixture(scope="module")
def killed(
    airflow: LocalAirflow, server: HealthOmicsServer, omics: Any, task_states: TaskStates
) -> Iterator[dict[str, tuple[Killed, Future[None]]]]:
    """Kill every task in its way, all at the same time."""
    cases: dict[str, tuple[Killed, Future[None]]] = {}
    with ThreadPoolExecutor(2 * len(CASES)) as pool:
        for what, (kill, *_) in CASES.items():
            for suffix in ("cancel", "leave"):
                dag_id = f"kill_{what}_{suffix}"
                case = Killed(airflow, server, task_states, dag_id, f"manual__{dag_id}")
                conf = {}
                if what.startswith("sensor"):
                    run = omics.start_run(
                        workflowId="1",
                        roleArn="arn:aws:iam::123456789012:role/omics",
                        outputUri="s3://system-tests/outputs",
                        requestId=dag_id,
                    )
                    conf["run"] = case.run_id = run["id"]
                if kill is kill_while_starting:
                    server.control.hold("StartRun", dag_id, match={"tags": {"dag": dag_id}})
                airflow.trigger_dag(dag_id, conf, run_id=case.dag_run_id)
                cases[dag_id] = case, pool.submit(kill, case)
        yield cases


@pytest.mark.parametrize("what", CASES)
def test_cancel_on_kill(killed: dict[str, tuple[Killed, Future[None]]], what: str) -> None:
    """A kill cancels the run with ``cancel_on_kill``, and leaves it active without."""
    _, cancelled, left = CASES[what]
    (canceller, first), (leaver, second) = (killed[f"kill_{what}_{suffix}"] for suffix in ("cancel", "leave"))

    first.result()
    second.result()

    assert canceller.statuses == cancelled
    assert leaver.statuses == left


def test_a_deleted_dag_run_is_a_kill(
    airflow: LocalAirflow, server: HealthOmicsServer, task_states: TaskStates
) -> None:
    """A DAG run that is marked as failed and deleted at once counts as a kill for its run."""
    canceller, leaver = (
        Killed(airflow, server, task_states, dag_id, airflow.trigger_dag(dag_id, run_id=f"manual__{dag_id}"))
        for dag_id in ("kill_dag_run_deleted_cancel", "kill_dag_run_deleted_leave")
    )
    canceller.until_waiting("deferred")
    leaver.until_waiting("deferred")

    # A scheduler that meets a deleted DAG run ends with a StaleDataError, as SQLite has no row locks.
    airflow.stop_process("scheduler")
    for case in (leaver, canceller):
        airflow.mark_dag_run(case.dag_id, case.dag_run_id, "failed")
        airflow.delete_dag_run(case.dag_id, case.dag_run_id)
    airflow.start_process("scheduler")

    canceller.until_statuses("CANCELLED")
    assert leaver.statuses == ["RUNNING"]


def test_nothing_was_cancelled_later(killed: dict[str, tuple[Killed, Future[None]]]) -> None:
    """At the end, the runs that were left active still are."""
    for _, future in killed.values():
        future.result()

    assert {dag_id: case.statuses for dag_id, (case, _) in killed.items()} == {
        f"kill_{what}_{suffix}": statuses
        for what, (_, cancelled, left) in CASES.items()
        for suffix, statuses in (("cancel", cancelled), ("leave", left))
    }


def test_a_takeover_cancels_nothing(
    airflow: LocalAirflow, server: HealthOmicsServer, task_states: TaskStates
) -> None:
    """When a stalled triggerer is replaced and then wakes up again, every run continues."""
    dag_run_id = airflow.trigger_dag("kill_takeover", run_id="manual__kill_takeover")

    def tasks() -> list[dict[str, Any]]:
        return task_states.of("kill_takeover", dag_run_id)

    def runs() -> list[dict[str, Any]]:
        return [run for run in server.control.runs() if run["requestId"].startswith(f"{dag_run_id}.")]

    def polls() -> list[int]:
        calls = [call["ids"]["id"] for call in server.control.calls("GetRun")]
        return [calls.count(run["id"]) for run in runs()]

    def logs() -> list[str]:
        return [
            airflow.task_log("kill_takeover", dag_run_id, "mapped", map_index=task["map_index"])
            for task in tasks()
        ]

    def until_polled(what: str) -> None:
        before = polls()
        airflow.wait_until(lambda: all(now > then for now, then in zip(polls(), before, strict=True)), what)

    airflow.wait_until(
        lambda: len(tasks()) == 5 and {task["state"] for task in tasks()} == {"deferred"},
        "the tasks are deferred",
        LIMIT,
    )
    until_polled("the triggerer polls")
    stalled = members(airflow.process_id("triggerer"))
    for pid in stalled:
        os.kill(pid, signal.SIGSTOP)
    try:
        airflow.start_process("triggerer-2", component="triggerer")
        until_polled("the other triggerer polls")
    finally:
        for pid in stalled:
            os.kill(pid, signal.SIGCONT)
    # Airflow calls on_kill for a trigger that another triggerer has taken over.
    airflow.wait_until(
        lambda: all("so its run is not cancelled" in log for log in logs()), "on_kill was called", LIMIT
    )
    until_polled("the other triggerer polls on")

    assert [run["status"] for run in runs()] == ["RUNNING"] * 5
    for run in runs():
        server.control.advance("COMPLETED", run_id=run["id"])
    assert airflow.wait_for_dag_run("kill_takeover", dag_run_id, limit=LIMIT) == "success"
    assert {task["state"] for task in airflow.task_instances("kill_takeover", dag_run_id)} <= ENDED_TASK
    assert [run["status"] for run in runs()] == ["COMPLETED"] * 5
