# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
An AWS account whose quota several pollers share, in virtual time and without threads.

As a script, ``PYTHONPATH=<checkout> python quota_probe.py '<scenarios as JSON>'``, it prints the outcomes of
scenarios as JSON. ``PYTHONPATH`` then selects the version of the package.
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from airflow_healthomics.resources.run_watch import RunWatch
from airflow_healthomics.waiting.poller import Poller

#: The documented quota of GetRun and of ListRuns: https://docs.aws.amazon.com/omics/latest/dev/api-quotas.html
QUOTA: Final = 10.0

#: Minimum and maximum duration of a call in seconds.
LATENCY: Final = (0.05, 0.1)

#: When a run ends that outlives the simulation.
NEVER: Final = 1e6

_BIRTH: Final = datetime(2026, 11, 22, 3, 4, 5, 123456, tzinfo=UTC)


@dataclass(frozen=True)
class Run:
    """
    A run that is RUNNING until its end.

    :ivar end: time in seconds
    :ivar group: id of its run group
    """

    id: str
    end: float
    group: str | None = None

    @property
    def uuid(self) -> str:
        """Its uuid."""
        return f"uuid-{self.id}"


def running(number: int, end: float, group: str | None = None) -> Run:
    """Return a run that is RUNNING until its end."""
    return Run(str(1000000 + number), end, group)


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
    The runs of an account, and its quota, with the methods of a botocore client.

    :param now: returns the time in seconds
    :param runs: its runs, in the order of the lists
    :param rate: calls a second of each operation
    :param burst: calls at once after a rest
    :ivar calls: times of the calls by operation
    :ivar throttled: number of throttled calls by operation
    """

    def __init__(
        self, now: Callable[[], float], runs: Iterable[Run], *, rate: float = QUOTA, burst: float = QUOTA
    ) -> None:
        self.calls: defaultdict[str, list[float]] = defaultdict(list)
        self.throttled: Counter[str] = Counter()
        self._now = now
        self._runs = {run.id: run for run in runs}
        self._buckets = {name: TokenBucket(rate, burst) for name in ("GetRun", "ListRuns")}
        self._lists: dict[str | None, list[Run]] = {}
        self._next_end = 0.0

    def describe(self, run_id: str) -> dict[str, Any]:
        """Return GetRun's response, with a time as botocore parses it by default."""
        run = self._runs[run_id]
        group = {"runGroupId": run.group} if run.group else {}
        status = "RUNNING" if self._now() < run.end else "COMPLETED"
        times = {"creationTime": _BIRTH + timedelta(seconds=int(run.id))}
        return {**_item(run), **group, **times, "uuid": run.uuid, "status": status}

    def get_run(self, *, id: str) -> dict[str, Any]:
        """Stand in for the client's method."""
        self._count("GetRun")
        return self.describe(id)

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
        if self._now() >= self._next_end:
            self._list_again()
        found = self._lists.get(runGroupId, []) if status == "RUNNING" else []
        offset = int(startingToken)
        page: dict[str, Any] = {"items": [_item(run) for run in found[offset : offset + maxResults]]}
        if offset + maxResults < len(found):
            page["nextToken"] = str(offset + maxResults)
        return page

    def _list_again(self) -> None:
        active = [run for run in self._runs.values() if run.end > self._now()]
        self._next_end = min((run.end for run in active), default=NEVER)
        self._lists = {None: active}
        for run in active:
            if run.group:
                self._lists.setdefault(run.group, []).append(run)

    def _count(self, operation: str) -> None:
        self.calls[operation].append(self._now())
        if not self._buckets[operation].accepts(self._now()):
            self.throttled[operation] += 1
            error: Any = {
                "Error": {"Code": "ThrottlingException"},
                "ResponseMetadata": {"HTTPStatusCode": 429},
            }
            raise ClientError(error, operation)


def _item(run: Run) -> dict[str, Any]:
    created = _BIRTH + timedelta(seconds=int(run.id))
    return {
        "id": run.id,
        "arn": f"arn:aws:omics:us-east-1:123456789012:run/{run.id}",
        "name": f"name of {run.id}",
        "status": "RUNNING",
        "creationTime": created.isoformat(),
    }


class _Selector(selectors.DefaultSelector):
    """Where an event loop waits: here, its time passes instead."""

    elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever wake the event loop")
            self.elapsed += max(timeout, 0.0)
        return ready


