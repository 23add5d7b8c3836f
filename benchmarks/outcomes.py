# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
What the outcomes of a large batch cost, and for how long they hold a worker slot.

``python -m benchmarks.outcomes`` runs a deferrable task with a batch of 10,000 runs twice, against a local
HealthOmics with the documented quotas and some latency. Before: the worker calls GetRun for each run, for
17 minutes. After: the triggerer reads the lists, and derives the output URIs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import boto3
from rich.console import Console

from airflow_healthomics.testing import HealthOmicsServer
from airflow_healthomics.testing.options import DEFAULT_RATES
from benchmarks.instruments import BenchmarkError
from benchmarks.report import outcomes_table

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = Path(__file__).parent / "results"
DAG_FILE: Final = Path(__file__).with_name("outcomes_dag.py")

#: The operations that read outcomes.
OPERATIONS: Final = ("GetRun", "ListRuns", "ListRunsInBatch")

#: Seconds that each of them takes in addition.
LATENCY: Final = 0.05

#: Maximum number of their calls for 10,000 runs.
MAX_CALLS: Final = 220


def measure(side: str, runs: int) -> dict[str, Any]:
    """
    Run the task, and return what it cost.

    :param side: ``before`` or ``after``
    :param runs: number of runs of the batch
    """
    # The batch itself starts at once.
    rates = {operation: rate for operation, rate in DEFAULT_RATES.items() if operation != "StartRun"}
    options: dict[str, Any] = {"any_workflow": True, "tasks": 0, "batch_runs_per_second": None}
    with (
        tempfile.TemporaryDirectory() as home,
        HealthOmicsServer(throttling=True, rates=rates, **options) as server,
    ):
        os.environ.update(server.environ)
        boto3.client("s3").create_bucket(Bucket="benchmark")
        for operation in OPERATIONS:
            server.control.delay(operation, LATENCY, times=None)
        measured = _run_dag(side, runs, Path(home))
        calls = [call for call in server.control.calls() if call["operation"] in OPERATIONS]
    if measured["state"] != "success":
        raise BenchmarkError(f"The DAG run ended as {measured['state']}")
    processes = measured["processes"]
    first_call = min(call["time"] for call in calls)
    waiting: list[float] = []
    reading: list[float] = []
    for moment, delay in measured["delays"]:
        (waiting if moment < first_call else reading).append(delay * 1000)
    return {
        "calls": dict(Counter(call["operation"] for call in calls)),
        "throttled": sum(call["error"] is not None for call in calls),
        "calls_on_worker": sum(
            any(began <= call["time"] <= end for began, end in processes) for call in calls
        ),
        "seconds_on_worker": round(sum(end - began for began, end in processes), 1),
        "seconds": round(processes[-1][1] - processes[0][0], 1),
        "delay_ms_waiting": _delays(waiting),
        "delay_ms_reading": _delays(reading) if reading else None,
    }


def _delays(values: Sequence[float]) -> dict[str, float]:
    return {"p99": round(quantiles(values, n=100)[98], 1), "longest": round(max(values), 1)}


def _run_dag(side: str, runs: int, home: Path) -> dict[str, Any]:
    dags = home / "dags"
    dags.mkdir()
    script = shutil.copy(DAG_FILE, dags)
    sheet = home / "sheet.csv"
    sheet.write_text("sample\n" + "".join(f"sample-{number}\n" for number in range(runs)))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "BENCH_SIDE": side,
        "BENCH_SHEET": str(sheet),
    }
    for command in (["-m", "airflow", "db", "migrate"], [script]):
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise BenchmarkError(done.stdout[-5000:] + done.stderr[-5000:])
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def judge(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets in the results: description, and whether it is met."""
    after = results["sides"]["after"]
    calls = sum(after["calls"].values())
    return [
        {"target": f"at most {MAX_CALLS} calls", "met": calls <= MAX_CALLS},
        {"target": "none of them on a worker", "met": after["calls_on_worker"] == 0},
        {"target": "event loop late by less than 50 ms", "met": after["delay_ms_reading"]["p99"] < 50},
    ]


def main() -> int:
    """Run the benchmark, print its table, and return the exit code: 0 whatever the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outcomes", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the batch")
    parser.add_argument("--sides", nargs="+", choices=["before", "after"], default=["before", "after"])
    options = parser.parse_args()
    is_full = all(getattr(options, name) == parser.get_default(name) for name in ("runs", "sides"))
    output = RESULTS if is_full else RESULTS / "partial"
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    console = Console(soft_wrap=True)
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "runs": options.runs,
        "latency": LATENCY,
        "cores": os.cpu_count(),
        "sides": {},
    }
    try:
        for side in options.sides:
            console.print(f"[dim]{side}[/]")
            results["sides"][side] = measure(side, options.runs)
            console.print(results["sides"][side])
    except BenchmarkError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    if "after" in results["sides"]:
        results["targets"] = judge(results)
    output.mkdir(parents=True, exist_ok=True)
    (output / "outcomes.json").write_text(json.dumps(results, indent=1) + "\n")
    console.print("", outcomes_table(results), highlight=False, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
