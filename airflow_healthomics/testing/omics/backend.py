# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the resources use of the backend that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from .batch import Batch
    from .batches import Batches
    from .changes import TaskChange, WorkflowChange
    from .configurations import Configurations
    from .request_ids import RequestIds
    from .run import Run
    from .run_caches import RunCaches
    from .run_groups import RunGroups
    from .runs import Runs
    from .schedule import Schedule
    from .transitions import Transitions
    from .workflows import Workflows

#: What changes by itself.
Change: TypeAlias = "Run | Batch | TaskChange | WorkflowChange"


class Backend(Protocol):
    """The resources of one account in one region."""

    account_id: str
    region_name: str
    runs: Runs
    workflows: Workflows
    run_groups: RunGroups
    run_caches: RunCaches
    configurations: Configurations
    batches: Batches
    transitions: Transitions
    schedule: Schedule[Change]
    request_ids: RequestIds

    @property
    def partition(self) -> str:
        """The AWS partition."""

    def arn(self, kind: str, resource_id: str) -> str:
        """Return the ARN of a resource."""

    def new_id(self) -> str:
        """Return an unused id."""
