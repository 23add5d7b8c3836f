# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Options of the local HealthOmics, including choices where AWS documents nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .engine.requirement import check_engine

#: Default calls per second for each account and region, from the user guide's page "api-quotas". Operations
#: that the page does not list (batches, versions, configurations) are not throttled; the runs of a batch
#: count for StartRun, CancelRun or DeleteRun.
DEFAULT_RATES: Mapping[str, float] = MappingProxyType(
    {
        "StartRun": 1,
        "CreateWorkflow": 5,
        **dict.fromkeys(("CancelRun", "DeleteRun", "GetRun", "GetRunTask", "ListRunTasks", "ListRuns"), 10),
        **dict.fromkeys(("DeleteWorkflow", "GetWorkflow", "ListWorkflows"), 10),
        **dict.fromkeys(("DeleteRunGroup", "UpdateRunGroup", "UpdateWorkflow"), 10),
        **dict.fromkeys(("CreateRunGroup", "GetRunGroup", "ListRunGroups"), 10),
        **dict.fromkeys(("CreateRunCache", "GetRunCache", "ListRunCaches"), 10),
        **dict.fromkeys(("DeleteRunCache", "UpdateRunCache"), 10),
        **dict.fromkeys(("ListTagsForResource", "TagResource", "UntagResource"), 5),
        **dict.fromkeys(("CreateSequenceStore", "UpdateSequenceStore", "DeleteSequenceStore"), 1),
        **dict.fromkeys(("CreateReferenceStore", "DeleteReferenceStore", "DeleteReference"), 1),
        **dict.fromkeys(("CreateMultipartReadSetUpload", "CompleteMultipartReadSetUpload"), 1),
        **dict.fromkeys(("AbortMultipartReadSetUpload", "BatchDeleteReadSet"), 1),
        **dict.fromkeys(("GetS3AccessPolicy", "PutS3AccessPolicy", "DeleteS3AccessPolicy"), 1),
        **dict.fromkeys(("AcceptShare", "CreateShare", "DeleteShare", "GetShare", "ListShares"), 1),
        **dict.fromkeys(("GetReference", "UploadReadSetPart"), 10),
        "GetReadSet": 30,
        **dict.fromkeys(("GetSequenceStore", "ListSequenceStores", "ListReferenceStores"), 5),
        **dict.fromkeys(("GetReadSetMetadata", "ListReadSets", "GetReferenceMetadata", "ListReferences"), 5),
        **dict.fromkeys(("ListMultipartReadSetUploads", "ListReadSetUploadParts"), 5),
        **dict.fromkeys(
            (
                f"{verb}{kind}{plural}"
                for kind in (
                    "ReadSetImportJob",
                    "ReadSetExportJob",
                    "ReadSetActivationJob",
                    "ReferenceImportJob",
                )
                for verb, plural in (("Start", ""), ("Get", ""), ("List", "s"))
            ),
            5,
        ),
    }
)

