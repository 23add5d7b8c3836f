# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run batch: its states, its run settings, its counts, and its views in the API."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.options import Options
from airflow_healthomics.testing.plans import BatchPlan

from .exceptions import HealthOmicsError
from .run import Run
from .states import ACTIVE, ENDED
from .workflow import Definition, Workflow

#: User guide, page "workflows-batch": the states of a batch that is not cancelled.
ORDER = ("CREATING", "PENDING", "SUBMITTING", "INPROGRESS", "PROCESSED")
CANCELLABLE = ("PENDING", "SUBMITTING", "INPROGRESS")
RUNS_DELETABLE = ("PROCESSED", "CANCELLED")
TERMINAL = ("PROCESSED", "FAILED", "CANCELLED", "RUNS_DELETED", "RUNS_DELETE_FAILED")
#: In these states the batch sends a request for each run, one by one, at the quota of the single operation:
#: "batch operations share the same per-account quotas as their individual counterparts".
REQUESTS: Mapping[str, str] = {
    "SUBMITTING": "StartRun",
    "STOPPING": "CancelRun",
    "RUNS_DELETING": "DeleteRun",
}

#: Terminal states after a requested cancellation or deletion.
ENDS: Mapping[str, tuple[str, ...]] = {
    "STOPPING": ("CANCELLED",),
    "RUNS_DELETING": ("RUNS_DELETED", "RUNS_DELETE_FAILED"),
}

#: The members of submissionSummary by submission status.
SUBMISSIONS: Mapping[str, str] = {
    "SUCCESS": "successfulStartSubmissionCount",
    "FAILED": "failedStartSubmissionCount",
    "CANCEL_SUCCESS": "successfulCancelSubmissionCount",
    "CANCEL_FAILED": "failedCancelSubmissionCount",
    "DELETE_SUCCESS": "successfulDeleteSubmissionCount",
    "DELETE_FAILED": "failedDeleteSubmissionCount",
}
RUN_STATUSES = (*ACTIVE, *ENDED, "DELETED")


@dataclass(slots=True, eq=False)
class BatchRun:
    """One run setting of a batch and its outcome. Before its submission it has no status."""

    number: int
    setting: Mapping[str, Any]
    run: Run | None = None
    status: str | None = None
    failure: HealthOmicsError | None = None

    @property
    def setting_id(self) -> str:
        """The run setting id."""
        return str(self.setting["runSettingId"])

    def item(self) -> dict[str, Any]:
        """Return the entry for ListRunsInBatch: "runId is empty if submission failed"."""
        return {
            "runSettingId": self.setting_id,
            "runId": self.run.id if self.run else None,
            "runInternalUuid": self.run.uuid if self.run else None,
            "runArn": self.run.arn if self.run else None,
            "submissionStatus": self.status,
            "submissionFailureReason": self.failure.code if self.failure else None,
            "submissionFailureMessage": self.failure.message if self.failure else None,
        }


class RunCounts:
    """Number of runs by status, exact and as shown with a lag."""

    def __init__(self) -> None:
        self._now: Counter[str] = Counter()
        self._shown: Counter[str] = Counter()
        self._unseen: deque[tuple[float, str | None, str]] = deque()

    @property
    def live(self) -> int:
        """Number of active runs."""
        return sum(self._now[status] for status in ACTIVE)

    def change(self, before: str | None, after: str, at: float) -> None:
        """Count a new run, or a change of status."""
        _move(self._now, before, after)
        self._unseen.append((at, before, after))
        self.shown(at)

    def shown(self, now: float) -> Mapping[str, int]:
        """Return the counts that the API shows at a time."""
        horizon = now - LOCAL.options.batch_counts_lag_seconds
        while self._unseen and self._unseen[0][0] <= horizon:
            _move(self._shown, *self._unseen.popleft()[1:])
        return self._shown

    def reconcile(self) -> None:
        """Show the exact counts: "final counts are reconciled at PROCESSED"."""
        self._unseen.clear()
        self._shown = self._now.copy()


