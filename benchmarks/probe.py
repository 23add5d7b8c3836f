# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A probe inside the triggerer's runner process.

It is a task on the runner's event loop, controlled by the benchmark over a Unix socket in AIRFLOW_HOME. It
holds the triggers of the benchmark at a gate, releases them, records when they start and fire, adds triggers
to the runner's queue, and measures the resources of the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import resource
import time
import traceback
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import psutil
from airflow.executors.workloads.trigger import RunTrigger
from airflow.models.trigger import Trigger

#: Seconds between two measurements of the event loop's delay.
_HEARTBEAT: Final = 0.05

#: Minimum duration in seconds of a recorded iteration of the event loop.
_SLOW: Final = 0.002

#: Far above any id from Airflow.
_FIRST_ID: Final = 10**9


class _Waiting:
    """A trigger of the benchmark. Times are wall-clock times."""

    __slots__ = ("fired", "gate", "released", "started")

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.released = asyncio.Event()
        self.started: float | None = None
        self.fired: float | None = None


class _Timed:
    """
    An awaitable with timed steps.

    :param awaitable: the original awaitable
    :param note: called with the seconds of each step
    """

    def __init__(self, awaitable: Awaitable[Any], note: Callable[[float], None]) -> None:
        self._steps: Generator[Any, Any, Any] = awaitable.__await__()
        self._note = note

    def __await__(self) -> _Timed:
        return self

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._steps.send(value)
        finally:
            self._note(time.perf_counter() - began)

    def throw(self, *error: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._steps.throw(*error)
        finally:
            self._note(time.perf_counter() - began)

    def close(self) -> None:
        self._steps.close()


class Probe:
    """
    The probe. The benchmark calls the methods in :attr:`VERBS` by name.

    :param runner: the TriggerRunner of this process
    """

    VERBS: Final = frozenset({"inject", "arrived", "open", "times", "release", "mark", "read", "memory"})

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._classpath = os.environ["BENCH_TRIGGER"]
        # So its modules are imported before the baseline is measured.
        module, _, name = self._classpath.rpartition(".")
        self._trigger_class = getattr(importlib.import_module(module), name)
        package = importlib.import_module(self._classpath.partition(".")[0])
        self._package = str(Path(package.__file__ or "").parent) + os.sep
        if package.__name__ == __package__:
            self._package = "\0"  # the peer is in this package, so only steps of its triggers count
        self._waiting: dict[str, _Waiting] = {}
        self._next_id = _FIRST_ID
        self._late = array("d")
        self._handles: list[tuple[asyncio.Handle, float]] = []
        self._stepped = 0.0
        #: Time, duration, CPU time of the thread, and duration within the side's own code.
        self._slow: list[tuple[float, float, float, float]] = []
        self._put_gate_before_run()

    async def serve(self) -> None:
        """Serve one request per connection."""
        self._time_iterations()
        beating = asyncio.create_task(self._beat())
        try:
            server = await asyncio.start_unix_server(
                self._answer, path=Path(os.environ["AIRFLOW_HOME"]) / "probe.sock"
            )
            async with server:
                await server.serve_forever()
        finally:
            beating.cancel()

    # --- verbs ---

    def inject(self, kwargs: list[dict[str, Any]]) -> None:
        """Add triggers to the runner's queue, like the supervisor."""
        for trigger_kwargs in kwargs:
            self._runner.to_create.append(
                RunTrigger(
                    id=self._next_id,
                    classpath=self._classpath,
                    encrypted_kwargs=Trigger.encrypt_kwargs(trigger_kwargs),
                )
            )
            self._next_id += 1

    def arrived(self) -> int:
        """Return the number of triggers that have reached the gate."""
        return len(self._waiting)

    async def open(self) -> float:
        """Release all triggers at the gate, at the pace of the runner."""
        began = time.time()
        for waiting in list(self._waiting.values()):
            waiting.gate.set()
            await asyncio.sleep(0)
        return began

    def times(self) -> dict[str, tuple[float | None, float | None]]:
        """Return the times when each trigger passed the gate and fired, by run."""
        return {run_id: (waiting.started, waiting.fired) for run_id, waiting in self._waiting.items()}

    def release(self) -> None:
        """Release the events of the triggers to Airflow."""
        for waiting in self._waiting.values():
            waiting.released.set()

    def mark(self) -> dict[str, float]:
        """Reset the delays of the event loop, and return the clocks of :meth:`read`."""
        del self._late[:]
        self._slow.clear()
        return self._clocks()

    def read(self) -> dict[str, Any]:
        """Return the clocks, and the delays of the event loop since :meth:`mark`."""
        return {**self._clocks(), "late": [round(late, 5) for late in self._late], "slow": self._slow}

    def memory(self) -> dict[str, int]:
        """Return unique (uss) and resident (rss) bytes of the process, after a clean-up."""
        gc.collect()
        with suppress(AttributeError, OSError):  # glibc only
            ctypes.CDLL(None).malloc_trim(0)
        memory = psutil.Process().memory_full_info()
        return {"uss": memory.uss, "rss": memory.rss}

    # --- inside ---

    def _clocks(self) -> dict[str, float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        supervisor = psutil.Process(os.getppid()).cpu_times()
        return {
            "time": time.time(),
            "cpu": usage.ru_utime + usage.ru_stime,
            "supervisor_cpu": supervisor.user + supervisor.system,
        }

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            verb, arguments = json.loads(await reader.read())
            if verb not in self.VERBS:
                raise LookupError(verb)
            result = getattr(self, verb)(**arguments)
            answer = {"result": await result if asyncio.iscoroutine(result) else result}
        except Exception:  # noqa: BLE001  # for the benchmark to raise
            answer = {"error": traceback.format_exc()}
        writer.write(json.dumps(answer).encode())
        await writer.drain()
        writer.close()

    def _put_gate_before_run(self) -> None:
        run = self._trigger_class.run
        probe = self

        async def gated(trigger: Any) -> AsyncIterator[Any]:
            waiting = probe._waiting.setdefault(trigger.run_id, _Waiting())
            await waiting.gate.wait()
            waiting.started = time.time()
            events = run(trigger)
            event = await _Timed(events.__anext__(), probe._note_step)
            waiting.fired = time.time()
            # The workers of finished triggers would slow down the waiting ones.
            await waiting.released.wait()
            yield event
            await events.aclose()

        self._trigger_class.run = gated

    def _note_step(self, seconds: float) -> None:
        self._stepped += seconds

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _HEARTBEAT
            await asyncio.sleep(_HEARTBEAT)
            self._late.append(max(0.0, loop.time() - due))

    def _time_iterations(self) -> None:
        """Time all callbacks of the event loop, and record long iterations."""
        loop: Any = asyncio.get_running_loop()
        run_once, run_handle, handles = loop._run_once, asyncio.Handle._run, self._handles

        def timed_handle(handle: asyncio.Handle) -> None:
            began = time.perf_counter()
            run_handle(handle)
            handles.append((handle, time.perf_counter() - began))

        def timed_once() -> None:
            handles.clear()
            self._stepped = 0.0
            cpu = time.thread_time()
            run_once()
            took = sum(seconds for _, seconds in handles)
            if took > _SLOW:
                own = self._stepped + sum(seconds for handle, seconds in handles if self._is_own(handle))
                self._slow.append((time.time(), took, time.thread_time() - cpu, own))

        asyncio.Handle._run = timed_handle  # type: ignore[method-assign,assignment]
        loop._run_once = timed_once

    def _is_own(self, handle: asyncio.Handle) -> bool:
        """
        Whether a callback belongs to the side's package.

        A step of a trigger's task does not, since part of it belongs to Airflow; :class:`_Timed` measures the
        rest.
        """
        callback: Any = handle._callback  # type: ignore[attr-defined]
        while isinstance(callback, partial):
            callback = callback.func
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            callback = owner.get_coro()
        callback = getattr(callback, "__func__", callback)
        code = getattr(callback, "cr_code", None) or getattr(callback, "__code__", None)
        return code is not None and str(code.co_filename).startswith(self._package)