class LatencyLoop(asyncio.SelectorEventLoop):
    """
    An event loop in virtual time, on which the calls of several pollers overlap, each with its latency.

    A call reaches the service after half of its latency, and is answered after the rest.

    :param latency: returns the seconds of a call
    """

    #: Far from 0, because pollers look at multiples of an interval.
    START: Final = 1_000_000.0

    def __init__(self, latency: Callable[[], float]) -> None:
        self._latency = latency
        self._waiting = _Selector()
        super().__init__(self._waiting)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._waiting.elapsed

    def time(self) -> float:
        """Return the virtual time."""
        return self.START + self.elapsed

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
class Log:
    """The log of a task."""

    warnings: list[str] = field(default_factory=list)

    def info(self, message: str, *args: Any) -> None:
        """Drop a line."""

    def warning(self, message: str, *args: Any) -> None:
        """Keep a line."""
        self.warnings.append(message % args)


@dataclass
class Outcome:
    """
    What a simulation has shown.

    :ivar delays: seconds from the end of a run to its notice, of those noticed
    :ivar delays_by_poller: the same for each poller
    :ivar missed: runs that ended and were not noticed
    :ivar calls: calls by operation, in the observed time
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


def simulate(
    runs: Sequence[Run],
    *,
    pollers: int = 1,
    foreign: Sequence[Run] = (),
    interval: float,
    until: float,
    spread: float = 0.0,
    observed_from: float = 0.0,
    rate: float = QUOTA,
    burst: float = QUOTA,
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
    :param observed_from: seconds after which calls are counted
    :param rate: quota of each operation
    :param burst: calls at once after a rest
    :param seed: of everything random
    """
    rng = random.Random(seed)
    random.seed(seed)
    outcome = Outcome(delays_by_poller=[[] for _ in range(pollers)])
    mixed = [*runs, *foreign]
    rng.shuffle(mixed)
    loop = LatencyLoop(lambda: rng.uniform(*LATENCY))
    account = Account(lambda: loop.elapsed, mixed, rate=rate, burst=burst)

    async def connect() -> Account:
        return account

    async def wait(poller: Poller, number: int, run: Run, begin: float) -> None:
        await asyncio.sleep(begin)
        log = Log()
        outcome.warnings.append(log.warnings)
        watch = RunWatch(run.id, log=log)
        # A sensor has polled the run on its worker.
        if watch.update(account.describe(run.id)) is None:
            summary = await poller.wait(watch, interval)
            if summary["status"] != "COMPLETED":
                raise RuntimeError(f"the wait for a run ended as {summary['status']}")
        delay = loop.elapsed - run.end
        outcome.delays.append(delay)
        outcome.delays_by_poller[number].append(delay)

    async def main() -> None:
        several = [Poller(connect) for _ in range(pollers)]
        waits = [
            asyncio.ensure_future(wait(several[each % pollers], each % pollers, run, rng.uniform(0, spread)))
            for each, run in enumerate(runs)
        ]
        await asyncio.sleep(until)
        outcome.missed = sum(run.end <= until for run in runs) - len(outcome.delays)
        for waiting in waits:
            waiting.cancel()
        for result in await asyncio.gather(*waits, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    for operation, times in account.calls.items():
        outcome.calls[operation] = sum(time >= observed_from for time in times)
    outcome.throttled = account.throttled
    return outcome


def play(
    *, waiting: int, foreign: int, triggerers: int, has_group: bool, seed: int, interval: float = 60
) -> dict[str, float]:
    """
    Return the figures of a scenario: a fifth of the runs end at random times in 15 minutes.

    :param waiting: number of runs that are waited for
    :param foreign: number of other runs in the account
    :param triggerers: number of triggerers, each with its own poller
    :param has_group: whether the runs that are waited for share a run group
    :param seed: of everything random
    :param interval: poll interval in seconds
    """
    rng = random.Random(seed)
    begin, end = 5 * interval, 20 * interval
    ends = [rng.uniform(begin, end) if number < waiting / 5 else NEVER for number in range(waiting)]
    outcome = simulate(
        [running(number, each, "7" if has_group else None) for number, each in enumerate(ends)],
        pollers=triggerers,
        foreign=[running(1_000_000 + number, NEVER) for number in range(foreign)],
        interval=interval,
        until=end,
        spread=interval,
        observed_from=begin,
        seed=seed,
    )
    return {
        "calls_per_interval": outcome.calls.total() * interval / (end - begin),
        "throttled": outcome.throttled.total(),
        "delay_seconds": statistics.median(outcome.delays),
        "delay_seconds_p99": statistics.quantiles(outcome.delays, n=100)[98],
    }


if __name__ == "__main__":
    print(json.dumps([play(**scenario) for scenario in json.loads(sys.argv[1])]))
