# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The computation of a run: the events of its process become states of the run and its tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from airflow_healthomics.testing.engine.engine_process import EngineProcess
from airflow_healthomics.testing.engine.workspace import Workspace, files_below, tail
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.plans import TaskPlan

from .backend import Backend
from .changes import announce_change
from .definitions import uris_of
from .instances import instance_type
from .run import Run
from .s3_inputs import parameters_of
from .s3_objects import objects_below, stored_object, uris_in
from .task import Task

log = logging.getLogger(__name__)


class Computation:
    """
    The computation of a run.

    :param cache_id: Id of its run cache.
    :param tasks_changed: Called with the run and the time after a task was queued or has ended.
    :ivar ended: local time of the end of its processes, or None
    """

    def __init__(
        self,
        run: Run,
        cache_id: str | None,
        workspace: Workspace,
        backend: Backend,
        tasks_changed: Callable[[Run, float], None],
    ) -> None:
        self._run, self._cache_id = run, cache_id
        self._workspace, self._backend = workspace, backend
        self._tasks_changed = tasks_changed
        self._folder = workspace.run_folder(run.uuid)
        self._process: EngineProcess | None = None
        self._tasks: dict[str, Task] = {}
        self._engine_log: list[str] = []
        self._begun = self._stopped = self._forgotten = False
        self.ended: float | None = None

    # --- for the run; the caller holds the lock ---

    def stop(self) -> None:
        """End the processes. The run cannot end before them."""
        self._stopped = True
        if not self._begun:
            self.ended = LOCAL.clock.now()
        elif self._process is not None:
            self._process.terminate()

    def forget(self) -> None:
        """End the processes at once, and ignore what becomes of the run."""
        self._stopped = self._forgotten = True
        if self._process is not None:
            self._process.kill()

    def save_cache(self) -> None:
        """Add the outputs of the completed tasks to the run cache."""
        if self._cache_id is not None:
            self._workspace.save_cache(self._run.uuid, self._cache_id)

    # --- in a thread of its own ---

    def compute(self) -> None:
        """Run the process, and then let the run continue."""
        with LOCAL.lock:
            if self._stopped:
                return
            self._begun = True
        end: Mapping[str, Any] | None = None
        try:
            end = self._compute()
        except Exception as error:
            self._engine_log.append(f"{type(error).__name__}: {error}")
            if not self._forgotten:
                log.exception("Run %s fails: its engine could not be run", self._run.id)
        with LOCAL.lock:
            if not self._forgotten:
                self._end(end or self._lost_end())

    def _compute(self) -> Mapping[str, Any] | None:
        """Run the process, and return its last event, or None if it ended without."""
        with LOCAL.lock:
            parameters = parameters_of(self._run)
            readers = self._readers(parameters)
        process = EngineProcess(LOCAL.options.engine_python, self._folder, self._job(parameters, readers))
        with LOCAL.lock:
            self._process = process
            if self._stopped:
                process.terminate()
        end = None
        for event in process.events():
            if event["event"] == "end":
                end = event
            with LOCAL.lock:
                if not self._forgotten:
                    self._apply(event)
        return end

    def _readers(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return moto's objects by the URIs of the parameters and of the definition.

        Without such an object, the URI is that of a directory: a dictionary with all objects below it.
        """
        run, found = self._run, {}
        for uri in {*uris_in(parameters), *uris_of(run.definition.inspection.archive or b"")}:
            uri = uri.rstrip("/")
            stored = stored_object(uri, run.account, run.partition)
            found[uri] = stored or objects_below(f"{uri}/", run.account, run.partition)
        return {uri: objects for uri, objects in found.items() if objects}

    def _job(self, parameters: Mapping[str, Any], readers: Mapping[str, Any]) -> dict[str, Any]:
        """Copy the inputs, and return what the process needs."""
        definition, workspace = self._run.definition, self._workspace
        copies = {
            uri: workspace.copy_all(uri, {key: _reader(each) for key, each in found.items()})
            if isinstance(found, dict)
            else workspace.copy(uri, *_reader(found))
            for uri, found in readers.items()
        }
        unpacked = workspace.unpack(self._run.uuid, definition.inspection.archive or b"")
        cached = self._cache_id is not None
        return {
            "language": definition.engine,
            "definition": str(unpacked),
            "main": str(unpacked / str(definition.main)),
            "strict": definition.engine != "WDL_LENIENT",
            "parameters": dict(parameters),
            "objects": {uri: str(copy) for uri, copy in copies.items()},
            "directory": str(self._folder / "run"),
            "cache": str(workspace.cache_folder(str(self._cache_id))) if cached else None,
            "new_cache": str(workspace.new_cache_folder(self._run.uuid)) if cached else None,
        }

    # --- events; the caller holds the lock ---

    def _apply(self, event: Mapping[str, Any]) -> None:
        at, task = self._local_time(event["time"]), self._tasks.get(event.get("key", ""))
        if event["event"] == "log":
            self._engine_log.append(event["line"])
        elif event["event"] in ("task", "cached"):
            self._add_task(event, at)
        elif task is not None:
            self._change_task(task, event, at)
        LOCAL.changed.notify_all()

    def _add_task(self, event: Mapping[str, Any], at: float) -> None:
        if self._run.status != "RUNNING":
            return
        task_id, cached = self._backend.new_id(), event["event"] == "cached"
        task = Task(
            id=task_id,
            uuid=LOCAL.uuid(),
            plan=TaskPlan(
                name=event["name"],
                cpus=event["cpus"],
                memory=event["memory"],
                gpus=event["gpus"],
                instance_type=instance_type(event["cpus"], event["memory"]),
                image=event["image"],
                cache_hit=cached,
            ),
            log_stream=f"run/{self._run.id}/task/{task_id}",
            created=at,
            started=at,
            computed=True,
            queued=not cached,
        )
        self._tasks[event["key"]] = self._run.tasks[task_id] = task
        if cached:
            task.enter("COMPLETED", at)
        announce_change(self._run, task, at)
        if task.queued:
            self._queue(task, event["key"])

    def _queue(self, task: Task, key: str) -> None:
        """Let the process run a task once its run group has the CPUs and GPUs."""
        if self._process is not None:
            task.admit = partial(self._process.admit, key)
        now = LOCAL.clock.now()
        if self._run.limited:
            self._tasks_changed(self._run, now)
        else:
            task.dequeue(now)

    def _change_task(self, task: Task, event: Mapping[str, Any], at: float) -> None:
        kind = event["event"]
        if kind == "usage":
            task.plan = replace(task.plan, cpus_in_use=event["cpus"], memory_in_use=event["memory"])
        if kind == "ended":
            task.plan = replace(
                task.plan,
                failure_reason=event["reason"],
                status_message=event["message"],
                log=[*tail(event.get("stdout")), *tail(event.get("stderr"))],
                cpus_average=event.get("cpus_average"),
                cpus_maximum=event.get("cpus_maximum"),
                memory_average=event.get("memory_average"),
                memory_maximum=event.get("memory_maximum"),
            )
        if self._run.status != "RUNNING" or kind == "usage":
            return  # A task of a cancelled run ends with the run.
        task.queued = False
        if kind == "running":
            task.started = at
        task.enter("RUNNING" if kind == "running" else event["status"], at)
        announce_change(self._run, task, at)
        if kind == "ended" and self._run.limited:
            # Not at the time of the event, before which runs may be waiting since.
            self._tasks_changed(self._run, LOCAL.clock.now())

    def _end(self, end: Mapping[str, Any]) -> None:
        """Set the outcome of the run, and let it continue."""
        run = self._run
        self.ended = self._local_time(time.time())
        run.plan.engine_log = self._engine_log
        if run.status == "RUNNING":
            if end["status"] == "COMPLETED":
                self._set_outputs(end["outputs"])
            else:
                run.end_as("FAILED", end["reason"], end["message"])
        self._backend.schedule.add(run)
        LOCAL.changed.notify_all()

    def _lost_end(self) -> Mapping[str, Any]:
        """Return the end of a process that sent none, and add its errors to the log of the engine."""
        self._engine_log += tail(str(self._folder / "process.log"))
        message = "The engine ended unexpectedly. Its log has the error"
        return {"status": "FAILED", "reason": "WORKFLOW_RUN_FAILED", "message": message}

    def _set_outputs(self, outputs: Mapping[str, Any]) -> None:
        folder = self._folder / "run" / "out"
        self._run.plan.outputs = files_below(folder)
        self._run.plan.summary = {
            name: _exported(value, folder, f"{self._run.output_uri}/out") for name, value in outputs.items()
        }

    def _local_time(self, seconds: float) -> float:
        """Return the local time of an event, which is never before the start of the run."""
        return max(LOCAL.clock.now() - max(0.0, time.time() - seconds), self._run.entered)


def _reader(stored: Any) -> tuple[str, Any]:
    """Return the ETag of moto's object, and what reads its content."""
    return str(stored.etag), lambda: bytes(stored.value)


def _exported(value: Any, folder: Path, uri: str) -> Any:
    """Return an output with the URIs of its files in S3."""
    if isinstance(value, str) and value.startswith(f"{folder}/"):
        return f"{uri}/{value.removeprefix(f'{folder}/')}"
    if isinstance(value, list):
        return [_exported(each, folder, uri) for each in value]
    if isinstance(value, dict):
        return {name: _exported(each, folder, uri) for name, each in value.items()}
    return value
