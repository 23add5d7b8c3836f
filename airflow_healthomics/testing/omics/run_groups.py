# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run groups, and the queue of runs that wait for a place in their group or in the account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .changes import TaskChange
from .exceptions import ResourceNotFoundException, error_of
from .listing import name_matches, page
from .quotas import check_quota
from .run import Run
from .task import Task

#: User guide, page "fixed-quotas".
MAX_GROUPS = 1000
#: Members of Create that Get returns under the same name.
ECHOED = ("name", "maxCpus", "maxRuns", "maxDuration", "maxGpus")


@dataclass(kw_only=True)
class RunGroup:
    """A run group with its running runs."""

    id: str
    arn: str
    request: Mapping[str, Any]
    created: float
    running: dict[str, Run] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """
        Whether a PENDING run of the group must wait.

        "A run remains in Pending if the run is part of a run group that has reached any of its resource
        maximum values" (user guide, page "monitoring-runs").
        """
        if len(self.running) >= self.request.get("maxRuns", float("inf")):
            return True
        return any(count <= 0 for count in self._free().values())

    @property
    def limits_tasks(self) -> bool:
        """Whether tasks may have to wait."""
        return "maxCpus" in self.request or "maxGpus" in self.request

    @property
    def max_seconds(self) -> float | None:
        """The longest time of RUNNING."""
        minutes = self.request.get("maxDuration")
        return None if minutes is None else 60.0 * minutes

    def dequeue_tasks(self, at: float) -> Iterator[tuple[Run, Task]]:
        """
        Take the tasks out of the queue for which there are CPUs and GPUs, and yield them with their runs.

        "Run tasks will queue when the maximum is reached" (user guide, page "creating-run-groups"). The order
        is that of the runs. AWS does not document what becomes of a task that is larger than the group; here
        it waits until the run times out.
        """
        free = self._free()
        for run in sorted(self.running.values(), key=place):
            for task in run.tasks.values():
                if not task.queued:
                    continue
                needs = {kind: getattr(task.plan, kind) for kind in free}
                if any(0 < count > free[kind] for kind, count in needs.items()):
                    return
                for kind, count in needs.items():
                    free[kind] -= count
                task.dequeue(at)
                yield run, task

    def _free(self) -> dict[str, int]:
        """Return the free CPUs and GPUs, if they are limited."""
        kinds = {"cpus": "maxCpus", "gpus": "maxGpus"}
        free = {kind: self.request[name] for kind, name in kinds.items() if name in self.request}
        for run in self.running.values() if free else ():
            for task in run.tasks.values():
                if task.stopped is None and not task.queued:
                    for kind in free:
                        free[kind] -= getattr(task.plan, kind)
        return free

    def item(self) -> dict[str, Any]:
        """Return the group for ListRunGroups, without tags."""
        echoed = {name: self.request.get(name) for name in ECHOED}
        return {**echoed, "arn": self.arn, "id": self.id, "creationTime": to_datetime(self.created)}


def place(run: Run) -> tuple[int, int]:
    """
    Return the place of a run in its queue.

    "If multiple runs share the same priority, the run that was initiated first will have the higher
    priority" (API reference of StartRun).
    """
    priority = run.request.get("priority", 0)
    order = -priority if LOCAL.options.priority_order == "higher_first" else priority
    return order, run.sequence


