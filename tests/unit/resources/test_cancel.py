# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How runs and batches are cancelled, after a kill and by a task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.base import CancellableResource
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.service.errors import IncompleteAnswerError
from tests.healthomics import Control
from tests.unit.batch_attempts import batch_of, some_settings
from tests.unit.conftest import Clock, FakeTaskInstance, answering, calls_of, try_of
from tests.unit.kinds import BATCH, KINDS, RUN, Kind
from tests.unit.resources.conftest import Records

#: Errors after which the same call may succeed.
RETRYABLE = pytest.mark.parametrize(
    ("code", "http_status"), [("ThrottlingException", 429), ("ExpiredTokenException", 403)]
)

#: Errors that HealthOmics may return if the status of a resource does not allow the call.
CODES = pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])


def bring(kind: Kind, omics: Control, client: Any, resource_id: str, status: Any) -> None:
    """Bring the only run or batch to a status, and hold it there."""
    if kind is RUN:
        omics.advance(status)
    elif status in ("CREATING", "PENDING", "SUBMITTING", "INPROGRESS"):
        omics.advance_batch(status)
    elif status == "STOPPING":
        omics.advance_batch("INPROGRESS")
        client.cancel_run_batch(batchId=resource_id)
    elif status == "RUNS_DELETING":
        omics.set_options(batch_runs_per_second=0.001)
        omics.advance_batch("PROCESSED")
        client.delete_run_batch(batchId=resource_id)
    else:
        kind.end(omics, status)
    assert kind.status(omics) == status


# --- the status ---


@CODES
@pytest.mark.parametrize(
    ("kind", "status", "makes_call"),
    [
        (RUN, "PENDING", True),
        (RUN, "RUNNING", True),
        (RUN, "STOPPING", True),
        (RUN, "COMPLETED", False),
        (RUN, "FAILED", False),
        (RUN, "CANCELLED", False),
        (BATCH, "CREATING", True),
        (BATCH, "PENDING", True),
        (BATCH, "SUBMITTING", True),
        (BATCH, "INPROGRESS", True),
        (BATCH, "STOPPING", False),
        (BATCH, "PROCESSED", False),
        (BATCH, "CANCELLED", False),
        (BATCH, "FAILED", False),
        (BATCH, "RUNS_DELETING", False),
        (BATCH, "RUNS_DELETED", False),
    ],
    ids=str,
)
def test_a_kill_cancels_active_ones(
    omics: Control,
    hook: HealthOmicsHook,
    client: Any,
    log: Records,
    kind: Kind,
    status: str,
    makes_call: bool,
    code: Any,
) -> None:
    """It leaves ended ones alone, which is no failure."""
    omics.set_options(cancel_error=code, batch_creating_seconds=30.0)
    resource_id = kind.start(omics)
    bring(kind, omics, client, resource_id, status)
    calls = calls_of(omics, kind.operation("Cancel"))
    assert resource_of_kind(kind.name, hook, log).cancel(resource_id, None)
    assert (calls_of(omics, kind.operation("Cancel")) > calls) is makes_call
    assert kind.is_cancelled(omics) is (makes_call or status in ("STOPPING", "CANCELLED"))
    assert all(level == logging.INFO for level, _ in log.lines)


@CODES
@pytest.mark.parametrize(
    ("kind", "status", "is_active"),
    [
        (RUN, "RUNNING", True),
        (RUN, "STOPPING", True),
        (RUN, "COMPLETED", False),
        (BATCH, "CREATING", True),
        (BATCH, "INPROGRESS", True),
        (BATCH, "STOPPING", True),
        (BATCH, "PROCESSED", False),
        (BATCH, "FAILED", False),
        (BATCH, "RUNS_DELETING", False),
        (BATCH, "RUNS_DELETED", False),
    ],
    ids=str,
)
def test_a_task_learns_whether_it_has_ended(
    omics: Control,
    hook: HealthOmicsHook,
    client: Any,
    log: Records,
    kind: Kind,
    status: str,
    is_active: bool,
    code: Any,
) -> None:
    """Then there is nothing to wait for."""
    omics.set_options(cancel_error=code, batch_creating_seconds=30.0)
    resource_id = kind.start(omics)
    bring(kind, omics, client, resource_id, status)
    resource = resource_of_kind(kind.name, hook, log)
    assert isinstance(resource, CancellableResource)
    assert resource.request_cancel(resource_id) is is_active


