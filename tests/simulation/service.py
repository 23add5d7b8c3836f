# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The HealthOmics of a simulated history: the runs and batches that it starts, cancels and describes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from botocore.exceptions import ClientError

from tests.simulation.scheduler import Scheduler
from tests.unit.simulated_omics import Life, SimulatedOmics, item_of, refusal, timestamp

ACCOUNT: Final = "123456789012"

#: Seconds from the beginning of a call until the service acts, and from then until the response arrives.
LATENCY: Final = 0.05

#: Status of a run while it is not in a terminal state.
ACTIVE_RUN: Final = frozenset({"PENDING", "STARTING", "RUNNING", "STOPPING"})
ACTIVE_BATCH: Final = frozenset({"CREATING", "PENDING", "INPROGRESS", "STOPPING"})

NOT_FOUND: Final = refusal("ResourceNotFoundException", 404)
CONFLICT: Final = refusal("ConflictException", 409)


@dataclass(frozen=True)
class Fate:
    """
    The course of a run unless somebody cancels it.

    :param status: its terminal state
    :param seconds: how long it is RUNNING
    :param reason: its failure reason
    """

    status: str = "COMPLETED"
    seconds: float = 100.0
    reason: str | None = None


@dataclass(eq=False)
class Resource:
    """
    A run or batch of the history.

    :ivar owner: process that started it; None for another account user's
    :ivar epoch: number of Clears before the attempt that started it
    """

    kind: str
    life: Life
    request: Mapping[str, Any]
    owner: str | None
    epoch: int
    fate: Fate
    is_cancelled: bool = False
    children: list[Resource] = field(default_factory=list)
    parent: Resource | None = None

    @property
    def id(self) -> str:
        """Its id."""
        return self.life.id

    def status(self, now: float) -> str:
        """Return its status; DELETED if it was deleted."""
        if self.life.deleted is not None and now >= self.life.deleted:
            return "DELETED"
        return [status for when, status in self.life.changes if when <= now][-1]

    def is_live(self, now: float) -> bool:
        """Whether it costs money and was not cancelled."""
        active = ACTIVE_RUN if self.kind == "run" else ACTIVE_BATCH
        return self.status(now) in active and not self.is_cancelled

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"arn:aws:omics:us-east-1:{ACCOUNT}:{'run' if self.kind == 'run' else 'runBatch'}/{self.id}"


