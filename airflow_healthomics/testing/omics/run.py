# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run: its states, its tasks, and its views in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.options import Options
from airflow_healthomics.testing.plans import RunPlan

from .configuration import Configuration
from .states import ACTIVE, ENDED, FOLLOWS
from .task import Task
from .workflow import Definition, Workflow

LOG_GROUP = "/aws/omics/WorkflowLog"

#: User guide, page "workflows-run-types": DYNAMIC storage may not be measured in a run under two hours.
MEASURED_SECONDS = 7200.0

#: Failures of the import, which is in RUNNING and before all tasks (user guide, page "monitoring-runs"):
#: those that are about inputs (page "workflows-run-errors").
FAILS_BEFORE_TASKS = (
    "IMPORT_FAILED",
    "INPUT_URI_NOT_FOUND",
    "INVALID_URI_INPUT",
    "INACTIVE_OMICS_STORAGE_RESOURCE",
    "UNSUPPORTED_INPUT_SIZE",
)

#: Members of StartRun that GetRun returns under the same name.
ECHOED = (
    "cacheBehavior",
    "cacheId",
    "logLevel",
    "name",
    "outputUri",
    "outputUriPrefixMode",
    "parameters",
    "parametersUri",
    "priority",
    "requesterPaysEnabled",
    "retentionMode",
    "roleArn",
    "runGroupId",
    "runId",
    "scratchStorageMode",
    "sessionPolicy",
    "storageCapacity",
    "storageType",
    "workflowId",
    "workflowOwnerId",
    "workflowType",
    "workflowVersionName",
)


class StatusChange(NamedTuple):
    """A status, its time, and the outcome that was planned then."""

    status: str
    at: float
    outcome: str


class Computation(Protocol):
    """The computation of a run on this machine."""

    #: Local time of the end of its processes.
    ended: float | None

    def stop(self) -> None:
        """End the processes."""

    def save_cache(self) -> None:
        """Add the outputs of the completed tasks to the run cache."""