def _move(counts: Counter[str], before: str | None, after: str) -> None:
    if before is not None:
        counts[before] -= 1
    counts[after] += 1


@dataclass(kw_only=True, eq=False)
class Batch:
    """A batch. Times are seconds of the local clock."""

    id: str
    uuid: str
    arn: str
    account: str
    region: str
    request: Mapping[str, Any]
    workflow: Workflow
    definition: Definition
    created: float
    plan: BatchPlan | None
    #: None until the run settings in S3 are read.
    entries: list[BatchRun] | None
    #: ETag of the run settings in S3 at the start of the batch.
    etag: str | None
    status: str = "CREATING"
    entered: float = 0.0
    submitted: float | None = None
    processed: float | None = None
    failed: float | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    #: Index of the entry of the next request, and its due time; None if there is none.
    cursor: int = 0
    next_request: float | None = None
    #: Number of runs that were cancelled before their submission.
    never_submitted: int = 0
    submissions: Counter[str] = field(default_factory=Counter)
    runs: RunCounts = field(default_factory=RunCounts)

    def __post_init__(self) -> None:
        self.entered = self.created

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The common settings of all runs."""
        defaults: Mapping[str, Any] = self.request["defaultRunSetting"]
        return defaults

    @property
    def all_requested(self) -> bool:
        """Whether all requests of the current state were sent."""
        return self.cursor >= len(self.entries or ())

    def due(self, options: Options) -> float | None:
        """Return the time of the next transition, or None if only a call or a run can move the batch."""
        if self.status in REQUESTS:
            return None if options.manual else self.next_request
        seconds = options.batch_seconds(self.status)
        return None if seconds is None else self.entered + seconds

    def enter(self, status: str, at: float) -> None:
        """Change the state."""
        self.status, self.entered = status, at
        self.cursor, self.next_request = 0, at if status in REQUESTS else None
        if status == "INPROGRESS":
            self.submitted = at
        elif status == "PROCESSED":
            self.processed = at
            self.runs.reconcile()
        elif status == "FAILED":
            self.failed = at

    def record(self, entry: BatchRun, status: str, failure: HealthOmicsError | None = None) -> None:
        """Store the outcome of a request."""
        entry.status, entry.failure = status, failure
        self.submissions[status] += 1

    def start_view(self) -> dict[str, Any]:
        """Return the batch for StartRunBatch."""
        return {
            "id": self.id,
            "arn": self.arn,
            "uuid": self.uuid,
            "status": self.status,
            "tags": self.request.get("tags") or {},
        }

    def item(self) -> dict[str, Any]:
        """Return the batch for ListBatch."""
        return {
            "id": self.id,
            "name": self.request.get("batchName"),
            "status": self.status,
            "createdAt": to_datetime(self.created),
            "totalRuns": None if self.entries is None else len(self.entries),
            "workflowId": self.workflow.id,
        }

    def view(self, now: float) -> dict[str, Any]:
        """Return the batch for GetBatch."""
        return {
            **self.start_view(),
            "name": self.request.get("batchName"),
            "totalRuns": None if self.entries is None else len(self.entries),
            "defaultRunSetting": self.defaults,
            "submissionSummary": self.submission_summary(),
            "runSummary": self.run_summary(now),
            "creationTime": to_datetime(self.created),
            "submittedTime": to_datetime(self.submitted),
            "processedTime": to_datetime(self.processed),
            "failedTime": to_datetime(self.failed),
            "failureReason": self.failure_reason,
        }

    def submission_summary(self) -> dict[str, int]:
        """Return the number of requests by outcome."""
        settled = self.submissions["SUCCESS"] + self.submissions["FAILED"] + self.never_submitted
        return {
            **{member: self.submissions[status] for status, member in SUBMISSIONS.items()},
            "pendingStartSubmissionCount": len(self.entries or ()) - settled,
        }

    def run_summary(self, now: float) -> dict[str, int]:
        """Return the number of runs by status. It lags behind, and is exact at PROCESSED."""
        counts = self.runs.shown(now)
        return {f"{status.lower()}RunCount": counts[status] for status in RUN_STATUSES}
