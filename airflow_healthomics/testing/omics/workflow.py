# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A workflow, a workflow version, and their views in the API."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL

from .definitions import Inspection
from .exceptions import ValidationException, error_of

SOURCES = ("definitionZip", "definitionUri", "definitionRepository")

#: Members of Create that Get returns under the same name.
ECHOED = (
    "accelerators",
    "containerRegistryMap",
    "description",
    "name",
    "readmePath",
    "storageCapacity",
    "storageType",
)


@dataclass(kw_only=True)
class Definition:
    """The common attributes of a workflow and of a workflow version."""

    arn: str
    uuid: str
    #: Its place in the lists.
    number: int
    request: Mapping[str, Any]
    inspection: Inspection = field(default_factory=Inspection)
    type: str = "PRIVATE"
    created: float = field(default_factory=lambda: LOCAL.clock.now())

    @property
    def owner(self) -> str:
        """The account of the owner; empty for a READY2RUN workflow."""
        return self.arn.split(":")[4]

    @property
    def status(self) -> str:
        """CREATING for the configured time, then ACTIVE, or FAILED for an unusable definition."""
        ready_at = self.created + LOCAL.options.workflow_creating_seconds
        if LOCAL.clock.now() < ready_at:
            return "CREATING"
        return "FAILED" if self.inspection.problem else "ACTIVE"

    @property
    def digest(self) -> str:
        """
        A SHA-256 of the archive, without the usual prefix, since the model allows only 64 characters.

        A workflow without an archive, such as one added by the control, has a digest of its uuid.
        """
        return hashlib.sha256(self.inspection.archive or self.uuid.encode()).hexdigest()

    @property
    def engine(self) -> str:
        """The engine of the request, or the detected one, or WDL."""
        return str(self.inspection.engine or self.request.get("engine") or "WDL")

    @property
    def main(self) -> str | None:
        """The path of the main definition file, if known."""
        return self.inspection.main or self.request.get("main")

    @property
    def template(self) -> Mapping[str, Any] | None:
        """
        The parameter template, if known.

        "If you provide a parameter template file for a workflow, the parameters in your file override the
        parameters detected in the workflow definition" (user guide, page "parameter-templates").
        """
        return self.request.get("parameterTemplate") or self.inspection.template

    def created_view(self) -> dict[str, Any]:
        """Return the common members of Create responses."""
        return {
            "arn": self.arn,
            "status": "CREATING",
            "tags": self.request.get("tags") or {},
            "uuid": self.uuid,
        }

    def view(self) -> dict[str, Any]:
        """Return the common members of Get responses."""
        failed = self.status == "FAILED"
        return {
            **{name: self.request[name] for name in ECHOED if self.request.get(name) is not None},
            "arn": self.arn,
            "uuid": self.uuid,
            "status": self.status,
            "statusMessage": self.inspection.problem if failed else None,
            "type": self.type,
            "engine": self.request.get("engine") if failed else self.engine,
            "main": self.main,
            "digest": self.digest,
            "parameterTemplate": self.template,
            "creationTime": to_datetime(self.created),
            "tags": self.request.get("tags") or {},
        }


@dataclass(kw_only=True)
class Version(Definition):
    """A version of a workflow."""

    workflow_id: str
    name: str

    def version_view(self) -> dict[str, Any]:
        """Return the version for GetWorkflowVersion."""
        view = {name: value for name, value in self.view().items() if name != "name"}
        return {**view, "workflowId": self.workflow_id, "versionName": self.name}

    def item(self) -> dict[str, Any]:
        """Return the version for ListWorkflowVersions."""
        shown = ("arn", "workflowId", "versionName", "description", "status", "type", "digest")
        whole = self.version_view()
        return {name: whole.get(name) for name in (*shown, "creationTime")}


@dataclass(kw_only=True)
class Workflow(Definition):
    """A workflow. The ARN of a READY2RUN workflow has no account."""

    id: str
    versions: dict[str, Version] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """The optional name."""
        return self.request.get("name")

    def version(self, name: str | None) -> Definition | None:
        """Return a version by name, or the workflow itself for None."""
        return self if name is None else self.versions.get(name)

    def item(self) -> dict[str, Any]:
        """Return the workflow for ListWorkflows."""
        shown = ("arn", "id", "name", "status", "type", "digest", "creationTime")
        whole = {**self.view(), "id": self.id}
        return {name: whole.get(name) for name in shown}


def check_source(request: Mapping[str, Any]) -> None:
    """
    Require exactly one source of the definition.

    "A request that includes more than one definition source fails" (user guide, page
    "workflow-defn-packaging").
    """
    if len([name for name in SOURCES if request.get(name)]) != 1:
        raise ValidationException(f"exactly one of {', '.join(SOURCES)} is required")


def check_active(definition: Definition, what: str) -> None:
    """Require an ACTIVE definition. User guide: "after the workflow is ACTIVE"."""
    if definition.status != "ACTIVE":
        raise error_of(LOCAL.options.inactive_error, f"{what} is {definition.status}, not ACTIVE")


def check_own(definition: Definition, account: str, action: str) -> None:
    """
    Refuse an action on a workflow that another account shares with this one.

    "As the subscriber to a shared workflow, the system blocks you from ... exporting a shared workflow,
    re-running the shared workflow" (user guide, page "sharing-workflows").
    """
    if definition.owner not in ("", account):
        message = f"A workflow that account {definition.owner} shares cannot be {action}"
        raise error_of(LOCAL.options.shared_workflow_error, message)
