# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""HealthOmics in one account and region: its resources, and the changes that become due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.utils import camelcase_to_underscores

from airflow_healthomics.api_model import listed_regions
from airflow_healthomics.testing.local import LOCAL

from .backend import Change
from .batch import Batch
from .batches import Batches
from .changes import TaskChange
from .configurations import Configurations
from .request_ids import ClientTokens, RequestIds
from .run import Run
from .run_caches import RunCaches
from .run_groups import RunGroups
from .runs import Runs
from .schedule import Schedule
from .shares import Shares
from .storage.job import Job
from .storage.storage import Storage
from .tags import Tagged, Tags
from .transitions import Transitions
from .workflows import Workflows

#: Seconds for which transitions are applied before other callers get the lock, and for which they get it. A
#: slice is as long as a thread's turn in the interpreter, which callers in the same process compete for, too.
SLICE_SECONDS = 0.005
YIELD_SECONDS = 0.01


class OmicsBackend(BaseBackend):
    """HealthOmics in one account and region. The caller of any method holds the lock of ``LOCAL``."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.schedule: Schedule[Change] = Schedule(self._change)
        self.request_ids = RequestIds()
        self.client_tokens = ClientTokens()
        self.active: dict[str, Run] = {}
        self.workflows = Workflows(self, lambda *workflow: self.shares.workflow_of(*workflow))
        self.shares = Shares(self, self.workflows.private, self._shares_of_region)
        self.run_groups = RunGroups(self, lambda run, at: self.transitions.step(run, at))
        self.run_caches = RunCaches(self)
        self.configurations = Configurations(self)
        self.storage = Storage(self)
        self.transitions = Transitions(
            self,
            self.run_groups,
            self.run_caches,
            self.storage.inputs.failure,
            lambda *change: self.batches.entered(*change),
        )
        self.runs = Runs(
            self,
            workflows=self.workflows,
            run_groups=self.run_groups,
            run_caches=self.run_caches,
            configurations=self.configurations,
            transitions=self.transitions,
        )
        self.batches = Batches(self, self.runs, self.transitions)
        self.tags = Tags(self._tagged)
        self._last_id = LOCAL.random.randrange(1_000_000, 9_000_000)

    def action(self, operation: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None] | None:
        """
        Return the method of an operation, or None if it is not implemented.

        The method has the name of the operation. It returns the response, or None for an empty one.
        """
        name = camelcase_to_underscores(operation)
        return next((getattr(each, name) for each in self._resources() if hasattr(each, name)), None)

    def arn(self, kind: str, resource_id: str) -> str:
        """Return the ARN of a resource of this account."""
        return f"arn:{self.partition}:omics:{self.region_name}:{self.account_id}:{kind}/{resource_id}"

    def new_id(self) -> str:
        """Return an unused id."""
        self._last_id += 1
        return str(self._last_id)

    def new_storage_id(self) -> str:
        """Return an unused id of a store, of its contents and its jobs, which has at least 10 digits."""
        return f"1{self.new_id():0>9}"

    def reschedule(self) -> None:
        """Schedule everything again after a change of the pace."""
        waiting = self.schedule.things()
        others = [thing for thing in waiting if not isinstance(thing, Run | Batch | Job)]
        self.schedule.rebuild([*self.active.values(), *self.batches, *self.storage.jobs(), *others])

    def _resources(self) -> tuple[object, ...]:
        tagged = (self.runs, self.workflows, self.run_groups, self.run_caches, self.configurations)
        return (*tagged, self.batches, self.shares, *self.storage.resources(), self.tags)

    def _shares_of_region(self) -> Iterator[Shares]:
        """Yield the shares of all accounts in this region."""
        for backend in all_backends():
            if backend.region_name == self.region_name:
                yield backend.shares

    def _tagged(self) -> Iterator[Tagged]:
        for resource in (self.runs, self.workflows, self.run_groups, self.run_caches, self.configurations):
            yield from resource.tagged()
        yield from self.batches
        yield from self.storage.tagged()

    def _change(self, thing: Change, at: float) -> None:
        """Make a change that is due."""
        if isinstance(thing, Batch):
            self.batches.step(thing, at)
        elif isinstance(thing, Run):
            self.transitions.step(thing, at)
        else:
            thing.apply(at)
            self.schedule.add(thing)
            if isinstance(thing, TaskChange):
                self.transitions.task_changed(thing, at)


#: In the regions of the installed botocore, and in those of the current API.
omics_backends = BackendDict(OmicsBackend, "omics", additional_regions=sorted(listed_regions()))


def all_backends() -> list[OmicsBackend]:
    """Return all backends in use."""
    return [backend for regions in list(omics_backends.values()) for backend in list(regions.values())]


def apply_due_transitions(seconds: float) -> bool:
    """
    Apply due transitions everywhere for some seconds, and deliver due events. The caller holds the lock.

    :return: whether all were applied
    """
    LOCAL.outbox.deliver_due(LOCAL.clock.now())
    deadline = time.perf_counter() + seconds
    return all([backend.schedule.apply_due(deadline) for backend in all_backends()])


def apply_all_due_transitions() -> None:
    """Apply all due transitions. The caller holds the lock, which the callers of a server get meanwhile."""
    while not apply_due_transitions(SLICE_SECONDS):
        if LOCAL.served:
            LOCAL.changed.wait(YIELD_SECONDS)
