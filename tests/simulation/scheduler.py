# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Deterministic scheduler: simulated processes of which exactly one thread runs at a time, in virtual time.

Each thread of a simulated process is a real thread, so the code under test runs unchanged. It gives up
control only at an I/O point or when it sleeps. Therefore a history depends only on its plan.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

#: Unix time at the beginning of each history.
EPOCH: Final = 1_795_000_000.0

#: Virtual seconds after which a history counts as endless.
LONGEST: Final = 40 * 24 * 3600.0

#: Real seconds between two I/O points of a thread after which it counts as hanging.
PATIENCE: Final = 30.0

#: I/O points after which a history counts as endless.
MOST_POINTS: Final = 20_000

_T = TypeVar("_T")


class Crash(BaseException):
    """The process of the thread is dead."""


class EndlessError(Exception):
    """The code under test never ends."""


@dataclass(frozen=True)
class Point:
    """
    An I/O point that a thread has reached.

    :param number: position in the history
    :param process: name of the process
    :param label: the action of the thread, such as ``StartRun``
    :param is_after: whether it has been done
    :param time: virtual time
    """

    number: int
    process: str
    label: str
    is_after: bool
    time: float

    def __str__(self) -> str:
        """Return a line for the trace of a history."""
        return (
            f"{self.number:4d} {self.time:9.2f} {self.process:14} {'after' if self.is_after else 'before'} "
            f"{self.label}"
        )


class _Runner(threading.Thread):
    """A real thread, used for one simulated thread after another."""

    free: list[_Runner]

    def __init__(self) -> None:
        super().__init__(daemon=True, name="simulation")
        self.go = threading.Lock()
        self.go.acquire()
        self.back = threading.Lock()
        self.back.acquire()
        self.work: Callable[[], None] = lambda: None
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            self.work()
            self.back.release()


_Runner.free = []


class SimulatedThread:
    """
    A thread of a simulated process.

    :param scheduler: the scheduler
    :param process: its process
    :param target: the function that it runs
    """

    def __init__(self, scheduler: Scheduler, process: Process, target: Callable[[], Any]) -> None:
        self._scheduler = scheduler
        self.process = process
        self._target = target
        self._runner: _Runner | None = None
        #: Virtual time until which it sleeps; infinite if only a call of :meth:`wake` continues it.
        self.until = scheduler.elapsed
        self.is_held = False
        self.is_finished = False
        self.result: Any = None
        self.error: BaseException | None = None
        #: Called by the scheduler's own thread when this one has ended.
        self.on_end: Callable[[SimulatedThread], None] = lambda thread: None

    @property
    def is_ready(self) -> bool:
        """Whether it can run now. A thread of a dead process can, and raises at once."""
        if self.is_finished:
            return False
        return self.process.is_dead or (not self.is_held and self.until <= self._scheduler.elapsed)

    @property
    def has_begun(self) -> bool:
        """Whether it has run at all."""
        return self._runner is not None

    def wake(self) -> None:
        """End its sleep."""
        self.until = min(self.until, self._scheduler.elapsed)

    def resume(self) -> None:
        """Run it until it gives up control. Called by the scheduler's own thread."""
        if self._runner is None:
            if self.process.is_dead:
                self.is_finished = True
                return
            self._runner = _Runner.free.pop() if _Runner.free else _Runner()
            self._runner.work = self._run
        runner = self._runner
        runner.go.release()
        if not runner.back.acquire(timeout=PATIENCE):
            raise RuntimeError("a simulated thread waits for something that is not simulated")
        if self.is_finished:
            _Runner.free.append(runner)

    def give_up_control(self) -> None:
        """Let the scheduler continue. Called by the thread itself."""
        runner = self._runner
        assert runner is not None
        runner.back.release()
        runner.go.acquire()
        self._scheduler.current = self
        if self.process.is_dead:
            raise Crash

    def _run(self) -> None:
        try:
            self.result = self._target()
        except BaseException as error:  # noqa: BLE001 - the end of the thread is data
            self.error = error
        self.is_finished = True


@dataclass(eq=False)
class Process:
    """
    A simulated process.

    :param name: for the trace
    :ivar is_dead: whether it was killed: its threads no longer run
    :ivar points: number of I/O points that it has reached
    """

    name: str
    threads: list[SimulatedThread] = field(default_factory=list)
    is_dead: bool = False
    points: int = 0

    @property
    def main(self) -> SimulatedThread:
        """The first thread."""
        return self.threads[0]

    @property
    def is_over(self) -> bool:
        """Whether it no longer runs: it is dead, or its main thread has ended."""
        return self.is_dead or self.main.is_finished


