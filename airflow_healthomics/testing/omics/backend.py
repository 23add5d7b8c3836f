# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What all resources use of the backend that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from .batch import Batch
    from .changes import TaskChange, WorkflowChange
    from .request_ids import ClientTokens, RequestIds
    from .run import Run
    from .schedule import Schedule
    from .storage.changes import PlannedChange
    from .storage.job import Job

#: What changes by itself.
Change: TypeAlias = "Run | Batch | TaskChange | WorkflowChange | Job | PlannedChange"


class Backend(Protocol):
    """HealthOmics in one account and region."""

    account_id: str
    region_name: str
    schedule: Schedule[Change]
    request_ids: RequestIds
    client_tokens: ClientTokens
    #: The runs that are not in a terminal state, by id.
    active: dict[str, Run]

    @property
    def partition(self) -> str:
        """The AWS partition."""

    def arn(self, kind: str, resource_id: str) -> str:
        """Return the ARN of a resource."""

    def new_id(self) -> str:
        """Return an unused id."""

    def new_storage_id(self) -> str:
        """Return an unused id of a store, of its contents and its jobs, which has at least 10 digits."""
