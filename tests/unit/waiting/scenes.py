# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A poller and its HealthOmics, for tests of the poller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.pace import DEFAULT_RATE
from airflow_healthomics.waiting.poller import Poller
from tests.unit import virtual_time
from tests.unit.conftest import Clock
from tests.unit.simulated_omics import (
    Life,
    Records,
    SimulatedOmics,
    assert_nothing_is_left,
    threads_of_others,
)

HOUR = 3600.0


def running(number: int, end: float = HOUR, status: str = "COMPLETED", **more: Any) -> Life:
    """Return a run that runs until its end."""
    run_id = str(1000000 + number)
    return Life(run_id, f"uuid-{run_id}", ((0.0, "RUNNING"), (end, status)), **more)


class Scene:
    """A poller and its HealthOmics."""

    def __init__(self, clock: Clock, lives: list[Life], rate: float = DEFAULT_RATE, **options: Any) -> None:
        self.clock = clock
        self.lives = lives
        self.omics = SimulatedOmics(clock, lives, **options)
        self.connects = 0
        self.before_connect: Callable[[], None] = lambda: None
        self.checks: list[float] = []
        self.has_changed = False
        self.poller = Poller(self.connect, self.is_current, rate)
        self.logs: dict[str, Records] = {}
        self.ends: dict[str, float] = {}

    async def connect(self) -> SimulatedOmics:
        """Make a client."""
        self.connects += 1
        self.before_connect()
        return self.omics

    async def is_current(self) -> bool:
        """Check whether the client still has the settings of the connection."""
        self.checks.append(self.clock.elapsed)
        return not self.has_changed

    async def wait(self, life: Life, interval: float = 60, *, at: float = 0, **known: Any) -> dict[str, Any]:
        """Wait for a run, from a time on."""
        await asyncio.sleep(at)
        watch = RunWatch(
            life.id, log=self.logs.setdefault(life.id, Records()), **{"uuid": life.uuid, **known}
        )
        try:
            return await self.poller.wait(watch, interval)
        finally:
            self.ends[life.id] = self.clock.elapsed

    async def wait_for_all(self, interval: float = 60) -> list[Any]:
        """Wait for every run, and return the outcome of each."""
        waits = (self.wait(life, interval) for life in self.lives)
        return list(await asyncio.gather(*waits, return_exceptions=True))

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run it in an event loop, and check that the poller leaves nothing behind."""

        async def all_of_it() -> Any:
            threads = threads_of_others()
            try:
                return await main
            finally:
                await assert_nothing_is_left(threads)

        answer = virtual_time.run(self.clock, all_of_it())
        assert self.omics.misuse == []
        return answer

    def warnings(self, word: str) -> list[list[str]]:
        """Return the warnings that contain a word, by log."""
        return [[line for line in log.warnings if word in line] for log in self.logs.values()]


Make = Callable[..., Scene]
