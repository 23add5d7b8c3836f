# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Workflows and their versions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL

from .exceptions import ConflictException, ValidationException

SOURCES = ("definitionZip", "definitionUri", "definitionRepository")

#: Members of Create that Get returns under the same name.
ECHOED = (
    "accelerators",
    "containerRegistryMap",
    "description",
    "engine",
    "main",
    "name",
    "parameterTemplate",
    "readmePath",
    "storageCapacity",
    "storageType",
)


@dataclass(kw_only=True)
class Definition:
    """The common attributes of a workflow and of a workflow version."""

    arn: str
    uuid: str
    request: Mapping[str, Any]
    type: str = "PRIVATE"
    created: float = field(default_factory=lambda: LOCAL.clock.now())

    @property
    def status(self) -> str:
        """CREATING for the configured time, then ACTIVE. A local definition never fails."""
        ready_at = self.created + LOCAL.options.workflow_creating_seconds
        return "CREATING" if LOCAL.clock.now() < ready_at else "ACTIVE"

    @property
    def digest(self) -> str:
        """A SHA-256 without the usual prefix, since the model allows only 64 characters."""
        return hashlib.sha256(self.uuid.encode()).hexdigest()

    @property
    def engine(self) -> str:
        """The engine of the request, or WDL. The service would detect it from the definition."""
        return str(self.request.get("engine") or "WDL")

    @property
    def template(self) -> Mapping[str, Any] | None:
        """The parameter template, if known."""
        return self.request.get("parameterTemplate")

    def created_view(self) -> dict[str, Any]:
        """Return the common members of Create responses."""
        return {
            "arn": self.arn,
            "status": "CREATING",
            "tags": self.request.get("tags") or {},
            "uuid": self.uuid,
        }

    def view(self, export: list[str] | None = None) -> dict[str, Any]:
        """Return the common members of Get responses."""
        return {
            **{name: self.request[name] for name in ECHOED if self.request.get(name) is not None},
            "arn": self.arn,
            "uuid": self.uuid,
            "status": self.status,
            "type": self.type,
            "engine": self.engine,
            "digest": self.digest,
            "creationTime": to_datetime(self.created),
            "tags": self.request.get("tags") or {},
            "definition": self.request.get("definitionUri") if "DEFINITION" in (export or []) else None,
        }


@dataclass(kw_only=True)
class Workflow(Definition):
    """A workflow. The ARN of a READY2RUN workflow has no account."""

    id: str
    versions: dict[str, Definition] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """The optional name."""
        return self.request.get("name")

    def version(self, name: str | None) -> Definition | None:
        """Return a version by name, or the workflow itself for None."""
        return self if name is None else self.versions.get(name)

    def item(self) -> dict[str, Any]:
        """Return the workflow as ListWorkflows shows it."""
        shown = ("arn", "id", "name", "status", "type", "digest", "creationTime")
        whole = {**self.view(), "id": self.id}
        return {name: whole[name] for name in shown if name in whole}


def check_source(request: Mapping[str, Any]) -> None:
    """Require exactly one source of the definition."""
    if len([name for name in SOURCES if request.get(name)]) != 1:
        raise ValidationException(f"exactly one of {', '.join(SOURCES)} is required")


def check_active(definition: Definition, what: str) -> None:
    """Require an ACTIVE definition. User guide: "after the workflow is ACTIVE"."""
    if definition.status != "ACTIVE":
        raise ConflictException(f"{what} is {definition.status}, not ACTIVE")
