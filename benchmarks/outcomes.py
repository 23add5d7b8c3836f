# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The calls of AWS that the outcomes of a batch cost, compared with another checkout.

``python -m benchmarks.outcomes <folder>`` runs a batch with both, with the same interpreter and packages,
against the local HealthOmics.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.overhead import ROOT, measure


def table_of(runs: int, before: dict[str, Any], after: dict[str, Any]) -> Table:
    """Return the calls of both sides by operation."""
    table = Table("operation", "before", "after", title=f"A batch of {runs:,} runs", title_justify="left")
    for operation in sorted({*before, *after}):
        table.add_row(operation, f"{before.get(operation, 0):,}", f"{after.get(operation, 0):,}")
    table.add_row("all", f"{sum(before.values()):,}", f"{sum(after.values()):,}")
    return table


def main() -> None:
    """Run a batch with both sides, and print a table of their calls."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outcomes", description=main.__doc__)
    parser.add_argument("before", type=Path, help="folder of the checkout to compare with")
    parser.add_argument("--runs", type=int, default=1000, help="runs of the batch")
    options = parser.parse_args()
    sides = [measure(side, "outcomes", str(options.runs)) for side in (options.before.resolve(), ROOT)]
    Console(width=110).print(table_of(options.runs, *sides))


if __name__ == "__main__":
    main()