class SimulatedService(SimulatedOmics):
    """
    HealthOmics with all operations that exactly-once starts use, for one caller at a time.

    :param scheduler: the scheduler, whose clock is the service's
    :param get_lag: seconds until GetRun and GetBatch find a new run or batch
    :param list_lag: seconds until ListRuns and ListBatch do
    :param fates: the fates of the task's runs or batches, in order; the last one applies to all later ones
    :ivar outages: end and error of the calls that fail, by operation; ``*`` for all
    :ivar owner: returns the process and the epoch of a start
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        get_lag: float = 0.0,
        list_lag: float = 0.0,
        fates: tuple[Fate, ...] = (Fate(),),
    ) -> None:
        super().__init__(cast("Any", scheduler), ())
        self.scheduler = scheduler
        self.get_lag, self.list_lag = get_lag, list_lag
        self.fates = fates
        self.resources: list[Resource] = []
        self.outages: list[tuple[float, Callable[[str], Exception], str]] = []
        self.owner: Callable[[], tuple[str, int]] = lambda: ("", 0)
        self.on_start: Callable[[Resource], None] = lambda resource: None
        self.lost_answer: Exception | None = None
        self._known: dict[tuple[str, str], tuple[str, Resource]] = {}
        self._next_id = 1_000_000

    # --- calls ---

    def respond(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call, with its I/O points."""
        scheduler = self.scheduler
        scheduler.reach(operation)
        scheduler.advance(LATENCY)
        answer: dict[str, Any] = {}
        error: Exception | None = self._outage(operation)
        if error is None:
            try:
                answer = getattr(self, f"on_{_snake(operation)}")(**arguments)
            except ClientError as refused:
                error = refused
        scheduler.advance(LATENCY)
        scheduler.reach(operation, is_after=True)
        lost, self.lost_answer = self.lost_answer, None
        if lost or error:
            raise cast("Exception", lost or error)
        return answer

    def _outage(self, operation: str) -> Exception | None:
        for end, error, concerned in self.outages:
            if self.scheduler.elapsed < end and concerned in ("*", operation):
                return error(operation)
        return None

    def _call(self, operation: str, subject: str, *, is_filtered: bool = False) -> Any:
        raise NotImplementedError("calls of a history go through respond()")

    # --- runs ---

    def on_start_run(self, **request: Any) -> dict[str, Any]:
        """Start a run, or return the run of a known request ID."""
        resource = self._repeated("StartRun", request) or self._start("run", "StartRun", request)
        return {
            "id": resource.id,
            "arn": resource.arn,
            "uuid": resource.life.uuid,
            "status": resource.status(self.scheduler.elapsed),
            "tags": {},
            "runOutputUri": f"{request['outputUri']}/{resource.id}",
        }

    def on_get_run(self, *, id: str) -> dict[str, Any]:
        """Describe a run."""
        return self._describe_run(self._visible("run", id, "GetRun"))

    def on_list_runs(self, *, maxResults: int, **filters: str) -> dict[str, Any]:  # noqa: N803
        """List runs by name, status and batch."""
        now = self.scheduler.elapsed
        found = []
        for resource in self._of_kind("run"):
            status = resource.life.listed_status(now)
            facts = {
                "status": status,
                "name": resource.request.get("name"),
                "batchId": resource.parent.id if resource.parent else None,
            }
            if status and all(facts[name] == value for name, value in filters.items()):
                found.append(self._item(resource, status))
        assert len(found) <= maxResults, "a history has few runs"
        return {"items": found}

    def on_cancel_run(self, *, id: str) -> dict[str, Any]:
        """Cancel a run."""
        resource = self._visible("run", id, "CancelRun")
        if resource.status(self.scheduler.elapsed) not in ACTIVE_RUN:
            raise CONFLICT("CancelRun")
        self.cancel(resource)
        return {}

    def on_list_run_tasks(self, **_: Any) -> dict[str, Any]:
        """Return no tasks."""
        return {"items": []}

    def _describe_run(self, resource: Resource) -> dict[str, Any]:
        now = self.scheduler.elapsed
        status = resource.status(now)
        described = {
            **self._item(resource, status),
            "uuid": resource.life.uuid,
            "outputUri": resource.request.get("outputUri"),
            "runOutputUri": f"{resource.request.get('outputUri')}/{resource.id}",
            "parameters": resource.request.get("parameters"),
        }
        if status == "FAILED" and resource.fate.reason:
            described["failureReason"] = resource.fate.reason
        return described

    def _item(self, resource: Resource, status: str) -> dict[str, Any]:
        return {**item_of(resource.life, status), "name": resource.request.get("name"), "arn": resource.arn}

    # --- batches ---

    def on_start_run_batch(self, **request: Any) -> dict[str, Any]:
        """Start a batch, or return the batch of a known request ID."""
        resource = self._repeated("StartRunBatch", request) or self._start("batch", "StartRunBatch", request)
        status = resource.status(self.scheduler.elapsed)
        return {
            "id": resource.id,
            "arn": resource.arn,
            "uuid": resource.life.uuid,
            "status": status,
            "tags": {},
        }

    def on_get_batch(self, *, batchId: str) -> dict[str, Any]:  # noqa: N803
        """Describe a batch."""
        resource = self._visible("batch", batchId, "GetBatch")
        now = self.scheduler.elapsed
        counts = dict.fromkeys(("completed", "failed", "cancelled", "running", "pending"), 0)
        for run in resource.children:
            if run.life.created <= now and (status := run.status(now).lower()) in counts:
                counts[status] += 1
        total = len(resource.children)
        return {
            **self._batch_item(resource, now),
            "arn": resource.arn,
            "uuid": resource.life.uuid,
            "tags": {},
            "creationTime": resource.life.creation_time,
            "defaultRunSetting": resource.request["defaultRunSetting"],
            "submissionSummary": {"successfulStartSubmissionCount": total},
            "runSummary": {f"{status}RunCount": number for status, number in counts.items()},
        }

    def on_list_batch(self, *, maxItems: int = 100, name: str | None = None) -> dict[str, Any]:  # noqa: N803
        """List batches by name."""
        now = self.scheduler.elapsed
        found = [
            self._batch_item(each, now)
            for each in self._of_kind("batch")
            if each.life.listed_status(now) and name in (None, each.request["batchName"])
        ]
        return {"items": found}

    def on_list_runs_in_batch(self, *, batchId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        """List the run settings of a batch."""
        resource = self._visible("batch", batchId, "ListRunsInBatch")
        now = self.scheduler.elapsed
        runs = [
            {
                "runSettingId": run.request["runSettingId"],
                "runId": run.id,
                "runInternalUuid": run.life.uuid,
                "runArn": run.arn,
                "submissionStatus": "SUCCESS",
            }
            for run in resource.children
            if run.life.created <= now
        ]
        return {"runs": runs}

    def on_cancel_run_batch(self, *, batchId: str) -> dict[str, Any]:  # noqa: N803
        """Cancel the runs of a batch."""
        resource = self._visible("batch", batchId, "CancelRunBatch")
        if resource.status(self.scheduler.elapsed) not in ("PENDING", "INPROGRESS"):
            raise CONFLICT("CancelRunBatch")
        self.cancel(resource)
        return {}

    def _batch_item(self, resource: Resource, now: float) -> dict[str, Any]:
        return {
            "id": resource.id,
            "name": resource.request["batchName"],
            "status": resource.status(now),
            "createdAt": resource.life.creation_time,
            "totalRuns": len(resource.children),
            "workflowId": resource.request["defaultRunSetting"]["workflowId"],
        }

    # --- other services ---

    def on_get_caller_identity(self) -> dict[str, Any]:
        """Return the account."""
        return {"Account": ACCOUNT}

    def on_get_log_events(self, **_: Any) -> dict[str, Any]:
        """Find no log."""
        raise NOT_FOUND("GetLogEvents")

    # --- the course of runs and batches ---

    def cancel(self, resource: Resource) -> None:
        """Cancel a run or batch, which becomes CANCELLED after some seconds."""
        now = self.scheduler.elapsed
        past = tuple(change for change in resource.life.changes if change[0] <= now)
        if not past:
            past = ((now, "CANCELLED"),)
        elif past[-1][1] in ACTIVE_RUN | ACTIVE_BATCH:
            past = (*past, (now, "STOPPING"), (now + 5.0, "CANCELLED"))
        self._change(resource, replace(resource.life, changes=past))
        resource.is_cancelled = True
        for child in resource.children:
            self.cancel(child)

    def forget_request_ids(self) -> None:
        """Forget all request IDs."""
        self._known.clear()

    def give_away(self, resource: Resource) -> None:
        """Delete a run or batch, and give its id to one of another task."""
        now = self.scheduler.elapsed
        self._change(resource, replace(resource.life, deleted=now))
        life = Life(resource.id, f"stranger-{resource.life.uuid}", ((now, "PENDING"), (now + 9e6, "FAILED")))
        request = {**resource.request, "name": "stranger", "batchName": "stranger"}
        self._add(Resource(resource.kind, life, request, None, -1, Fate()))

    # --- the account ---

    def _start(self, kind: str, operation: str, request: Mapping[str, Any]) -> Resource:
        owner, epoch = self.owner()
        started = sum(each.parent is None and each.owner is not None for each in self.resources)
        fate = self.fates[min(started, len(self.fates) - 1)]
        now = self.scheduler.elapsed
        states = (
            ("PENDING", "STARTING", "RUNNING") if kind == "run" else ("CREATING", "PENDING", "INPROGRESS")
        )
        step = 5.0 if kind == "run" else 1.5
        changes = [(now + step * index, status) for index, status in enumerate(states)]
        end = now + 10.0 + fate.seconds
        if kind == "run":
            changes += [(end, "STOPPING"), (end + 5.0, fate.status)]
        else:
            changes += [(end + 10.0, "PROCESSED" if fate.status != "CANCELLED" else "CANCELLED")]
        resource = Resource(kind, self._life(changes), request, owner, epoch, fate)
        if kind == "batch":
            run_changes = [(now + 10.0, "RUNNING"), (end, fate.status)]
            for setting in request["batchRunSettings"]["inlineSettings"]:
                child = {**request["defaultRunSetting"], **setting, "name": setting["runSettingId"]}
                run = Resource("run", self._life(run_changes), child, owner, epoch, fate, parent=resource)
                resource.children.append(run)
                self._add(run)
        self._add(resource)
        self._known[operation, str(request["requestId"])] = json.dumps(request, sort_keys=True), resource
        self.on_start(resource)
        return resource

    def _repeated(self, operation: str, request: Mapping[str, Any]) -> Resource | None:
        text, resource = self._known.get((operation, str(request["requestId"])), ("", None))
        if resource is not None and text != json.dumps(request, sort_keys=True):
            raise CONFLICT(operation)
        return resource

    def _life(self, changes: list[tuple[float, str]]) -> Life:
        self._next_id += 1
        begin = changes[0][0]
        visible = begin + self.get_lag
        return Life(
            str(self._next_id),
            f"uuid-{self._next_id}",
            tuple(changes),
            visible=visible,
            listed=begin + self.list_lag,
        )

    def _add(self, resource: Resource) -> None:
        self.resources.append(resource)
        self.add(resource.life)

    def _change(self, resource: Resource, life: Life) -> None:
        lives = self._lives[resource.id]
        lives[lives.index(resource.life)] = life
        self._order[self._order.index(resource.life)] = life
        resource.life = life

    def _of_kind(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each.kind == kind]

    def _visible(self, kind: str, resource_id: str, operation: str) -> Resource:
        now = self.scheduler.elapsed
        for resource in self._of_kind(kind):
            if resource.id == resource_id and resource.life.status(now) is not None:
                return resource
        raise NOT_FOUND(operation)


def _snake(operation: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")


__all__ = ["Fate", "Resource", "SimulatedService", "timestamp"]
