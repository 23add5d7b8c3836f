# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that cancel and delete runs and batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.compat import AirflowException, AirflowFailException, AirflowTaskTimeout, Context
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from tests.healthomics import Control
from tests.unit.batch_attempts import batch_of, crashing
from tests.unit.conftest import (
    DAG_RUN_ID,
    ONE_ATTEMPT,
    Clock,
    Crash,
    FakeTaskInstance,
    Tasks,
    calls_of,
)
from tests.unit.histories import WAYS
from tests.unit.kinds import BATCH, KINDS, RUN, Kind

#: Errors that HealthOmics may return if the status of a resource does not allow the call.
CODES = pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
VERBS = pytest.mark.parametrize("verb", ["Cancel", "Delete"])


class Ending:
    """Runs tasks that cancel or delete, through all of their deferrals."""

    def __init__(self, tasks: Tasks, context: Context) -> None:
        self.tasks = tasks
        self.context = context

    def run(self, verb: str, kind: Kind, resource_id: str, **fields: Any) -> Any:
        """Return the result of a task."""
        operator = {"Cancel": kind.cancel, "Delete": kind.delete}[verb]
        arguments = {"task_id": "a_task", "botocore_config": ONE_ATTEMPT, **kind.by_id(resource_id), **fields}
        return self.tasks.run(lambda: operator(**arguments), self.context)


@pytest.fixture
def ending(tasks: Tasks, context: Context) -> Ending:
    """Run tasks."""
    return Ending(tasks, context)


@pytest.fixture
def batch_id(omics: Control, clock: Clock) -> str:
    """A batch whose runs stay RUNNING."""
    started = BATCH.start(omics)
    clock.advance(10)
    return started


@pytest.fixture
def processed(omics: Control, batch_id: str) -> str:
    """A batch whose runs have ended."""
    omics.advance_batch("PROCESSED")
    return batch_id


# --- both ---


@KINDS
@VERBS
def test_a_refusal_says_why(omics: Control, ending: Ending, kind: Kind, verb: str) -> None:
    """The error has the reason, and the permission to add."""
    resource_id, name = kind.start(omics), kind.operation(verb)
    omics.inject_error(name, "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsApiError, match=f"omics:{name}") as caught:
        ending.run(verb, kind, resource_id)
    assert isinstance(caught.value, AirflowFailException)


@KINDS
@VERBS
@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerException", "RequestTimeoutException"]
)
def test_a_passing_fault_is_retried_by_airflow(
    omics: Control, ending: Ending, kind: Kind, verb: str, code: str
) -> None:
    """It is not a permanent failure."""
    resource_id = kind.start(omics)
    omics.inject_error(kind.operation(verb), code, times=None)
    with pytest.raises(ClientError, match=code):
        ending.run(verb, kind, resource_id)


@KINDS
@VERBS
@pytest.mark.parametrize("resource_id", [DAG_RUN_ID, "", "None", "x"])
def test_a_bad_id_is_refused(omics: Control, ending: Ending, kind: Kind, verb: str, resource_id: str) -> None:
    """Before any call."""
    with pytest.raises(HealthOmicsRequestError, match=kind.id_argument):
        ending.run(verb, kind, resource_id)
    assert omics.calls() == []


# --- cancel ---


@pytest.mark.parametrize(
    ("kind", "status"),
    [(RUN, "PENDING"), (RUN, "STARTING"), (RUN, "RUNNING"), (BATCH, "INPROGRESS")],
    ids=str,
)
def test_cancel_cancels_what_is_active(
    omics: Control, ending: Ending, clock: Clock, kind: Kind, status: Any
) -> None:
    """By default it does not wait, and returns the id."""
    resource_id = kind.start(omics)
    omics.advance(status) if kind is RUN else omics.advance_batch(status)
    before = clock.elapsed
    assert ending.run("Cancel", kind, resource_id) == resource_id
    assert (kind.status(omics), clock.elapsed) == ("STOPPING", before)
    omics.advance_clock(600)
    assert kind.status(omics) == "CANCELLED"


@KINDS
@pytest.mark.parametrize("deferrable", WAYS)
def test_cancel_waits_for_the_end(
    omics: Control, ending: Ending, clock: Clock, kind: Kind, deferrable: bool
) -> None:
    """With ``wait_for_completion``. CANCELLED is the purpose, not a failure."""
    resource_id = kind.start(omics)
    clock.advance(10)
    omics.set_options(stopping_seconds=300)
    fields = {"wait_for_completion": True, "deferrable": deferrable}
    assert ending.run("Cancel", kind, resource_id, **fields) == resource_id
    assert kind.status(omics) == "CANCELLED"
    assert clock.elapsed >= 300
    assert len(ending.tasks.deferrals) == deferrable


