# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
What a task costs beside its wait, compared with another checkout: ``python -m benchmarks.overhead <folder>``.

Both are measured in turns with the same interpreter and packages: CPU of the imports, cost of clients,
requests to Airflow's execution API and calls of AWS.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).parents[1]
PROBE: Final = Path(__file__).with_name("overhead_probe.py")
MEASUREMENTS: Final = ("imports", "clients", "requests")


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


def rows(result: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield each figure with its path, without the requests of each route."""
    for key, value in result.items():
        if key == "by_path":
            continue
        if isinstance(value, Mapping):
            yield from rows(value, f"{path}{key} ")
        else:
            yield f"{path}{key}", value


def main() -> None:
    """Measure both sides, and print a table with their ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=main.__doc__)
    parser.add_argument("before", type=Path, help="folder of the checkout to compare with")
    before = parser.parse_args().before.resolve()
    table = Table("figure", "before", "after", "ratio")
    for measurement in MEASUREMENTS:
        old, new = (dict(rows(measure(side, measurement))) for side in (before, ROOT))
        for name, value in new.items():
            was = old.get(name, 0)
            ratio = f"{was / value:.2f}" if value else ""
            table.add_row(f"{measurement}: {name}", f"{was:.2f}", f"{value:.2f}", ratio)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
