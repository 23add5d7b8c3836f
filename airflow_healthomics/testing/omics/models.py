# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""HealthOmics in one account and region: runs, request ids and time. Other resources are separate."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.utils import camelcase_to_underscores

from airflow_healthomics.api_model import listed_regions
from airflow_healthomics.testing.local import LOCAL

from . import side_effects
from .batch import Batch
from .batches import Batches
from .changes import TaskChange, WorkflowChange, announce_change
from .configurations import Configurations
from .exceptions import ConflictException, ResourceNotFoundException, error_of
from .exports import exported
from .listing import name_matches, page
from .run import ENDED, FAILS_BEFORE_RUNNING, FAILS_BEFORE_TASKS, ORDER, Run, Task
from .run_caches import RunCaches
from .run_groups import RunGroups
from .run_rules import DEFAULT_STATIC_GIB, check_parameters, check_request, check_run
from .s3_inputs import check_output_region, missing_input, parameters_problem
from .s3_objects import presigned
from .tags import Tagged, Tags
from .workflow import Definition, Workflow, check_active
from .workflows import Workflows

#: Seconds for which transitions are applied before other callers get the lock, and for which they get it.
SLICE_SECONDS = 0.02
YIELD_SECONDS = 0.004


@dataclass(kw_only=True, slots=True)
class Token:
    """A used request id, with the digest of its request, and its result."""

    body: bytes
    used: float
    made: Any