@CODES
@pytest.mark.parametrize(
    ("kind", "status"),
    [(RUN, "COMPLETED"), (RUN, "FAILED"), (RUN, "CANCELLED"), (BATCH, "PROCESSED"), (BATCH, "FAILED")],
    ids=str,
)
@pytest.mark.parametrize("wait", [True, False])
def test_cancelling_an_ended_one_is_no_error(
    omics: Control, ending: Ending, kind: Kind, code: Any, status: str, wait: bool
) -> None:
    """Whichever error AWS returns."""
    omics.set_options(cancel_error=code)
    resource_id = kind.start(omics)
    kind.end(omics, status)
    assert ending.run("Cancel", kind, resource_id, wait_for_completion=wait) == resource_id


@KINDS
def test_cancelling_an_unknown_id_is_an_error(omics: Control, ending: Ending, kind: Kind) -> None:
    """The id, the account or the region is wrong."""
    with pytest.raises(HealthOmicsApiError, match=rf"{kind.operation('Cancel')} for {kind} 999.*region"):
        ending.run("Cancel", kind, "999")


def test_cancel_has_links(omics: Control, ending: Ending, ti: FakeTaskInstance) -> None:
    """They lead to the run."""
    run_id = RUN.start(omics)
    ending.run("Cancel", RUN, run_id, do_xcom_push=False)
    assert run_id in ti.xcoms["healthomics_run_link"]


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_of_a_cancel_continues_to_wait(
    omics: Control, ending: Ending, batch_id: str, deferrable: bool
) -> None:
    """HealthOmics refuses a second cancellation of a batch that is STOPPING."""
    omics.plan_run(times=None)
    with crashing("CancelRunBatch", "after"), pytest.raises(Crash):
        ending.run("Cancel", BATCH, batch_id)
    assert BATCH.status(omics) == "STOPPING"
    fields = {"wait_for_completion": True, "deferrable": deferrable}
    assert ending.run("Cancel", BATCH, batch_id, **fields) == batch_id
    assert BATCH.status(omics) == "CANCELLED"


@CODES
def test_cancel_waits_until_a_batch_is_created(
    omics: Control, ending: Ending, context: Context, code: Any
) -> None:
    """HealthOmics refuses to cancel a CREATING batch."""
    omics.set_options(cancel_error=code, batch_creating_seconds=30.0)
    batch_id = batch_of().execute(context)
    assert ending.run("Cancel", BATCH, batch_id) == batch_id
    assert BATCH.status(omics) in ("STOPPING", "CANCELLED")


def test_cancel_does_not_wait_forever(omics: Control, ending: Ending, clock: Clock, context: Context) -> None:
    """For a batch that stays CREATING."""
    omics.set_options(batch_creating_seconds=1e6)
    with pytest.raises(HealthOmicsApiError, match="CancelRunBatch"):
        ending.run("Cancel", BATCH, batch_of().execute(context))
    assert clock.elapsed < 300


# --- delete ---


@pytest.mark.parametrize(
    ("kind", "status"),
    [(RUN, "COMPLETED"), (RUN, "FAILED"), (RUN, "CANCELLED"), (BATCH, "PROCESSED")],
    ids=str,
)
@pytest.mark.parametrize("wait", [True, False])
def test_delete_deletes_runs_that_have_ended(
    omics: Control, ending: Ending, clock: Clock, kind: Kind, status: str, wait: bool
) -> None:
    """It returns the id. The batch itself remains."""
    resource_id = kind.start(omics)
    clock.advance(10)
    kind.end(omics, status)
    assert ending.run("Delete", kind, resource_id, wait_for_completion=wait) == resource_id
    clock.advance(10)
    assert kind.status(omics) == ("DELETED" if kind is RUN else "RUNS_DELETED")
    assert {run["status"] for run in omics.runs()} == {"DELETED"}


@KINDS
@CODES
def test_deleting_again_is_no_error(
    omics: Control, ending: Ending, clock: Clock, kind: Kind, code: Any
) -> None:
    """A retry may find the deletion done by the attempt before, with any error."""
    omics.set_options(delete_error=code)
    resource_id = kind.start(omics)
    clock.advance(10)
    kind.end(omics, kind.succeeded)
    for _ in range(2):
        assert ending.run("Delete", kind, resource_id, wait_for_completion=True) == resource_id


@pytest.mark.parametrize(
    ("kind", "fields"), [(RUN, {}), (BATCH, {}), (BATCH, {"delete_batch": True})], ids=str
)
def test_deleting_an_unknown_id_is_no_error(
    omics: Control, ending: Ending, logged: Callable[[], str], kind: Kind, fields: dict[str, Any]
) -> None:
    """The purpose is met: nothing with this id exists."""
    assert ending.run("Delete", kind, "999", **fields) == "999"
    assert f"{kind.name} 999 no longer exists" in logged()


