# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The tasks of the run, from their beginning to their end, as events."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .events import Events
from .usage import GIB

#: Seconds between two looks at whether a task that waits for its admission still has to.
WAIT_SECONDS = 0.1
#: Of the runtime section, under miniwdl's names.
DEFAULTS: Mapping[str, int] = {"cpu": 1, "memory_reservation": GIB}


@dataclass(kw_only=True)
class Task:
    """A task whose end was not sent yet."""

    key: str
    description: Mapping[str, Any]
    #: What was measured, and the files of its logs, once its command has ended.
    measured: Mapping[str, Any] = field(default_factory=dict)
    #: Set once its run group has the CPUs and GPUs for it.
    admitted: threading.Event = field(default_factory=threading.Event)


class Tasks:
    """
    The tasks by their directory. miniwdl calls it from several threads.

    :ivar failure: reason and message of the last failed task
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._events: Events | None = None
        self.failure: tuple[str, str] | None = None

    def report_to(self, events: Events) -> None:
        """Set where the events go."""
        self._events = events

    def begin(self, directory: str, attempt: int, name: str, values: Mapping[str, Any]) -> None:
        """Send the beginning of an attempt."""
        description = described(name, values)
        task = Task(key=f"{directory}#{attempt}", description=description)
        with self._lock:
            self._tasks[directory] = task
        self._send("task", key=task.key, **description)

    def admit(self, key: str) -> None:
        """Let a task run."""
        with self._lock:
            task = self._tasks.get(key.rpartition("#")[0])
        if task is not None and task.key == key:
            task.admitted.set()

    def await_admission(self, directory: str, terminating: Callable[[], bool]) -> bool:
        """Wait until a task may run. If the run is ended before that, end the task and return False."""
        admitted = self._tasks[directory].admitted
        while not admitted.wait(WAIT_SECONDS):
            if terminating():
                self.end(directory, "CANCELLED")
                return False
        return True

    def running(self, directory: str) -> None:
        """Send that a task is running."""
        self._send("running", key=self._tasks[directory].key)

    def usage(self, directory: str, report: Mapping[str, float]) -> None:
        """Send what a task is using."""
        self._send("usage", key=self._tasks[directory].key, **report)

    def measure(self, directory: str, **measured: Any) -> None:
        """Keep what was measured. A task is complete only once its outputs are found."""
        self._tasks[directory].measured = measured

    def complete(self, directory: str, name: str) -> Mapping[str, Any]:
        """Send the end of a task with all its outputs, and return its description."""
        if directory not in self._tasks:  # it has no command
            self.begin(directory, 1, name, DEFAULTS)
            self.running(directory)
        description = self._tasks[directory].description
        self.end(directory, "COMPLETED")
        return description

    def end(self, directory: str, status: str, reason: str | None = None, message: str | None = None) -> None:
        """Send the end of a task."""
        with self._lock:
            task = self._tasks.pop(directory)
        if reason is not None:
            self.failure = reason, message or ""
        self._send("ended", key=task.key, status=status, reason=reason, message=message, **task.measured)

    def end_failed(self, directory: str, exit_code: int) -> None:
        """Send the end of a task whose command failed."""
        self.end(directory, "FAILED", "RUN_TASK_FAILED", f"The command ended with exit status {exit_code}")

    def end_others(self) -> None:
        """Send the end of tasks whose outputs are missing, or that miniwdl has ended."""
        for directory in list(self._tasks):
            if message := _error_of(Path(directory)):
                self.end(directory, "FAILED", "RUN_TASK_FAILED", message)
            else:
                self.end(directory, "CANCELLED")

    def _send(self, event: str, **fields: Any) -> None:
        if self._events is not None:
            self._events.send(event, **fields)


def described(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what HealthOmics shows of a task.

    :param values: Of its runtime section, under miniwdl's names; ``gpus`` is ours.
    """
    return {
        "name": name.removeprefix("call-"),
        "cpus": values["cpu"],
        "memory": math.ceil(values["memory_reservation"] / GIB),
        "gpus": values.get("gpus", 0),
        "image": values.get("docker"),
    }


def _error_of(directory: Path) -> str | None:
    """Return the error that miniwdl has written for a failed task."""
    try:
        error = json.loads((directory / "error.json").read_text())
    except (OSError, ValueError):
        return None
    cause = error.get("cause", error)
    return str(cause.get("message") or cause.get("error"))


#: Those of this process, since miniwdl makes the containers.
TASKS = Tasks()
