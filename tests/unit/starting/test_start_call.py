# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A failed call of a start is repeated later, adopts a run, or raises an error that names the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestChangedError,
)
from airflow_healthomics.starting.record import KEY
from airflow_healthomics.starting.start_call import MAX_CONFLICT_TURNS
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import crashing
from tests.unit.conftest import (
    WORKFLOW,
    Clock,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    intercepting,
    needs_store,
    try_of,
)
from tests.unit.histories import STORES, History, start_of
from tests.unit.kinds import KINDS, Kind
from tests.unit.waiting.kills import end_by_a_person

#: Delays of a start after which another conflict counts as permanent.
CONFLICTS: dict[str, Any] = {"turns": MAX_CONFLICT_TURNS, "conflict_turns": MAX_CONFLICT_TURNS}

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "StartRun")


# --- conflicts ---


@KINDS
def test_a_conflict_is_permanent_after_three_delays(omics: Control, tasks: Tasks, kind: Kind) -> None:
    """Then only an edit of the DAG or a Clear helps."""
    omics.inject_error(kind.operation("Start"), "ConflictException", times=None)
    with pytest.raises(HealthOmicsRequestChangedError):
        tasks.run(kind.task, try_of(FakeTaskInstance()))
    assert len(tasks.deferrals) == MAX_CONFLICT_TURNS == 3


@KINDS
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_another_error_after_conflicts_is_a_delay(omics: Control, kind: Kind, code: str) -> None:
    """Only one more conflict would adopt a run or fail the task."""
    omics.inject_error(kind.operation("Start"), code, times=None)
    with pytest.raises(TaskDeferred) as caught:
        kind.task().resume_start(try_of(FakeTaskInstance()), CONFLICTS)
    assert caught.value.trigger.serialize()[1]["conflict_turns"] == MAX_CONFLICT_TURNS


@needs_store
def test_a_repeated_request_conflicts_no_longer_than_a_new_one(omics: Control) -> None:
    """The same limit applies to the attempts after a crash."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    with crashing("StartRun"), pytest.raises(Crash):
        start_of(parameters={"a": 1}).execute(try_of(ti, store))
    omics.inject_error("StartRun", "ConflictException", times=None)
    ti.try_number = 2
    with pytest.raises(TaskDeferred):
        start_of(parameters={"a": 1}).execute(try_of(ti, store))
    with pytest.raises(HealthOmicsRequestChangedError):
        start_of(parameters={"a": 1}).resume_start(try_of(ti, store), CONFLICTS)


# --- the triggerer ---


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_the_response_that_the_triggerer_received_is_used(
    omics: Control, tasks: Tasks, kind: Kind, with_store: bool
) -> None:
    """A custom name finds no run, so a lost response would start a second one."""
    start = kind.operation("Start")
    omics.inject_error(start, "ThrottlingException")
    context = try_of(FakeTaskInstance(), Store() if with_store else None)
    resource_id = tasks.run(lambda: kind.task(**{kind.task().name_argument: "mine"}), context)
    assert [each["id"] for each in kind.all(omics)] == [resource_id]
    assert calls_of(omics, start) == 2


def test_the_triggerer_does_not_make_a_killed_start(omics: Control) -> None:
    """It does not know about the kill."""
    omics.inject_error("StartRun", "ThrottlingException", times=None)
    task, context = start_of(), try_of(FakeTaskInstance())
    task.hook.conn.meta.events.register(
        "after-call.omics.StartRun", lambda **_: end_by_a_person(task, context)
    )
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    assert caught.value.trigger.request is None


@pytest.mark.parametrize(
    ("error", "failures"),
    [(THROTTLED, 0), (EndpointConnectionError(endpoint_url="https://omics"), 1)],
    ids=["throttled", "unreachable"],
)
def test_a_delay_records_whether_healthomics_was_reached(
    omics: Control, clock: Clock, error: Exception, failures: int
) -> None:
    """The reason decides its duration."""
    with crashing("StartRun", error=error), pytest.raises(TaskDeferred) as caught:
        start_of().execute(try_of(FakeTaskInstance()))
    assert caught.value.trigger.serialize()[1]["failures"] == failures


# --- refusals ---


@KINDS
@needs_store
def test_a_refusal_names_the_request(omics: Control, kind: Kind) -> None:
    """It also names the workflow, so a person finds the call in CloudTrail."""
    omics.inject_error(kind.operation("Start"), "ValidationException")
    store = Store()
    with pytest.raises(HealthOmicsApiError) as caught:
        kind.task(request_id="chosen").execute(try_of(FakeTaskInstance(), store))
    assert str(caught.value).startswith(f"{kind.operation('Start')} for request chosen")
    assert f"(workflowId {WORKFLOW})" in str(caught.value)


def test_a_refused_search_names_the_request_that_may_have_a_run(omics: Control) -> None:
    """Without the store, the first call of a retry searches for it."""
    history = History(omics, with_store=False)
    history.try_again()
    (run,) = omics.runs()
    omics.inject_error("ListRuns", "ExpiredTokenException", status=403)
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        history.try_again()
    assert caught.value.subject == f"the run with request ID {run['requestId']}"


@needs_store
def test_a_refused_call_names_the_request_of_its_generation(omics: Control) -> None:
    """It is not that of the failed run before."""
    history = History(omics, with_store=True)
    omics.advance("FAILED", run_id=history.try_again())
    history.try_again("after-call")
    omics.inject_error("ListRuns", "AccessDeniedException")
    omics.inject_error("StartRun", "AccessDeniedException", status=403)
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        history.try_again()
    assert caught.value.subject == f"the run with request ID {omics.runs()[1]['requestId']}"


@needs_store
def test_a_lost_response_makes_a_later_refusal_retryable(omics: Control) -> None:
    """The first call may have started a run, and the second one was refused."""
    history = History(omics, with_store=True)

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        answer = call()
        if operation == "StartRun":
            omics.inject_error("StartRun", "AccessDeniedException", status=403)
            raise ReadTimeoutError(endpoint_url="https://omics")
        return answer

    with intercepting(respond), pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        history.try_again()
    (run,) = omics.runs()
    assert caught.value.subject == f"the run with request ID {run['requestId']}"


@needs_store
def test_a_refused_first_start_is_permanent_with_the_store(omics: Control) -> None:
    """The store would have the record of a run, even after a failed one."""
    history = History(omics, with_store=True)
    omics.advance("FAILED", run_id=history.try_again())
    omics.inject_error("StartRun", "AccessDeniedException", status=403)
    with pytest.raises(HealthOmicsApiError):
        history.try_again()


@KINDS
@needs_store
def test_a_refused_read_of_the_recorded_one_is_retryable(omics: Control, kind: Kind) -> None:
    """It may still be active."""
    ti, store = FakeTaskInstance(max_tries=2), Store()
    resource_id = kind.task().execute(try_of(ti, store))
    ti.try_number = 2
    omics.inject_error(kind.get, "AccessDeniedException", status=403)
    with pytest.raises(HealthOmicsOutcomeUnknownError) as caught:
        kind.task().execute(try_of(ti, store))
    assert f"{kind.get} for {kind.name} {resource_id}" in caught.value.reason
    assert caught.value.subject == f"the {kind.name} with request ID {store.get(KEY)['request_id']}"
