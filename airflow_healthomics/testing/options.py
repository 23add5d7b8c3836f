# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a user may set about the local HealthOmics, and what it does where AWS documents nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

#: Default calls per second for each account and region, from the user guide's page "api-quotas". Operations
#: that the page does not list (batches, versions, configurations) are not throttled; the runs of a batch take
#: from the rate of StartRun, CancelRun or DeleteRun.
DEFAULT_RATES: Mapping[str, float] = MappingProxyType(
    {
        "StartRun": 1,
        "CreateWorkflow": 5,
        **dict.fromkeys(("CancelRun", "DeleteRun", "GetRun", "GetRunTask", "ListRunTasks", "ListRuns"), 10),
        **dict.fromkeys(("DeleteWorkflow", "GetWorkflow", "ListWorkflows"), 10),
        **dict.fromkeys(("CreateRunGroup", "GetRunGroup", "ListRunGroups", "DeleteRunGroup"), 10),
    }
)

#: AWS says that a rerun uses "the run's default values", without a list. Everything that a StartRun request
#: can say is taken over, except the run's identity, its tags and the fields that the caller must send again.
RERUN_INHERITS: tuple[str, ...] = (
    "name",
    "workflowId",
    "workflowType",
    "workflowVersionName",
    "workflowOwnerId",
    "parameters",
    "parametersUri",
    "requesterPaysEnabled",
    "storageType",
    "storageCapacity",
    "runGroupId",
    "priority",
    "cacheId",
    "cacheBehavior",
    "logLevel",
    "retentionMode",
    "networkingMode",
    "configurationName",
    "scratchStorageMode",
    "engineSettings",
    "sessionPolicy",
    "outputUriPrefixMode",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """
    Settings of the local HealthOmics.

    A field that begins with "AWS does not document" is a choice where the real service may differ.
    """

    #: Nothing moves until :meth:`Control.advance` says so.
    manual: bool = False
    #: How long a run stays in each active state, in seconds of the local clock.
    pending_seconds: float = 0.5
    starting_seconds: float = 0.5
    running_seconds: float = 2.0
    stopping_seconds: float = 0.5
    #: How long a batch stays CREATING, and PENDING while its settings are validated.
    batch_creating_seconds: float = 0.5
    batch_pending_seconds: float = 0.5
    #: How many runs of a batch are started, cancelled or deleted in a second; None does all at once. The
    #: service does it at the quota of the single operation, for StartRun 1 a second by default; this is as
    #: much faster as the rest of the pace. With ``throttling`` the quotas hold too.
    batch_runs_per_second: float | None = 100.0
    #: How long a new workflow stays CREATING.
    workflow_creating_seconds: float = 0.0
    #: How many tasks a run has, unless a plan says otherwise.
    tasks: int = 3
    #: Makes ids, uuids and the choice of probable faults the same each time.
    seed: int | None = None

    #: Accept any workflow id in StartRun, for users who do not want to create workflows.
    any_workflow: bool = False
    #: Accept any run group id in StartRun and StartRunBatch, for users who do not want to create run groups;
    #: off, an unknown one gets ResourceNotFoundException. Only a group that was created limits its runs.
    any_run_group: bool = True
    #: Check parameter names against the workflow's parameter template. AWS documents that StartRun refuses
    #: parameters that are missing or unknown; turn it off for a workflow whose template is not at hand.
    check_parameters: bool = True
    #: Create a missing output bucket instead of failing the run with EXPORT_FAILED, as the service does.
    create_buckets: bool = False
    #: Throttle every operation in ``rates``, per account and region.
    throttling: bool = False
    #: Calls per second by operation. A bucket holds one second's worth, at least one call.
    rates: Mapping[str, float] = field(default_factory=lambda: DEFAULT_RATES)

    #: AWS does not document what a request id sent again with another body gets: ConflictException, or the
    #: original run.
    request_id_reuse: Literal["conflict", "original"] = "conflict"
    #: AWS does not document how long a request id is remembered. Seconds; None is for ever.
    request_id_lifetime: float | None = None
    #: AWS does not document whether a request id outlives its deleted run.
    request_id_survives_delete: bool = True
    #: AWS does not document which status a repeated StartRun reports: the run's own, or PENDING again.
    duplicate_status: Literal["current", "pending"] = "current"
    #: While a StartRun is being processed, another one with its request id gets ConflictException. The user
    #: guide names "a duplicate run creation attempt" as an example of that error.
    conflict_in_flight: bool = True
    #: AWS does not document the error of CancelRun in a terminal state, and of CancelRunBatch in a state that
    #: does not allow it.
    cancel_error: Literal["ConflictException", "ValidationException"] = "ConflictException"
    #: AWS does not document the error of DeleteRun in an active state, of DeleteRunBatch and DeleteBatch in a
    #: state that does not allow them, and of DeleteRunGroup with active runs.
    delete_error: Literal["ConflictException", "ValidationException"] = "ConflictException"
    #: AWS documents the default storage type both ways; the user guide of 2026 and observation say DYNAMIC.
    default_storage_type: Literal["DYNAMIC", "STATIC"] = "DYNAMIC"
    #: How many runs an account may keep, active or not. AWS publishes no default number; None is no limit.
    max_stored_runs: int | None = None
    #: AWS does not document the error of StartRun when only RETAIN runs are left to remove.
    stored_runs_error: Literal["ServiceQuotaExceededException", "ValidationException"] = (
        "ServiceQuotaExceededException"
    )
    #: AWS documents runOutputUri both as ``<outputUri>/<runId>`` and with the run's uuid below it.
    output_layout: Literal["run_id", "run_id_uuid"] = "run_id"
    #: AWS reuses the id of a deleted run at some time; on, the next run gets it at once.
    reuse_run_ids: bool = False
    #: AWS says that a deleted run cannot be found, yet has a status DELETED; on, GetRun and ListRuns show it.
    show_deleted_runs: bool = False
    #: AWS does not document how the name filter of ListRuns and the other lists compares.
    name_filter: Literal["exact", "contains"] = "exact"
    #: AWS documents that GetRun's parametersUri "may be" a presigned URL, not when. On, it always is, so that
    #: a test sees where that credential gets to; off, it is the URI of StartRun.
    presigned_parameters_uri: bool = True
    #: AWS does not document which fields a rerun inherits.
    rerun_inherits: tuple[str, ...] = RERUN_INHERITS
    #: AWS documents both that the highest priority is 1 and, more often, that a higher number goes first.
    priority_order: Literal["higher_first", "lower_first"] = "higher_first"

    #: AWS documents that runSummary "may lag behind actual run states", not how far. Seconds of the local
    #: clock; 0 shows the counts as they are, so that a test can tell what it will see. At PROCESSED they are
    #: always final.
    batch_counts_lag_seconds: float = 0.0
    #: AWS documents that s3UriSettings that cannot be read are an error of StartRunBatch, not which one.
    batch_settings_error: Literal[
        "ValidationException", "AccessDeniedException", "ResourceNotFoundException"
    ] = "ValidationException"
    #: AWS does not document whether ListRunsInBatch shows a run before its submission. On, it does, without
    #: a submissionStatus, since the model has no value for that.
    batch_lists_unsubmitted: bool = True
    #: AWS does not document what a cancelled batch shows for a run that was not submitted: CANCEL_SUCCESS,
    #: so that the counts add up, or no submissionStatus as before.
    batch_unsubmitted_after_cancel: Literal["CANCEL_SUCCESS", "none"] = "CANCEL_SUCCESS"
    #: AWS does not document whether a batch is CANCELLED when its runs have ended, or when all were asked to.
    batch_cancelled_when: Literal["runs_ended", "requested"] = "runs_ended"
    #: AWS does not document what CancelRunBatch does about runs that have ended, and DeleteRunBatch about
    #: runs that are gone. On, they are passed over; off, they count as CANCEL_FAILED and DELETE_FAILED.
    batch_skips_finished: bool = True
    #: AWS advises to retry a batch that FAILED with the same request id, yet says of request ids that they
    #: prevent duplicates. On, the retry gets the failed batch, as a run's would; off, it starts another.
    batch_request_id_survives_failure: bool = True

    def __post_init__(self) -> None:
        hints: dict[str, Any] = get_type_hints(type(self))
        for name, hint in hints.items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                raise ValueError(f"{name} must be one of {', '.join(get_args(hint))}")
        if self.batch_runs_per_second is not None and self.batch_runs_per_second <= 0:
            raise ValueError("batch_runs_per_second must be positive, or None for all at once")

    def seconds(self, status: str) -> float | None:
        """Return how long a run stays in an active state, or None if it waits to be told."""
        return None if self.manual else float(getattr(self, f"{status.lower()}_seconds"))

    def batch_seconds(self, status: str) -> float | None:
        """Return how long a batch stays CREATING or PENDING; None if it does not leave a state by itself."""
        if self.manual or status not in ("CREATING", "PENDING"):
            return None
        return float(getattr(self, f"batch_{status.lower()}_seconds"))
