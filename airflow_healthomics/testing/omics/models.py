# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The rules of HealthOmics: runs and workflows of one account in one region."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from moto.core.base_backend import BackendDict, BaseBackend

from airflow_healthomics.testing.local import LOCAL

from . import side_effects
from .exceptions import ConflictException, ResourceNotFoundException, ValidationException, error_of
from .run_rules import DEFAULT_STATIC_GIB, check_parameters, check_request, check_run
from .runs import ENDED, ORDER, Run, Task
from .workflows import Definition, Workflow, check_active, check_source

PAGE_SIZE = 100

T = TypeVar("T")


@dataclass(kw_only=True)
class Token:
    """A request id that was used: for which body, when, and what it made."""

    body: str
    used: float
    made: Any


class OmicsBackend(BaseBackend):
    """HealthOmics in one account and region. Every method runs under the lock of the local HealthOmics."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.runs: dict[str, Run] = {}
        self.deleted_runs: dict[str, Run] = {}
        self.workflows: dict[str, Workflow] = {}
        self.active: dict[str, Run] = {}
        self._tokens: dict[tuple[str, str], Token] = {}
        self._last_id = LOCAL.random.randrange(1_000_000, 9_000_000)
        self._sequence = 0

    # --- time ---

    def apply_due_transitions(self) -> None:
        """Move every run whose time has come, at the time at which it came."""
        now = LOCAL.clock.now()
        for run in list(self.active.values()):
            while (due := run.due(LOCAL.options)) is not None and due <= now:
                self._step(run, due)

    def advance(self, run: Run, status: str, reason: str | None = None, message: str | None = None) -> None:
        """Move a run through the states in between to the one asked for."""
        if status == "DELETED":
            return self._remove(run)
        # The export happens before STOPPING: what was not exported cannot complete any more.
        too_late = status == "COMPLETED" and run.status == "STOPPING"
        if status in ENDED and run.active and not too_late and (status != run.outcome or reason or message):
            if status == run.outcome:
                reason, message = reason or run.failure_reason, message or run.status_message
            run.end_as(status, reason, message)
        if status == "CANCELLED" and run.status in ("PENDING", "STARTING", "RUNNING"):
            self._enter(run, "STOPPING", LOCAL.clock.now())
        while run.active and ORDER.index(run.status) < ORDER.index(status):
            self._step(run, LOCAL.clock.now())
        return None

    def _step(self, run: Run, at: float) -> None:
        if run.status == "RUNNING" and run.outcome != "CANCELLED":
            side_effects.export(run)
        self._enter(run, run.next_status, at)

    def _enter(self, run: Run, status: str, at: float) -> None:
        if status == "RUNNING":
            run.tasks = {task.id: task for task in self._make_tasks(run, at)}
        run.enter(status, at)
        if not run.active:
            self.active.pop(run.id, None)
        side_effects.announce(run)
        LOCAL.changed.notify_all()

    def _make_tasks(self, run: Run, at: float) -> Iterable[Task]:
        for plan in run.plan.task_plans(LOCAL.options.tasks):
            task_id = self._new_id()
            stream = f"run/{run.id}/task/{task_id}"
            yield Task(id=task_id, uuid=LOCAL.uuid(), plan=plan, log_stream=stream, started=at)

    # --- runs ---

    def start_run(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run, or return the one that the request id started."""
        options = LOCAL.options
        if (known := self._known_token("StartRun", params)) is not None:
            answer: dict[str, Any] = known.start_view()
            return {**answer, "status": "PENDING"} if options.duplicate_status == "pending" else answer
        check_request(params)
        request = self._inherit(params)
        check_run(request)
        workflow = self._workflow_to_run(request)
        definition = workflow.version(request.get("workflowVersionName"))
        if definition is None:
            raise ResourceNotFoundException(
                f"Workflow version {request['workflowVersionName']} of workflow {workflow.id} not found"
            )
        check_active(definition, f"Workflow {workflow.id}")
        if options.check_parameters:
            check_parameters(request.get("parameters") or {}, definition)
        self._make_room()
        run = self._create_run(self._with_defaults(request, definition), workflow, definition)
        self._remember_token("StartRun", params, run)
        return run.start_view()

    def get_run(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run."""
        return self.run(params["id"]).view(params.get("export"))

    def list_runs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of runs, the oldest first. AWS does not document the order."""
        runs: list[Run] = list(self.runs.values())
        if LOCAL.options.show_deleted_runs:
            runs = sorted([*runs, *self.deleted_runs.values()], key=lambda run: run.sequence)
        if "batchId" in params:
            runs = []  # there are no batches here
        wanted = [
            run
            for run in runs
            if params.get("status") in (None, run.status)
            and params.get("runGroupId") in (None, run.request.get("runGroupId"))
            and _name_matches(params.get("name"), run.request.get("name"))
        ]
        return _page(wanted, params, key=lambda run: run.sequence, item=Run.item)

    def cancel_run(self, params: Mapping[str, Any]) -> None:
        """Cancel a run: allowed in every active state (user guide, page "canceling-runs")."""
        run = self.run(params["id"])
        if not run.active:
            raise error_of(
                LOCAL.options.cancel_error, f"Run {run.id} is {run.status} and cannot be cancelled"
            )
        run.end_as("CANCELLED")
        if run.status != "STOPPING":
            self._enter(run, "STOPPING", LOCAL.clock.now())

    def delete_run(self, params: Mapping[str, Any]) -> None:
        """Delete an ended run's metadata; its outputs and logs stay."""
        run = self.run(params["id"])
        if run.status not in ENDED:
            raise error_of(LOCAL.options.delete_error, f"Run {run.id} is {run.status} and cannot be deleted")
        self._remove(run)

    def list_run_tasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of a run's tasks."""
        tasks = enumerate(self.run(params["id"]).tasks.values(), 1)
        wanted = [pair for pair in tasks if params.get("status") in (None, pair[1].status)]
        return _page(wanted, params, key=lambda pair: pair[0], item=lambda pair: pair[1].item())

    def get_run_task(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task."""
        run = self.run(params["id"])
        if params["taskId"] not in run.tasks:
            raise ResourceNotFoundException(f"Task {params['taskId']} of run {run.id} not found")
        return run.tasks[params["taskId"]].view(run.log_prefix)

    def run(self, run_id: str) -> Run:
        """Return a run that exists."""
        run = self.runs.get(run_id)
        if run is None and LOCAL.options.show_deleted_runs:
            run = self.deleted_runs.get(run_id)
        if run is None:
            raise ResourceNotFoundException(f"Run {run_id} not found")
        return run

    def _inherit(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request with what a rerun takes over from its source."""
        if "runId" not in params:
            return dict(params)
        source = self.run(params["runId"])
        if source.status == "DELETED":
            raise ResourceNotFoundException(f"Run {source.id} not found")
        inherits = LOCAL.options.rerun_inherits
        inherited = {name: source.request[name] for name in inherits if name in source.request}
        if inherited.get("workflowType") == "READY2RUN":
            inherited.pop("storageType", None)  # the service's own choice, which a request may not make
            inherited.pop("storageCapacity", None)
        request = inherited | dict(params)
        if params.get("storageType") == "DYNAMIC":
            request.pop("storageCapacity", None)
        if params.get("networkingMode") == "RESTRICTED":
            request.pop("configurationName", None)
        return request

    def _with_defaults(self, request: dict[str, Any], definition: Definition) -> dict[str, Any]:
        """Return the request as GetRun echoes it."""
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
            request["storageType"] = "STATIC"  # observed: they come back STATIC, whatever is sent
        if request["storageType"] == "DYNAMIC":
            request.pop("storageCapacity", None)  # "the system ignores any value that you enter"
        else:
            request.setdefault(
                "storageCapacity", definition.request.get("storageCapacity") or DEFAULT_STATIC_GIB
            )
        return request

    def _create_run(self, request: dict[str, Any], workflow: Workflow, definition: Definition) -> Run:
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
            request_id=request["requestId"],
            request=request,
            workflow=workflow,
            definition=definition,
            output_uri=output_uri,
            plan=LOCAL.take_plan(request),
            created=LOCAL.clock.now(),
            sequence=self._sequence,
        )
        self.runs[run_id] = self.active[run_id] = run
        side_effects.announce(run)
        LOCAL.changed.notify_all()
        return run

    def _make_room(self) -> None:
        """Remove the oldest ended REMOVE run if the account is full (user guide, page "run-retention")."""
        limit = LOCAL.options.max_stored_runs
        if limit is None or len(self.runs) < limit:
            return
        for run in self.runs.values():
            if run.request["retentionMode"] == "REMOVE" and not run.active:
                self._remove(run)
                return
        raise error_of(
            LOCAL.options.stored_runs_error, f"The account already has {len(self.runs)} of {limit} runs"
        )

    def _remove(self, run: Run) -> None:
        self.runs.pop(run.id, None)
        self.active.pop(run.id, None)
        self.deleted_runs[run.id] = run
        run.enter("DELETED", LOCAL.clock.now())
        side_effects.announce(run)
        if not LOCAL.options.request_id_survives_delete:
            self._tokens.pop(("StartRun", run.request_id), None)
        LOCAL.changed.notify_all()

    # --- workflows ---

    def create_workflow(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a workflow."""
        workflow = self._known_token("CreateWorkflow", params)
        if workflow is None:
            check_source(params)
            workflow = self.add_workflow(self._new_id(), params)
            self._remember_token("CreateWorkflow", params, workflow)
        return {**workflow.created_view(), "id": workflow.id}

    def add_workflow(self, workflow_id: str, request: Mapping[str, Any], type_: str = "PRIVATE") -> Workflow:
        """Add a workflow as it is, also one that AWS owns."""
        # "The ARN of a Ready2Run workflow has an empty account field" (AWS's rerun tool).
        account = "" if type_ == "READY2RUN" else self.account_id
        workflow = self.workflows[workflow_id] = Workflow(
            id=workflow_id,
            arn=f"arn:{self.partition}:omics:{self.region_name}:{account}:workflow/{workflow_id}",
            uuid=LOCAL.uuid(),
            request=request,
            type=type_,
        )
        return workflow

    def get_workflow(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a workflow."""
        workflow = self._workflow(params["id"], params.get("type"))
        return {**workflow.view(params.get("export")), "id": workflow.id}

    def list_workflows(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of workflows."""
        wanted = [
            pair
            for pair in enumerate(self.workflows.values(), 1)
            if pair[1].type == params.get("type", "PRIVATE")
            and _name_matches(params.get("name"), pair[1].name)
        ]
        return _page(wanted, params, key=lambda pair: pair[0], item=lambda pair: pair[1].item())

    def delete_workflow(self, params: Mapping[str, Any]) -> None:
        """Delete a workflow."""
        del self.workflows[self._workflow(params["id"], None).id]

    def create_workflow_version(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Add a version; it inherits nothing from its workflow."""
        version = self._known_token("CreateWorkflowVersion", params)
        if version is None:
            workflow = self._workflow(params["workflowId"], None)
            check_source(params)
            name = params["versionName"]
            if name in workflow.versions:
                raise ConflictException(f"Version {name} of workflow {workflow.id} exists already")
            version = Definition(arn=f"{workflow.arn}/version/{name}", uuid=LOCAL.uuid(), request=params)
            workflow.versions[name] = version
            self._remember_token("CreateWorkflowVersion", params, version)
        return {
            **version.created_view(),
            "workflowId": params["workflowId"],
            "versionName": params["versionName"],
        }

    def get_workflow_version(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a version."""
        workflow = self._workflow(params["workflowId"], params.get("type"))
        version = workflow.versions.get(params["versionName"])
        if version is None:
            raise ResourceNotFoundException(
                f"Version {params['versionName']} of workflow {workflow.id} not found"
            )
        view = {name: value for name, value in version.view(params.get("export")).items() if name != "name"}
        return {**view, "workflowId": workflow.id, "versionName": params["versionName"]}

    def _workflow(self, workflow_id: str, type_: str | None) -> Workflow:
        """Return a workflow; one that AWS owns is found only by its type."""
        workflow = self.workflows.get(workflow_id)
        if workflow is None or workflow.type != (type_ or "PRIVATE"):
            raise ResourceNotFoundException(f"Workflow {workflow_id} not found")
        return workflow

    def _workflow_to_run(self, request: Mapping[str, Any]) -> Workflow:
        workflow_id, type_ = request["workflowId"], request.get("workflowType")
        if LOCAL.options.any_workflow and workflow_id not in self.workflows:
            return self.add_workflow(workflow_id, {"name": f"workflow-{workflow_id}"}, type_ or "PRIVATE")
        return self._workflow(workflow_id, type_)

    # --- ids and request ids ---

    def _new_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _new_run_id(self) -> str:
        if LOCAL.options.reuse_run_ids:
            for run_id in self.deleted_runs:
                if run_id not in self.runs:
                    return run_id
        return self._new_id()

    def _known_token(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Return what a request id made before, or None if it is new or forgotten."""
        token = self._tokens.get((operation, params["requestId"]))
        lifetime = LOCAL.options.request_id_lifetime
        if token is None or (lifetime is not None and token.used + lifetime <= LOCAL.clock.now()):
            return None
        if token.body != _canonical(params) and LOCAL.options.request_id_reuse == "conflict":
            raise ConflictException("The requestId was used before with another request")
        return token.made

    def _remember_token(self, operation: str, params: Mapping[str, Any], made: object) -> None:
        token = Token(body=_canonical(params), used=LOCAL.clock.now(), made=made)
        self._tokens[operation, params["requestId"]] = token


def _canonical(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def _name_matches(wanted: str | None, name: str | None) -> bool:
    if wanted is None:
        return True
    return wanted == name if LOCAL.options.name_filter == "exact" else wanted in (name or "")


def _page(
    things: list[T], params: Mapping[str, Any], key: Callable[[T], int], item: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """Return the page that a token asks for. It names the last thing shown, so new things shift no page."""
    token = params.get("startingToken")
    if token is not None:
        if not token.isdecimal():
            raise ValidationException("startingToken is not one that this service gave out")
        things = [thing for thing in things if key(thing) > int(token)]
    size = params.get("maxResults", PAGE_SIZE)
    page = things[:size]
    return {
        "items": [item(thing) for thing in page],
        "nextToken": str(key(page[-1])) if len(things) > size else None,
    }


omics_backends = BackendDict(OmicsBackend, "omics")


def all_backends() -> list[OmicsBackend]:
    """Return the backends that were used."""
    return [backend for regions in list(omics_backends.values()) for backend in list(regions.values())]


def apply_due_transitions() -> None:
    """Move the runs of every account and region; the caller holds the lock."""
    for backend in all_backends():
        backend.apply_due_transitions()
