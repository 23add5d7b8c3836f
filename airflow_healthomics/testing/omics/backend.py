# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the resources use of the backend that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .batch import Batch
    from .changes import TaskChange, WorkflowChange
    from .run import Run
    from .workflow import Definition, Workflow


class Backend(Protocol):
    """The resources of one account in one region."""

    account_id: str
    region_name: str
    active: dict[str, Run]

    @property
    def partition(self) -> str:
        """The AWS partition."""

    def arn(self, kind: str, resource_id: str) -> str:
        """Return the ARN of a resource."""

    def new_id(self) -> str:
        """Return an id that no resource has."""

    def known_token(self, operation: str, params: Mapping[str, Any]) -> Any:
        """Return the result of an earlier request with the same request ID."""

    def remember_token(self, operation: str, params: Mapping[str, Any], made: object) -> None:
        """Remember the result of a request."""

    def forget_token(self, operation: str, request_id: str) -> None:
        """Forget a request ID."""

    def check_whole(self, request: Mapping[str, Any]) -> tuple[Workflow, Definition]:
        """Check a request, and return its workflow."""

    def submit_run(
        self, request: dict[str, Any], *, at: float, batch_id: str | None, run_setting_id: str | None
    ) -> Run:
        """Start a run."""

    def schedule(self, thing: Run | Batch | TaskChange | WorkflowChange) -> None:
        """Schedule the next change of something."""

    def step(self, run: Run, at: float) -> bool:
        """Move a run to its next status."""

    def advance(self, run: Run, status: str, reason: str | None = None, message: str | None = None) -> None:
        """Move a run to a status."""

    def cancel(self, run: Run, at: float) -> None:
        """Cancel a run."""

    def delete(self, run: Run, at: float) -> None:
        """Delete a run."""
