# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated parts of Python and its platform: threads, queues, an event loop, the clock."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from airflow_healthomics.starting import killed_tasks
from airflow_healthomics.waiting import kill_guard
from tests.simulation.scheduler import Crash, Process, Scheduler, SimulatedThread


class Threads:
    """
    Threads, queues and events of the processes of a history.

    :param scheduler: the scheduler
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Replace Python's."""
        scheduler = self.scheduler
        patch.setattr(time, "monotonic", scheduler.monotonic)
        patch.setattr(time, "time", scheduler.time)
        patch.setattr(time, "sleep", scheduler.sleep)
        # Until Python 3.12, a cached property has a lock, which the simulated processes would share.
        patch.setattr(functools.cached_property, "__get__", _get_cached)
        patch.setattr(kill_guard, "Thread", self.waiting_thread)
        patch.setattr(kill_guard, "SimpleQueue", self.queue)
        patch.setattr(kill_guard, "Event", self.event)
        patch.setattr(killed_tasks, "Thread", self.thread)

    def thread(self, *, target: Callable[..., Any], args: Any = (), **_: Any) -> _Thread:
        """Stand in for threading.Thread."""
        return _Thread(self.scheduler, lambda: target(*args))

    def waiting_thread(self, *, target: Callable[..., Any], args: Any = (), **_: Any) -> _Thread:
        """Stand in for a thread that waits for work: it starts when work arrives."""
        return _Thread(self.scheduler, lambda: target(*args), is_waiting=True)

    def queue(self) -> _Queue:
        """Stand in for queue.SimpleQueue."""
        return _Queue(self.scheduler)

    def event(self) -> _Event:
        """Stand in for threading.Event."""
        return _Event(self.scheduler)


def _get_cached(cached: Any, instance: Any, owner: Any = None) -> Any:
    """Return the value of a cached property, as Python 3.12 does."""
    if instance is None:
        return cached
    if cached.attrname not in instance.__dict__:
        instance.__dict__[cached.attrname] = cached.func(instance)
    return instance.__dict__[cached.attrname]


class _Thread:
    def __init__(self, scheduler: Scheduler, target: Callable[[], Any], *, is_waiting: bool = False) -> None:
        self._scheduler, self._target, self._is_waiting = scheduler, target, is_waiting

    def start(self) -> None:
        """Add it to the process of the current thread; without one, Airflow's API server starts it."""
        current = self._scheduler.current
        process = current.process if current else Process("api-server")
        thread = self._scheduler.spawn(process, self._target)
        if self._is_waiting:
            thread.until = float("inf")


class _Waiting:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[SimulatedThread] = []

    def _wait(self, seconds: float = float("inf")) -> None:
        thread = self._scheduler.current
        assert thread is not None
        self._waiting.append(thread)
        self._scheduler.pause(seconds)

    def _wake(self) -> None:
        while self._waiting:
            self._waiting.pop().wake()


class _Queue(_Waiting):
    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._wake()
        current = self._scheduler.current
        for thread in current.process.threads if current else ():
            if not thread.has_begun:
                thread.wake()

    def get(self) -> Any:
        while not self._items:
            self._wait()
        return self._items.popleft()


class _Event(_Waiting):
    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        self._wake()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        end = self._scheduler.elapsed + seconds
        while not self._is_set and self._scheduler.elapsed < end:
            self._wait(end - self._scheduler.elapsed)
        return self._is_set


class _Selector:
    """The selector of an event loop, which gives up control instead of waiting."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def select(self, timeout: float | None = None) -> list[Any]:
        """Sleep until the next timer of the loop, or until the loop is woken."""
        thread = self._scheduler.current
        # Asyncio passes an exception of a callback or task on to whoever waits for it.
        if thread is None or thread.process.is_dead:
            raise Crash
        if timeout is None or timeout > 0:
            self._scheduler.pause(float("inf") if timeout is None else timeout)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """
    An event loop in virtual time. A call in an executor blocks the loop, so each history is repeatable.

    :param scheduler: the scheduler
    :param thread: the simulated thread that runs it
    """

    def __init__(self, scheduler: Scheduler, thread: SimulatedThread) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._thread = thread
        self._selector = _Selector(scheduler)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Return the virtual time."""
        return self._scheduler.monotonic()

    def run_in_executor(  # type: ignore[override]  # an ordinary function in typeshed too, but of a future
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Call in a later turn of the loop."""
        future = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - the future passes it on
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.call_soon(call)
        return future

    def _note(self, loop: Any, context: dict[str, Any]) -> None:
        """Ignore unfinished work of a dead process."""
        if not self._thread.process.is_dead:
            self.default_exception_handler(context)

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there is no I/O."""

    def _write_to_self(self) -> None:
        """Wake the loop."""
        self._thread.wake()


def run_loop(scheduler: Scheduler, main: Callable[[SimulatedLoop], Coroutine[Any, Any, Any]]) -> Any:
    """
    Run a coroutine in a loop of the current simulated thread, and then all remaining tasks.

    :param scheduler: the scheduler
    :param main: returns the coroutine
    """
    thread = scheduler.current
    assert thread is not None
    loop = SimulatedLoop(scheduler, thread)

    async def run() -> Any:
        result = await main(loop)
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        return result

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()
