# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Batches: plan, advance, tell and await them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.batch import ORDER, REQUESTS, Batch
from airflow_healthomics.testing.omics.exceptions import error_of
from airflow_healthomics.testing.omics.models import OmicsBackend, all_backends, apply_due_transitions
from airflow_healthomics.testing.plans import TRANSIENT_CODE, TRANSIENT_ERROR, BatchPlan, SubmissionPlan

from .verbs import Verbs, verb, wait


class BatchVerbs(Verbs):
    """The verbs of batches."""

    @verb
    def fail_batch(
        self,
        *,
        name: str | None = None,
        after: int = 0,
        failure_reason: str = TRANSIENT_ERROR,
        failure_code: str = TRANSIENT_CODE,
        times: int | None = 1,
    ) -> None:
        """
        Let the next batch end as FAILED, or the next of a name.

        :param after: How many of its runs are attempted before that; 0 fails it before it is SUBMITTING. A
            batch that has no more runs than that does not fail.
        :param failure_reason: For GetBatch.
        :param failure_code: For the event.
        :param times: How many batches; None for all.
        """
        plan = BatchPlan(name=name, times=times, after=after, reason=failure_reason, code=failure_code)
        with LOCAL.lock:
            LOCAL.batch_plans.append(plan)

    @verb
    def fail_submission(
        self,
        run_setting_ids: Sequence[str] | None = None,
        code: str = "ValidationException",
        *,
        operation: Literal["StartRun", "CancelRun", "DeleteRun"] = "StartRun",
        message: str = "planned by the local HealthOmics",
        times: int | None = None,
    ) -> None:
        """
        Let what batches ask for some of their runs fail.

        The service repeats ThrottlingException, RequestTimeoutException and InternalServerException by itself
        before a run is FAILED; what is planned here is the outcome. Faults that meet calls meet no batch.

        :param run_setting_ids: Of the runs; None for all.
        :param code: What ListRunsInBatch gives as the submissionFailureReason.
        :param operation: What fails: to start, to cancel or to delete the run.
        :param times: How many runs; None for all.
        """
        if isinstance(run_setting_ids, str):
            raise TypeError("run_setting_ids must be a list of strings")
        if operation not in REQUESTS.values():
            raise ValueError(f"operation must be one of {', '.join(REQUESTS.values())}")
        error_of(code, message)
        ids = None if run_setting_ids is None else frozenset(run_setting_ids)
        plan = SubmissionPlan(
            operation=operation, run_setting_ids=ids, code=code, message=message, times=times
        )
        with LOCAL.lock:
            LOCAL.submission_plans.append(plan)

    @verb
    def advance_batch(
        self,
        status: str,
        *,
        batch_id: str | None = None,
        failure_reason: str = TRANSIENT_ERROR,
        failure_code: str = TRANSIENT_CODE,
    ) -> dict[str, str]:
        """
        Move a batch, or all batches, through the states in between to ``status``, whatever the pace.

        INPROGRESS submits all its runs, and PROCESSED moves them to their ends too. CANCELLED brings to its
        end what CancelRunBatch began, RUNS_DELETED what DeleteRunBatch began. A batch that does not come by
        ``status`` stays. A batch becomes PROCESSED or CANCELLED by itself when its last run ends.

        :param failure_reason: Of FAILED, which a batch can be before it is INPROGRESS, for GetBatch.
        :param failure_code: Of FAILED, for the event.
        :return: the status of each batch by its id. It differs from the one asked for if the run settings are
            bad, if a run could not be deleted, or if a run group is full.
        """
        if status not in (*ORDER, "FAILED", "CANCELLED", "RUNS_DELETED"):
            raise ValueError(f"{status} is no status that a batch can be moved to")
        with LOCAL.lock:
            chosen = _chosen_batches(batch_id)
            for backend, batch in chosen:
                backend.batches.advance(batch, status, failure_reason, failure_code)
            return {batch.id: batch.status for _, batch in chosen}

    @verb
    def submit_runs(self, count: int, *, batch_id: str | None = None) -> dict[str, dict[str, int]]:
        """
        Let a batch, or each batch, make its next requests, whatever the pace.

        These are to start runs while it is SUBMITTING, to cancel them while it is STOPPING, and to delete
        them while it is RUNS_DELETING.

        :return: the submissionSummary of each batch by its id.
        """
        with LOCAL.lock:
            chosen = _chosen_batches(batch_id)
            for backend, batch in chosen:
                backend.batches.request(batch, count)
            return {batch.id: batch.submission_summary() for _, batch in chosen}

    @verb
    def batches(self) -> list[dict[str, Any]]:
        """Return the batches that were started and not deleted, in the order of their start."""
        with LOCAL.lock:
            apply_due_transitions()
            return [_summary(batch) for batch in _all_batches()]

    @verb
    def wait_for_batch(
        self, status: str, *, batch_id: str | None = None, count: int = 1, timeout: float = 30.0
    ) -> None:
        """Wait until a batch, or so many batches, have a status."""

        def states() -> list[str]:
            return [batch.status for batch in _all_batches() if batch_id in (None, batch.id)]

        wait(
            lambda: states().count(status) >= count,
            timeout,
            lambda: f"{states().count(status)} of {count} batches {status} among {dict(Counter(states()))}",
        )


def _all_batches() -> list[Batch]:
    batches = (batch for backend in all_backends() for batch in backend.batches)
    return sorted(batches, key=lambda batch: (batch.created, int(batch.id)))


def _chosen_batches(batch_id: str | None) -> list[tuple[OmicsBackend, Batch]]:
    apply_due_transitions()
    chosen = [
        (backend, batch)
        for backend in all_backends()
        for batch in backend.batches
        if batch_id in (None, batch.id)
    ]
    if batch_id is not None and not chosen:
        raise LookupError(f"there is no batch {batch_id}")
    return chosen


def _summary(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "uuid": batch.uuid,
        "name": batch.request.get("batchName"),
        "requestId": batch.request["requestId"],
        "workflowId": batch.workflow.id,
        "status": batch.status,
        "failureReason": batch.failure_reason,
        "totalRuns": None if batch.entries is None else len(batch.entries),
        "submissionSummary": batch.submission_summary(),
        "account": batch.account,
        "region": batch.region,
        "creationTime": batch.created,
    }
