# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One run from start to end in a real Airflow: scheduler, worker and triggerer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import WAIT_LIMIT, LocalAirflow

DAG_ID = "killed_worker"

DEFAULTS = {"role_arn": "arn:aws:iam::123456789012:role/omics", "output_uri": "s3://outputs/results"}


class CompatAirflow(LocalAirflow):
    """A real Airflow of any supported version, observed in its database, as Airflow 2 has another API."""

    def __init__(self, version: tuple[int, ...], dags_folder: Path, **more: Any) -> None:
        super().__init__(dags_folder, **more)
        self.is_airflow_2 = version < (3,)
        if self.is_airflow_2:
            self.processes = {name: (name, "--skip-serve-logs") for name in ("scheduler", "triggerer")}

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with closing(
            sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30)
        ) as database:
            return database.execute(statement, values).fetchall()

    def trigger(self, dag_id: str) -> None:
        """Trigger a DAG, once Airflow has it."""
        self.wait_until(
            lambda: self.query("SELECT 1 FROM dag WHERE dag_id = ?", dag_id), f"{dag_id} is parsed"
        )
        self.run_cli("dags", "trigger", dag_id)

    def task_logs(self) -> str:
        """Return the logs of all attempts of all tasks."""
        paths = sorted(path for path in (self.home / "logs").rglob("*.log") if "run_id=" in str(path))
        return "\n".join(f"--- {path.name} ---\n{path.read_text()}" for path in paths)

    def _sections(self) -> dict[str, dict[str, object]]:
        sections = super()._sections()
        if self.is_airflow_2:
            # The LocalExecutor of Airflow 2 refuses SQLite.
            sections["core"]["executor"] = "SequentialExecutor"
        return sections

    def _is_healthy(self) -> bool:
        if not self.is_airflow_2:
            return super()._is_healthy()
        running = self.query("SELECT DISTINCT job_type FROM job WHERE state = 'running'")
        return {"SchedulerJob", "TriggererJob"} <= {job for (job,) in running}

    def _log_in(self) -> None:
        if not self.is_airflow_2:
            super()._log_in()


@pytest.fixture
def airflow(
    server: HealthOmicsServer, airflow_python: Path, airflow_version: tuple[int, ...]
) -> Iterator[CompatAirflow]:
    """Run Airflow."""
    connection = {"conn_type": "aws", "extra": {"service_config": {"omics": DEFAULTS}}}
    with CompatAirflow(
        airflow_version,
        Path(__file__).parent / "dags",
        environment={
            **server.environ,
            # Airflow 2 runs tasks by the command `airflow`.
            "PATH": f"{airflow_python.parent}:{os.environ['PATH']}",
            # A task whose supervisor has died is retried after this time, instead of five minutes.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
        },
        connections={"aws_default": connection},
        python=airflow_python,
    ) as airflow:
        yield airflow


def test_a_worker_that_dies_after_the_start_loses_nothing(
    server: HealthOmicsServer, airflow: CompatAirflow
) -> None:
    """The next attempt finds the run, waits for it in the triggerer, and succeeds: one run, two attempts."""
    server.control.add_workflow("1234567")
    # Airflow fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
    server.control.plan_run(seconds={"RUNNING": None, "STOPPING": 12}, times=None)
    airflow.trigger(DAG_ID)

    def is_deferred() -> bool:
        return airflow.query("SELECT state FROM task_instance WHERE dag_id = ?", DAG_ID) == [("deferred",)]

    airflow.wait_until(is_deferred, "the task waits in the triggerer", WAIT_LIMIT)
    server.control.advance("STOPPING")

    def ended() -> str | None:
        ((state,),) = airflow.query("SELECT state FROM dag_run WHERE dag_id = ?", DAG_ID)
        return str(state) if state in ("success", "failed") else None

    state = airflow.wait_until(ended, "the DAG run has ended", WAIT_LIMIT)
    assert state == "success", airflow.task_logs()
    ((attempts,),) = airflow.query("SELECT try_number FROM task_instance WHERE dag_id = ?", DAG_ID)
    assert attempts == 2
    (run,) = server.control.runs()
    assert run["status"] == "COMPLETED"