class Scheduler:
    """
    Clock and scheduler of a history.

    :ivar elapsed: virtual seconds since the beginning
    :ivar trace: all I/O points so far
    :ivar at_point: called at each point, in the thread that has reached it
    """

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.trace: list[Point] = []
        self.current: SimulatedThread | None = None
        self.threads: list[SimulatedThread] = []
        self.at_point: Callable[[Point], None] = lambda point: None
        #: Chooses among the threads that can run; by default the first.
        self.choose: Callable[[list[SimulatedThread]], SimulatedThread] = lambda ready: ready[0]
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    # --- the clock, as the code under test sees it ---

    def monotonic(self) -> float:
        """Stand in for time.monotonic."""
        return 1_000_000.0 + self.elapsed

    def time(self) -> float:
        """Stand in for time.time."""
        return EPOCH + self.elapsed

    def sleep(self, seconds: float) -> None:
        """Stand in for time.sleep."""
        self.reach("sleep")
        self.pause(max(seconds, 0.0))
        self.reach("sleep", is_after=True)

    def advance(self, seconds: float) -> None:
        """Let time pass without giving up control, as during a call."""
        self.elapsed += seconds
        if self.elapsed > LONGEST:
            raise EndlessError("the history never ends")

    def pause(self, seconds: float = float("inf")) -> None:
        """Let other threads run for some time, or until the current thread is woken."""
        thread = self.current
        assert thread is not None, "only a simulated thread can sleep"
        thread.until = self.elapsed + seconds
        thread.give_up_control()

    # --- I/O points ---

    def reach(self, label: str, *, is_after: bool = False) -> None:
        """Count an I/O point, and let the plan of the history act on it."""
        process = self.current.process if self.current else None
        if process is not None:
            if process.is_dead:
                raise Crash
            process.points += 1
        name = process.name if process else "airflow"
        point = Point(len(self.trace), name, label, is_after, self.elapsed)
        self.trace.append(point)
        if len(self.trace) > MOST_POINTS:
            raise EndlessError("the history never ends")
        self.at_point(point)

    def io(self, label: str, effect: Callable[[], _T]) -> _T:
        """Do something observable, with an I/O point before and after."""
        self.reach(label)
        try:
            return effect()
        finally:
            self.reach(label, is_after=True)

    # --- processes ---

    def spawn(self, process: Process, target: Callable[[], Any]) -> SimulatedThread:
        """Add a thread to a process."""
        thread = SimulatedThread(self, process, target)
        process.threads.append(thread)
        self.threads.append(thread)
        return thread

    def kill(self, process: Process) -> None:
        """Kill a process at once; from its own threads, this raises."""
        process.is_dead = True
        if self.current is not None and self.current.process is process:
            raise Crash

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after some seconds."""
        heapq.heappush(self._timers, (self.elapsed + seconds, next(self._numbers), action))

    def run(self, is_done: Callable[[], bool], *, until: float = float("inf")) -> None:
        """Run until a condition holds, nothing remains to run, or a virtual time has come."""
        while not is_done():
            while self._timers and self._timers[0][0] <= self.elapsed:
                heapq.heappop(self._timers)[2]()
            if is_done():
                return
            ready = [thread for thread in self.threads if thread.is_ready]
            if ready:
                self._resume(self.choose(ready))
                continue
            times = [thread.until for thread in self.threads if not thread.is_finished and not thread.is_held]
            times += [when for when, _, _ in self._timers[:1]]
            when = min(times, default=float("inf"))
            if when == float("inf") or when > until:
                self.elapsed = max(self.elapsed, until if until < float("inf") else self.elapsed)
                return
            self.advance(when - self.elapsed)

    def _resume(self, thread: SimulatedThread) -> None:
        self.current = thread
        try:
            thread.resume()
        finally:
            self.current = None
        if thread.is_finished:
            self.threads.remove(thread)
            if isinstance(thread.error, EndlessError):
                raise thread.error
            thread.on_end(thread)

    def close(self) -> None:
        """End all remaining threads."""
        self.at_point = lambda point: None
        for thread in list(self.threads):
            thread.process.is_dead = True
            while not thread.is_finished:
                self._resume(thread)
