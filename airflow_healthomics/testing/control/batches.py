# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Verbs for batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.batch import ORDER, REQUESTS, Batch
from airflow_healthomics.testing.omics.exceptions import error_of
from airflow_healthomics.testing.omics.models import OmicsBackend, all_backends, apply_all_due_transitions
from airflow_healthomics.testing.plans import TRANSIENT_CODE, TRANSIENT_ERROR, BatchPlan, SubmissionPlan

from .verbs import Verbs, verb, wait


class BatchVerbs(Verbs):
    """Verbs for batches."""

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
        Make the next batch, or the next one with a name, end as FAILED.

        :param after: Number of run submissions before the failure; 0 fails the batch before SUBMITTING. A
            batch without more runs does not fail.
        :param failure_reason: For GetBatch.
        :param failure_code: For the event.
        :param times: Number of batches; None for all.
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
        Make requests of batches for some of their runs fail.

        The service retries ThrottlingException, RequestTimeoutException and InternalServerException itself;
        the plan is the outcome of all retries. Faults of calls do not affect batches.

        :param run_setting_ids: Of the runs; None for all.
        :param code: The submissionFailureReason in ListRunsInBatch.
        :param operation: The request that fails.
        :param times: Number of runs; None for all.
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
        Move a batch, or all batches, through all intermediate states to ``status``, ignoring the pace.

        INPROGRESS submits all runs, and PROCESSED also moves them to their terminal states. CANCELLED
        completes a CancelRunBatch, RUNS_DELETED a DeleteRunBatch. A batch that cannot reach ``status`` is
        unchanged. A batch becomes PROCESSED or CANCELLED automatically when its last run ends.

        :param failure_reason: For GetBatch, with FAILED. A batch can fail only before INPROGRESS.
        :param failure_code: For the event, with FAILED.
        :return: the status of each batch by its id. It differs from ``status`` if the run settings are
            invalid, if a run could not be deleted, or if a run group is full.
        """
        if status not in (*ORDER, "FAILED", "CANCELLED", "RUNS_DELETED"):
            raise ValueError(f"a batch cannot be moved to the status {status}")
        with LOCAL.lock:
            chosen = _chosen_batches(batch_id)
            for backend, batch in chosen:
                backend.batches.advance(batch, status, failure_reason, failure_code)
            return {batch.id: batch.status for _, batch in chosen}

    @verb
    def submit_runs(self, count: int, *, batch_id: str | None = None) -> dict[str, dict[str, int]]:
        """
        Make a batch, or each batch, send its next requests, ignoring the pace.

        A batch starts runs while it is SUBMITTING, cancels them while it is STOPPING, and deletes them while
        it is RUNS_DELETING.

        :return: the submissionSummary of each batch by its id.
        """
        with LOCAL.lock:
            chosen = _chosen_batches(batch_id)
            for backend, batch in chosen:
                backend.batches.request(batch, count)
            return {batch.id: batch.submission_summary() for _, batch in chosen}

    @verb
    def batches(self) -> list[dict[str, Any]]:
        """Return the batches that are not deleted, in the order of their start."""
        with LOCAL.lock:
            apply_all_due_transitions()
            return [_summary(batch) for batch in _all_batches()]

    @verb
    def wait_for_batch(
        self, status: str, *, batch_id: str | None = None, count: int = 1, timeout: float = 30.0
    ) -> None:
        """Wait until a batch, or ``count`` batches, have a status."""

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
    apply_all_due_transitions()
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
