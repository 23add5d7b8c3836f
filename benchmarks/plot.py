# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Plot requests and memory by number of waiting runs.

``python -m benchmarks.plot waiting.json`` writes waiting.png to the same folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib import ticker

STYLES = {
    "ours": ("this provider", "#0b6e99", "o-"),
    "peer": ("waiter trigger and aiobotocore", "#c2571a", "s--"),
}


def draw(path: Path) -> None:
    """Plot the results in a file."""
    results = json.loads(path.read_text())
    figure, (requests, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for side, of_side in results["sides"].items():
        label, color, style = STYLES[side]
        entries = list(of_side.values())
        runs = [entry["runs"] for entry in entries]
        few = results["few"][side]["requests_per_interval"]
        requests.plot(
            [int(number) for number in few] + runs,
            [*few.values(), *(entry["requests_per_interval"] for entry in entries)],
            style,
            color=color,
            label=label,
        )
        mebibytes = [entry["memory_bytes_per_run"] * entry["runs"] / 2**20 for entry in entries]
        first = results["few"][side]["first_run_memory_bytes"] / 2**20
        memory.plot([1, *runs], [first, *mebibytes], style, color=color, label=label)
    requests.set(title=f"AWS requests per poll interval ({results['interval']:g} s)", ylabel="requests")
    memory.set(title="Memory above triggers that only sleep", ylabel="MiB")
    for axes in (requests, memory):
        axes.set(xlabel="waiting runs", xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
            axis.set_minor_formatter(ticker.NullFormatter())
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
