# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Status changes at a planned time, of what has no schedule itself: tasks and workflows."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_healthomics.testing.options import Options

from .events import announce_task, announce_workflow
from .run import Run
from .task import Task
from .workflow import Definition


@dataclass(eq=False)
class TaskChange:
    """The next change of a task while its run is RUNNING."""

    run: Run
    task: Task

    def due(self, _: Options) -> float | None:
        """Return the time of the change, or None if only the run ends the task."""
        if self.run.status != "RUNNING":
            return None
        if self.task.announced is None:
            return self.task.created
        return self.task.next_change

    def apply(self, at: float) -> None:
        """Begin the task, or move it to its next state, and announce it."""
        if self.task.announced is not None:
            self.task.change()
        announce_change(self.run, self.task, at)


def announce_change(run: Run, task: Task, at: float) -> None:
    """Announce the status of a task unless it was announced."""
    if task.announced != task.status:
        task.announced = task.status
        announce_task(run, task, at)


@dataclass(eq=False)
class WorkflowChange:
    """The end of the creation of a workflow or of a version."""

    definition: Definition
    account: str
    region: str
    announced: bool = False

    def due(self, options: Options) -> float | None:
        """Return the time of the change, or None after it."""
        return None if self.announced else self.definition.created + options.workflow_creating_seconds

    def apply(self, at: float) -> None:
        """Announce the status."""
        self.announced = True
        announce_workflow(self.definition, (self.account, self.region), at)
