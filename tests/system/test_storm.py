# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Many starts at once, against HealthOmics' limit of one StartRun a second and with faults on the way.

It takes a second and a half for each start; ``STORM_STARTS=60`` makes it a smaller one.
"""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

pytestmark = pytest.mark.slow

STARTS = int(os.environ.get("STORM_STARTS", "200"))

#: StartRun calls a second.
RATE = 1.0

#: Slots of the pool, fewer than the LocalExecutor would run.
SLOTS = 4

#: The probability of each of the faults below; together they affect about one call in five.
PROBABILITY = 0.05

#: In the scheduler's log, when it fails a task whose deferral it has not seen yet (apache/airflow#67287).
AIRFLOWS_OWN_FAILURE = "task instance's state attribute is"


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Pass the number of starts to the DAG."""
    return {"STORM_STARTS": str(STARTS), "AIRFLOW__CORE__PARALLELISM": str(2 * SLOTS)}


def test_a_storm_of_starts(
    airflow: LocalAirflow, server: HealthOmicsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every mapped start has one run in the end, within its pool, and few worker launches are wasted."""
    control = server.control
    airflow.send("POST", "pools", {"name": "storm", "slots": SLOTS})
    control.set_throttling(rates={"StartRun": RATE})
    control.inject_error("StartRun", "ThrottlingException", probability=PROBABILITY, times=None)
    control.inject_error("StartRun", probability=PROBABILITY, times=None)
    control.drop_connection("StartRun", probability=PROBABILITY, times=None)
    control.drop_connection("StartRun", when="after", probability=PROBABILITY, times=None)
    busy = []

    def look() -> None:
        pool = airflow.get("pools/storm")
        busy.append(pool["running_slots"] + pool["queued_slots"])

    began = time.monotonic()
    dag_run_id = airflow.trigger_dag("storm", run_id="manual__storm")
    state = airflow.wait_for_dag_run("storm", dag_run_id, look=look, limit=60 + 20 * STARTS)
    seconds = time.monotonic() - began

    runs = control.runs()
    launches = [line.split() for line in (airflow.home / "launches").read_text().splitlines()]
    retried = {index for index, try_number, _ in launches if int(try_number) > 1}
    scheduler_log = (airflow.home / "process-scheduler.log").read_text(errors="replace")
    calls = Counter(call["error"] for call in control.calls("StartRun"))
    with capsys.disabled():
        print(
            f"\n{len(runs)} runs in {seconds:.0f} s, {seconds * RATE / STARTS:.2f} of the limit's "
            f"{STARTS / RATE:.0f} s; {len(launches) / STARTS:.2f} launches a start "
            f"{dict(Counter(launch for *_, launch in launches))}; {len(retried)} tasks were tried again, "
            f"{scheduler_log.count(AIRFLOWS_OWN_FAILURE)} lines of Airflow's own failure; "
            f"at most {max(busy)} of {SLOTS} slots busy; StartRun answered {dict(calls)}"
        )

    assert state == "success"
    assert len(runs) == STARTS
    assert len({run["requestId"] for run in runs}) == STARTS
    assert max(busy) <= SLOTS
    assert len(launches) <= 2.5 * STARTS