#: AWS documents that a rerun uses "the run's default values", without a list. Here it inherits all StartRun
#: fields except the run's identity, its tags and required fields.
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
    Options of the local HealthOmics.

    If the description of a field begins with "AWS does not document", the real service may differ.
    """

    #: Runs, batches and jobs of stores change their state only by verbs of the control, such as
    #: :meth:`Control.advance`.
    manual: bool = False
    #: Seconds that a run stays in each active state, by the local clock.
    pending_seconds: float = 0.5
    starting_seconds: float = 0.5
    running_seconds: float = 2.0
    stopping_seconds: float = 0.5
    #: Seconds that a task is PENDING and STARTING. None for 0.2 with ``strict``, else for 0: tasks begin
    #: RUNNING, so that their durations are predictable. Those of a run that the control moves always do.
    task_pending_seconds: float | None = None
    task_starting_seconds: float | None = None
    #: Seconds of RUNNING after which a run fails with RUN_TIMED_OUT; None for no limit. The default is AWS's
    #: (user guide, page "workflows-run-errors"). A run group can have a smaller limit.
    max_run_seconds: float | None = 604_800.0
    #: Seconds that a batch stays CREATING, and PENDING while its settings are validated.
    batch_creating_seconds: float = 0.5
    batch_pending_seconds: float = 0.5
    #: Runs of a batch that are started, cancelled or deleted per second; None for all at once. AWS submits at
    #: the quota of the single operation (StartRun: 1/s); the default here is scaled up like the other delays.
    #: With ``throttling``, the quotas apply as well.
    batch_runs_per_second: float | None = 100.0
    #: Seconds that a new workflow stays CREATING.
    workflow_creating_seconds: float = 0.0
    #: Seconds that a job of a store (an import, an export or an activation) stays SUBMITTED and IN_PROGRESS.
    job_submitted_seconds: float = 0.5
    job_in_progress_seconds: float = 1.0
    #: Seconds that an accepted share stays ACTIVATING, and a deleted one DELETING.
    share_changing_seconds: float = 0.0
    #: Seconds that a new sequence store stays CREATING, and a changed one UPDATING.
    store_changing_seconds: float = 0.0
    #: Seconds that an uploaded read set stays PROCESSING_UPLOAD.
    upload_processing_seconds: float = 0.0
    #: Seconds without use after which a read set is ARCHIVED; None for never. AWS: 30 days (API reference of
    #: StartReadSetActivationJob).
    read_set_archive_seconds: float | None = 2_592_000.0
    #: Seconds that a new configuration stays CREATING. AWS: up to 15 minutes.
    configuration_creating_seconds: float = 0.0
    #: Seconds that a deleted configuration stays DELETING.
    configuration_deleting_seconds: float = 0.0
    #: Run the commands of WDL and CWL workflows on this machine, with the rights of this process: see the
    #: page "Computed runs". Requires the extra ``engine``. A run with a plan, and one of a workflow that
    #: cannot be computed, is simulated as without this option. It can be set only at the start.
    compute: bool = False
    #: Interpreter of an environment with the engines, if this one has none. It can be set only at the start.
    engine_python: str | None = None
    #: Number of tasks of a run without a plan.
    tasks: int = 3
    #: Makes ids, uuids and random faults reproducible.
    seed: int | None = None

    #: Accept any workflow id in StartRun, so that tests need not create workflows.
    any_workflow: bool = False
    #: Enforce what AWS enforces, also where that makes tests longer. Fields whose value is None follow it.
    strict: bool = False
    #: Accept any run group id in StartRun and StartRunBatch, so that tests need not create run groups. If
    #: off, an unknown id gets ResourceNotFoundException. Only a created group limits its runs. None for the
    #: value of ``any_workflow``, without ``strict``.
    any_run_group: bool | None = None
    #: The same for run caches, configurations, and owners of shared workflows.
    any_run_cache: bool | None = None
    any_configuration: bool | None = None
    any_workflow_owner: bool | None = None
    #: The same for the references of read sets.
    any_reference: bool | None = None
    #: Inspect the definition of a new workflow, which becomes FAILED with an invalid archive, a missing main
    #: file or gross mistakes in WDL. If off, every definition becomes ACTIVE.
    check_definitions: bool = True
    #: Check parameter names against the workflow's parameter template. AWS documents that StartRun refuses
    #: missing and unknown parameters. Turn it off for a workflow without a known template.
    check_parameters: bool = True
    #: Let a run fail with INPUT_URI_NOT_FOUND if its parameters have an S3 URI of no object, or the URI of an
    #: unknown reference or read set, and with INACTIVE_OMICS_STORAGE_RESOURCE if a read set is not ACTIVE.
    #: None for the value of ``strict``, since most tests have no inputs.
    check_inputs: bool | None = None
    #: Refuse an output bucket of another region, except in networking mode VPC. AWS does not document the
    #: error; here it is ValidationException. None for the value of ``strict``.
    check_output_region: bool | None = None
    #: Let a source of an import fail if there is no such object, if its bucket is in another region, or if a
    #: reference does not have the extension of a FASTA file. If off, the content of a missing file is made
    #: up. None for the value of ``strict``.
    check_sources: bool | None = None
    #: Refuse an import of references while another one into the same store is active. AWS does not document
    #: the error; here it is ServiceQuotaExceededException. None for the value of ``strict``.
    check_reference_imports: bool | None = None
    #: Create a missing output bucket. If off, the run fails with EXPORT_FAILED, as in the service.
    create_buckets: bool = False
    #: Throttle every operation in ``rates``, per account and region.
    throttling: bool = False
    #: Calls per second by operation. The burst is one second of calls, at least one.
    rates: Mapping[str, float] = field(default_factory=lambda: DEFAULT_RATES)

    #: AWS does not document the answer to a used request id with a different body: ConflictException, or the
    #: original run.
    request_id_reuse: Literal["conflict", "original"] = "conflict"
    #: AWS does not document the answer to a used client token with a different body, and the operations with
    #: client tokens have no ConflictException: ValidationException, or the original result.
    client_token_reuse: Literal["ValidationException", "original"] = "ValidationException"
    #: AWS does not document the lifetime of a request id or client token. Seconds; None for unlimited.
    request_id_lifetime: float | None = None
    #: AWS does not document whether a request id outlives its deleted run.
    request_id_survives_delete: bool = True
    #: AWS does not document the status in the answer to a repeated StartRun: the current one, or PENDING; or
    #: of a repeated start of a job of a store: the current one, or SUBMITTED.
    duplicate_status: Literal["current", "pending"] = "current"
    #: While a StartRun is being processed, another one with its request id gets ConflictException. The user
    #: guide names "a duplicate run creation attempt" as an example of that error.
    conflict_in_flight: bool = True
    #: AWS does not document the error of CancelRun in a terminal state, and of CancelRunBatch in a wrong
    #: state.
    cancel_error: Literal["ConflictException", "ValidationException"] = "ConflictException"
    #: AWS does not document the error of DeleteRun in an active state, of DeleteRunBatch and DeleteBatch in a
    #: wrong state, of DeleteWorkflow with versions, of DeleteRunGroup, DeleteRunCache and DeleteConfiguration
    #: with active runs, of DeleteReference with read sets, and of a store that is not empty.
    delete_error: Literal["ConflictException", "ValidationException"] = "ConflictException"
    #: AWS does not document the error of StartRun with a workflow or a configuration that is not ACTIVE, and
    #: of GetReadSet with such a read set.
    inactive_error: Literal["ConflictException", "ValidationException"] = "ConflictException"
    #: AWS does not document the error of a name that another version of the workflow, or another
    #: configuration, has already.
    used_name_error: Literal["ConflictException", "ValidationException"] = "ConflictException"
    #: AWS does not document the answer to a definitionUri that cannot be read: a workflow that fails, as with
    #: an invalid archive, or an error of CreateWorkflow.
    unreadable_definition: Literal[
        "FAILED", "ValidationException", "AccessDeniedException", "ResourceNotFoundException"
    ] = "FAILED"
    #: AWS does not document the error of the operations on annotation stores and variant stores, which are
    #: closed to new customers.
    closed_error: Literal["AccessDeniedException", "ValidationException"] = "AccessDeniedException"
    #: AWS documents that a shared workflow cannot be exported or run again, but not with which error.
    shared_workflow_error: Literal["AccessDeniedException", "ValidationException"] = "AccessDeniedException"
    #: AWS does not document in which status each failure occurs. These occur in STARTING, since HealthOmics
    #: needs role, parameters and engine before it can import anything; others in RUNNING.
    fails_in_starting: tuple[str, ...] = (
        "ASSUME_ROLE_FAILED",
        "INVALID_RUN_PARAMETERS",
        "WORKFLOW_VER_VALIDATION_FAILED",
    )
    #: AWS documents both as the default storage type. The user guide of 2026 and observations agree on
    #: DYNAMIC.
    default_storage_type: Literal["DYNAMIC", "STATIC"] = "DYNAMIC"
    #: Maximum number of runs of an account, active or not. AWS publishes no default; None for no limit.
    max_stored_runs: int | None = None
    #: Maximum number of runs of an account from STARTING to STOPPING, for STATIC and for DYNAMIC storage
    #: each (service quotas L-A30FD31B and L-BE38079A). Further runs stay PENDING (user guide, page
    #: "monitoring-runs"). None for no limit, so that tests need not wait for each other.
    max_active_runs: int | None = None
    #: AWS does not document the error of StartRun if the account is full of RETAIN runs.
    stored_runs_error: Literal["ServiceQuotaExceededException", "ValidationException"] = (
        "ServiceQuotaExceededException"
    )
    #: AWS documents runOutputUri both as ``<outputUri>/<runId>`` and as ``<outputUri>/<runId>/<uuid>``.
    output_layout: Literal["run_id", "run_id_uuid"] = "run_id"
    #: AWS reuses ids of deleted runs eventually. If on, the next run gets such an id.
    reuse_run_ids: bool = False
    #: AWS documents that a deleted run cannot be found, yet has a status DELETED. If on, GetRun and ListRuns
    #: show deleted runs.
    show_deleted_runs: bool = False
    #: AWS does not document how the name filter of the lists compares.
    name_filter: Literal["exact", "contains"] = "exact"
    #: AWS documents that GetRun's parametersUri "may be" a presigned URL, but not when. If on, it always is,
    #: so that tests detect leaks of this credential. If off, it is the URI of StartRun.
    presigned_parameters_uri: bool = True
    #: AWS does not document which fields a rerun inherits.
    rerun_inherits: tuple[str, ...] = RERUN_INHERITS
    #: AWS documents both that 1 is the highest priority and, more often, that a higher number takes
    #: precedence.
    priority_order: Literal["higher_first", "lower_first"] = "higher_first"

    #: AWS documents that runSummary "may lag behind actual run states", but not how far. Seconds of the local
    #: clock; 0 for exact counts, so that tests are predictable. At PROCESSED, counts are always exact.
    batch_counts_lag_seconds: float = 0.0
    #: AWS documents that StartRunBatch fails with unreadable s3UriSettings, but not with which error.
    batch_settings_error: Literal[
        "ValidationException", "AccessDeniedException", "ResourceNotFoundException"
    ] = "ValidationException"
    #: AWS does not document whether ListRunsInBatch shows a run before its submission. If on, it does,
    #: without a submissionStatus, since the model has no value for it.
    batch_lists_unsubmitted: bool = True
    #: AWS does not document the submissionStatus of an unsubmitted run in a cancelled batch: CANCEL_SUCCESS,
    #: so that the counts add up, or none.
    batch_unsubmitted_after_cancel: Literal["CANCEL_SUCCESS", "none"] = "CANCEL_SUCCESS"
    #: AWS does not document when a batch becomes CANCELLED: after the end of its runs, or after all requests.
    batch_cancelled_when: Literal["runs_ended", "requested"] = "runs_ended"
    #: AWS does not document how CancelRunBatch treats runs in a terminal state, and DeleteRunBatch deleted
    #: runs. If on, they are skipped; if off, they count as CANCEL_FAILED and DELETE_FAILED.
    batch_skips_finished: bool = True
    #: AWS advises to retry a FAILED batch with the same request id, yet documents that request ids prevent
    #: duplicates. If on, the retry gets the failed batch, like that of a run; if off, it starts a new one.
    batch_request_id_survives_failure: bool = True

    #: AWS does not document the size of the parts of references and read sets. In examples, it is 100 MiB.
    storage_part_bytes: int = 104_857_600
    #: AWS does not document whether the range of GetReference counts from the beginning of the part or of the
    #: file.
    reference_range: Literal["part", "file"] = "part"
    #: AWS does not document the error of GetReadSet for a file that the read set does not have.
    missing_file_error: Literal["ResourceNotFoundException", "ValidationException"] = (
        "ResourceNotFoundException"
    )
    #: AWS does not document the answer to an export or activation of an unknown read set: a source that
    #: fails, or an error of its start.
    unknown_read_set: Literal["FAILED", "ResourceNotFoundException"] = "FAILED"
    #: AWS does not document the status of a job whose sources all failed.
    job_without_success: Literal["FAILED", "COMPLETED_WITH_FAILURES"] = "FAILED"

    def __post_init__(self) -> None:
        hints: dict[str, Any] = get_type_hints(type(self))
        for name, hint in hints.items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                raise ValueError(f"{name} must be one of {', '.join(get_args(hint))}")
        if self.storage_part_bytes <= 0:
            raise ValueError("storage_part_bytes must be positive")
        if self.batch_runs_per_second is not None and self.batch_runs_per_second <= 0:
            raise ValueError("batch_runs_per_second must be positive, or None for all at once")
        if self.compute:
            check_engine(self.engine_python)

    def lenient(self, name: str) -> bool:
        """Whether an ``any_`` field is on."""
        value: bool | None = getattr(self, name)
        return self.any_workflow and not self.strict if value is None else value

    def enforces(self, name: str) -> bool:
        """Whether a ``check_`` field is on."""
        value: bool | None = getattr(self, name)
        return self.strict if value is None else value

    def task_seconds(self, status: str) -> float:
        """Return the seconds that a task is PENDING or STARTING."""
        value: float | None = getattr(self, f"task_{status.lower()}_seconds")
        if value is not None:
            return value
        return 0.2 if self.strict else 0.0

    def seconds(self, status: str) -> float | None:
        """Return the seconds that a run stays in an active state; None if only the control moves it."""
        return None if self.manual else float(getattr(self, f"{status.lower()}_seconds"))

    def job_seconds(self, status: str) -> float | None:
        """Return the seconds that a job stays SUBMITTED or IN_PROGRESS; None for other statuses."""
        if self.manual or status not in ("SUBMITTED", "IN_PROGRESS"):
            return None
        return float(getattr(self, f"job_{status.lower()}_seconds"))

    def batch_seconds(self, status: str) -> float | None:
        """Return the seconds that a batch stays CREATING or PENDING; None for other states."""
        if self.manual or status not in ("CREATING", "PENDING"):
            return None
        return float(getattr(self, f"batch_{status.lower()}_seconds"))
