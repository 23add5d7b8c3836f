# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The common parts of the tests of kills: a DAG run with one task, and the runs that it has started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

#: Seconds; the machine may be slow.
LIMIT = 900

#: Seconds after the end of a DAG run at which no run of its tasks may be active.
STORM_LIMIT = 120


class TaskStates:
    """The current state of every task instance, requested for all at once and at most once a second."""

    def __init__(self, airflow: LocalAirflow) -> None:
        self._airflow = airflow
        self._lock = threading.Lock()
        self._asked_at = 0.0
        self._found: dict[tuple[str, str, str, int], dict[str, Any]] = {}

    def of(self, dag_id: str, dag_run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a DAG run."""
        with self._lock:
            if time.monotonic() > self._asked_at + 1:
                self._found = {}
                while True:
                    page = self._airflow.get(
                        "dags/~/dagRuns/~/taskInstances",
                        limit=100,
                        offset=len(self._found),
                        order_by="id",
                    )
                    for task in page["task_instances"]:
                        key = (task["dag_id"], task["dag_run_id"], task["task_id"], task["map_index"])
                        self._found[key] = task
                    if len(self._found) >= page["total_entries"] or not page["task_instances"]:
                        break
                self._asked_at = time.monotonic()
            return [task for key, task in self._found.items() if key[:2] == (dag_id, dag_run_id)]


@dataclass
class Killed:
    """A DAG run with one task, named ``task``, to be killed."""

    airflow: LocalAirflow
    server: HealthOmicsServer
    states: TaskStates
    dag_id: str
    dag_run_id: str
    #: Of the run that a sensor waits for.
    run_id: str | None = None

    @property
    def cancels(self) -> bool:
        """Whether it has ``cancel_on_kill``."""
        return self.dag_id.endswith("_cancel")

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs that the task has started or waits for, in the order of their start."""
        return [
            run
            for run in self.server.control.runs()
            if run["id"] == self.run_id or run["requestId"].startswith(f"{self.dag_run_id}.")
        ]

    @property
    def statuses(self) -> list[str]:
        """The status of each run."""
        return [run["status"] for run in self.runs]

    def polls(self) -> int:
        """Count the calls of GetRun for the newest run."""
        if not self.runs:
            return 0
        run_id = self.runs[-1]["id"]
        return len([call for call in self.server.control.calls("GetRun") if call["ids"]["id"] == run_id])

    def task(self) -> dict[str, Any]:
        """The task instance; it has no state if it was deleted."""
        return next(iter(self.states.of(self.dag_id, self.dag_run_id)), {"state": None, "try_number": 0})

    def until(self, probe: Callable[[], Any], what: str) -> None:
        """Wait until a condition is true."""
        try:
            self.airflow.wait_until(probe, f"{self.dag_id}: {what}", LIMIT)
        except Exception as error:
            log = self.airflow.task_log(self.dag_id, self.dag_run_id, "task")
            raise AssertionError(f"{error}\n{self.task()}\n{self.runs}\n--- log ---\n{log}") from error

    def until_state(self, *states: str) -> None:
        """Wait until the task instance has one of the states."""
        self.until(lambda: self.task()["state"] in states, f"is {' or '.join(states)}")

    def until_waiting(self, state: str) -> None:
        """Wait until the task instance waits for its run, in the triggerer or on its worker."""
        self.until_state(state)
        polls = self.polls()
        self.until(lambda: self.polls() > polls, "is polled")

    def until_statuses(self, *statuses: str) -> None:
        """Wait until the runs have these statuses."""
        self.until(lambda: self.statuses == list(statuses), f"has runs {', '.join(statuses)}")

    def end(self) -> None:
        """Complete the newest run, and with it the task."""
        self.server.control.advance("COMPLETED", run_id=self.runs[-1]["id"])
        self.until_state("success")


@contextmanager
def throttled(server: HealthOmicsServer) -> Iterator[None]:
    """Apply AWS's default rates."""
    server.control.set_throttling(rates={"StartRun": 1, "CancelRun": 10, "GetRun": 10, "ListRuns": 10})
    yield
    server.control.set_throttling(False)


def end_in_a_storm(airflow: LocalAirflow, server: HealthOmicsServer, dag_id: str, size: int) -> str:
    """
    Mark a DAG run as failed during its starts, and check that no run is active later.

    :param dag_id: of a DAG whose task ``run`` is mapped, and starts and awaits a run each
    :param size: how many tasks there are
    :return: how many runs there were
    """
    dag_run_id = airflow.trigger_dag(dag_id, run_id=f"manual__{dag_id}")

    def runs() -> list[dict[str, Any]]:
        return [run for run in server.control.runs() if run["requestId"].startswith(f"{dag_run_id}.")]

    airflow.wait_until(lambda: len(runs()) > size // 3, f"{dag_id}: a third of the runs are started", LIMIT)
    airflow.mark_dag_run(dag_id, dag_run_id, "failed")
    marked, at_once = time.monotonic(), len(runs())
    # A start in flight may take effect later.
    airflow.wait_until(lambda: time.monotonic() > marked + STORM_LIMIT, "the time is over", LIMIT)
    active = [run for run in runs() if run["status"] != "CANCELLED"]
    logs = (airflow.task_log(dag_id, dag_run_id, "run", map_index=number) for number in range(size))
    histories = [log for log in logs if any(run["id"] in log for run in active)] if active else []
    assert not active, "\n".join([*map(str, active), *histories, airflow.log_tails(60)])
    return f"{size} starts: {at_once} runs at the mark, {len(runs())} in the end, none active"
