# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A configuration, and its views in the API."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL


@dataclass(kw_only=True)
class Configuration:
    """A configuration. Its name identifies it."""

    name: str
    arn: str
    uuid: str
    number: int
    request: Mapping[str, Any]
    created: float
    deleted: float | None = None

    @property
    def status(self) -> str:
        """The status (user guide, page "workflows-vpc-networking"). A local configuration never fails."""
        now, options = LOCAL.clock.now(), LOCAL.options
        if self.deleted is not None:
            return "DELETING" if now < self.deleted + options.configuration_deleting_seconds else "DELETED"
        return "CREATING" if now < self.created + options.configuration_creating_seconds else "ACTIVE"

    @property
    def vpc(self) -> dict[str, Any] | None:
        """The VPC configuration. The service finds the VPC of the subnets; here its id is made up."""
        given = self.request["runConfigurations"].get("vpcConfig")
        if given is None:
            return None
        subnets = ",".join(sorted(given.get("subnetIds") or ()))
        return {**given, "vpcId": f"vpc-{hashlib.sha256(subnets.encode()).hexdigest()[:17]}"}

    def item(self) -> dict[str, Any]:
        """Return the configuration for ListConfigurations."""
        return {
            "arn": self.arn,
            "name": self.name,
            "description": self.request.get("description"),
            "status": self.status,
            "creationTime": to_datetime(self.created),
        }

    def view(self) -> dict[str, Any]:
        """Return the configuration for CreateConfiguration and GetConfiguration."""
        return {
            **self.item(),
            "uuid": self.uuid,
            "runConfigurations": {"vpcConfig": self.vpc},
            "tags": self.request.get("tags") or {},
        }

    def run_view(self) -> dict[str, Any]:
        """Return the configuration for StartRun and GetRun."""
        return {"name": self.name, "arn": self.arn, "uuid": self.uuid}
