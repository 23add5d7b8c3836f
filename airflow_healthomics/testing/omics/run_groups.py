# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run groups. Only ``maxRuns`` has an effect; the limits of CPUs, GPUs and duration are ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .exceptions import ResourceNotFoundException, error_of
from .listing import name_matches, page
from .quotas import check_quota
from .run import Run

#: User guide, page "fixed-quotas".
MAX_GROUPS = 1000
#: Members of Create that Get returns under the same name.
ECHOED = ("name", "maxCpus", "maxRuns", "maxDuration", "maxGpus")


@dataclass(kw_only=True)
class RunGroup:
    """A run group with its running and waiting runs."""

    id: str
    arn: str
    request: Mapping[str, Any]
    created: float
    running: set[str] = field(default_factory=set)
    waiting: list[tuple[int, int, Run]] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether ``maxRuns`` is reached."""
        most = self.request.get("maxRuns")
        return most is not None and len(self.running) >= most

    def item(self) -> dict[str, Any]:
        """Return the group for ListRunGroups, without tags."""
        echoed = {name: self.request.get(name) for name in ECHOED}
        return {**echoed, "arn": self.arn, "id": self.id, "creationTime": to_datetime(self.created)}


class RunGroups:
    """The run groups of one account in one region."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._groups: dict[str, RunGroup] = {}

    def tagged(self) -> Iterator[RunGroup]:
        """Yield everything that can have tags."""
        yield from self._groups.values()

    # --- operations ---

    def create_run_group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a run group."""
        group: RunGroup | None = self._backend.known_token("CreateRunGroup", params)
        if group is None:
            check_quota("run groups", len(self._groups), MAX_GROUPS)
            group_id = self._backend.new_id()
            arn = self._backend.arn("runGroup", group_id)
            group = RunGroup(id=group_id, arn=arn, request=params, created=LOCAL.clock.now())
            self._groups[group_id] = group
            self._backend.remember_token("CreateRunGroup", params, group)
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
        """Whether a PENDING run may start. If not, queue it until another run leaves the group."""
        group = self._of(run)
        if group is None or not group.full:
            return True
        # "Ties: the run that was started earlier goes first" (user guide, page "creating-run-groups").
        priority = run.request.get("priority", 0)
        order = -priority if LOCAL.options.priority_order == "higher_first" else priority
        heappush(group.waiting, (order, run.sequence, run))
        return False

    def entered(self, run: Run, at: float) -> None:
        """Update the group after a run changed its state."""
        group = self._of(run)
        if group is None:
            return
        if run.status == "STARTING":
            group.running.add(run.uuid)
        elif not run.active and run.uuid in group.running:
            group.running.discard(run.uuid)
            self._call_waiting(group, at)

    def _call_waiting(self, group: RunGroup, at: float) -> None:
        while group.waiting and not group.full:
            run = heappop(group.waiting)[-1]
            due = run.due(LOCAL.options)
            if run.status == "PENDING" and due is not None and due <= at:
                self._backend.step(run, at)

    def _of(self, run: Run) -> RunGroup | None:
        return self._groups.get(run.request.get("runGroupId", ""))

    def _group(self, group_id: str) -> RunGroup:
        if group_id not in self._groups:
            raise ResourceNotFoundException(f"Run group {group_id} not found")
        return self._groups[group_id]
