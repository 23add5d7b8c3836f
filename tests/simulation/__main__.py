# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Play histories: ``python -m tests.simulation --soak 100000``, or replay one by its seed or plan.

``--sabotage`` takes out a protection first, to see that the simulation notices it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from functools import partial

import pytest

# First, since it sets the environment that Airflow reads when it is imported.
import tests.conftest  # noqa: F401
from tests.simulation.history import play
from tests.simulation.invariants import violations
from tests.simulation.plan import Plan, parse
from tests.simulation.plans import FAMILIES, random_plan
from tests.simulation.sabotage import SABOTAGES

#: Histories that a process plays before it reports.
_CHUNK = 200


def replay(plan: Plan) -> int:
    """Play a history, and print its points, its log and its broken promises."""
    history = play(plan)
    print(*history.scheduler.trace, "", history.text, "", sep="\n")
    print(f"The task is {history.airflow.state}: {history.airflow.outcome!r}")
    found = violations(history)
    for each in found:
        print(f"{each.promise}: {each.text}")
    return 1 if found else 0


def findings(plan: Plan) -> list[str]:
    """Play a history, and return its broken promises as lines with the command that replays it."""
    return [
        f"{each.promise}: {each.text}\n    python -m tests.simulation --plan '{plan}'"
        for each in violations(play(plan))
    ]


def _chunk(begin: int, *, sabotage: str | None) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        if sabotage:
            SABOTAGES[sabotage](patch)
        return [
            f"seed {seed}: {text}"
            for seed in range(begin, begin + _CHUNK)
            for text in findings(random_plan(seed))
        ]


def soak(count: int, first: int, sabotage: str | None) -> int:
    """Play random histories on all cores, then all exhaustive ones, and print their cost and findings."""
    started = time.perf_counter()
    number = 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        chunks = range(first, first + count, _CHUNK)
        for found in pool.imap_unordered(partial(_chunk, sabotage=sabotage), chunks):
            number += len(found)
            for text in found:
                print(text, flush=True)
    seconds = time.perf_counter() - started
    played = len(chunks) * _CHUNK
    print(f"{played} histories in {seconds:.0f} s, {played / seconds:.0f} a second: {number} findings")
    return 1 if number else 0


def exhaust(sabotage: str | None) -> int:
    """Play all exhaustive histories."""
    total = number = 0
    started = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        if sabotage:
            SABOTAGES[sabotage](patch)
        for name, (family, settings, further) in FAMILIES.items():
            for setting in [*settings, *further]:
                for plan in family(setting):
                    total += 1
                    for text in findings(plan):
                        number += 1
                        print(f"{name}: {text}", flush=True)
    seconds = time.perf_counter() - started
    print(f"{total} exhaustive histories in {seconds:.0f} s: {number} findings")
    return 1 if number else 0


def main() -> int:
    """Parse the arguments and play."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay the history of a seed")
    parser.add_argument("--plan", help="replay the history of a plan")
    parser.add_argument("--soak", type=int, metavar="COUNT", help="play so many random histories")
    parser.add_argument("--first", type=int, default=0, help="first seed of --soak")
    parser.add_argument("--exhaustive", action="store_true", help="play each fault at each point")
    parser.add_argument("--sabotage", choices=SABOTAGES, help="take out a protection first")
    arguments = parser.parse_args()
    if arguments.soak:
        return soak(arguments.soak, arguments.first, arguments.sabotage)
    if arguments.exhaustive:
        return exhaust(arguments.sabotage)
    plan = parse(arguments.plan) if arguments.plan else random_plan(arguments.seed or 0)
    with pytest.MonkeyPatch.context() as patch:
        if arguments.sabotage:
            SABOTAGES[arguments.sabotage](patch)
        return replay(plan)


if __name__ == "__main__":
    sys.exit(main())
