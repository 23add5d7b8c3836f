# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancelling batches and deleting them, by tasks of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import AirflowException, AirflowFailException, AirflowTaskTimeout, Context
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from airflow_healthomics.operators import HealthOmicsCancelRunBatchOperator, HealthOmicsDeleteRunBatchOperator
from tests.healthomics import Control
from tests.unit.batch_attempts import WAYS, batch_of, crashing, hold_runs
from tests.unit.conftest import (
    DAG_RUN_ID,
    ONE_ATTEMPT,
    Clock,
    Crash,
    FakeTaskInstance,
    Tasks,
    calls_of,
    try_of,
)

CODES = ["ConflictException", "ValidationException"]


@pytest.fixture
def batch_id(omics: Control, clock: Clock) -> str:
    """A batch whose runs stay RUNNING until they are told."""
    hold_runs(omics)
    started = str(batch_of().execute(try_of(FakeTaskInstance())))
    clock.advance(10)
    return started


def cancel(tasks: Tasks, context: Context, batch_id: str, **fields: Any) -> Any:
    """Run a task that cancels."""
    defaults: dict[str, Any] = {"task_id": "a_task", "batch_id": batch_id, "botocore_config": ONE_ATTEMPT}
    return tasks.run(lambda: HealthOmicsCancelRunBatchOperator(**{**defaults, **fields}), context)


def delete(tasks: Tasks, context: Context, batch_id: str, **fields: Any) -> Any:
    """Run a task that deletes."""
    defaults: dict[str, Any] = {"task_id": "a_task", "batch_id": batch_id, "botocore_config": ONE_ATTEMPT}
    return tasks.run(lambda: HealthOmicsDeleteRunBatchOperator(**{**defaults, **fields}), context)


def status_of(omics: Control) -> str:
    """Return the status of the only batch."""
    (batch,) = omics.batches()
    return str(batch["status"])


# --- cancel ---


def test_cancel_cancels_a_batch_on_its_way(
    omics: Control, tasks: Tasks, clock: Clock, context: Context, batch_id: str
) -> None:
    """It does not wait unless asked to."""
    before = clock.elapsed
    assert cancel(tasks, context, batch_id) == batch_id
    assert (status_of(omics), clock.elapsed) == ("STOPPING", before)


@pytest.mark.parametrize("deferrable", WAYS)
def test_cancel_waits_until_the_batch_has_ended(
    omics: Control, tasks: Tasks, context: Context, batch_id: str, deferrable: bool
) -> None:
    """If asked to."""
    assert cancel(tasks, context, batch_id, wait_for_completion=True, deferrable=deferrable) == batch_id
    assert status_of(omics) == "CANCELLED"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("status", ["PROCESSED", "FAILED"])
def test_cancelling_a_batch_that_has_ended_is_no_error(
    omics: Control, tasks: Tasks, context: Context, code: str, status: str
) -> None:
    """Whatever HealthOmics calls it."""
    omics.set_options(cancel_error=code)
    batch_id = batch_of().execute(context)
    omics.advance_batch(status)
    assert cancel(tasks, context, batch_id) == batch_id


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_of_a_cancel_goes_on_waiting(
    omics: Control, tasks: Tasks, context: Context, batch_id: str, deferrable: bool
) -> None:
    """HealthOmics refuses a second cancellation of a batch that is STOPPING."""
    omics.plan_run(times=None)
    with crashing("CancelRunBatch", "after"), pytest.raises(Crash):
        cancel(tasks, context, batch_id)
    assert status_of(omics) == "STOPPING"
    assert cancel(tasks, context, batch_id, wait_for_completion=True, deferrable=deferrable) == batch_id
    assert status_of(omics) == "CANCELLED"


@pytest.mark.parametrize("code", CODES)
def test_cancel_gives_a_batch_the_time_to_be_created(
    omics: Control, tasks: Tasks, context: Context, code: str
) -> None:
    """HealthOmics refuses to cancel one that is CREATING."""
    omics.set_options(cancel_error=code, batch_creating_seconds=30.0)
    batch_id = batch_of().execute(context)
    assert cancel(tasks, context, batch_id) == batch_id
    assert status_of(omics) in ("STOPPING", "CANCELLED")


def test_cancel_does_not_wait_for_ever(omics: Control, tasks: Tasks, clock: Clock, context: Context) -> None:
    """For a batch that stays CREATING."""
    omics.set_options(batch_creating_seconds=1e6)
    batch_id = batch_of().execute(context)
    with pytest.raises(HealthOmicsApiError, match="CancelRunBatch"):
        cancel(tasks, context, batch_id)
    assert clock.elapsed < 300


def test_cancelling_a_batch_that_nobody_knows_is_an_error(
    omics: Control, tasks: Tasks, context: Context
) -> None:
    """The id, the account or the region is another one."""
    with pytest.raises(HealthOmicsApiError, match=r"CancelRunBatch for batch 999.*region"):
        cancel(tasks, context, "999")


