# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A task of a run: its states, and its views in the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.plans import TaskPlan

from .states import ENDED


@dataclass(kw_only=True, eq=False, slots=True)
class Task:
    """
    A task: PENDING and STARTING if the options say so, then RUNNING for the planned time.

    User guide, page "workflow-run-tasks". Without a planned time, it is RUNNING until its run no longer is.
    """

    id: str
    uuid: str
    plan: TaskPlan
    log_stream: str
    created: float
    #: When it is RUNNING, and the seconds of STARTING before that.
    started: float
    starting_seconds: float = 0.0
    #: Seconds of RUNNING; None until the run leaves RUNNING.
    seconds: float | None = None
    #: Whether it waits for CPUs or GPUs of its run group.
    queued: bool = False
    status: str = "PENDING"
    stopped: float | None = None
    #: The last status that an event had.
    announced: str | None = None
    #: Whether a computation changes its state.
    computed: bool = False
    #: Lets the computation run the command.
    admit: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if not self.computed and not self.queued and self.started <= self.created:
            self.status = "RUNNING"

    @property
    def next_change(self) -> float | None:
        """The time of its next state, or None if its run, its run group or a computation decides it."""
        if self.queued or self.computed:
            return None
        if self.status == "PENDING":
            return self.started - self.starting_seconds
        if self.status == "STARTING":
            return self.started
        if self.status == "RUNNING" and self.seconds is not None:
            return self.started + self.seconds
        return None

    @property
    def remains(self) -> bool:
        """Whether it will end before its run does."""
        return self.queued or (self.stopped is None and self.seconds is not None)

    def enter(self, status: str, at: float) -> None:
        """Change the state."""
        self.status = status
        if status in ENDED:
            self.stopped = at

    @property
    def finished(self) -> str:
        """The terminal state, unless the run is cancelled."""
        return "FAILED" if self.plan.failure_reason else "COMPLETED"

    def settle(self, at: float) -> None:
        """Move the task through all states that are due."""
        while (due := self.next_change) is not None and due <= at:
            self.change()

    def change(self) -> None:
        """Move the task to its next state, at its time."""
        due = self.next_change
        if due is not None:
            self.enter(self._next_status, due)

    @property
    def _next_status(self) -> str:
        if self.status == "PENDING" and self.starting_seconds:
            return "STARTING"
        return self.finished if self.status == "RUNNING" else "RUNNING"

    def dequeue(self, at: float) -> None:
        """Give the task the CPUs and GPUs that it waited for; one that is planned for later keeps them."""
        self.started += max(0.0, at - self.created)
        self.queued = False
        if self.admit is not None:
            self.admit()

    def item(self, cache_uri: str | None) -> dict[str, Any]:
        """Return the task for ListRunTasks, without failure reason and log."""
        return {
            "taskId": self.id,
            "uuid": self.uuid,
            "name": self.plan.name,
            "status": self.status,
            "cpus": self.plan.cpus,
            "memory": self.plan.memory,
            "gpus": self.plan.gpus,
            "instanceType": self.plan.instance_type,
            "cacheHit": self.plan.cache_hit,
            "cacheS3Uri": cache_uri if self.plan.cache_hit else None,
            "creationTime": to_datetime(self.created),
            "startTime": None if self.status in ("PENDING", "STARTING") else to_datetime(self.started),
            "stopTime": to_datetime(self.stopped),
        }

    def view(self, log_prefix: str | None, cache_uri: str | None) -> dict[str, Any]:
        """Return the task for GetRunTask."""
        failed = self.status == "FAILED"
        return {
            **self.item(cache_uri),
            "failureReason": self.plan.failure_reason if failed else None,
            "statusMessage": self.plan.status_message if failed else None,
            "logStream": log_prefix and log_prefix + self.log_stream,
            "imageDetails": {"image": self.plan.image} if self.plan.image else None,
        }
