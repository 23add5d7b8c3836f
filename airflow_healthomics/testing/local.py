# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The state of the local HealthOmics besides AWS resources: options, clock, plans, faults and recorded calls.

It is global in the process, like moto's backends.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from .clock import Clock
from .faults import Faults
from .omics.exceptions import error_of
from .options import Options
from .outbox import Outbox
from .plans import BatchPlan, RunPlan, SourcePlan, SubmissionPlan
from .throttling import Throttle

#: The recorded members of requests. Others are not recorded, because parameters and tags may identify samples
#: and patients.
RECORDED_MEMBERS = (
    "id",
    "taskId",
    "batchId",
    "requestId",
    "workflowId",
    "runId",
    "name",
    "batchName",
    "status",
    "startingToken",
    "clientToken",
    "referenceStoreId",
    "sequenceStoreId",
    "uploadId",
    "shareId",
    "nextToken",
)


#: Number of calls that are kept. All calls are counted.
RECORDED_CALLS = 10_000


@dataclass(kw_only=True, slots=True)
class Call:
    """A recorded request. ``status`` is its HTTP status, or None if its connection was dropped."""

    operation: str
    account: str
    region: str
    time: float
    ids: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    error: str | None = None
    done: bool = False


class LocalHealthOmics:
    """The state, and the lock for changes of runs and calls."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.faults = Faults()
        self.throttle = Throttle()
        self.initial_options = Options()
        #: Whether a server answers several callers, and applies due transitions in a thread.
        self.served = False
        self.reset()

    def reset(self, options: Options | None = None) -> None:
        """Reset everything, optionally with new options."""
        with self.lock:
            self.initial_options = options or self.initial_options
            self.options = self.initial_options
            self.clock = Clock()
            self.random = random.Random(self.options.seed)
            self.plans: list[RunPlan] = []
            self.batch_plans: list[BatchPlan] = []
            self.submission_plans: list[SubmissionPlan] = []
            self.source_plans: list[SourcePlan] = []
            self.calls: deque[Call] = deque(maxlen=RECORDED_CALLS)
            #: Numbers of calls by operation: that arrived, were answered, and succeeded.
            self.arrived: Counter[str] = Counter()
            self.answered: Counter[str] = Counter()
            self.succeeded: Counter[str] = Counter()
            #: URL of the server that received the current request; None in-process.
            self.endpoint_url: str | None = None
            self.in_flight: set[tuple[str, str, str, str]] = set()
            self.outbox = Outbox(self.options.seed)
            self.throttle.clear()
            self.faults.clear(self.options.seed)

    def uuid(self) -> str:
        """Return a new uuid."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    @contextmanager
    def recording(self, call: Call) -> Iterator[None]:
        """Record a call, and notify waiting threads of its start and end."""
        with self.lock:
            self.calls.append(call)
            self.arrived[call.operation] += 1
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.lock:
                call.done = True
                self.answered[call.operation] += 1
                self.succeeded[call.operation] += call.status is not None and call.status < 400
                self.changed.notify_all()

    def take_plan(self, request: Mapping[str, Any], run_setting_id: str | None = None) -> RunPlan | None:
        """Consume and return the plan of a new run, if any."""
        return _take(self.plans, lambda plan: plan.matches(request, run_setting_id))

    def take_batch_plan(self, name: str | None) -> BatchPlan | None:
        """Consume and return the plan of a new batch."""
        return _take(self.batch_plans, lambda plan: plan.name in (None, name))

    def fail_submission(self, operation: str, run_setting_id: str) -> None:
        """
        Raise the planned error of a batch's request for a run, if any.

        :raises HealthOmicsError: the planned error.
        """
        plan = _take(self.submission_plans, lambda plan: plan.matches(operation, run_setting_id))
        if plan is not None:
            raise error_of(plan.code, plan.message)

    def planned_source_failure(self, kind: str, names: Collection[str]) -> str | None:
        """
        Consume the planned failure of a source, if any, and return its message.

        :param kind: Kind of the job.
        :param names: URIs, ids and names of the source.
        """
        plan = _take(self.source_plans, lambda plan: plan.matches(kind, names))
        return None if plan is None else plan.message


class _Plan(Protocol):
    times: int | None

    @property
    def specificity(self) -> tuple[bool, ...]: ...


P = TypeVar("P", bound=_Plan)


def _take(plans: list[P], matches: Callable[[P], bool]) -> P | None:
    """Return the most specific matching plan, the first of equal ones, and remove it after its last use."""
    plan = max((plan for plan in plans if matches(plan)), key=lambda plan: plan.specificity, default=None)
    if plan is not None and plan.times is not None:
        plan.times -= 1
        if plan.times <= 0:
            plans[:] = [each for each in plans if each is not plan]
    return plan


#: The state of this process.
LOCAL = LocalHealthOmics()
