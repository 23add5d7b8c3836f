# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How runs move from state to state, and their tasks with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_healthomics.testing.local import LOCAL

from . import side_effects
from .backend import Backend
from .changes import TaskChange, announce_change
from .computations import COMPUTATIONS
from .run import FAILS_BEFORE_TASKS, Run
from .run_caches import RunCaches
from .run_groups import RunGroups
from .s3_inputs import missing_input, parameters_problem, unusable_input
from .states import ENDED, ORDER
from .task import Task


class Transitions:
    """
    The transitions of the runs of one account in one region.

    :param stored: Returns the failureReason of a run with a reference or read set, or None if it can be used.
    :param entered: Called after each transition with the run, its status before, and the time.
    """

    def __init__(
        self,
        backend: Backend,
        run_groups: RunGroups,
        run_caches: RunCaches,
        stored: Callable[[str], str | None],
        entered: Callable[[Run, str, float], None],
    ) -> None:
        self._backend = backend
        self._run_groups = run_groups
        self._run_caches = run_caches
        self._stored = stored
        self._entered = entered

    def advance(self, run: Run, status: str, reason: str | None = None, message: str | None = None) -> None:
        """
        Move a run through all intermediate states to a status.

        The pace does not matter, nor do the limits of its run group for tasks.
        """
        # The export precedes STOPPING, so a STOPPING run without an export cannot complete.
        too_late = status == "COMPLETED" and run.status == "STOPPING"
        if status in ENDED and run.active and not too_late and (status != run.outcome or reason or message):
            if status == run.outcome:
                reason, message = reason or run.failure_reason, message or run.status_message
            run.end_as(status, reason, message)
        run.by_hand = True
        if run.limited:
            self._lift_limits(run)
        if status == "CANCELLED" and run.status in ("PENDING", "STARTING", "RUNNING"):
            self.enter(run, "STOPPING", LOCAL.clock.now())
        while run.active and ORDER.index(run.status) < ORDER.index(status):
            if not self.step(run, LOCAL.clock.now()):
                break
        run.by_hand = False

    def _lift_limits(self, run: Run) -> None:
        run.limited = False
        for task in run.tasks.values():
            if task.queued:
                task.dequeue(LOCAL.clock.now())
                self._backend.schedule.add(TaskChange(run, task))
        self._backend.schedule.add(run)

    def step(self, run: Run, at: float) -> bool:
        """Move an active run to its next state, unless its run group is full; return whether it moved."""
        if run.status == "PENDING" and not self._run_groups.admit(run):
            return False
        if run.status == "STARTING" and self._fails_early(run):
            self.enter(run, "STOPPING", at)
            return True
        if run.status == "RUNNING" and run.outcome != "CANCELLED":
            if not run.by_hand and run.deadline is not None and run.deadline <= at:
                run.time_out()
            else:
                side_effects.export(run)
        self.enter(run, run.next_status, at)
        return True

    def _fails_early(self, run: Run) -> bool:
        """Whether a STARTING run fails before RUNNING; check what is checked there."""
        options = LOCAL.options
        if problem := parameters_problem(run, check_names=options.check_parameters):
            run.end_as("FAILED", "INVALID_RUN_PARAMETERS", problem)
        elif options.enforces("check_inputs") and (unusable := unusable_input(run, self._stored)):
            run.end_as("FAILED", *unusable)
        elif options.enforces("check_inputs") and (name := missing_input(run)):
            run.end_as("FAILED", "INPUT_URI_NOT_FOUND", f"An object in the parameter {name} does not exist")
        return run.outcome == "FAILED" and run.failure_reason in options.fails_in_starting

    def task_changed(self, change: TaskChange, at: float) -> None:
        """Give what an ended task used to others, and schedule the end of its run after its last task."""
        if change.run.limited and change.task.stopped is not None:
            self._run_groups.tasks_changed(change.run, at)
            self._backend.schedule.add(change.run)

    def enter(self, run: Run, status: str, at: float) -> None:
        """Move a run to a state, with all that follows from it."""
        if status == "RUNNING":
            self._run_groups.limit(run)
            if run.computed and run.outcome == "COMPLETED":
                cache_id = self._run_caches.id_of(run)
                COMPUTATIONS.begin(run, cache_id, self._backend, self._run_groups.tasks_changed)
            else:
                run.tasks = {task.id: task for task in self._make_tasks(run, at)}
        elif run.computation is not None:
            run.computation.stop()
        before = run.status
        run.enter(status, at)
        if status == "STOPPING":
            self._run_caches.save(run)
        if not run.active:
            self._backend.active.pop(run.id, None)
        side_effects.announce(run)
        self._announce_tasks(run, at)
        self._backend.schedule.add(run)
        self._run_groups.entered(run, at)
        self._entered(run, before, at)
        LOCAL.changed.notify_all()

    def _announce_tasks(self, run: Run, at: float) -> None:
        """Announce the tasks that the new status of their run has changed, and schedule the others."""
        for task in run.tasks.values():
            if task.created <= at:
                announce_change(run, task, at)
            if run.status == "RUNNING":
                self._backend.schedule.add(TaskChange(run, task))

    def _make_tasks(self, run: Run, at: float) -> Iterator[Task]:
        options = LOCAL.options
        delays = [0.0 if run.by_hand else options.task_seconds(name) for name in ("PENDING", "STARTING")]
        run_seconds = run.plan.seconds.get("RUNNING", options.seconds("RUNNING"))
        count = 0 if run.failure_reason in FAILS_BEFORE_TASKS else options.tasks
        for planned in run.plan.task_plans(count):
            plan = self._run_caches.reuse(run, planned)
            task_id, queued = self._backend.new_id(), run.limited and not plan.cache_hit
            created = at + plan.after
            yield Task(
                id=task_id,
                uuid=LOCAL.uuid(),
                plan=plan,
                log_stream=f"run/{run.id}/task/{task_id}",
                created=created,
                started=created + (0.0 if plan.cache_hit else sum(delays)),
                starting_seconds=delays[1],
                # A task in a queue needs an end, or those after it would wait for ever.
                seconds=run_seconds if plan.seconds is None and queued else plan.seconds,
                queued=queued,
            )