@dataclass(kw_only=True, eq=False, slots=True)
class Run:
    """A run. Times are seconds of the local clock."""

    id: str
    uuid: str
    account: str
    region: str
    partition: str
    request_id: str | None
    request: Mapping[str, Any]
    workflow: Workflow
    definition: Definition
    configuration: Configuration | None
    output_uri: str
    plan: RunPlan
    created: float
    sequence: int
    batch_id: str | None = None
    run_setting_id: str | None = None
    status: str = "PENDING"
    entered: float = 0.0
    started: float | None = None
    stopped: float | None = None
    outcome: str = "COMPLETED"
    failure_reason: str | None = None
    status_message: str | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    #: All statuses so far, and how many of them the logs have.
    history: list[StatusChange] = field(default_factory=list)
    logged: int = 0
    #: Seconds after which a RUNNING run times out.
    max_seconds: float | None = None
    #: Whether its tasks wait for CPUs or GPUs of the run group.
    limited: bool = False
    #: Whether the control is moving it, so that pace and limits do not apply.
    by_hand: bool = False
    #: Whether it is computed once it is RUNNING, instead of following its plan.
    computed: bool = False
    computation: Computation | None = None

    def __post_init__(self) -> None:
        self.entered = self.created
        self.end_as(self.plan.status, self.plan.failure_reason, self.plan.status_message)
        self.history.append(StatusChange(self.status, self.created, self.outcome))

    @property
    def arn(self) -> str:
        """The ARN."""
        return f"arn:{self.partition}:omics:{self.region}:{self.account}:run/{self.id}"

    @property
    def active(self) -> bool:
        """Whether the run is in an active state."""
        return self.status in ACTIVE

    @property
    def next_status(self) -> str:
        """The next state of an active run."""
        return FOLLOWS.get(self.status, self.outcome)

    @property
    def log_prefix(self) -> str | None:
        """The prefix of the ARNs of the run's log streams, or None if it has no logs."""
        if self.request["logLevel"] == "OFF":
            return None
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{LOG_GROUP}:log-stream:"

    def due(self, options: Options) -> float | None:
        """Return the time of the next transition, or None if only a call can move the run."""
        if not self.active:
            return None
        end = self._end_of_status(options)
        if self.status != "RUNNING" or options.manual:
            return end
        if self.limited and self.computation is None:
            end = self._end_of_tasks(end)
        return min((time for time in (end, self.deadline) if time is not None), default=None)

    def _end_of_status(self, options: Options) -> float | None:
        """Return the planned end of the status, or None as long as the run is computed."""
        seconds = self.plan.seconds.get(self.status, options.seconds(self.status))
        end = None if seconds is None else self.entered + seconds
        if self.computation is None:
            return end
        if self.status == "RUNNING":
            return None if options.manual else self.computation.ended
        return None if self.computation.ended is None else end

    @property
    def deadline(self) -> float | None:
        """The time at which the run times out."""
        return None if self.started is None or self.max_seconds is None else self.started + self.max_seconds

    def _end_of_tasks(self, end: float | None) -> float | None:
        """Return the end of a run that lasts until its last task, or None as long as tasks remain."""
        if end is None or any(task.remains for task in self.tasks.values()):
            return None
        return max([end, *(task.stopped for task in self.tasks.values() if task.stopped is not None)])

    def time_out(self) -> None:
        """Let the run fail, with the message of the user guide's table (page "workflows-run-errors")."""
        minutes = round((self.max_seconds or 0.0) / 60)
        self.end_as("FAILED", "RUN_TIMED_OUT", f"Run timeout after {minutes} minutes")

    def end_as(self, outcome: str, reason: str | None = None, message: str | None = None) -> None:
        """Set the outcome."""
        self.outcome = outcome
        self.failure_reason = (reason or "WORKFLOW_RUN_FAILED") if outcome == "FAILED" else None
        self.status_message = message

    def enter(self, status: str, at: float) -> None:
        """Change the state of the run and of its tasks."""
        self.status, self.entered = status, at
        self.history.append(StatusChange(status, at, self.outcome))
        if status == "RUNNING":
            self.started = at
        if status in ENDED:
            self.stopped = at
        if status == "STOPPING":
            self.tasks = {task.id: task for task in self.tasks.values() if task.created <= at}
        for task in self.tasks.values():
            task.settle(at)
            if status == "STOPPING" and task.status not in (*ENDED, "STOPPING"):
                task.started, task.queued = min(task.started, at), False
                task.enter("STOPPING" if self.interrupted or task.computed else task.finished, at)
            elif task.status == "STOPPING" and status in ENDED:
                task.enter("CANCELLED", at)

    @property
    def interrupted(self) -> bool:
        """Whether the end of the run ends its tasks too."""
        return self.outcome == "CANCELLED" or self.failure_reason == "RUN_TIMED_OUT"

    def start_view(self) -> dict[str, Any]:
        """Return the run for StartRun."""
        return {
            "arn": self.arn,
            "id": self.id,
            "uuid": self.uuid,
            "status": self.status,
            "tags": self.request.get("tags") or {},
            "runOutputUri": self.output_uri,
            "networkingMode": self.request["networkingMode"],
            "configuration": self._configuration(),
        }

    def item(self) -> dict[str, Any]:
        """Return the run for ListRuns, without uuid."""
        shown = ("name", "workflowId", "priority", "storageCapacity", "storageType", "workflowVersionName")
        return {
            **{name: self.request.get(name) for name in shown},
            **self._storage_view(),
            **self._state_view(),
            "workflowName": self.workflow.name,
        }

    def view(self) -> dict[str, Any]:
        """Return the run for GetRun."""
        failed = self.status == "FAILED"
        logs = self.log_prefix
        nextflow = self.definition.engine == "NEXTFLOW"
        return {
            **{name: self.request.get(name) for name in ECHOED},
            **self._storage_view(),
            **self.start_view(),
            **self._state_view(),
            "failureReason": self.failure_reason if failed else None,
            "statusMessage": self.status_message if self.status in ENDED else None,
            "digest": self.definition.digest,
            "workflowUuid": self.definition.uuid,
            # "The run takes a snapshot of the configuration" (SOP of the service's MCP server).
            "vpcConfig": self.configuration and self.configuration.vpc,
            "startedBy": f"arn:{self.partition}:iam::{self.account}:root",
            "accelerators": self.definition.request.get("accelerators"),
            # "Nextflow only, ignored and absent from GetRun for WDL and CWL" (user guide, "starting-a-run").
            "engineSettings": self.request.get("engineSettings") if nextflow else None,
            "logLocation": logs
            and {"engineLogStream": f"{logs}run/{self.id}/engine", "runLogStream": f"{logs}run/{self.id}"},
        }

    @property
    def measured_storage(self) -> dict[str, float]:
        """Storage in GiB that the service reports: "maximum" and "average"."""
        if self.started is None or self.stopped is None:
            return {}
        if self.request["storageType"] == "DYNAMIC" and self.stopped - self.started < MEASURED_SECONDS:
            return {}
        plan = {"maximum": self.plan.storage_maximum, "average": self.plan.storage_average}
        return {name: gib for name, gib in plan.items() if gib is not None}

    def _storage_view(self) -> dict[str, Any]:
        """Return a storageCapacity that differs from the request (API reference of GetRun)."""
        maximum = self.measured_storage.get("maximum")
        is_measured = self.request["storageType"] == "DYNAMIC" and maximum is not None
        return {"storageCapacity": maximum} if is_measured else {}

    def _state_view(self) -> dict[str, Any]:
        return {
            "arn": self.arn,
            "id": self.id,
            "status": self.status,
            "creationTime": to_datetime(self.created),
            "startTime": to_datetime(self.started),
            "stopTime": to_datetime(self.stopped),
            "batchId": self.batch_id,
        }

    def _configuration(self) -> dict[str, Any] | None:
        if self.configuration is not None:
            return self.configuration.run_view()
        name = self.request.get("configurationName")
        return {"name": name} if name else None
