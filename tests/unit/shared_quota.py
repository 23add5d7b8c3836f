# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""An AWS account whose quota several pollers share, in virtual time and without threads."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.poller import Poller
from tests.unit.conftest import Clock
from tests.unit.simulated_omics import THROTTLED, Records, description_of, item_of, moving_clock, refusal
from tests.unit.simulated_omics import Life as Run
from tests.unit.virtual_time import VirtualTimeLoop


class TokenBucket:
    """
    The quota of one API operation.

    :param rate: calls a second
    :param burst: calls at once after a rest
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._filled_at = 0.0

    def accepts(self, now: float) -> bool:
        """Whether a call is within the quota; one that is not costs nothing."""
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Account:
    """
    The runs of an account, and its quota.

    :param clock: the clock of the event loop
    :param runs: each is RUNNING from its first change to its second
    :param rate: calls a second of each operation
    :param burst: calls at once after a rest
    """

    def __init__(self, clock: Clock, runs: Iterable[Run], *, rate: float = 10, burst: float = 10) -> None:
        self.clock = clock
        self.calls: Counter[str] = Counter()
        self.throttled: Counter[str] = Counter()
        self._runs = {run.id: run for run in runs}
        self._buckets = {name: TokenBucket(rate, burst) for name in ("GetRun", "ListRuns")}
        self._items = {run.id: item_of(run, "RUNNING") for run in self._runs.values()}
        self._running = list(self._runs.values())
        self._next_end = 0.0

    def get_run(self, *, id: str) -> dict[str, Any]:
        """Stand in for the client's method."""
        self._count("GetRun")
        run = self._runs[id]
        status = run.status(self.clock.elapsed)
        if status is None:
            raise refusal("ResourceNotFoundException", 404)("GetRun")
        return description_of(run, status)

    def list_runs(
        self,
        *,
        status: str,
        maxResults: int,  # noqa: N803
        startingToken: str = "0",  # noqa: N803
        runGroupId: str | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        """Stand in for the client's method; a token is an offset into a list that keeps changing."""
        self._count("ListRuns")
        now, offset = self.clock.elapsed, int(startingToken)
        if now >= self._next_end:
            self._running = [run for run in self._running if run.changes[-1][0] > now]
            self._next_end = min((run.changes[-1][0] for run in self._running), default=float("inf"))
        found = self._running if status == "RUNNING" else []
        if runGroupId is not None:
            found = [run for run in found if run.group == runGroupId]
        page: dict[str, Any] = {"items": [self._items[run.id] for run in found[offset : offset + maxResults]]}
        if offset + maxResults < len(found):
            page["nextToken"] = str(offset + maxResults)
        return page

    def _count(self, operation: str) -> None:
        self.calls[operation] += 1
        if not self._buckets[operation].accepts(self.clock.elapsed):
            self.throttled[operation] += 1
            raise THROTTLED(operation)


class LatencyLoop(VirtualTimeLoop):
    """
    An event loop on which the calls of several pollers overlap, each with its latency.

    A call reaches the service after half of its latency, and is answered after the rest.

    :param clock: the clock
    :param latency: returns the seconds of a call
    """

    def __init__(self, clock: Clock, latency: Callable[[], float]) -> None:
        super().__init__(clock)
        self._latency = latency

    def run_in_executor(  # type: ignore[override]  # an ordinary function in typeshed too, but of a future
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call on the loop's own thread, as the simulated service takes no time of its own."""
        latency = self._latency()
        answered = self.create_future()

        def call() -> None:
            try:
                result, error = func(*args), None
            except Exception as raised:  # noqa: BLE001 - handed to the future
                result, error = None, raised
            self.call_later(latency / 2, answer, result, error)

        def answer(result: Any, error: Exception | None) -> None:
            if answered.done():
                return
            if error is None:
                answered.set_result(result)
            else:
                answered.set_exception(error)

        self.call_later(latency / 2, call)
        return answered


@dataclass
class Outcome:
    """
    What a simulation has shown.

    :ivar delays: seconds from the end of a run to its notice, of those noticed
    :ivar delays_by_poller: the same for each poller
    :ivar missed: runs that ended and were not noticed
    :ivar calls: calls by operation
    :ivar throttled: refused ones by operation
    :ivar warnings: lines of each task's log
    """

    delays: list[float] = field(default_factory=list)
    delays_by_poller: list[list[float]] = field(default_factory=list)
    missed: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)
    warnings: list[list[str]] = field(default_factory=list)

    def within(self, seconds: float) -> int:
        """Return how many ends were noticed in time."""
        return sum(delay <= seconds for delay in self.delays)


def running(number: int, end: float, group: str | None = None) -> Run:
    """Return a run that is RUNNING until its end."""
    run_id = str(1000000 + number)
    return Run(run_id, f"uuid-{run_id}", ((0.0, "RUNNING"), (end, "COMPLETED")), group=group)


def simulate(
    runs: Sequence[Run],
    *,
    pollers: int = 1,
    foreign: Sequence[Run] = (),
    interval: float,
    until: float,
    spread: float = 0.0,
    rate: float = 10,
    burst: float = 10,
    seed: int = 0,
) -> Outcome:
    """
    Wait for runs by several pollers that know nothing of each other.

    :param runs: those waited for, in turn by each of the pollers
    :param pollers: number of pollers
    :param foreign: other people's runs in the account
    :param interval: seconds between two polls
    :param until: seconds after which the simulation ends
    :param spread: seconds over which the waits begin
    :param rate: quota of each operation
    :param burst: calls at once after a rest
    :param seed: of everything random
    """
    rng = random.Random(seed)
    random.seed(seed)
    outcome = Outcome(delays_by_poller=[[] for _ in range(pollers)])
    with moving_clock() as clock:
        mixed = [*runs, *foreign]
        rng.shuffle(mixed)
        account = Account(clock, mixed, rate=rate, burst=burst)

        async def connect() -> Account:
            return account

        async def wait(poller: Poller, number: int, run: Run, begin: float) -> None:
            await asyncio.sleep(begin)
            log = Records()
            outcome.warnings.append(log.warnings)
            watch = RunWatch(
                run.id,
                uuid=run.uuid,
                creation_time=run.creation_time,
                list_filter=("runGroupId", run.group) if run.group else None,
                log=log,
            )
            summary = await poller.wait(watch, interval)
            assert summary["status"] == "COMPLETED"
            delay = clock.elapsed - run.changes[-1][0]
            outcome.delays.append(delay)
            outcome.delays_by_poller[number].append(delay)

        async def main() -> None:
            several = [Poller(connect) for _ in range(pollers)]
            waits = [
                asyncio.ensure_future(
                    wait(several[each % pollers], each % pollers, run, rng.uniform(0, spread))
                )
                for each, run in enumerate(runs)
            ]
            await asyncio.sleep(until)
            outcome.missed = sum(run.changes[-1][0] <= until for run in runs) - len(outcome.delays)
            for waiting in waits:
                waiting.cancel()
            results = await asyncio.gather(*waits, return_exceptions=True)
            failures = [
                result
                for result in results
                if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError)
            ]
            assert failures == []
            await asyncio.sleep(1)

        with asyncio.Runner(
            loop_factory=lambda: LatencyLoop(clock, lambda: rng.uniform(0.05, 0.1))
        ) as runner:
            runner.run(main())
        outcome.calls, outcome.throttled = account.calls, account.throttled
    return outcome
