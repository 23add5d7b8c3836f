# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Plans for future runs and batches: tasks, durations, outcome, failures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """
    One task of a run. ``memory`` is in GiB. With a ``failure_reason`` the task ends as FAILED.

    Starts ``after`` seconds into RUNNING and runs for ``seconds``; by default until the run leaves RUNNING.
    Average and maximum of CPUs and memory (in GiB) are only in the manifest. CPUs and memory in use are
    metrics in CloudWatch while the task is running; with None, the role of the run may not publish any.
    """

    name: str
    cpus: int = 2
    memory: int = 8
    gpus: int = 0
    instance_type: str = "omics.m.large"
    image: str | None = None
    cache_hit: bool = False
    after: float = 0.0
    seconds: float | None = None
    cpus_average: float | None = None
    cpus_maximum: float | None = None
    memory_average: float | None = None
    memory_maximum: float | None = None
    cpus_in_use: float | None = None
    memory_in_use: float | None = None
    failure_reason: str | None = None
    status_message: str | None = None
    log: Sequence[str] = ()


@dataclass(kw_only=True)
class RunPlan:
    """The course of matching runs. None means the default of the local HealthOmics."""

    name: str | None = None
    workflow_id: str | None = None
    run_setting_id: str | None = None
    times: int | None = 1
    status: Literal["COMPLETED", "FAILED", "CANCELLED"] = "COMPLETED"
    failure_reason: str | None = None
    status_message: str | None = None
    tasks: int | Sequence[TaskPlan] | None = None
    seconds: Mapping[str, float | None] = field(default_factory=dict)
    engine_log: Sequence[str] = ()
    outputs: Mapping[str, str | Path] | None = None
    #: The JSON values of the outputs by their names; None derives it from the paths.
    summary: Mapping[str, Any] | None = None
    storage_maximum: int | None = None
    storage_average: float | None = None

    def matches(self, request: Mapping[str, Any], run_setting_id: str | None) -> bool:
        """Whether the plan applies to the run of a request or of a batch's run setting."""
        return (
            self.name in (None, request.get("name"))
            and self.workflow_id in (None, request.get("workflowId"))
            and self.run_setting_id in (None, run_setting_id)
        )

    @property
    def specificity(self) -> tuple[bool, ...]:
        """How closely the plan names its runs: a run setting before a name before a workflow."""
        return tuple(given is not None for given in (self.run_setting_id, self.name, self.workflow_id))

    def task_plans(self, default_count: int) -> Sequence[TaskPlan]:
        """Return the plan of each task."""
        tasks = default_count if self.tasks is None else self.tasks
        if not isinstance(tasks, int):
            return tasks
        return _default_tasks(tasks)


@cache
def _default_tasks(count: int) -> Sequence[TaskPlan]:
    """Return the plans of tasks without a plan, which all runs share."""
    return [TaskPlan(name=f"task-{number}") for number in range(1, count + 1)]


#: User guide, page "workflows-batch", table of the batch-level failures.
TRANSIENT_ERROR = "There was a transient error in the service. Retry the batch."
#: Code in the event of such a failure. AWS does not document it; the form is that of VALIDATION_EXCEPTION.
TRANSIENT_CODE = "INTERNAL_SERVER_EXCEPTION"


@dataclass(kw_only=True)
class BatchPlan:
    """The failure of a batch after it attempted to submit ``after`` runs."""

    name: str | None = None
    times: int | None = 1
    after: int = 0
    reason: str = TRANSIENT_ERROR
    code: str = TRANSIENT_CODE

    @property
    def specificity(self) -> tuple[bool, ...]:
        """How closely the plan names its batches."""
        return (self.name is not None,)


@dataclass(kw_only=True)
class SubmissionPlan:
    """The failure of a batch's request to start, cancel or delete a run."""

    operation: Literal["StartRun", "CancelRun", "DeleteRun"]
    run_setting_ids: frozenset[str] | None
    code: str
    message: str
    times: int | None

    def matches(self, operation: str, run_setting_id: str) -> bool:
        """Whether the plan applies to a request."""
        ids = self.run_setting_ids
        return operation == self.operation and (ids is None or run_setting_id in ids)

    @property
    def specificity(self) -> tuple[bool, ...]:
        """How closely the plan names its requests."""
        return (self.run_setting_ids is not None,)


@dataclass(kw_only=True)
class SourcePlan:
    """The failure of a source of a job."""

    #: Kind of the job, e.g. "Read Set Import Job".
    kind: str | None
    #: A URI, id or name of the source.
    source: str | None
    message: str
    times: int | None

    def matches(self, kind: str, names: Collection[str]) -> bool:
        """Whether the plan applies to a source."""
        return self.kind in (None, kind) and (self.source is None or self.source in names)

    @property
    def specificity(self) -> tuple[bool, ...]:
        """How closely the plan names its sources."""
        return (self.source is not None, self.kind is not None)