@pytest.mark.parametrize(("refusals", "is_cancelled"), [(1, True), (None, False)])
def test_a_batch_that_has_just_been_created_is_cancelled_once_more(
    omics: Control, hook: HealthOmicsHook, log: Records, refusals: int | None, is_cancelled: bool
) -> None:
    """It was CREATING when HealthOmics refused; another reason would not pass."""
    batch_id = BATCH.start(omics)
    omics.advance_batch("PENDING")
    omics.inject_error("CancelRunBatch", "ConflictException", times=refusals)
    assert BatchResource(hook, log).cancel(batch_id, None) is is_cancelled
    assert calls_of(omics, "CancelRunBatch") == 2
    assert BATCH.is_cancelled(omics) is is_cancelled


def test_a_batch_that_is_not_created_within_a_minute_is_not_cancelled(
    omics: Control, hook: HealthOmicsHook, log: Records, clock: Clock
) -> None:
    """HealthOmics has refused to cancel it until then."""
    omics.set_options(batch_creating_seconds=3600.0)
    batch_id = BATCH.start(omics)
    assert BatchResource(hook, log).cancel(batch_id, None) is False
    assert 60 <= clock.elapsed <= 62


# --- the uuid ---


@KINDS
def test_another_one_with_the_id_is_left_alone(
    omics: Control, hook: HealthOmicsHook, log: Records, kind: Kind
) -> None:
    """The task's own one was deleted."""
    resource_id = kind.start(omics)
    assert resource_of_kind(kind.name, hook, log).cancel(resource_id, "another")
    assert log.lines == []
    assert calls_of(omics, kind.operation("Cancel")) == 0


@KINDS
def test_a_missing_uuid_matters_only_if_one_is_known(
    omics: Control, hook: HealthOmicsHook, client: Any, log: Records, clock: Clock, kind: Kind
) -> None:
    """A proxy may have sent the response, so the cancellation is repeated."""
    resource_id = kind.start(omics)
    clock.advance(10)
    arn, created = "arn:aws:omics:us-east-1:123456789012:run/1", "2026-11-22T03:04:05Z"
    status = {RUN: "RUNNING", BATCH: "INPROGRESS"}[kind]
    answering(hook.conn, kind.get, {"id": resource_id, "arn": arn, "status": status, "creationTime": created})
    resource = resource_of_kind(kind.name, hook, log)
    with pytest.raises(IncompleteAnswerError, match=f"{kind.get} lacks uuid"):
        resource.cancel(resource_id, "a uuid")
    assert not kind.is_cancelled(omics)
    assert resource.cancel(resource_id, None)
    assert kind.is_cancelled(omics)


# --- errors ---


@KINDS
@RETRYABLE
@pytest.mark.parametrize("verb", ["Get", "Cancel"])
def test_a_temporary_error_is_raised(
    omics: Control,
    hook: HealthOmicsHook,
    log: Records,
    clock: Clock,
    kind: Kind,
    code: str,
    http_status: int,
    verb: str,
) -> None:
    """The caller repeats the cancellation."""
    resource_id = kind.start(omics)
    clock.advance(10)
    omics.inject_error(kind.get if verb == "Get" else kind.operation(verb), code, status=http_status)
    with pytest.raises(ClientError, match=code):
        resource_of_kind(kind.name, hook, log).cancel(resource_id, None)


