# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""An event loop on which time passes only when there is nothing else to do."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Protocol

#: Real seconds after which a loop that nothing wakes counts as hanging.
PATIENCE = 30.0

#: Turns of a loop that never waits, after which it counts as spinning (time cannot pass then).
SPINS = 100_000


class VirtualClock(Protocol):
    """The clock that the loop requires."""

    def monotonic(self) -> float:
        """Return the time in seconds."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""


class _Selector(selectors.DefaultSelector):
    """The selector of an event loop, which waits only while a thread works for the loop."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.calls = 0
        self.gates: list[threading.Event] = []
        self._spins = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return the ready events; if none can come without a timer, advance the clock to the next timer."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._spins += 1
            if self._spins > SPINS:
                self._spins = 0
                raise RuntimeError("the event loop spins, so time cannot pass: let it sleep for a while")
            return ready
        self._spins = 0
        self.open_gates()
        if timeout is not None and not self.calls:
            self.clock.advance(timeout)
            return super().select(0)
        # A call's thread may advance the clock itself, and wakes the loop when it ends.
        if not (ready := super().select(PATIENCE)):
            raise RuntimeError("nothing is left that could wake the event loop, or a thread hangs")
        return ready

    def open_gates(self) -> None:
        """Begin the calls that were made since the loop waited last."""
        while self.gates:
            self.gates.pop().set()

    def close(self) -> None:
        """Leave no thread behind."""
        self.open_gates()
        super().close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose time is a clock's.

    When no callback is ready and no call is at work in an executor, the clock is advanced to the next timer.
    A call in an executor begins when no callback is ready, so that a test goes the same way each time, and
    the loop waits for it. An exception of the clock ends the loop, as if it came from outside.

    :param clock: the clock
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._waiting = _Selector(clock)
        super().__init__(self._waiting)
        self._threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self.set_default_executor(self._threads)

    def time(self) -> float:
        """Return the clock's time."""
        return self._clock.monotonic()

    def run_in_executor(  # type: ignore[override]  # an ordinary function in typeshed too, but of a future
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call in a thread; only the thread moves the clock until the result has arrived."""
        gate = threading.Event()

        def in_thread() -> Any:
            if not gate.wait(PATIENCE):
                raise RuntimeError("the event loop's thread is blocked, perhaps waiting for this very call")
            return func(*args)

        call = (executor or self._threads).submit(in_thread)
        self._waiting.calls += 1
        self._waiting.gates.append(gate)
        future = asyncio.wrap_future(call, loop=self)
        # After the future's own callback: the result reaches the loop first.
        call.add_done_callback(lambda _: self._call_from_thread(self._end_call))
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """Join its threads, in one of asyncio's own, without a time limit."""
        self._waiting.calls += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._end_call()

    def _call_from_thread(self, callback: Callable[[], None]) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(callback)

    def _end_call(self) -> None:
        self._waiting.calls -= 1


def run(clock: VirtualClock, main: Coroutine[Any, Any, Any]) -> Any:
    """Replace asyncio.run: return the result of a coroutine, in no time."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(clock)) as runner:
        return runner.run(main)
