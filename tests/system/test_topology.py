# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Exactly one run per task in a distributed Airflow whose components are killed.

Every ten seconds a random one gets SIGKILL, while a fifth of the calls to HealthOmics fail. The seed of the
random choices is printed, and ``TOPOLOGY_SEED`` sets it.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.distributed_airflow import DistributedAirflow
from dev.local_airflow import ENDED_DAG_RUN
from dev.services import PostgreSQL, Redis

from .conftest import AIRFLOW, CONNECTION
from .dags_topology.topology import STORM, TASKS
from .killed import end_in_a_storm, throttled

#: Of the environment with the packages that a distributed Airflow needs.
PYTHON = Path(__file__).parents[2] / ".venv-topology/bin/python"

MISSING = [service.package for service in (PostgreSQL, Redis) if not service.is_installed()] + (
    [] if PYTHON.exists() else [".venv-topology"]
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"missing: {', '.join(MISSING)}; `make test-slow` installs them, Debian's packages for root",
    ),
]

SEED = int(os.environ.get("TOPOLOGY_SEED") or random.randrange(1, 1_000_000))

#: Seconds between two kills.
KILL_INTERVAL = 10

#: Enough to hit every phase. Without a limit, chance decides how often the last tasks are killed.
KILLS = 20

#: About as long as it takes to start all runs, so that kills hit starting, waiting and resuming tasks.
RUNNING_SECONDS = 60

#: Seconds from the run's creation to StartRun's response, so that kills hit tasks that wait for it.
START_SECONDS = 2

OPERATIONS = ("StartRun", "GetRun", "ListRuns")

#: The probability of each of the four faults below; together they hit about one call in five.
PROBABILITY = 0.055

