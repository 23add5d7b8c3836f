# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
What a task costs beside its wait, compared with another checkout: ``python -m benchmarks.overhead <folder>``.

Both are measured in turns with the same interpreter and packages: CPU of the imports, cost of clients,
requests to Airflow's execution API and calls of AWS. The results are stored for the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PROBE: Final = Path(__file__).with_name("overhead_probe.py")
RESULTS: Final = Path(__file__).parent / "results"


class Figure(NamedTuple):
    """
    A measured figure.

    :param measurement: function of the probe
    :param path: keys that lead to it in the result; the values below the last one are added up
    :param title: its name in the documentation
    :param digits: decimal places there
    """

    measurement: str
    path: tuple[str, ...]
    title: str
    digits: int = 0

    def of(self, result: Mapping[str, Any]) -> float:
        """Return the figure in the result of its measurement."""
        value: Any = result
        for key in self.path:
            value = value[key]
        return float(sum(value.values()) if isinstance(value, Mapping) else value)


FIGURES: Final = (
    Figure("imports", ("start",), "Imports of a task that starts a run, CPU ms", 1),
    Figure("imports", ("start_batch",), "Imports of a task that starts a batch, CPU ms", 1),
    Figure("imports", ("sensor",), "Imports of a sensor, CPU ms", 1),
    Figure("requests", ("start", "requests"), "Requests to Airflow: start"),
    Figure("requests", ("start_and_wait", "requests"), "Requests to Airflow: start and wait"),
    Figure("requests", ("start", "aws_calls"), "Calls of AWS: start"),
    Figure("requests", ("start_and_wait", "aws_calls"), "Calls of AWS: start and wait, with its polls"),
    Figure("clients", ("first_mib",), "First client of a process, MiB", 1),
    Figure("clients", ("further_mib",), "Further connection or region, MiB", 2),
    Figure("clients", ("further_ms",), "Further connection or region, CPU ms"),
)


def measure(checkout: Path, measurement: str) -> dict[str, Any]:
    """
    Return a measurement of the package in a checkout.

    :param checkout: folder of the checkout
    :param measurement: function of the probe
    """
    # Bytecode is cached as in production.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, str(PROBE), measurement],
        env={**environment, "PYTHONPATH": str(checkout)},
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(before: Path) -> list[dict[str, Any]]:
    """Return each figure of both sides."""
    sides = {
        name: {side: measure(checkout, name) for side, checkout in (("before", before), ("after", ROOT))}
        for name in dict.fromkeys(figure.measurement for figure in FIGURES)
    }
    return [
        {"title": figure.title, "digits": figure.digits}
        | {side: figure.of(result) for side, result in sides[figure.measurement].items()}
        for figure in FIGURES
    ]


def overhead_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table for the documentation."""
    lines = ["| | before | after |", "|---|--:|--:|"]
    for each in results:
        before, after = (f"{each[side]:,.{each['digits']}f}" for side in ("before", "after"))
        lines.append(f"| {each['title']} | {before} | {after} |")
    return "\n".join(lines)


def main() -> None:
    """Measure both sides, print the table, and store the results for the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=main.__doc__)
    parser.add_argument("before", type=Path, help="folder of the checkout to compare with")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of overhead.json")
    options = parser.parse_args()
    results = run(options.before.resolve())
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "overhead.json").write_text(json.dumps(results, indent=1) + "\n")
    print(overhead_table(results))


if __name__ == "__main__":
    main()
