# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tables and targets of benchmarks/waiting.py, and the tables of benchmarks/outcomes.py and run_page.py."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Column, Table

#: Maximum page size of ListRuns.
PAGE: Final = 100
ACTIVE_STATUSES: Final = 4

#: Share of a core below which the server answers without delay.
ENOUGH: Final = 0.5

#: CPU of the same sleeping triggers differs by as much, in seconds per minute.
CPU_NOISE: Final = 0.1

#: Number of runs for which the ratios are judged.
JUDGED: Final = "1000"


@dataclass(frozen=True)
class Row:
    """
    A line of the table: one measure for both sides, and its format.

    :ivar noise: values below it, by the measure's own unit, are random
    """

    key: str
    title: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 1
    noise: float = 0.0

    def shown(self, entry: Mapping[str, Any] | None) -> str:
        """Return the value of a side, and its spread."""
        if entry is None:
            return ""
        if self.noise and entry[self.key] < self.noise:
            return f"under {self._format(self.noise)}"
        low, high = (self._format(value) for value in entry.get("spread", {}).get(self.key, (0, 0)))
        value = self._format(entry[self.key])
        return value if low == high else f"{value} ({low} to {high})"

    def ratio(self, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> str:
        """Return the ratio of both sides; a limit of it if our value is noise."""
        if self.noise and ours[self.key] < self.noise:
            return f"under {_ratio(self.noise, peer[self.key])}" if peer[self.key] >= self.noise else "-"
        return _ratio(ours[self.key], peer[self.key])

    def _format(self, value: float) -> str:
        return f"{value * self.scale:,.{self.digits}f}"


ROWS: Final = (
    Row("requests_per_interval", "AWS requests per poll interval"),
    Row("cpu_seconds_per_minute", "CPU above sleeping", "s/min", digits=2, noise=CPU_NOISE),
    Row(
        "supervisor_cpu_seconds_per_minute",
        "  and of the triggerer's supervisor",
        "s/min",
        digits=2,
        noise=CPU_NOISE,
    ),
    Row("memory_bytes_per_run", "Memory per run above sleeping", "KiB", 1 / 1024),
    Row("memory_bytes_per_further_run", "  each further run", "KiB", 1 / 1024),
    Row("stall_ms", "Longest stall of the event loop", "ms"),
    Row("stall_ms_p99", "99th-percentile stall", "ms"),
    Row("stall_ms_asleep", "  longest while all sleep", "ms"),
    Row("stall_ms_start", "  longest while all start", "ms"),
    Row("own_stall_ms", "Longest stall by its own code", "ms"),
    Row("whole_stall_ms", "Longest stall by anything, Airflow included", "ms"),
    Row("seconds_to_poll_all", "Until all are polled once", "s", digits=2),
    Row("delay_seconds", "From end to event, median", "s", digits=2),
    Row("delay_seconds_p99", "From end to event, 99th percentile", "s", digits=2),
)


#: The lines that the documentation shows.
_DOCUMENTED: Final = (
    "requests_per_interval",
    "cpu_seconds_per_minute",
    "memory_bytes_per_run",
    "own_stall_ms",
    "whole_stall_ms",
    "seconds_to_poll_all",
    "delay_seconds",
    "delay_seconds_p99",
)


def markdown_table(results: Mapping[str, Any]) -> str:
    """Return the table for the documentation, with both sides and their ratio for each number of runs."""
    ours, peer = results["sides"]["ours"], results["sides"]["peer"]
    sizes = sorted(ours, key=int)
    head = [f"{int(size):,} runs: ours | peer | ratio" for size in sizes]
    lines = [f"| | {' | '.join(head)} |", f"|---|{'--:|' * 3 * len(sizes)}"]
    for row in ROWS:
        if row.key in _DOCUMENTED:
            title = f"{row.title}, {row.unit}" if row.unit else row.title
            cells = [
                f"{row.shown(ours[size])} | {row.shown(peer[size])} | {row.ratio(ours[size], peer[size])}"
                for size in sizes
            ]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def further_run_line(results: Mapping[str, Any]) -> str:
    """Return the memory of each run beyond the first, for the documentation."""
    ours, peer = (results["sides"][side][JUDGED]["memory_bytes_per_further_run"] for side in ("ours", "peer"))
    return (
        f"The first run of a triggerer loads the client. Each further run of {int(JUDGED):,} costs "
        f"{ours / 1024:,.1f} KiB, with the peer {peer / 1024:,.1f} KiB."
    )


def combined(entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median of each figure of some measurements, and their spread."""
    each = list(entries)
    numbers = {key for key, value in each[0].items() if isinstance(value, float)}
    values = {key: [entry[key] for entry in each] for key in numbers}
    return {
        **each[0],
        **{key: statistics.median(values[key]) for key in numbers},
        "spread": {key: [min(values[key]), max(values[key])] for key in sorted(numbers)},
    }


def judge(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the targets in the results: size, key, description, and whether it is met."""
    sides, interval = results["sides"], results["interval"]
    ours, peer = sides.get("ours", {}), sides.get("peer", {})
    targets: list[dict[str, Any]] = []

    def add(size: str, key: str, text: str, is_met: bool) -> None:
        targets.append({"runs": int(size), "key": key, "target": text, "met": is_met})

    def at_most(size: str, key: str, part: int) -> None:
        add(size, key, f"at most 1/{part}", ours[size][key] * part <= peer[size][key])

    for size, entry in ours.items():
        add(size, "own_stall_ms", "under 50 ms", entry["own_stall_ms"] < 50)
    if judged := ours.get(JUDGED):
        pages = 1.5 * (math.ceil(int(JUDGED) / PAGE) + ACTIVE_STATUSES)
        add(JUDGED, "requests_per_interval", f"at most {pages:g}", judged["requests_per_interval"] <= pages)
        add(JUDGED, "delay_seconds", "at most 0.6 intervals", judged["delay_seconds"] <= 0.6 * interval)
        if JUDGED in peer:
            at_most(JUDGED, "requests_per_interval", 50)
            at_most(JUDGED, "cpu_seconds_per_minute", 30)
            at_most(JUDGED, "memory_bytes_per_run", 50)
            at_most(JUDGED, "seconds_to_poll_all", 10)
            # The times of polls and ends are random.
            chance = 0.05 * interval
            for key in ("delay_seconds", "delay_seconds_p99"):
                is_met = judged[key] <= peer[JUDGED][key] + chance
                add(JUDGED, key, f"at most the peer's + {chance:g} s", is_met)
    if {"ours", "peer"} <= results["few"].keys():
        for size, count in _few(results, "ours").items():
            add(size, "requests_per_interval", "at most the peer's", count <= _few(results, "peer")[size])
    return targets


def main_table(results: Mapping[str, Any]) -> Table:
    """Return the values of both sides with their ratios and targets."""
    table = _table(f"Waiting for runs, poll interval {results['interval']:g} s")
    sides = results["sides"]
    sizes = sorted({size for side in sides.values() for size in side}, key=int)
    for size in sizes:
        ours, peer = (sides.get(side, {}).get(size) for side in ("ours", "peer"))
        for row in ROWS:
            ratio = row.ratio(ours, peer) if ours and peer else ""
            title = f"{row.title}, {row.unit}" if row.unit else row.title
            table.add_row(
                f"{int(size):,}" if row is ROWS[0] else "",
                title,
                row.shown(ours),
                row.shown(peer),
                ratio,
                _verdict(results["targets"], size, row.key),
                end_section=row is ROWS[-1],
            )
    return table


def few_table(results: Mapping[str, Any]) -> Table:
    """Return the requests for a few runs, and the cost of the first run."""
    table = _table("Waiting for a few runs")
    ours, peer = (_few(results, side) for side in ("ours", "peer"))
    for size in ours or peer:
        verdict = _verdict(results["targets"], size, ROWS[0].key)
        _add_few(table, size, ROWS[0].title, ours.get(size), peer.get(size), verdict)
    first = [results["few"].get(side, {}).get("first_run_memory_bytes") for side in ("ours", "peer")]
    mebibytes = [None if size is None else size / 2**20 for size in first]
    _add_few(table, "1", "Memory of the first run, MiB", mebibytes[0], mebibytes[1])
    return table


def server_line(results: Mapping[str, Any]) -> str:
    """Return whether the local HealthOmics was fast enough."""
    share = max(entry["server_cpu_share"] for side in results["sides"].values() for entry in side.values())
    verdict = "it limited neither side" if share < ENOUGH else "too much: choose a longer interval"
    return f"The local HealthOmics used at most {share:.0%} of a core in a steady state: {verdict}."


def _add_few(
    table: Table, size: str, title: str, ours: float | None, peer: float | None, verdict: str = ""
) -> None:
    shown = ["" if value is None else f"{value:.1f}" for value in (ours, peer)]
    ratio = "" if ours is None or peer is None else _ratio(ours, peer)
    table.add_row(size, title, *shown, ratio, verdict)


def _few(results: Mapping[str, Any], side: str) -> dict[str, float]:
    counts: dict[str, float] = results["few"].get(side, {}).get("requests_per_interval", {})
    return counts


def _table(title: str) -> Table:
    return Table(
        Column("runs", justify="right"),
        "",
        Column("ours", justify="right"),
        Column("peer", justify="right"),
        Column("ratio", justify="right"),
        "target",
        title=title,
        title_justify="left",
    )


def _ratio(ours: float, peer: float) -> str:
    """Return a ratio. A value above a baseline may be zero or, by chance, negative."""
    if peer <= 0:
        return "-"
    if ours <= 0:
        return "0"
    return f"1/{peer / ours:,.0f}" if ours * 2 < peer else f"{ours / peer:.2f}"


def _verdict(targets: list[dict[str, Any]], size: str, key: str) -> str:
    found = [target for target in targets if target["runs"] == int(size) and target["key"] == key]
    return "; ".join(
        f"{target['target']}: {'[green]met[/]' if target['met'] else '[red]missed[/]'}" for target in found
    )


#: The lines of :func:`outcomes_table` after the operations.
_OUTCOME_ROWS: Final = {
    "calls_on_worker": "of these, on a worker",
    "seconds_on_worker": "seconds that the task holds a worker slot",
    "seconds": "seconds of the task in all",
}

_DELAY_ROWS: Final = {
    "delay_ms_waiting": "event loop late while the batch runs",
    "delay_ms_reading": "event loop late while lists are read",
}


def outcomes_table(results: Mapping[str, Any]) -> str:
    """
    Return the table of benchmarks/outcomes.py for the documentation.

    :param results: of that benchmark
    """
    sides = list(results["sides"].values())
    lines = [f"| {results['runs']:,} runs | {' | '.join(results['sides'])} |", f"|---|{'--:|' * len(sides)}"]

    def add(title: str, values: Iterable[float | None]) -> None:
        shown = ["-" if value is None else f"{value:,}" for value in values]
        lines.append(f"| {title} | {' | '.join(shown)} |")

    for operation in sorted({operation for side in sides for operation in side["calls"]}):
        add(operation, (side["calls"].get(operation, 0) for side in sides))
    for key, title in _OUTCOME_ROWS.items():
        add(title, (side[key] for side in sides))
    for key, title in _DELAY_ROWS.items():
        for figure, name in (("p99", "99th percentile"), ("longest", "longest")):
            add(f"{title}, {name}, ms", (side[key] and side[key][figure] for side in sides))
    return "\n".join(lines)


#: The lines of :func:`run_page_table`: what is requested, its figure, and their title.
_LOAD_ROWS: Final = (
    ("quick", "median", "Page of a quick connection, median, s"),
    ("quick", "longest", "Page of a quick connection, longest, s"),
    ("slow", "longest", "Page of the other connection, longest, s"),
    ("health", "longest", "Health of the API server, longest, s"),
)

_LARGE_RUN_ROWS: Final = {
    "first_seconds": "First answer, s",
    "later_seconds": "Later answers, median, s",
    "bytes": "Bytes of an answer",
    "bytes_sent": "Bytes of an answer, compressed",
    "frames_a_second": "Frames a second while the table is scrolled",
    "gap_longest_ms": "Longest time between two frames, ms",
}


def run_page_table(results: Mapping[str, Any]) -> str:
    """
    Return the table of the load in benchmarks/run_page.py for the documentation.

    :param results: of that benchmark
    """
    lines = ["| | both connections quick | one answers after 20 s |", "|---|--:|--:|"]
    for subject, figure, title in _LOAD_ROWS:
        values = (results[load][subject][figure] for load in ("both_quick", "one_slow"))
        lines.append(f"| {title} | {' | '.join(f'{value:,.2f}' for value in values)} |")
    return "\n".join(lines)


def large_run_table(results: Mapping[str, Any]) -> str:
    """
    Return the table of the large run in benchmarks/run_page.py for the documentation.

    :param results: of that benchmark
    """
    rows = (f"| {title} | {results['large_run'][key]:,} |" for key, title in _LARGE_RUN_ROWS.items())
    return "\n".join(["| A run with 5,000 tasks | |", "|---|--:|", *rows])
