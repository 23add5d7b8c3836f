# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A share of a workflow with another account, and its views in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.testing.clock import to_datetime

from .events import send
from .workflow import Workflow


@dataclass(eq=False, kw_only=True)
class Share:
    """
    A share.

    :param number: Its place in the lists.
    """

    id: str
    number: int
    owner: str
    region: str
    workflow: Workflow
    request: Mapping[str, Any]
    created: float
    updated: float
    status: str = "PENDING"

    @property
    def subscriber(self) -> str:
        """The account that the workflow is shared with."""
        return str(self.request["principalSubscriber"])

    def enter(self, status: str, at: float) -> None:
        """
        Change the status, and announce it to both accounts.

        AWS documents the event "Workflow Share Status Change" and its statuses, but not its detail. Here it
        has the members of GetShare.
        """
        self.status, self.updated = status, at
        times = ("creationTime", "updateTime")
        detail = {name: value for name, value in self.view().items() if name not in times}
        for account in (self.owner, self.subscriber):
            place = (account, self.region)
            send("Workflow Share Status Change", place, at, detail, resource=self.workflow.arn)

    def view(self) -> dict[str, Any]:
        """Return the share for GetShare and ListShares."""
        return {
            "shareId": self.id,
            "shareName": self.request.get("shareName"),
            "resourceArn": self.workflow.arn,
            "resourceId": self.workflow.id,
            "principalSubscriber": self.subscriber,
            "ownerId": self.owner,
            "status": self.status,
            "creationTime": to_datetime(self.created),
            "updateTime": to_datetime(self.updated),
        }