#: Seconds; the machine may be slow.
LIMIT = 1200


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Shorten the times after which Airflow and Celery recover from a kill."""
    return {
        # When the task of a killed worker is retried; 300 by default. Must exceed an API server restart:
        # heartbeats fail meanwhile, and Airflow would retry tasks that are alive.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        # When a scheduler adopts the tasks that a killed one queued; 300 by default.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        # When a task is queued again because its message was lost; 600 by default, checked every 120. That
        # happens if a scheduler is killed before it sends the message, or a worker while Redis delivers it.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        # After how many of these a task fails without a retry; 2 by default, which a machine that takes
        # longer than the time above to launch a worker reaches without any fault.
        "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "50",
        # When Redis redelivers the messages of a killed worker; 86400 by default. A worker acknowledges a
        # message when its task is done (task_acks_late, Airflow's default), so this must exceed the time of a
        # task on a worker: seconds here. Airflow ignores a message whose task is still running.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "30",
        # Workers look for such messages every 10 seconds, by default every 100. If one is killed while it
        # holds the lock for that, the lock expires after 10 seconds, by default 300.
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_THROTTLE": "1",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_MUTEX_EXPIRE": "10",
        # Seconds in which a scheduler must send a message; 1 by default, too short for a busy machine.
        "AIRFLOW__CELERY__OPERATION_TIMEOUT": "10",
    }


@pytest.fixture(scope="module")
def airflow(
    server: HealthOmicsServer,
    airflow_settings: dict[str, str],
    dags_folder: Path,
    request: pytest.FixtureRequest,
) -> Iterator[DistributedAirflow]:
    """Run a distributed Airflow."""
    with (
        PostgreSQL() as postgresql,
        Redis() as redis,
        DistributedAirflow(
            dags_folder,
            postgresql=postgresql,
            redis=redis,
            environment={**server.environ, **airflow_settings},
            connections={"aws_default": CONNECTION},
            python=PYTHON,
        ) as airflow,
    ):
        request.config.stash[AIRFLOW] = airflow
        yield airflow
        del request.config.stash[AIRFLOW]


class Killer:
    """Kills and restarts a random component at each interval, :data:`KILLS` times."""

    def __init__(self, airflow: DistributedAirflow) -> None:
        self.kills: Counter[str] = Counter()
        self._airflow = airflow
        self._names = sorted(airflow.processes)
        self._random = random.Random(SEED)
        self._due = time.monotonic() + KILL_INTERVAL

    def kill_if_due(self) -> None:
        """Kill a component if the interval has passed."""
        if self.kills.total() < KILLS and time.monotonic() >= self._due:
            self._due += KILL_INTERVAL
            name = self._random.choice(self._names)
            self._airflow.restart_process(name)
            self.kills[name] += 1


def inject_faults(server: HealthOmicsServer) -> None:
    """Fail about a fifth of the calls, with their effect and without."""
    control = server.control
    control.set_options(seed=SEED)
    # Applies the seed.
    control.clear_faults()
    for operation in OPERATIONS:
        control.inject_error(operation, "ThrottlingException", probability=PROBABILITY, times=None)
        control.inject_error(operation, probability=PROBABILITY, times=None)
        control.drop_connection(operation, probability=PROBABILITY, times=None)
        control.drop_connection(operation, when="after", probability=PROBABILITY, times=None)


def history(airflow: DistributedAirflow, runs: list[dict[str, Any]], dag_run_id: str, number: int) -> str:
    """Return the known facts about a mapped task: its runs, its logs, and its state in Airflow."""
    tries = airflow.task_instance("topology", dag_run_id, "run", number)["try_number"]
    logs = [
        airflow.task_log("topology", dag_run_id, "run", try_number=attempt, map_index=number)
        for attempt in range(1, tries + 1)
    ]
    mention = re.compile(rf"map_index={number}\b.*(failed|error|heartbeat|orphan|killed)", re.IGNORECASE)
    said = [
        f"{path.stem}: {line}"
        for path in sorted(airflow.home.glob("process-*.log"))
        for line in path.read_text(errors="replace").splitlines()
        if mention.search(line)
    ]
    return "\n".join([f"--- task {number} ---", *map(str, runs), *logs, *said])


def test_kills_of_all_components(
    airflow: DistributedAirflow, server: HealthOmicsServer, omics: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every waiting task succeeds with exactly one run, whichever components of Airflow are killed."""
    control = server.control
    control.set_options(running_seconds=RUNNING_SECONDS)
    inject_faults(server)
    control.delay("StartRun", START_SECONDS, when="after", times=None)
    with capsys.disabled():
        print(f"\nTOPOLOGY_SEED={SEED}", flush=True)

    began = time.monotonic()
    dag_run_id = airflow.trigger_dag("topology", run_id="manual__topology")
    killer = Killer(airflow)

    def ended() -> str | None:
        killer.kill_if_due()
        # The API server may be down.
        ((state,),) = airflow.postgresql.query(f"SELECT state FROM dag_run WHERE run_id = '{dag_run_id}'")
        return state if state in ENDED_DAG_RUN else None

    state = airflow.wait_until(ended, "the DAG run has ended", LIMIT)
    seconds = time.monotonic() - began

    control.clear_faults()
    tasks = airflow.postgresql.query(
        "SELECT state, try_number FROM task_instance WHERE map_index >= 0 ORDER BY map_index"
    )
    runs = control.runs()
    sample_of = {run["id"]: omics.get_run(id=run["id"])["tags"]["sample"] for run in runs}
    samples = Counter(sample_of.values())
    calls = [call for call in control.calls() if call["operation"] in OPERATIONS]
    failed = Counter(call["error"] for call in calls if call["error"])
    with capsys.disabled():
        print(
            f"{len(runs)} runs in {seconds:.0f} s; killed {dict(sorted(killer.kills.items()))}; "
            f"tries {dict(Counter(try_number for _, try_number in tasks))}; "
            f"{failed.total() / len(calls):.0%} of {len(calls)} calls failed: {dict(failed)}"
        )

    odd = [
        number
        for number, (task_state, _) in enumerate(tasks)
        if task_state != "success" or samples[str(number)] != 1
    ]
    assert not odd, "\n".join(
        history(airflow, [run for run in runs if sample_of[run["id"]] == str(number)], dag_run_id, number)
        for number in odd
    )
    assert state == "success"
    assert Counter(state for state, _ in tasks) == {"success": TASKS}
    assert Counter(run["status"] for run in runs) == {"COMPLETED": TASKS}


def test_a_dag_run_that_is_ended_during_a_storm_leaves_no_run(
    airflow: DistributedAirflow, server: HealthOmicsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tasks on Celery's workers, too."""
    server.control.set_options(running_seconds=1e6)
    with throttled(server):
        told = end_in_a_storm(airflow, server, "storm", STORM)
    with capsys.disabled():
        print(f"\n{told}")