class OmicsBackend(BaseBackend):
    """HealthOmics in one account and region. The caller of any method holds the lock of ``LOCAL``."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.runs: dict[str, Run] = {}
        self.deleted_runs: dict[str, Run] = {}
        self.active: dict[str, Run] = {}
        self.workflows = Workflows(self)
        self.run_groups = RunGroups(self)
        self.run_caches = RunCaches(self)
        self.configurations = Configurations(self)
        self.batches = Batches(self)
        self.tags = Tags(self._tagged)
        self._tokens: dict[tuple[str, str], Token] = {}
        self._last_id = LOCAL.random.randrange(1_000_000, 9_000_000)
        self._sequence = 0
        self._schedule: list[tuple[float, int, Run | Batch | TaskChange | WorkflowChange]] = []
        self._tickets = count()

    @property
    def resources(self) -> tuple[object, ...]:
        """The collections of resources. Each has a method for each of its operations."""
        return (
            self,
            self.workflows,
            self.run_groups,
            self.run_caches,
            self.configurations,
            self.batches,
            self.tags,
        )

    def action(self, operation: str) -> Callable[[Mapping[str, Any]], dict[str, Any] | None] | None:
        """Return the method of an operation: from the request to the response, or None for an empty one."""
        name = camelcase_to_underscores(operation)
        return next((getattr(each, name) for each in self.resources if hasattr(each, name)), None)

    def _tagged(self) -> Iterator[Tagged]:
        yield from self.runs.values()
        for resource in (self.workflows, self.run_groups, self.run_caches, self.configurations):
            yield from resource.tagged()
        yield from self.batches

    def arn(self, kind: str, resource_id: str) -> str:
        """Return the ARN of a resource of this account."""
        return f"arn:{self.partition}:omics:{self.region_name}:{self.account_id}:{kind}/{resource_id}"

    # --- time ---

    def apply_due_transitions(self, deadline: float) -> bool:
        """
        Apply due transitions of runs and batches, in order and at their due times.

        :param deadline: Time of ``time.perf_counter`` after which, from the second on, none is applied.
        :return: whether all were applied
        """
        now = LOCAL.clock.now()
        while self._schedule and self._schedule[0][0] <= now:
            due, _, thing = heappop(self._schedule)
            if thing.due(LOCAL.options) != due:
                continue  # it has moved since then, and was scheduled again
            if isinstance(thing, Batch):
                self.batches.step(thing, due)
            elif isinstance(thing, Run):
                self.step(thing, due)
            else:
                thing.apply(due)
                self.schedule(thing)
                if isinstance(thing, TaskChange):
                    self._task_changed(thing, due)
            if time.perf_counter() > deadline:
                return False
        return True

    def schedule(self, thing: Run | Batch | TaskChange | WorkflowChange) -> None:
        """Schedule the next change of something."""
        due = thing.due(LOCAL.options)
        if due is not None:
            heappush(self._schedule, (due, next(self._tickets), thing))

    def reschedule(self) -> None:
        """Schedule everything again after a change of the pace."""
        others = [thing for *_, thing in self._schedule if isinstance(thing, TaskChange | WorkflowChange)]
        self._schedule.clear()
        for thing in (*self.active.values(), *self.batches, *others):
            self.schedule(thing)

    def advance(self, run: Run, status: str, reason: str | None = None, message: str | None = None) -> None:
        """Move a run through all intermediate states to a status."""
        if status == "DELETED":
            return self._remove(run, LOCAL.clock.now())
        # The export precedes STOPPING, so a STOPPING run without an export cannot complete.
        too_late = status == "COMPLETED" and run.status == "STOPPING"
        if status in ENDED and run.active and not too_late and (status != run.outcome or reason or message):
            if status == run.outcome:
                reason, message = reason or run.failure_reason, message or run.status_message
            run.end_as(status, reason, message)
        self._move_by_hand(run, status)
        return None

    def _move_by_hand(self, run: Run, status: str) -> None:
        """Move a run without regard to the pace, and to the limits of its run group for tasks."""
        run.by_hand, run.limited = True, False
        for task in run.tasks.values():
            if task.queued:
                task.dequeue(LOCAL.clock.now())
                self.schedule(TaskChange(run, task))
        if status == "CANCELLED" and run.status in ("PENDING", "STARTING", "RUNNING"):
            self._enter(run, "STOPPING", LOCAL.clock.now())
        while run.active and ORDER.index(run.status) < ORDER.index(status):
            if not self.step(run, LOCAL.clock.now()):
                break
        run.by_hand = False

    def step(self, run: Run, at: float) -> bool:
        """Move an active run to its next state, unless its run group is full; return whether it moved."""
        if run.status == "PENDING" and not self.run_groups.admit(run):
            return False
        if run.status == "STARTING" and self._fails_early(run):
            self._enter(run, "STOPPING", at)
            return True
        if run.status == "RUNNING" and run.outcome != "CANCELLED":
            if not run.by_hand and run.deadline is not None and run.deadline <= at:
                run.time_out()
            else:
                side_effects.export(run)
                self.run_caches.save(run)
        self._enter(run, run.next_status, at)
        return True

    def _fails_early(self, run: Run) -> bool:
        """Whether a STARTING run fails before RUNNING; check what is checked there."""
        options = LOCAL.options
        if problem := parameters_problem(run, check_names=options.check_parameters):
            run.end_as("FAILED", "INVALID_RUN_PARAMETERS", problem)
        elif options.enforces("check_inputs") and (name := missing_input(run)):
            run.end_as("FAILED", "INPUT_URI_NOT_FOUND", f"An object in the parameter {name} does not exist")
        return run.outcome == "FAILED" and run.failure_reason in FAILS_BEFORE_RUNNING

    def _task_changed(self, change: TaskChange, at: float) -> None:
        """Give what an ended task used to others, and schedule the end of its run after its last task."""
        if change.run.limited and change.task.stopped is not None:
            self.run_groups.tasks_ended(change.run, at)
            self.schedule(change.run)

    def _enter(self, run: Run, status: str, at: float) -> None:
        if status == "RUNNING":
            self.run_groups.limit(run)
            run.tasks = {task.id: task for task in self._make_tasks(run, at)}
        before = run.status
        run.enter(status, at)
        if not run.active:
            self.active.pop(run.id, None)
        side_effects.announce(run)
        self._announce_tasks(run, at)
        self.schedule(run)
        self.run_groups.entered(run, at)
        self.batches.entered(run, before, at)
        LOCAL.changed.notify_all()

    def _announce_tasks(self, run: Run, at: float) -> None:
        """Announce the tasks that the new status of their run has changed, and schedule the others."""
        for task in run.tasks.values():
            if task.created <= at:
                announce_change(run, task, at)
            if run.status == "RUNNING":
                self.schedule(TaskChange(run, task))

    def _make_tasks(self, run: Run, at: float) -> Iterable[Task]:
        options = LOCAL.options
        delays = [0.0 if run.by_hand else options.task_seconds(name) for name in ("PENDING", "STARTING")]
        run_seconds = run.plan.seconds.get("RUNNING", options.seconds("RUNNING"))
        count = 0 if run.failure_reason in FAILS_BEFORE_TASKS else options.tasks
        for planned in run.plan.task_plans(count):
            plan = self.run_caches.reuse(run, planned)
            task_id, queued = self.new_id(), run.limited and not plan.cache_hit
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

    # --- runs ---

    def start_run(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run, or return the run of a known request id."""
        options = LOCAL.options
        if (known := self.known_token("StartRun", params)) is not None:
            answer: dict[str, Any] = known.start_view()
            return {**answer, "status": "PENDING"} if options.duplicate_status == "pending" else answer
        check_request(params)
        run = self.submit_run(self._inherit(params), at=LOCAL.clock.now())
        self.remember_token("StartRun", params, run)
        return run.start_view()

    def submit_run(
        self,
        request: dict[str, Any],
        *,
        at: float,
        batch_id: str | None = None,
        run_setting_id: str | None = None,
    ) -> Run:
        """Start a run from a complete request, for a caller or for a batch."""
        workflow, definition = self.check_whole(request)
        if LOCAL.options.enforces("check_output_region"):
            check_output_region(request, self.region_name, self.account_id, self.partition)
        if LOCAL.options.check_parameters and "parametersUri" not in request:
            check_parameters(request.get("parameters") or {}, definition)
        self._make_room()
        request = self._with_defaults(request, definition)
        return self._create_run(request, workflow, definition, at, batch_id, run_setting_id)

    def check_whole(self, request: Mapping[str, Any]) -> tuple[Workflow, Definition]:
        """Validate the request of a run, or of all runs of a batch; return workflow and definition."""
        check_run(request)
        workflow = self.workflows.to_run(request)
        definition = workflow.version(request.get("workflowVersionName"))
        if definition is None:
            raise ResourceNotFoundException(
                f"Workflow version {request['workflowVersionName']} of workflow {workflow.id} not found"
            )
        check_active(definition, f"Workflow {workflow.id}")
        self.run_groups.check(request)
        self.run_caches.check(request)
        self.configurations.of(request)
        return workflow, definition

    def get_run(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run."""
        run = self.run(params["id"])
        view = {**run.view(), **exported(run.definition, params, self)}
        if view["parametersUri"] and LOCAL.options.presigned_parameters_uri:
            view["parametersUri"] = presigned(view["parametersUri"], run.region)
        return view

    def list_runs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of runs, the oldest first. AWS does not document the order."""
        runs: list[Run] = list(self.runs.values())
        if LOCAL.options.show_deleted_runs:
            runs = sorted([*runs, *self.deleted_runs.values()], key=lambda run: run.sequence)
        status, group, batch = (params.get(name) for name in ("status", "runGroupId", "batchId"))
        return page(
            runs,
            params,
            key=lambda run: run.sequence,
            item=Run.item,
            wanted=lambda run: (
                status in (None, run.status)
                and group in (None, run.request.get("runGroupId"))
                and batch in (None, run.batch_id)
                and name_matches(params.get("name"), run.request.get("name"))
            ),
        )

    def cancel_run(self, params: Mapping[str, Any]) -> None:
        """Cancel a run: allowed in every active state (user guide, page "canceling-runs")."""
        self.cancel(self.run(params["id"]), LOCAL.clock.now())

    def cancel(self, run: Run, at: float) -> None:
        """Cancel a run, for a caller or for a batch."""
        if not run.active:
            raise error_of(
                LOCAL.options.cancel_error, f"Run {run.id} is {run.status} and cannot be cancelled"
            )
        run.end_as("CANCELLED")
        if run.status != "STOPPING":
            self._enter(run, "STOPPING", at)

    def delete_run(self, params: Mapping[str, Any]) -> None:
        """Delete the record of a run in a terminal state. Outputs and logs remain."""
        self.delete(self.run(params["id"]), LOCAL.clock.now())

    def delete(self, run: Run, at: float) -> None:
        """Delete a run, for a caller or for a batch."""
        if run.status not in ENDED:
            raise error_of(LOCAL.options.delete_error, f"Run {run.id} is {run.status} and cannot be deleted")
        self._remove(run, at)

    def list_run_tasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of a run's tasks."""
        now = LOCAL.clock.now()
        tasks = [task for task in self.run(params["id"]).tasks.values() if task.created <= now]
        return page(
            enumerate(tasks, 1),
            params,
            key=lambda pair: pair[0],
            item=lambda pair: pair[1].item(),
            wanted=lambda pair: params.get("status") in (None, pair[1].status),
        )

    def get_run_task(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task."""
        run = self.run(params["id"])
        if params["taskId"] not in run.tasks:
            raise ResourceNotFoundException(f"Task {params['taskId']} of run {run.id} not found")
        task = run.tasks[params["taskId"]]
        cache_uri = self.run_caches.uri(run) if task.plan.cache_hit else None
        return {**task.view(run.log_prefix), "cacheS3Uri": cache_uri}

    def run(self, run_id: str) -> Run:
        """Return an existing run."""
        run = self.runs.get(run_id)
        if run is None and LOCAL.options.show_deleted_runs:
            run = self.deleted_runs.get(run_id)
        if run is None:
            raise ResourceNotFoundException(f"Run {run_id} not found")
        return run

    def _inherit(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request, including the fields that a rerun inherits."""
        if "runId" not in params:
            return dict(params)
        source = self.run(params["runId"])
        if source.status == "DELETED":
            raise ResourceNotFoundException(f"Run {source.id} not found")
        inherits = LOCAL.options.rerun_inherits
        inherited = {name: source.request[name] for name in inherits if name in source.request}
        if inherited.get("workflowType") == "READY2RUN":
            inherited.pop("storageType", None)  # a choice of the service; requests must not have it
            inherited.pop("storageCapacity", None)
        if "parameters" in params or "parametersUri" in params:
            for name in ("parameters", "parametersUri"):
                inherited.pop(name, None)
        request = inherited | dict(params)
        if params.get("storageType") == "DYNAMIC":
            request.pop("storageCapacity", None)
        if params.get("networkingMode") == "RESTRICTED":
            request.pop("configurationName", None)
        return request

    def _with_defaults(self, request: dict[str, Any], definition: Definition) -> dict[str, Any]:
        """Return the request including defaults, as GetRun returns it."""
        defaults = {
            "workflowType": "PRIVATE",
            "retentionMode": "RETAIN",
            "logLevel": "ALL",
            "networkingMode": "RESTRICTED",
            "scratchStorageMode": "SHARED",
            "outputUriPrefixMode": "SERVICE_DEFINED",
            "storageType": definition.request.get("storageType") or LOCAL.options.default_storage_type,
        }
        request = defaults | request
        if request["workflowType"] == "READY2RUN":
            request["storageType"] = "STATIC"  # observed: GetRun always returns STATIC
        if request["storageType"] == "DYNAMIC":
            request.pop("storageCapacity", None)  # "the system ignores any value that you enter"
        else:
            request.setdefault(
                "storageCapacity", definition.request.get("storageCapacity") or DEFAULT_STATIC_GIB
            )
        return request

    def _create_run(
        self,
        request: dict[str, Any],
        workflow: Workflow,
        definition: Definition,
        at: float,
        batch_id: str | None,
        run_setting_id: str | None,
    ) -> Run:
        run_id = self._new_run_id()
        run_uuid = LOCAL.uuid()
        output_uri = request["outputUri"].rstrip("/")
        if request["outputUriPrefixMode"] == "SERVICE_DEFINED":
            output_uri += f"/{run_id}"
            if LOCAL.options.output_layout == "run_id_uuid":
                output_uri += f"/{run_uuid}"
        self._sequence += 1
        run = Run(
            id=run_id,
            uuid=run_uuid,
            account=self.account_id,
            region=self.region_name,
            partition=self.partition,
            request_id=request.get("requestId"),
            request=request,
            workflow=workflow,
            definition=definition,
            configuration=self.configurations.of(request),
            output_uri=output_uri,
            plan=LOCAL.take_plan(request, run_setting_id),
            created=at,
            sequence=self._sequence,
            batch_id=batch_id,
            run_setting_id=run_setting_id,
        )
        self.runs[run_id] = self.active[run_id] = run
        side_effects.announce(run)
        self.schedule(run)
        LOCAL.changed.notify_all()
        return run

    def _make_room(self) -> None:
        """Remove the oldest inactive REMOVE run of a full account (user guide, page "run-retention")."""
        limit = LOCAL.options.max_stored_runs
        if limit is None or len(self.runs) < limit:
            return
        for run in self.runs.values():
            if run.request["retentionMode"] == "REMOVE" and not run.active:
                self._remove(run, LOCAL.clock.now())
                return
        raise error_of(
            LOCAL.options.stored_runs_error, f"The account already has {len(self.runs)} of {limit} runs"
        )

    def _remove(self, run: Run, at: float) -> None:
        self.runs.pop(run.id, None)
        self.deleted_runs[run.id] = run
        if run.request_id is not None and not LOCAL.options.request_id_survives_delete:
            self.forget_token("StartRun", run.request_id)
        self._enter(run, "DELETED", at)

    # --- workflows ---

    def add_workflow(self, workflow_id: str, request: Mapping[str, Any], type_: str = "PRIVATE") -> None:
        """Add a workflow with a chosen id, for the control."""
        self.workflows.add(workflow_id, request, type_)

    # --- ids and request ids ---

    def new_id(self) -> str:
        """Return an unused id."""
        self._last_id += 1
        return str(self._last_id)

    def _new_run_id(self) -> str:
        if LOCAL.options.reuse_run_ids:
            for run_id in self.deleted_runs:
                if run_id not in self.runs:
                    return run_id
        return self.new_id()

    def known_token(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Return the result of a known request id, or None if it is unknown or expired."""
        token = self._tokens.get((operation, params["requestId"]))
        lifetime = LOCAL.options.request_id_lifetime
        if token is None or (lifetime is not None and token.used + lifetime <= LOCAL.clock.now()):
            return None
        if token.body != _digest(params) and LOCAL.options.request_id_reuse == "conflict":
            raise ConflictException("The requestId was used before with another request")
        return token.made

    def remember_token(self, operation: str, params: Mapping[str, Any], made: object) -> None:
        """Store the result of a request id."""
        token = Token(body=_digest(params), used=LOCAL.clock.now(), made=made)
        self._tokens[operation, params["requestId"]] = token

    def forget_token(self, operation: str, request_id: str) -> None:
        """Remove a request id, so that it can be used again."""
        self._tokens.pop((operation, request_id), None)


def _digest(params: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).digest()


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
    return all([backend.apply_due_transitions(deadline) for backend in all_backends()])


def apply_all_due_transitions() -> None:
    """Apply all due transitions. The caller holds the lock, which the callers of a server get meanwhile."""
    while not apply_due_transitions(SLICE_SECONDS):
        if LOCAL.served:
            LOCAL.changed.wait(YIELD_SECONDS)
