# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Many starts at once against the quota of StartRun, in simulated time: ``python -m benchmarks.starting``.

The floor is the time that the quota itself takes. Some workers make the first call of each start. What is
throttled or fails goes to the dispatcher of the triggerer, or, for comparison, waits for a turn after which a
worker is launched again. A fifth of the calls fail in one of four ways. ``tests/system/test_storm.py`` does
the same with a real Airflow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from airflow_healthomics.starting.dispatcher import Dispatcher
from airflow_healthomics.starting.turnstile import Turnstile

RESULTS: Final = Path(__file__).parent / "results"

STARTS: Final = (200, 1000)
REPETITIONS: Final = 3
#: Key and title of each figure.
FIGURES: Final = {
    "time": "Time, as a multiple of the quota's floor",
    "launches": "Launches of a worker for each start",
    "calls": "Calls of StartRun for each start",
}

#: Starts a second, as AWS documents for StartRun.
RATE: Final = 1.0
#: Share of the calls that fail, in equal parts throttled, with an internal error, before and after the start.
FAULTS: Final = 0.2
#: Seconds of a call, from and to.
LATENCY: Final = (0.05, 0.1)
WORKERS: Final = 4
#: Seconds that a worker takes to launch a process of a task.
LAUNCH: Final = 2.0
#: Seconds until a trigger fires after its deferral, at the earliest.
EARLIEST: Final = 10.0
#: Calls of a start on a worker that waits for turns: two of the operator, each with two retries of botocore.
CALLS_OF_WORKER: Final = 6


class SimulatedTime(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it waits."""

    def __init__(self) -> None:
        super().__init__()
        self._elapsed = 0.0
        self._selector: Any
        select = self._selector.select

        def advance(timeout: float | None) -> Any:
            self._elapsed += max(timeout or 0.0, 0.0)
            return select(0)

        self._selector.select = advance

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._elapsed


class Quota:
    """StartRun behind its quota, with faults."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._free = 0.0
        self.calls = 0
        self.started: set[int] = set()

    async def start(self, number: int) -> bool:
        """Start a run."""
        self.calls += 1
        latency = self._chance.uniform(*LATENCY)
        await asyncio.sleep(latency / 2)
        fault = self._chance.choice("tibe") if self._chance.random() < FAULTS else ""
        now = asyncio.get_running_loop().time()
        is_granted = now >= self._free and fault not in ("t", "i", "b")
        if is_granted:
            self._free = now + 1 / RATE
            self.started.add(number)
        await asyncio.sleep(latency / 2)
        if not is_granted or fault:
            code = "InternalServerException" if fault and fault != "t" else "ThrottlingException"
            raise ClientError({"Error": {"Code": code}}, "StartRun")
        return True

    async def find(self, number: int) -> bool | None:
        """Search for a lost start, which counts against another quota."""
        await asyncio.sleep(self._chance.uniform(*LATENCY))
        return number in self.started or None

    async def find_or_start(self, number: int) -> None:
        """Look a start up, and make it if there is none."""
        if not await self.find(number):
            await self.start(number)


@dataclass
class Storm:
    """
    Starts of mapped tasks.

    :ivar launches: number of processes of workers
    """

    quota: Quota
    workers: asyncio.Semaphore
    launches: int = 0

    async def on_worker(self, call: Callable[[], Awaitable[object]]) -> bool:
        """Launch a process that makes a call, and return whether that succeeded."""
        async with self.workers:
            self.launches += 1
            await asyncio.sleep(LAUNCH)
            try:
                await call()
            except ClientError:
                return False
            return True

    async def dispatched(self, number: int, dispatcher: Dispatcher) -> None:
        """Start as the package does."""
        if not await self.on_worker(lambda: self.quota.start(number)):
            earliest = asyncio.get_running_loop().time() + EARLIEST
            await dispatcher.dispatch(lambda: self.quota.find(number), lambda: self.quota.start(number))
            await asyncio.sleep(earliest - asyncio.get_running_loop().time())
            await self.on_worker(_nothing)

    async def in_turns(self, number: int, turnstile: Turnstile) -> None:
        """Start by launching a worker for each turn."""
        while not await self.on_worker(lambda: self._persistent(number)):
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(turnstile.reserve(now + EARLIEST) - now)

    async def _persistent(self, number: int) -> None:
        for each in range(CALLS_OF_WORKER):
            try:
                return await self.quota.find_or_start(number)
            except ClientError:
                if each == CALLS_OF_WORKER - 1:
                    raise
                await asyncio.sleep(random.uniform(0, 1))
        return None


async def _nothing() -> None:
    """Do what a resumed task does: no call of StartRun."""


def play(starts: int, seed: int, *, is_dispatched: bool) -> dict[str, float]:
    """
    Return the figures of a storm.

    :param starts: number of starts
    :param seed: of the faults and latencies
    :param is_dispatched: whether the triggerer makes delayed starts
    """
    random.seed(seed)

    async def run() -> tuple[Storm, float]:
        storm = Storm(Quota(random.Random(seed)), asyncio.Semaphore(WORKERS))
        shared: Any = Dispatcher(RATE) if is_dispatched else Turnstile(RATE)
        one = storm.dispatched if is_dispatched else storm.in_turns
        await asyncio.gather(*(one(number, shared) for number in range(starts)))
        return storm, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        storm, seconds = runner.run(run())
    return {
        "time": seconds * RATE / starts,
        "launches": storm.launches / starts,
        "calls": storm.quota.calls / starts,
    }


def run() -> list[dict[str, Any]]:
    """Return the figures of both ways, a list of one for each repetition."""
    sides = {"in_turns": False, "dispatched": True}
    return [
        {"starts": starts}
        | {
            side: [play(starts, seed, is_dispatched=is_dispatched) for seed in range(REPETITIONS)]
            for side, is_dispatched in sides.items()
        }
        for starts in STARTS
    ]


def starting_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table for the documentation: the median of the repetitions, with their spread."""
    lines = ["| Starts | | in turns | dispatched |", "|--:|---|--:|--:|"]
    for result in results:
        for key, title in FIGURES.items():
            cells = [_shown([each[key] for each in result[side]]) for side in ("in_turns", "dispatched")]
            lines.append(f"| {result['starts']:,} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Play storms of both kinds, print the table, and store the results for the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting", description=main.__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of starting.json")
    output = parser.parse_args().output
    results = run()
    output.mkdir(parents=True, exist_ok=True)
    (output / "starting.json").write_text(json.dumps(results, indent=1) + "\n")
    print(starting_table(results))


if __name__ == "__main__":
    main()