@KINDS
@pytest.mark.parametrize("verb", ["Get", "Cancel"])
def test_a_refusal_is_a_warning(
    omics: Control, hook: HealthOmicsHook, log: Records, clock: Clock, kind: Kind, verb: str
) -> None:
    """The task ends nevertheless."""
    resource_id = kind.start(omics)
    clock.advance(10)
    omics.inject_error(kind.get if verb == "Get" else kind.operation(verb), "AccessDeniedException")
    assert resource_of_kind(kind.name, hook, log).cancel(resource_id, None) is False
    ((level, line),) = log.lines
    assert level == logging.WARNING
    assert all(word in line for word in (resource_id, "AccessDeniedException"))


# --- a batch that has failed while some of its runs continue ---


@pytest.fixture
def failed(omics: Control, clock: Clock, client: Any) -> str:
    """A failed batch with one run that has ended and two that continue, beside a run of another user."""
    omics.set_options(batch_runs_per_second=1)
    omics.fail_batch(after=3)
    omics.plan_run(times=None, seconds={"RUNNING": None})
    RUN.start_beside(client)
    batch_id = str(batch_of(run_settings=some_settings(5)).execute(try_of(FakeTaskInstance())))
    clock.advance(30)
    first = next(run["id"] for run in omics.runs() if run["batchId"] == batch_id)
    omics.advance("COMPLETED", run_id=first)
    return batch_id


def statuses(omics: Control, batch_id: str | None) -> list[str]:
    """Return the statuses of a batch's runs, or of the others."""
    return [run["status"] for run in omics.runs() if run["batchId"] == batch_id]


def cancel(resource: BatchResource, batch_id: str) -> None:
    """Cancel a batch, as after a kill."""
    assert resource.cancel(batch_id, None)


def cancel_rest(resource: BatchResource, batch_id: str) -> None:
    """Cancel the active runs of a batch, as after a Clear."""
    resource.cancel_rest([batch_id])


@pytest.mark.parametrize("cancel_it", [cancel, cancel_rest])
def test_the_runs_of_a_failed_batch_are_cancelled_one_by_one(
    omics: Control,
    hook: HealthOmicsHook,
    log: Records,
    failed: str,
    cancel_it: Callable[[BatchResource, str], None],
) -> None:
    """Only active ones, and only those of the batch."""
    cancel_it(BatchResource(hook, log), failed)
    assert statuses(omics, failed) == ["COMPLETED", "STOPPING", "STOPPING"]
    assert statuses(omics, None) == ["RUNNING"]
    assert calls_of(omics, "GetRun") == calls_of(omics, "CancelRun") == 2


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_run_that_is_not_cancelled_is_a_failure(
    omics: Control, hook: HealthOmicsHook, log: Records, failed: str, earlier: int
) -> None:
    """Whichever run it is; the others are cancelled."""
    active = [run["id"] for run in omics.runs() if run["batchId"] == failed][1:]
    omics.inject_error("CancelRun", "AccessDeniedException", match={"id": active[earlier]})
    assert BatchResource(hook, log).cancel(failed, None) is False
    assert sorted(statuses(omics, failed)) == ["COMPLETED", "RUNNING", "STOPPING"]


def test_a_deleted_batch_does_not_keep_the_runs_of_another_one(
    omics: Control, hook: HealthOmicsHook, log: Records, failed: str
) -> None:
    """It has no runs left to cancel."""
    BatchResource(hook, log).cancel_rest(["7654321", failed])
    assert statuses(omics, failed) == ["COMPLETED", "STOPPING", "STOPPING"]
    assert "7654321" in log.lines[0][1]


@RETRYABLE
@pytest.mark.parametrize("operation", ["GetBatch", "CancelRun"])
def test_runs_that_may_still_be_cancelled_are_an_error(
    omics: Control,
    hook: HealthOmicsHook,
    log: Records,
    failed: str,
    code: str,
    http_status: int,
    operation: str,
) -> None:
    """Otherwise a sample would run twice at the same time."""
    omics.inject_error(operation, code, status=http_status)
    with pytest.raises(ClientError, match=code):
        BatchResource(hook, log).cancel_rest([failed])
