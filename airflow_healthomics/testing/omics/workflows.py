# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The workflows and workflow versions of one account in one region: their operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .changes import WorkflowChange
from .definitions import Inspection, inspect
from .exceptions import ResourceNotFoundException, error_of
from .exports import exported
from .listing import name_matches, page
from .quotas import check_quota
from .workflow import Definition, Version, Workflow, check_source

#: User guide, page "fixed-quotas".
MAX_VERSIONS = 1000
#: API reference of UpdateWorkflow and UpdateWorkflowVersion.
UPDATABLE = ("name", "description", "storageType", "storageCapacity", "readmeMarkdown")


class Workflows:
    """
    The workflows.

    :param shared: Returns the workflow of another account, by id and account, that is shared with this one.
    """

    def __init__(self, backend: Backend, shared: Callable[[str, str], Workflow | None]) -> None:
        self._backend = backend
        self._shared = shared
        self._workflows: dict[str, Workflow] = {}
        self._numbers = count(1)

    def tagged(self) -> Iterator[Definition]:
        """Yield everything that can have tags."""
        for workflow in self._workflows.values():
            yield workflow
            yield from workflow.versions.values()

    # --- operations ---

    def create_workflow(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Create a workflow. An unusable definition does not fail the call, but the workflow."""
        workflow: Workflow | None = self._backend.request_ids.result("CreateWorkflow", params)
        if workflow is None:
            check_source(params)
            workflow = self.add(self._backend.new_id(), params, inspection=self._inspect(params))
            self._backend.request_ids.remember("CreateWorkflow", params, workflow)
            self._await_creation(workflow)
        return {**workflow.created_view(), "id": workflow.id}

    def get_workflow(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a workflow."""
        workflow = self.find(params["id"], params.get("type"), params.get("workflowOwnerId"))
        return {**workflow.view(), **exported(workflow, params, self._backend), "id": workflow.id}

    def list_workflows(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of workflows, the oldest first. AWS does not document the order."""
        return page(
            self._workflows.values(),
            params,
            key=lambda workflow: workflow.number,
            item=Workflow.item,
            wanted=lambda workflow: (
                workflow.type == params.get("type", "PRIVATE")
                and name_matches(params.get("name"), workflow.name)
            ),
        )

    def update_workflow(self, params: Mapping[str, Any]) -> None:
        """Update a workflow."""
        _update(self.find(params["id"]), params)

    def delete_workflow(self, params: Mapping[str, Any]) -> None:
        """
        Delete an ACTIVE or FAILED workflow without versions. Runs that use it continue.

        User guide, page "delete-private-workflow".
        """
        workflow = self.find(params["id"])
        if workflow.versions or workflow.status == "CREATING":
            state = "has versions" if workflow.versions else "is CREATING"
            raise error_of(LOCAL.options.delete_error, f"Workflow {workflow.id} {state}")
        del self._workflows[workflow.id]

    def create_workflow_version(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Add a version. It inherits nothing from its workflow."""
        version: Version | None = self._backend.request_ids.result("CreateWorkflowVersion", params)
        if version is None:
            workflow = self.find(params["workflowId"])
            check_source(params)
            name = params["versionName"]
            if name in workflow.versions:
                message = f"Version {name} of workflow {workflow.id} exists already"
                raise error_of(LOCAL.options.used_name_error, message)
            check_quota(f"versions of workflow {workflow.id}", len(workflow.versions), MAX_VERSIONS)
            version = Version(
                arn=f"{workflow.arn}/version/{name}",
                uuid=LOCAL.uuid(),
                number=next(self._numbers),
                request=params,
                inspection=self._inspect(params),
                workflow_id=workflow.id,
                name=name,
            )
            workflow.versions[name] = version
            self._backend.request_ids.remember("CreateWorkflowVersion", params, version)
            self._await_creation(version)
        return {**version.created_view(), "workflowId": version.workflow_id, "versionName": version.name}

    def get_workflow_version(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a version."""
        version = self._version(params)
        return {**version.version_view(), **exported(version, params, self._backend)}

    def list_workflow_versions(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of a workflow's versions, the oldest first. AWS does not document the order."""
        workflow = self.find(params["workflowId"], params.get("type"), params.get("workflowOwnerId"))
        return page(
            workflow.versions.values(),
            params,
            key=lambda version: version.number,
            item=Version.item,
        )

    def update_workflow_version(self, params: Mapping[str, Any]) -> None:
        """Update a version."""
        _update(self._version(params), params)

    def delete_workflow_version(self, params: Mapping[str, Any]) -> None:
        """Delete a version. Runs that use it continue (API reference)."""
        version = self._version(params)
        del self.find(version.workflow_id).versions[version.name]

    # --- for runs and the control ---

    def add(
        self,
        workflow_id: str,
        request: Mapping[str, Any],
        type_: str = "PRIVATE",
        inspection: Inspection | None = None,
    ) -> Workflow:
        """Add a workflow, possibly a READY2RUN one."""
        # "The ARN of a Ready2Run workflow has an empty account field" (AWS's rerun tool).
        account = "" if type_ == "READY2RUN" else self._backend.account_id
        prefix = f"arn:{self._backend.partition}:omics:{self._backend.region_name}:{account}"
        self._workflows.pop(workflow_id, None)  # so that the order is that of the numbers
        workflow = self._workflows[workflow_id] = Workflow(
            id=workflow_id,
            arn=f"{prefix}:workflow/{workflow_id}",
            uuid=LOCAL.uuid(),
            number=next(self._numbers),
            request=request,
            inspection=inspection or Inspection(),
            type=type_,
        )
        return workflow

    def to_run(self, request: Mapping[str, Any]) -> Workflow:
        """Return the workflow of a StartRun request."""
        workflow_id, type_ = request["workflowId"], request.get("workflowType")
        if workflow := self._of_other(workflow_id, request.get("workflowOwnerId")):
            return workflow
        if LOCAL.options.any_workflow and workflow_id not in self._workflows:
            return self.add(workflow_id, {"name": f"workflow-{workflow_id}"}, type_ or "PRIVATE")
        return self.find(workflow_id, type_, request.get("workflowOwnerId"))

    def find(self, workflow_id: str, type_: str | None = None, owner: str | None = None) -> Workflow:
        """Return a workflow. A READY2RUN one is only found with its type, and a shared one with its owner."""
        if workflow := self._of_other(workflow_id, owner):
            return workflow
        workflow = self._workflows.get(workflow_id)
        shared = owner not in (None, self._backend.account_id)
        if workflow is None or workflow.type != (type_ or "PRIVATE"):
            raise ResourceNotFoundException(f"Workflow {workflow_id} not found")
        if shared and not LOCAL.options.lenient("any_workflow_owner"):
            raise ResourceNotFoundException(f"Workflow {workflow_id} of account {owner} not found")
        return workflow

    def private(self, arn: str) -> Workflow | None:
        """Return the private workflow with an ARN."""
        found = self._workflows.get(arn.rpartition("/")[2])
        return found if found is not None and found.arn == arn and found.type == "PRIVATE" else None

    def _of_other(self, workflow_id: str, owner: str | None) -> Workflow | None:
        return None if owner in (None, self._backend.account_id) else self._shared(workflow_id, str(owner))

    def _version(self, params: Mapping[str, Any]) -> Version:
        workflow = self.find(params["workflowId"], params.get("type"), params.get("workflowOwnerId"))
        version = workflow.versions.get(params["versionName"])
        if version is None:
            raise ResourceNotFoundException(
                f"Version {params['versionName']} of workflow {workflow.id} not found"
            )
        return version

    def _await_creation(self, definition: Definition) -> None:
        """Schedule the end of the creation of a workflow or of a version."""
        backend = self._backend
        backend.schedule.add(WorkflowChange(definition, backend.account_id, backend.region_name))

    def _inspect(self, request: Mapping[str, Any]) -> Inspection:
        return inspect(request, self._backend.account_id, self._backend.partition)


def _update(definition: Definition, params: Mapping[str, Any]) -> None:
    changes = {name: params[name] for name in UPDATABLE if name in params}
    definition.request = {**definition.request, **changes}