@pytest.mark.parametrize("operation", ["cancel", "delete"])
def test_a_refusal_says_why(
    omics: Control, tasks: Tasks, context: Context, batch_id: str, operation: str
) -> None:
    """And what to allow."""
    do, name = {"cancel": (cancel, "CancelRunBatch"), "delete": (delete, "DeleteRunBatch")}[operation]
    omics.inject_error(name, "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsApiError, match=f"omics:{name}") as caught:
        do(tasks, context, batch_id)
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("operation", ["cancel", "delete"])
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_a_passing_fault_is_retried_by_airflow(
    omics: Control, tasks: Tasks, context: Context, batch_id: str, operation: str, code: str
) -> None:
    """It is no failure for good."""
    do, name = {"cancel": (cancel, "CancelRunBatch"), "delete": (delete, "DeleteRunBatch")}[operation]
    omics.inject_error(name, code, times=None)
    with pytest.raises(ClientError):
        do(tasks, context, batch_id)


@pytest.mark.parametrize("do", [cancel, delete])
def test_a_bad_batch_id_is_refused(
    omics: Control, tasks: Tasks, context: Context, do: Callable[..., Any]
) -> None:
    """Before any call."""
    with pytest.raises(HealthOmicsRequestError, match="batch_id"):
        do(tasks, context, DAG_RUN_ID)
    assert omics.calls() == []


# --- delete ---


@pytest.fixture
def processed(omics: Control, batch_id: str) -> str:
    """A batch whose runs have ended."""
    omics.advance_batch("PROCESSED")
    return batch_id


def test_delete_deletes_the_runs_of_a_batch(
    omics: Control, tasks: Tasks, clock: Clock, context: Context, processed: str
) -> None:
    """The batch itself stays."""
    assert delete(tasks, context, processed) == processed
    clock.advance(10)
    assert status_of(omics) == "RUNS_DELETED"
    assert {run["status"] for run in omics.runs()} == {"DELETED"}


@pytest.mark.parametrize("deferrable", WAYS)
def test_delete_waits_until_the_runs_are_gone(
    omics: Control, tasks: Tasks, context: Context, processed: str, deferrable: bool
) -> None:
    """If asked to; the state PROCESSED, which may last for a moment, does not end the wait."""
    omics.set_options(batch_runs_per_second=0.01)
    assert delete(tasks, context, processed, wait_for_completion=True, deferrable=deferrable) == processed
    assert status_of(omics) == "RUNS_DELETED"
    assert len(tasks.deferrals) == deferrable


@pytest.mark.parametrize("deferrable", WAYS)
def test_delete_deletes_the_batch_too_if_asked_to(
    omics: Control, tasks: Tasks, context: Context, processed: str, deferrable: bool
) -> None:
    """After its runs."""
    assert delete(tasks, context, processed, delete_batch=True, deferrable=deferrable) == processed
    assert omics.batches() == []
    assert {run["status"] for run in omics.runs()} == {"DELETED"}


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize(
    ("operation", "when"), [("DeleteRunBatch", "after"), ("DeleteBatch", "before"), ("DeleteBatch", "after")]
)
def test_a_retry_of_a_delete_goes_on(
    omics: Control,
    tasks: Tasks,
    clock: Clock,
    context: Context,
    processed: str,
    deferrable: bool,
    operation: str,
    when: str,
) -> None:
    """HealthOmics refuses a second deletion of a batch that is RUNS_DELETING or RUNS_DELETED."""
    omics.set_options(batch_runs_per_second=0.01)
    with crashing(operation, when), pytest.raises(Crash):
        delete(tasks, context, processed, delete_batch=True, deferrable=deferrable)
    assert delete(tasks, context, processed, delete_batch=True, deferrable=deferrable) == processed
    assert omics.batches() == []


@pytest.mark.parametrize("code", CODES)
def test_deleting_runs_that_are_deleted_is_no_error(
    omics: Control, tasks: Tasks, clock: Clock, context: Context, processed: str, code: str
) -> None:
    """Whatever HealthOmics calls it."""
    omics.set_options(delete_error=code)
    delete(tasks, context, processed, wait_for_completion=True)
    assert delete(tasks, context, processed, wait_for_completion=True) == processed


def test_deleting_a_batch_that_is_gone_is_no_error(omics: Control, tasks: Tasks, context: Context) -> None:
    """It is what was wanted."""
    assert delete(tasks, context, "999", delete_batch=True) == "999"


def test_deleting_a_batch_on_its_way_is_an_error(
    omics: Control, tasks: Tasks, context: Context, batch_id: str
) -> None:
    """It must have ended."""
    with pytest.raises(HealthOmicsApiError, match="DeleteRunBatch"):
        delete(tasks, context, batch_id)
    assert status_of(omics) == "INPROGRESS"


def test_runs_that_cannot_be_deleted_are_told_of(
    omics: Control, tasks: Tasks, context: Context, processed: str, logged: Callable[[], str]
) -> None:
    """In the log."""
    omics.fail_submission(["sample-1"], operation="DeleteRun")
    delete(tasks, context, processed, wait_for_completion=True)
    assert "Not all runs" in logged()


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_deletion_that_times_out_cancels_nothing(
    omics: Control, tasks: Tasks, context: Context, processed: str, deferrable: bool
) -> None:
    """There is nothing to cancel."""
    omics.set_options(batch_runs_per_second=0.0001)
    with pytest.raises((AirflowException, AirflowTaskTimeout)):
        delete(
            tasks,
            context,
            processed,
            wait_for_completion=True,
            deferrable=deferrable,
            execution_timeout=timedelta(minutes=5),
        )
    assert calls_of(omics, "CancelRunBatch") == 0
