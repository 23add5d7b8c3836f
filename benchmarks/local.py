# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Speed and memory of the local HealthOmics, compared with moto's Batch: ``python -m benchmarks.local``.

Each repetition of a scenario has a new process, with both in one server and one caller. The scenarios are in
``benchmarks/local_probe.py``. moto's Batch is the one without Docker, whose jobs end at once. It takes five
minutes on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.report import combined

ROOT: Final = Path(__file__).parents[1]
PROBE: Final = Path(__file__).with_name("local_probe.py")
RESULTS: Final = Path(__file__).parent / "results"

#: Runs of each scenario.
SCENARIOS: Final = {"requests": 10_000, "memory": 100_000, "due": 10_500}
REPETITIONS: Final = 3

#: Maximum seconds of a call while many runs are due.
LONGEST_CALL: Final = 0.2


class Figure(NamedTuple):
    """
    A line of the table.

    :param scenario: function of the probe
    :param title: its name in the documentation
    :param ours: key of the local HealthOmics
    :param theirs: key of moto's Batch, if it has such a figure
    :param scale: factor from the result to the documentation
    :param digits: decimal places there
    """

    scenario: str
    title: str
    ours: str
    theirs: str | None = None
    scale: float = 1.0
    digits: int = 0

    def shown(self, results: Mapping[str, Any], key: str | None) -> str:
        """Return the median of a side, and its spread."""
        if key is None:
            return "-"
        figures = results["scenarios"][self.scenario]
        low, high = (self._format(value) for value in figures["spread"][key])
        value = self._format(figures[key])
        return value if low == high else f"{value} ({low} to {high})"

    def _format(self, value: float) -> str:
        return f"{value * self.scale:,.{self.digits}f}"


FIGURES: Final = (
    Figure("requests", "GetRun / DescribeJobs of one job, calls/s", "get_run", "describe_jobs"),
    Figure("requests", "StartRun / SubmitJob, calls/s", "start_run", "submit_job"),
    Figure("requests", "ListRuns, a page of 100, calls/s", "list_runs"),
    Figure("requests", "ListRuns, one by its name, calls/s", "list_runs_end"),
    Figure(
        "requests",
        "ListRuns, all in pages of 100 / ListJobs, all in one response, lists/s",
        "list_all_runs",
        "list_all_jobs",
        digits=2,
    ),
    Figure("memory", "Memory of each, KiB", "bytes_per_run", "bytes_per_job", 1 / 1024, 1),
    Figure("due", "Longest GetRun, ms", "slowest_get_run", None, 1000),
    Figure("due", "Longest ListRuns, a page of 100, ms", "slowest_list_runs", None, 1000),
    Figure("due", "Longest garbage collection, ms", "slowest_collection", None, 1000),
)

#: What the lines of a scenario have in common.
CONDITIONS: Final = {
    "requests": "{:,} runs or jobs exist",
    "memory": "{:,} runs or jobs have ended",
    "due": "{:,} runs are due at once",
}


def measure(scenario: str, runs: int) -> dict[str, float]:
    """
    Return the figures of a scenario in a new process.

    :param scenario: function of the probe
    :param runs: number of runs
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, str(PROBE), scenario, str(runs)],
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def judge(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets in the results: description, and whether it is met."""
    due = results["scenarios"]["due"]
    slowest = max(due["spread"][key][1] for key in ("slowest_get_run", "slowest_list_runs"))
    return [
        {
            "target": f"no call over {LONGEST_CALL} s while {due['runs']:,} runs are due",
            "met": slowest <= LONGEST_CALL,
        }
    ]


def local_table(results: Mapping[str, Any]) -> str:
    """Return the table for the documentation: the median of the repetitions, with their spread."""
    lines = ["| | | local HealthOmics | moto's Batch |", "|---|---|--:|--:|"]
    last = None
    for figure in FIGURES:
        condition = CONDITIONS[figure.scenario].format(results["scenarios"][figure.scenario]["runs"])
        cells = [figure.shown(results, key) for key in (figure.ours, figure.theirs)]
        lines.append(f"| {condition if condition != last else ''} | {figure.title} | {' | '.join(cells)} |")
        last = condition
    return "\n".join(lines)


def main() -> None:
    """Measure each scenario, print the table, and store the results for the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.local", description=main.__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the runs, for a short try")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    options = parser.parse_args()
    is_full = (options.share, options.repetitions) == (1.0, REPETITIONS)
    output = RESULTS if is_full else RESULTS / "partial"
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "moto": version("moto"),
        "scenarios": {},
    }
    for scenario, size in SCENARIOS.items():
        runs = int(size * options.share)
        each = [measure(scenario, runs) for _ in range(options.repetitions)]
        results["scenarios"][scenario] = {**combined(each), "runs": runs}
    results["targets"] = judge(results)
    output.mkdir(parents=True, exist_ok=True)
    (output / "local.json").write_text(json.dumps(results, indent=1) + "\n")
    print(local_table(results))


if __name__ == "__main__":
    main()
