# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
What waiting costs in an account with other runs, compared with another checkout.

``python -m benchmarks.quotas <folder>`` simulates both with the same interpreter and packages, in virtual
time: 1,000 RUNNING runs with a poll interval of 60 seconds, the documented quotas of GetRun and ListRuns (10
calls a second each, 10 at once), and 50 to 100 ms for each call. A fifth of the runs end within 15 minutes,
in which the calls are counted. Each scenario is repeated with three seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PROBE: Final = Path(__file__).with_name("quota_probe.py")
RESULTS: Final = Path(__file__).parent / "results"

WAITING: Final = 1000
FOREIGN: Final = (0, 5000, 20000)
TRIGGERERS: Final = (1, 3)
SEEDS: Final = (0, 1, 2)

#: Title, key and digits of each figure.
FIGURES: Final = (
    ("Calls per minute", "calls_per_interval", 0),
    ("Throttled calls", "throttled", 0),
    ("From end to notice, median, s", "delay_seconds", 0),
    ("99th percentile, s", "delay_seconds_p99", 0),
)


def scenarios() -> list[dict[str, Any]]:
    """Return what is simulated, without the seeds."""
    return [
        {"waiting": WAITING, "foreign": foreign, "triggerers": triggerers, "has_group": has_group}
        for foreign, has_group, triggerers in product(FOREIGN, (False, True), TRIGGERERS)
        # Without other runs, the lists of the group and of the account are the same.
        if foreign or not has_group
    ]


def measure(checkout: Path, each: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """
    Return the figures of some scenarios with the package of a checkout.

    :param checkout: folder of the checkout
    :param each: arguments of :func:`benchmarks.quota_probe.play`
    """
    done = subprocess.run(
        [sys.executable, str(PROBE), json.dumps(each)],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
        capture_output=True,
        text=True,
    )
    figures: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run(before: Path) -> list[dict[str, Any]]:
    """Return the scenarios with the figures of both sides, a list of one for each seed."""
    results = []
    for scenario in scenarios():
        seeds = [{**scenario, "seed": seed} for seed in SEEDS]
        sides = {"before": measure(before, seeds), "after": measure(ROOT, seeds)}
        results.append(
            scenario
            | {
                side: {key: [round(figures[key], 2) for figures in each] for _, key, _ in FIGURES}
                for side, each in sides.items()
            }
        )
        print(f"{len(results)} of {len(scenarios())} scenarios", flush=True)
    return results


def quota_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table for the documentation: the median of the seeds, and the spread where there is one."""
    titles = [f"{title}: before | after" for title, _, _ in FIGURES]
    lines = [
        f"| Other runs | Run group | Triggerers | {' | '.join(titles)} |",
        f"|--:|---|--:|{'--:|' * 2 * len(FIGURES)}",
    ]
    for result in results:
        cells = [f"{result['foreign']:,}", "yes" if result["has_group"] else "no", str(result["triggerers"])]
        cells += [
            _shown(result[side][key], digits) for _, key, digits in FIGURES for side in ("before", "after")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(values: Sequence[float], digits: int) -> str:
    low, middle, high = (
        f"{each:,.{digits}f}" for each in (min(values), statistics.median(values), max(values))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def main() -> None:
    """Simulate both sides, print the table, and store the results for the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quotas", description=main.__doc__)
    parser.add_argument("before", type=Path, help="folder of the checkout to compare with")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of quotas.json")
    options = parser.parse_args()
    results = run(options.before.resolve())
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "quotas.json").write_text(json.dumps(results, indent=1) + "\n")
    print(quota_table(results))


if __name__ == "__main__":
    main()