class RunGroups:
    """
    The run groups of one account in one region.

    :param step: Moves a run for which there is room again.
    """

    def __init__(self, backend: Backend, step: Callable[[Run, float], object]) -> None:
        self._backend = backend
        self._step = step
        self._groups: dict[str, RunGroup] = {}
        #: Storage types of the runs from STARTING to STOPPING, by uuid.
        self._running: dict[str, str] = {}
        #: Heaps of waiting runs by run group and storage type, since the account has a quota for each type.
        self._queues: defaultdict[tuple[str | None, str], list[tuple[int, int, Run]]] = defaultdict(list)

    def tagged(self) -> Iterator[RunGroup]:
        """Yield everything that can have tags."""
        yield from self._groups.values()

    # --- operations ---

    def create_run_group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a run group."""
        group: RunGroup | None = self._backend.request_ids.result("CreateRunGroup", params)
        if group is None:
            check_quota("run groups", len(self._groups), MAX_GROUPS)
            group_id = self._backend.new_id()
            arn = self._backend.arn("runGroup", group_id)
            group = RunGroup(id=group_id, arn=arn, request=params, created=LOCAL.clock.now())
            self._groups[group_id] = group
            self._backend.request_ids.remember("CreateRunGroup", params, group)
        return {"arn": group.arn, "id": group.id, "tags": group.request.get("tags") or {}}

    def get_run_group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run group."""
        group = self._group(params["id"])
        return {**group.item(), "tags": group.request.get("tags") or {}}

    def list_run_groups(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of run groups."""
        return page(
            self._groups.values(),
            params,
            key=lambda group: int(group.id),
            item=RunGroup.item,
            wanted=lambda group: name_matches(params.get("name"), group.request.get("name")),
        )

    def update_run_group(self, params: Mapping[str, Any]) -> None:
        """Update a run group. Its new limits apply to waiting runs and tasks at once."""
        group, now = self._group(params["id"]), LOCAL.clock.now()
        group.request = {**group.request, **{name: params[name] for name in ECHOED if name in params}}
        self._start_tasks(group, now)
        self._call_waiting(now)

    def delete_run_group(self, params: Mapping[str, Any]) -> None:
        """Delete a run group in which no run is PENDING, STARTING, RUNNING or STOPPING."""
        group = self._group(params["id"])
        if any(run.request.get("runGroupId") == group.id for run in self._backend.active.values()):
            raise error_of(LOCAL.options.delete_error, f"Run group {group.id} has active runs")
        del self._groups[group.id]

    # --- for runs ---

    def check(self, request: Mapping[str, Any]) -> None:
        """Require that the run group of a request exists, unless the option ``any_run_group`` is on."""
        if "runGroupId" in request and not LOCAL.options.lenient("any_run_group"):
            self._group(request["runGroupId"])

    def admit(self, run: Run) -> bool:
        """Whether a PENDING run may start. If not, queue it until another run makes room."""
        if self._has_room(run):
            return True
        heappush(self._queues[run.request.get("runGroupId"), run.request["storageType"]], (*place(run), run))
        return False

    def entered(self, run: Run, at: float) -> None:
        """Update groups and queues after a run changed its state."""
        group = self._of(run)
        if run.status == "STARTING":
            self._running[run.uuid] = run.request["storageType"]
            if group is not None:
                group.running[run.uuid] = run
        elif run.status == "RUNNING" and run.limited:
            self.tasks_changed(run, at)
        elif not run.active and run.uuid in self._running:
            del self._running[run.uuid]
            if group is not None:
                group.running.pop(run.uuid, None)
                self._start_tasks(group, at)
            self._call_waiting(at)

    def limit(self, run: Run) -> None:
        """Set the limits of a run that becomes RUNNING."""
        group, quota = self._of(run), LOCAL.options.max_run_seconds
        limits = (quota, None if group is None else group.max_seconds)
        run.max_seconds = min((limit for limit in limits if limit is not None), default=None)
        by_clock = not (run.by_hand or LOCAL.options.manual)
        run.limited = group is not None and group.limits_tasks and by_clock

    def tasks_changed(self, run: Run, at: float) -> None:
        """Start queued tasks, and then queued runs, after tasks of a run were queued or have ended."""
        group = self._of(run)
        if group is not None:
            self._start_tasks(group, at)
            self._call_waiting(at)

    def _start_tasks(self, group: RunGroup, at: float) -> None:
        for run, task in group.dequeue_tasks(at):
            self._backend.schedule.add(TaskChange(run, task))

    def _has_room(self, run: Run) -> bool:
        """
        Whether the account and the group have room for a run.

        "Service limits take precedence over run group limits" (user guide, page "creating-run-groups").
        """
        most, storage = LOCAL.options.max_active_runs, run.request["storageType"]
        if most is not None and list(self._running.values()).count(storage) >= most:
            return False
        group = self._of(run)
        return group is None or not group.full

    def _call_waiting(self, at: float) -> None:
        """Start queued runs. Runs without a group are ranked among each other (API reference of StartRun)."""
        for queue in sorted(filter(None, self._queues.values()), key=lambda queue: queue[0][1]):
            while queue and self._has_room(queue[0][-1]):
                run = heappop(queue)[-1]
                due = run.due(LOCAL.options)
                if run.status == "PENDING" and due is not None and due <= at:
                    self._step(run, at)

    def _of(self, run: Run) -> RunGroup | None:
        return self._groups.get(run.request.get("runGroupId", ""))

    def _group(self, group_id: str) -> RunGroup:
        if group_id not in self._groups:
            raise ResourceNotFoundException(f"Run group {group_id} not found")
        return self._groups[group_id]
