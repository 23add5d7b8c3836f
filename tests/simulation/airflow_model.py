# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The Airflow of a simulated history: scheduler, workers, triggerers and API server of one task instance."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest

from airflow_healthomics.compat import AirflowFailException, AirflowTaskTimeout
from airflow_healthomics.starting import killed_tasks
from airflow_healthomics.starting.record import KEY
from airflow_healthomics.triggers import base as triggers_base
from airflow_healthomics.waiting.task_states import FINISHED_TASK_STATES
from tests.sdk import TaskDeferred
from tests.simulation.processes import SimulatedLoop, run_loop
from tests.simulation.scheduler import Crash, Process, Scheduler, SimulatedThread

DAG_ID: Final = "a_dag"
TASK_ID: Final = "a_task"
RUN_ID: Final = "manual__2026-11-22T03:04:05+00:00"
START_DATE: Final = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)

#: Seconds until the scheduler retries, notices a lost worker, and replaces a lost triggerer.
RETRY_DELAY: Final = 30.0
LOST_AFTER: Final = 300.0
NEXT_TRIGGERER: Final = 30.0

#: Seconds from SIGTERM to SIGKILL.
GRACE: Final = 5.0

TIMEOUT: Final = {"error": "Trigger timeout"}
USER_ACTION: Final = "__airflow_user_action__"


