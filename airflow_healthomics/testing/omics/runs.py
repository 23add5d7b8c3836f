# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of one account in one region: their operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.plans import RunPlan

from . import side_effects
from .backend import Backend
from .computations import simulation
from .configurations import Configurations
from .exceptions import ResourceNotFoundException, error_of
from .exports import exported
from .listing import name_matches, page
from .run import Run
from .run_caches import RunCaches
from .run_groups import RunGroups
from .run_rules import DEFAULT_STATIC_GIB, check_parameters, check_request, check_run
from .s3_inputs import check_output_region
from .s3_objects import presigned
from .states import ENDED
from .transitions import Transitions
from .workflow import Definition, Workflow, check_active, check_own
from .workflows import Workflows


class Runs:
    """The runs."""

    def __init__(
        self,
        backend: Backend,
        *,
        workflows: Workflows,
        run_groups: RunGroups,
        run_caches: RunCaches,
        configurations: Configurations,
        transitions: Transitions,
    ) -> None:
        self._backend = backend
        self._workflows = workflows
        self._run_groups = run_groups
        self._run_caches = run_caches
        self._configurations = configurations
        self._transitions = transitions
        self.stored: dict[str, Run] = {}
        self.deleted: dict[str, Run] = {}
        self._sequence = 0

    def tagged(self) -> Iterator[Run]:
        """Yield everything that can have tags."""
        yield from self.stored.values()

    # --- operations ---

    def start_run(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run, or return the run of a known request id."""
        options = LOCAL.options
        if (known := self._backend.request_ids.result("StartRun", params)) is not None:
            answer: dict[str, Any] = known.start_view()
            return {**answer, "status": "PENDING"} if options.duplicate_status == "pending" else answer
        check_request(params)
        run = self.submit(self._inherit(params), at=LOCAL.clock.now())
        self._backend.request_ids.remember("StartRun", params, run)
        return run.start_view()

    def submit(
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
            backend = self._backend
            check_output_region(request, backend.region_name, backend.account_id, backend.partition)
        if LOCAL.options.check_parameters and "parametersUri" not in request:
            check_parameters(request.get("parameters") or {}, definition)
        self._make_room()
        request = self._with_defaults(request, definition)
        return self._create_run(request, workflow, definition, at, batch_id, run_setting_id)

    def check_whole(self, request: Mapping[str, Any]) -> tuple[Workflow, Definition]:
        """Validate the request of a run, or of all runs of a batch; return workflow and definition."""
        check_run(request)
        workflow = self._workflows.to_run(request)
        definition = workflow.version(request.get("workflowVersionName"))
        if definition is None:
            raise ResourceNotFoundException(
                f"Workflow version {request['workflowVersionName']} of workflow {workflow.id} not found"
            )
        check_active(definition, f"Workflow {workflow.id}")
        self._run_groups.check(request)
        self._run_caches.check(request)
        self._configurations.of(request)
        return workflow, definition

    def get_run(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a run."""
        run = self.find(params["id"])
        view = {**run.view(), **exported(run.definition, params, self._backend)}
        if view["parametersUri"] and LOCAL.options.presigned_parameters_uri:
            view["parametersUri"] = presigned(view["parametersUri"], run.region)
        return view

    def list_runs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of runs, the oldest first. AWS does not document the order."""
        runs: list[Run] = list(self.stored.values())
        if LOCAL.options.show_deleted_runs:
            runs = sorted([*runs, *self.deleted.values()], key=lambda run: run.sequence)
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
        self.cancel(self.find(params["id"]), LOCAL.clock.now())

    def cancel(self, run: Run, at: float) -> None:
        """Cancel a run, for a caller or for a batch."""
        if not run.active:
            raise error_of(
                LOCAL.options.cancel_error, f"Run {run.id} is {run.status} and cannot be cancelled"
            )
        run.end_as("CANCELLED")
        if run.status != "STOPPING":
            self._transitions.enter(run, "STOPPING", at)

    def delete_run(self, params: Mapping[str, Any]) -> None:
        """Delete the record of a run in a terminal state. Outputs and logs remain."""
        self.delete(self.find(params["id"]), LOCAL.clock.now())

    def delete(self, run: Run, at: float) -> None:
        """Delete a run, for a caller or for a batch."""
        if run.status not in ENDED:
            raise error_of(LOCAL.options.delete_error, f"Run {run.id} is {run.status} and cannot be deleted")
        self.remove(run, at)

    def list_run_tasks(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of a run's tasks."""
        run, now = self.find(params["id"]), LOCAL.clock.now()
        tasks = [task for task in run.tasks.values() if task.created <= now]
        cache_uri = self._run_caches.uri(run)
        return page(
            enumerate(tasks, 1),
            params,
            key=lambda pair: pair[0],
            item=lambda pair: pair[1].item(cache_uri),
            wanted=lambda pair: params.get("status") in (None, pair[1].status),
        )

    def get_run_task(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task."""
        run = self.find(params["id"])
        if params["taskId"] not in run.tasks:
            raise ResourceNotFoundException(f"Task {params['taskId']} of run {run.id} not found")
        cache_uri = self._run_caches.uri(run)
        return run.tasks[params["taskId"]].view(run.log_prefix, cache_uri)

    def find(self, run_id: str) -> Run:
        """Return an existing run."""
        run = self.stored.get(run_id)
        if run is None and LOCAL.options.show_deleted_runs:
            run = self.deleted.get(run_id)
        if run is None:
            raise ResourceNotFoundException(f"Run {run_id} not found")
        return run

    def _inherit(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request, including the fields that a rerun inherits."""
        if "runId" not in params:
            return dict(params)
        source = self.find(params["runId"])
        if source.status == "DELETED":
            raise ResourceNotFoundException(f"Run {source.id} not found")
        check_own(source.workflow, self._backend.account_id, "run again")
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
        plan = LOCAL.take_plan(request, run_setting_id) or simulation(definition)
        run = Run(
            id=run_id,
            uuid=run_uuid,
            account=self._backend.account_id,
            region=self._backend.region_name,
            partition=self._backend.partition,
            request_id=request.get("requestId"),
            request=request,
            workflow=workflow,
            definition=definition,
            configuration=self._configurations.of(request),
            output_uri=output_uri,
            plan=plan or RunPlan(),
            computed=plan is None,
            created=at,
            sequence=self._sequence,
            batch_id=batch_id,
            run_setting_id=run_setting_id,
        )
        self.stored[run_id] = self._backend.active[run_id] = run
        side_effects.announce(run)
        self._backend.schedule.add(run)
        LOCAL.changed.notify_all()
        return run

    def _make_room(self) -> None:
        """Remove the oldest inactive REMOVE run of a full account (user guide, page "run-retention")."""
        limit = LOCAL.options.max_stored_runs
        if limit is None or len(self.stored) < limit:
            return
        for run in self.stored.values():
            if run.request["retentionMode"] == "REMOVE" and not run.active:
                self.remove(run, LOCAL.clock.now())
                return
        raise error_of(
            LOCAL.options.stored_runs_error, f"The account already has {len(self.stored)} of {limit} runs"
        )

    def remove(self, run: Run, at: float) -> None:
        """Remove a run, as DeleteRun and the retention mode do."""
        self.stored.pop(run.id, None)
        self.deleted[run.id] = run
        if run.request_id is not None and not LOCAL.options.request_id_survives_delete:
            self._backend.request_ids.forget("StartRun", run.request_id)
        self._transitions.enter(run, "DELETED", at)

    def _new_run_id(self) -> str:
        if LOCAL.options.reuse_run_ids:
            for run_id in self.deleted:
                if run_id not in self.stored:
                    return run_id
        return self._backend.new_id()