@KINDS
@CODES
def test_deleting_an_active_one_is_an_error(
    omics: Control, ending: Ending, clock: Clock, kind: Kind, code: Any
) -> None:
    """Only ended ones can be deleted."""
    omics.set_options(delete_error=code)
    resource_id = kind.start(omics)
    clock.advance(10)
    before = kind.status(omics)
    with pytest.raises(HealthOmicsApiError, match=kind.operation("Delete")):
        ending.run("Delete", kind, resource_id)
    assert kind.status(omics) == before


@pytest.mark.parametrize("shown", [True, False])
def test_delete_waits_until_the_run_is_gone(
    omics: Control, ending: Ending, clock: Clock, shown: bool
) -> None:
    """It is not found, or DELETED."""
    omics.set_options(show_deleted_runs=shown)
    run_id = RUN.start(omics)
    omics.advance("COMPLETED")
    omics.inject_error("GetRun", "ThrottlingException", times=3)  # the first one before the deletion
    ending.run("Delete", RUN, run_id, wait_for_completion=True)
    assert len(clock.sleeps) == 2
    assert calls_of(omics, "GetRun") == 4


def test_delete_does_not_wait_for_another_run(
    omics: Control, context: Context, started: Callable[..., Any], clock: Clock
) -> None:
    """AWS may give the id to a new run; the deleted one is gone nevertheless."""
    omics.set_options(reuse_run_ids=True, manual=True)
    run_id = started()["id"]
    omics.advance("COMPLETED", run_id=run_id)
    operator = RUN.delete(
        task_id="a_task", run_id=run_id, wait_for_completion=True, botocore_config=ONE_ATTEMPT
    )
    clock.deadline = 3600
    operator.hook.conn.meta.events.register("after-call.omics.DeleteRun", lambda **_: started())
    assert operator.execute(context) == run_id


@pytest.mark.parametrize("deferrable", WAYS)
def test_delete_waits_until_the_runs_of_a_batch_are_gone(
    omics: Control, ending: Ending, processed: str, deferrable: bool
) -> None:
    """The state PROCESSED may be visible for a moment and does not end the wait."""
    omics.set_options(batch_runs_per_second=0.01)
    fields = {"wait_for_completion": True, "deferrable": deferrable}
    assert ending.run("Delete", BATCH, processed, **fields) == processed
    assert BATCH.status(omics) == "RUNS_DELETED"
    assert len(ending.tasks.deferrals) == deferrable


@pytest.mark.parametrize("deferrable", WAYS)
def test_delete_deletes_the_batch_too_on_request(
    omics: Control, ending: Ending, processed: str, deferrable: bool
) -> None:
    """After its runs."""
    assert ending.run("Delete", BATCH, processed, delete_batch=True, deferrable=deferrable) == processed
    assert omics.batches() == []
    assert {run["status"] for run in omics.runs()} == {"DELETED"}


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize(
    ("operation", "when"), [("DeleteRunBatch", "after"), ("DeleteBatch", "before"), ("DeleteBatch", "after")]
)
def test_a_retry_of_a_delete_continues(
    omics: Control, ending: Ending, processed: str, deferrable: bool, operation: str, when: str
) -> None:
    """HealthOmics refuses a second deletion of a batch that is RUNS_DELETING or RUNS_DELETED."""
    omics.set_options(batch_runs_per_second=0.01)
    fields = {"delete_batch": True, "deferrable": deferrable}
    with crashing(operation, when), pytest.raises(Crash):
        ending.run("Delete", BATCH, processed, **fields)
    assert ending.run("Delete", BATCH, processed, **fields) == processed
    assert omics.batches() == []


def test_runs_that_cannot_be_deleted_are_logged(
    omics: Control, ending: Ending, processed: str, logged: Callable[[], str]
) -> None:
    """The batch is RUNS_DELETED nevertheless."""
    omics.fail_submission(["sample-1"], operation="DeleteRun")
    ending.run("Delete", BATCH, processed, wait_for_completion=True)
    assert "Some runs" in logged()


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_deletion_that_times_out_cancels_nothing(
    omics: Control, ending: Ending, processed: str, deferrable: bool
) -> None:
    """There is nothing to cancel."""
    omics.set_options(batch_runs_per_second=0.0001)
    fields = {"wait_for_completion": True, "execution_timeout": timedelta(minutes=5)}
    with pytest.raises((AirflowException, AirflowTaskTimeout)):
        ending.run("Delete", BATCH, processed, deferrable=deferrable, **fields)
    assert calls_of(omics, "CancelRunBatch") == 0