class Store:
    """
    The task state store, which holds JSON and survives attempts and Clears.

    :ivar settled_by: process that wrote the record last, if that says how the attempt ended
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.values: dict[str, str] = {}
        self.settled_by = ""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value."""
        text = self._scheduler.io("store get", lambda: self.values.get(key))
        return default if text is None else json.loads(text)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store a value."""
        text = json.dumps(value)
        assert json.loads(text) == value
        thread = self._scheduler.current
        writer = thread.process.name if thread and value.get("settled") is not None else ""

        def write() -> None:
            self.values[key], self.settled_by = text, writer

        self._scheduler.io("store set", write)


class TaskInstance:
    """The task instance in an attempt."""

    dag_id = DAG_ID
    task_id = TASK_ID
    run_id = RUN_ID
    map_index = -1

    def __init__(self, airflow: Airflow) -> None:
        self._airflow = airflow
        self.try_number = airflow.try_number
        self.max_tries = airflow.max_tries
        self.start_date = datetime.fromtimestamp(airflow.attempt_started, UTC)

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        """Store an XCom."""
        text = json.dumps(value)
        self._airflow.scheduler.io("XCom", lambda: self._airflow.xcoms.append((key, text)))


class Airflow:
    """
    Airflow with one task instance.

    :param scheduler: the scheduler of the simulation
    :param make_task: makes the operator for an attempt
    :param retries: ``retries`` of the task
    :param has_store: whether it is Airflow 3.3 or later, with a task state store and kills that a trigger and
        the API server notice
    :ivar state: state of the task instance
    :ivar epoch: number of Clears
    :ivar active: process that runs it
    :ivar executing: processes of which the operator's code runs, so that the task can time out
    :ivar starting: those of them that start or wait, and so notice a kill
    :ivar unnoticed: epochs that a person ended while no such process was there to notice
    :ivar outcome: result or error of the last attempt that reported one
    """

    def __init__(
        self, scheduler: Scheduler, make_task: Callable[[], Any], *, retries: int, has_store: bool
    ) -> None:
        self.scheduler = scheduler
        self.make_task = make_task
        self.retries = retries
        self.store = Store(scheduler) if has_store else None
        self.state = "none"
        self.try_number = 0
        self.max_tries = retries
        self.attempt_started = 0.0
        self.clear_number = 0
        self.epoch = 0
        self.active: Process | None = None
        self.processes: list[Process] = []
        self.executing: set[Process] = set()
        self.starting: set[Process] = set()
        self.epochs: dict[str, int] = {}
        self.xcoms: list[tuple[str, str]] = []
        self.outcome: Any = None
        self.errors: list[str] = []
        self.was_killed = False
        self.killed_process = ""
        self.is_last_lost = False
        self.unnoticed: set[int] = set()
        self._tasks: dict[Process, Any] = {}
        self._triggers: dict[Process, tuple[SimulatedLoop, asyncio.Task[Any], Any]] = {}
        self._trigger: tuple[Any, str, datetime | None] | None = None

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Answer the package's requests to Airflow."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        patch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(self._get_task_states))
        patch.setattr(killed_tasks, "create_session", self._session)
        patch.setattr(killed_tasks, "_kills", {})
        patch.setattr(triggers_base, "_connections", {})
        patch.setattr(triggers_base, "_pollers", {})

    @property
    def is_settled(self) -> bool:
        """Whether the task has ended, and none of its processes runs any longer."""
        return self.state in FINISHED_TASK_STATES and all(process.is_over for process in self.processes)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the start in the store; empty if there is none."""
        text = self.store.values.get(KEY) if self.store else None
        record: dict[str, Any] = json.loads(text) if text else {}
        return record

    # --- attempts ---

    def start_attempt(self) -> Process:
        """Start the next attempt."""
        self.try_number += 1
        self.attempt_started = self.scheduler.time()
        return self._start_worker("execute", {})

    def _start_worker(self, method: str, kwargs: dict[str, Any]) -> Process:
        self.state = "running"
        process = self._process("worker")
        context = self._context()
        self._run(process, lambda: self._work(process, context, method, kwargs))
        return process

    def _process(self, kind: str) -> Process:
        process = Process(f"{kind}-{len(self.processes)}")
        self.processes.append(process)
        self.epochs[process.name] = self.epoch
        self.active = process
        return process

    def _run(self, process: Process, target: Callable[[], Any]) -> None:
        thread = self.scheduler.spawn(process, target)
        thread.on_end = self._process_ended

    def _context(self) -> Any:
        ti = TaskInstance(self)
        dag_run = SimpleNamespace(
            run_id=RUN_ID, dag_id=DAG_ID, start_date=START_DATE, conf={}, clear_number=self.clear_number
        )
        context = {"ti": ti, "task_instance": ti, "run_id": RUN_ID, "dag_run": dag_run, "params": {}}
        return context if self.store is None else {**context, "task_state_store": self.store}

    def _work(self, process: Process, context: Any, method: str, kwargs: dict[str, Any]) -> None:
        """Do the work of Airflow's task runner."""
        task = self._tasks[process] = self.make_task()
        self.executing.add(process)
        if method in ("execute", "resume_start", "resume_after_stop"):
            self.starting.add(process)
        try:
            try:
                if method == "execute":
                    result = task.execute(context)
                else:
                    result = task.resume_execution(method, kwargs, context)
            finally:
                self.executing.discard(process)
                self.starting.discard(process)
        except TaskDeferred as raised:
            deferral = raised
            # In its serialized form, as through the database.
            path, arguments = deferral.trigger.serialize()
            made = path, json.loads(json.dumps(arguments))
            self.scheduler.io("defer", lambda: self._deferred(process, made, deferral))
        except (Exception, AirflowTaskTimeout) as error:  # noqa: BLE001 - as Airflow's task runner does
            failure = error
            self.scheduler.io("report failure", lambda: self._failed(process, failure))
        else:
            self.scheduler.io("report success", lambda: self._succeeded(process, result))

    def _succeeded(self, process: Process, result: Any) -> None:
        if self.active is process:
            self.active, self.state, self.outcome = None, "success", result

    def _failed(self, process: Process, error: BaseException) -> None:
        self.errors.append(f"{type(error).__name__}: {error}")
        if self.active is process:
            self.outcome = error
            self._retry(is_permanent=isinstance(error, AirflowFailException))

    def _retry(self, *, is_permanent: bool = False) -> None:
        self.active = None
        if is_permanent or self.try_number > self.max_tries:
            self.state = "failed"
            return
        self.state, number = "up_for_retry", self.try_number
        self.scheduler.at(RETRY_DELAY, lambda: self._start_next(number))

    def _start_next(self, number: int) -> None:
        if self.state == "up_for_retry" and self.try_number == number:
            self.scheduler.reach("retry")
        if self.state == "up_for_retry" and self.try_number == number:
            self.start_attempt()

    def _process_ended(self, thread: SimulatedThread) -> None:
        process = thread.process
        if isinstance(thread.error, BaseException) and not isinstance(thread.error, Crash):
            raise thread.error
        # Its other threads end with it.
        process.is_dead = True
        self._tasks.pop(process, None)
        self._triggers.pop(process, None)
        if self.active is process:
            if process.name.startswith("worker"):
                self.scheduler.at(LOST_AFTER, lambda: self._notice_loss(process))
            else:
                self.scheduler.at(NEXT_TRIGGERER, lambda: self._replace_triggerer(process))

    def _notice_loss(self, process: Process) -> None:
        if self.active is process:
            if self.outcome is None:
                self.outcome = Crash()
            self._retry()
            self.is_last_lost = self.state == "failed"

    def lose(self, process: Process) -> Process | None:
        """Treat a living worker as lost, and start the next attempt at once."""
        if self.active is not process or self.try_number > self.max_tries:
            return None
        return self.start_attempt()

    # --- deferrals ---

    def _deferred(self, process: Process, made: Any, deferral: TaskDeferred) -> None:
        if self.active is not process:
            return
        timeout = deferral.timeout
        end = None if timeout is None else datetime.fromtimestamp(self.scheduler.time(), UTC) + timeout
        self.state, self._trigger = "deferred", (made, deferral.method_name, end)
        trigger = self._trigger
        if isinstance(timeout, timedelta):
            self.scheduler.at(timeout.total_seconds(), lambda: self._time_out(trigger))
        self._start_trigger()

    def _start_trigger(self) -> None:
        process = self._process("triggerer")
        self._run(process, lambda: run_loop(self.scheduler, lambda loop: self._fire(process, loop)))

    def _replace_triggerer(self, process: Process) -> None:
        if self.active is process and self.state == "deferred":
            self._start_trigger()

    async def _fire(self, process: Process, loop: SimulatedLoop) -> None:
        """Do the work of Airflow's triggerer."""
        assert self._trigger is not None
        (path, arguments), method, end = self._trigger
        module, _, name = path.rpartition(".")
        trigger = getattr(importlib.import_module(module), name)(**arguments)
        trigger._task_instance = TaskInstance(self)
        trigger.timeout_after = end

        async def first() -> Any:
            async for event in trigger.run():
                return event.payload
            raise AssertionError("the trigger ended without an event")

        task = loop.create_task(first())
        self._triggers[process] = loop, task, trigger
        with suppress(asyncio.CancelledError):
            payload = json.loads(json.dumps(await task))
            self.scheduler.io("event", lambda: self._resume(process, method, {"event": payload}))
        if task.cancelled() and self.store is not None:
            await trigger.on_kill()

    def _resume(self, process: Process, method: str, kwargs: dict[str, Any]) -> None:
        if self.active is process and self.state == "deferred":
            self._start_worker(method, kwargs)

    def _time_out(self, trigger: Any) -> None:
        if self.state == "deferred" and self._trigger is trigger and self.active is not None:
            process = self.active
            self._start_worker("__fail__", dict(TIMEOUT))
            self._cancel_trigger(process)

    def _cancel_trigger(self, process: Process) -> None:
        if process in self._triggers:
            loop, task, _ = self._triggers[process]
            message = () if self.store is None else (USER_ACTION,)
            loop.call_soon_threadsafe(task.cancel, *message)

    # --- people ---

    def kill(self) -> None:
        """Mark the task failed, as a person does in the UI."""
        if self.state in FINISHED_TASK_STATES:
            return
        process, self.active = self.active, None
        self.state, self.was_killed = "failed", True
        self.killed_process = process.name if process else ""
        if self.store is not None:
            killed_tasks.look_after(DAG_ID, RUN_ID, (TASK_ID, -1))
        self._end(process, self.epoch)

    def clear(self) -> None:
        """Clear the task, as a person does in the UI."""
        process, self.active = self.active, None
        if self.state == "restarting":
            # The ending worker now sees "queued", as after a stop of its pod.
            self.unnoticed.add(self.epoch - 1)
        self.epoch += 1
        self.clear_number += 1
        self.max_tries = self.try_number + self.retries
        self.was_killed, self.outcome = False, None
        self.state = "restarting" if process and process.name.startswith("worker") else "queued"
        number = self.try_number
        self._end(process, self.epoch - 1)
        self.scheduler.at(2 * GRACE, lambda: self._start_cleared(number))

    def _start_cleared(self, number: int) -> None:
        if self.try_number == number and self.state in ("restarting", "queued"):
            self.start_attempt()

    def evict(self, process: Process) -> None:
        """Stop the pod of a worker; its task continues in another one."""
        self._terminate(process)

    def _end(self, process: Process | None, epoch: int) -> None:
        if process not in self.starting:
            self.unnoticed.add(epoch)
        if process is None or process.is_dead:
            return
        if process.name.startswith("worker"):
            self._terminate(process)
        else:
            self._cancel_trigger(process)

    def _terminate(self, process: Process) -> None:
        """Send SIGTERM, whose handler runs in the process, and SIGKILL some seconds later."""
        task = self._tasks.get(process)
        if task is not None:
            current, self.scheduler.current = self.scheduler.current, process.main
            try:
                task.on_kill()
            finally:
                self.scheduler.current = current
        self.scheduler.at(GRACE, lambda: self.scheduler.kill(process))

    # --- the package's requests to Airflow ---

    def _get_task_states(self, **_: Any) -> dict[str, Any]:
        state = self.scheduler.io("task state", lambda: self.state)
        return {RUN_ID: {TASK_ID: state}}

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """Replace a session of the metadata database by the rows of ended tasks that have a record."""

        def rows() -> list[Any]:
            if self.state not in FINISHED_TASK_STATES or self.store is None or KEY not in self.store.values:
                return []
            return [(TASK_ID, -1, None, self.store.values[KEY])]

        found = self.scheduler.io("database", rows)
        yield SimpleNamespace(execute=lambda _: SimpleNamespace(all=lambda: found))
