# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Throttled, lost and conflicting starts start one run or batch, and occupy a worker for seconds only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError, HealthOmicsRequestChangedError
from airflow_healthomics.starting.outcome import Delays
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import PLACE, crashing, hold_runs, some_settings
from tests.unit.conftest import (
    DAG_RUN_ID,
    Clock,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    needs_store,
    try_of,
)
from tests.unit.histories import STORES
from tests.unit.kinds import BATCH, KINDS, RUN, Kind

DELAYS: dict[str, Callable[[Control, str], Any]] = {
    "throttled": lambda omics, start: omics.inject_error(start, "ThrottlingException", times=2),
    "500": lambda omics, start: omics.inject_error(start, "InternalServerException", times=2),
    "408": lambda omics, start: omics.inject_error(start, "RequestTimeoutException", times=2),
    "500-after": lambda omics, start: omics.inject_error(
        start, "InternalServerException", times=2, when="after"
    ),
    "503": lambda omics, start: omics.inject_error(start, "AnyCode", status=503, times=2),
    "429": lambda omics, start: omics.inject_error(start, "AnyCode", status=429, times=2),
    "conflict": lambda omics, start: omics.inject_error(start, "ConflictException", times=2),
    "dropped": lambda omics, start: omics.drop_connection(start, times=2),
    "dropped-after": lambda omics, start: omics.drop_connection(start, times=2, when="after"),
}


@KINDS
@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_a_delayed_start_waits_its_turn_in_the_triggerer(
    omics: Control, tasks: Tasks, bucket: Any, kind: Kind, with_store: bool, delay: Callable[..., Any]
) -> None:
    """It keeps its request ID, and a batch its settings in S3, so only one is started."""
    start = kind.operation("Start")
    delay(omics, start)

    def make() -> Any:
        return kind.task(deferrable=False, **(LARGE[kind] if kind is BATCH else {}))

    context = try_of(FakeTaskInstance(max_tries=2), Store() if with_store else None)
    resource_id = tasks.run(make, context)
    (deferral,) = tasks.deferrals
    assert type(deferral.trigger).__name__ == "HealthOmicsStartTrigger"
    assert deferral.method_name == "resume_start"
    assert 2 <= calls_of(omics, start) <= 3  # a run whose response was lost may be found by its name
    (only,) = kind.all(omics)
    assert only["id"] == resource_id
    (target,) = deferral.trigger.targets
    assert (target["kind"], target["name"]) == (kind.name, only["requestId"])


@KINDS
def test_a_delayed_start_is_not_waited_for_on_the_worker(omics: Control, clock: Clock, kind: Kind) -> None:
    """A slot is occupied no longer than a call."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=None)
    with pytest.raises(TaskDeferred):
        kind.task().execute(try_of(FakeTaskInstance(max_tries=2)))
    assert (calls_of(omics, kind.operation("Start")), clock.elapsed) == (1, 0)


@KINDS
def test_a_start_that_fails_is_repeated_once_on_the_worker(omics: Control, clock: Clock, kind: Kind) -> None:
    """After one or two seconds, as the quota requires, with jitter."""
    for number in range(12):
        omics.inject_error(kind.operation("Start"), "InternalServerException")
        kind.task().execute(try_of(FakeTaskInstance(task_id=f"task_{number}")))
    assert calls_of(omics, kind.operation("Start")) == 24
    assert len(clock.sleeps) == 12
    assert 1 <= min(clock.sleeps) < max(clock.sleeps) <= 2


#: Arguments with inputs that are too large for the request, so they are in a file in S3.
LARGE: dict[Kind, dict[str, Any]] = {
    RUN: {"parameters": {"samples": ["a" * 1000] * 60}, "parameters_s3_uri": PLACE},
    BATCH: {"run_settings": some_settings(101), "settings_s3_uri": PLACE, "output_uris": False},
}

SLOW_DOWN = ClientError(
    {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}},  # type: ignore[typeddict-item]
    "PutObject",
)


@KINDS
@pytest.mark.parametrize(
    ("code", "by_triggerer"), [("ThrottlingException", True), ("ConflictException", False)]
)
def test_the_triggerer_makes_a_start_whose_file_is_written(
    omics: Control, clock: Clock, bucket: Any, kind: Kind, code: str, by_triggerer: bool
) -> None:
    """Only the call is missing, but the cause of a conflict can only be found by the task."""
    omics.inject_error(kind.operation("Start"), code, times=None)
    with pytest.raises(TaskDeferred) as caught:
        kind.task(**LARGE[kind]).execute(try_of(FakeTaskInstance(max_tries=2)))
    assert (caught.value.trigger.request is not None) is by_triggerer


@KINDS
@pytest.mark.parametrize("error", [SLOW_DOWN, EndpointConnectionError(endpoint_url="https://s3")], ids=str)
def test_the_task_makes_a_start_whose_file_is_not_written(
    omics: Control, clock: Clock, tasks: Tasks, bucket: Any, kind: Kind, error: Exception
) -> None:
    """A run without its parameters would fail, and so would a batch without its settings."""
    context = try_of(FakeTaskInstance(max_tries=2))
    with crashing("PutObject", error=error), pytest.raises(TaskDeferred) as caught:
        kind.task(**LARGE[kind]).execute(context)
    assert caught.value.trigger.request is None
    event = tasks.fire(caught.value.trigger)
    resource_id = kind.task(**LARGE[kind]).resume_execution("resume_start", {"event": event}, context)
    assert [each["id"] for each in kind.all(omics)] == [resource_id]


@KINDS
def test_losing_to_other_starts_is_no_failure(omics: Control, tasks: Tasks, kind: Kind) -> None:
    """A start that is throttled each time keeps waiting for its turns."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=10)
    tasks.run(kind.task, try_of(FakeTaskInstance(max_tries=2)))
    assert len(kind.all(omics)) == 1


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_a_delayed_start_is_found_by_its_name(omics: Control, kind: Kind, with_store: bool) -> None:
    """HealthOmics may have forgotten its request ID when the task repeats it."""
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    omics.drop_connection(kind.operation("Start"), when="after", times=2)
    with pytest.raises(TaskDeferred):
        kind.task().execute(try_of(ti, store))
    omics.set_options(request_id_lifetime=60)
    omics.advance_clock(600)
    event = Delays(turns=1, failures=1, since=1.0)._asdict()
    resource_id = kind.task().resume_execution("resume_start", {"event": event}, try_of(ti, store))
    assert [each["id"] for each in kind.all(omics)] == [resource_id]


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_a_delayed_start_that_is_refused_is_retryable(omics: Control, kind: Kind, with_store: bool) -> None:
    """The calls before the delay may have started a run or batch."""
    ti, store = FakeTaskInstance(max_tries=2), Store() if with_store else None
    start = kind.operation("Start")
    omics.drop_connection(start, times=2)
    with pytest.raises(TaskDeferred):
        kind.task().execute(try_of(ti, store))
    omics.inject_error(start, "AccessDeniedException", status=403)
    event = Delays(turns=1, failures=1, since=1.0)._asdict()
    with pytest.raises(HealthOmicsOutcomeUnknownError):
        kind.task().resume_execution("resume_start", {"event": event}, try_of(ti, store))


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_an_endless_conflict_adopts_the_started_run(
    omics: Control, tasks: Tasks, kind: Kind, with_store: bool
) -> None:
    """A request that was edited after a crash conflicts each time; the run is found by name."""
    context = try_of(FakeTaskInstance(max_tries=2), Store() if with_store else None)
    with crashing(kind.operation("Start"), "after"), pytest.raises(Crash):
        kind.task(parameters={"a": 1}).execute(context)
    adopted = tasks.run(lambda: kind.task(parameters={"a": 2}), context)
    assert [each["id"] for each in kind.all(omics)] == [adopted]
    assert len(tasks.deferrals) <= 5


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_an_endless_conflict_without_a_run_fails_the_task(
    omics: Control, tasks: Tasks, kind: Kind, with_store: bool
) -> None:
    """After a limited time, permanently, and with the next step."""
    start = kind.operation("Start")
    omics.inject_error(start, "ConflictException", times=None)
    store = Store() if with_store else None
    with pytest.raises(HealthOmicsRequestChangedError, match="clear the task") as caught:
        tasks.run(kind.task, try_of(FakeTaskInstance(max_tries=2), store))
    assert caught.value.has_changed is False
    assert caught.value.request_id.startswith(f"{DAG_RUN_ID}.")
    assert isinstance(caught.value, AirflowFailException)
    assert f"{start} keeps failing" in str(caught.value)
    assert f"the {kind.name} of that ID was not found" in str(caught.value)
    assert len(tasks.deferrals) <= 5


@needs_store
@KINDS
def test_an_endless_conflict_with_an_edited_request_says_so(omics: Control, tasks: Tasks, kind: Kind) -> None:
    """The fingerprint of the crashed attempt shows that the DAG author edited the request."""
    context = try_of(FakeTaskInstance(max_tries=2), Store())
    with crashing(kind.operation("Start")), pytest.raises(Crash):
        kind.task(parameters={"a": 1}).execute(context)
    omics.inject_error(kind.operation("Start"), "ConflictException", times=None)
    with pytest.raises(HealthOmicsRequestChangedError) as caught:
        tasks.run(lambda: kind.task(parameters={"a": 2}), context)
    assert caught.value.has_changed


@needs_store
@KINDS
@pytest.mark.parametrize("code", ["ConflictException", "ValidationException", "AccessDeniedException"])
def test_a_failing_cancellation_of_an_old_one_delays_no_start(
    omics: Control, clock: Clock, logged: Callable[[], str], kind: Kind, code: str
) -> None:
    """It may have ended meanwhile, and the log says so."""
    ti, store = FakeTaskInstance(max_tries=5), Store()
    first = kind.task().execute(try_of(ti, store))
    clock.advance(1.5)
    ti.try_number, ti.max_tries = 2, 6  # a Clear
    omics.inject_error(kind.operation("Cancel"), code, times=2)
    assert kind.task().execute(try_of(ti, store)) != first
    assert code in logged()


@KINDS
@pytest.mark.parametrize("with_store", STORES)
def test_a_delayed_start_after_a_failure_is_found_by_its_own_name(
    omics: Control, kind: Kind, with_store: bool
) -> None:
    """A kill at the turnstile cancels the run of the lost response, and not the failed one before."""
    ti, store = FakeTaskInstance(max_tries=5), Store() if with_store else None
    kind.task().execute(try_of(ti, store))
    kind.end(omics, "FAILED")
    ti.try_number = 2
    omics.drop_connection(kind.operation("Start"), when="after", times=None)
    with pytest.raises(TaskDeferred) as caught:
        kind.task().execute(try_of(ti, store))
    (target,) = caught.value.trigger.targets
    assert len(kind.all(omics)) == 2
    assert target["name"] == kind.all(omics)[-1]["requestId"]


@KINDS
def test_a_delayed_start_with_a_custom_name_is_not_searched_for(omics: Control, kind: Kind) -> None:
    """Runs of other tasks may have the name, too."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=None)
    name = {kind.task().name_argument: "mine"}
    with pytest.raises(TaskDeferred) as caught:
        kind.task(**name).execute(try_of(FakeTaskInstance(max_tries=5)))
    assert caught.value.trigger.targets == []


@KINDS
@pytest.mark.parametrize("timeout", [None, timedelta(minutes=30)])
def test_a_delayed_start_keeps_the_timeout_of_its_attempt(
    omics: Control, clock: Clock, kind: Kind, timeout: timedelta | None
) -> None:
    """The time in the triggerer is part of ``execution_timeout``."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=None)
    context = try_of(FakeTaskInstance(max_tries=5))
    clock.advance(600)
    with pytest.raises(TaskDeferred) as caught:
        kind.task(execution_timeout=timeout).execute(context)
    left = caught.value.timeout
    if timeout is None:
        assert left is None
    else:
        assert left is not None
        assert timedelta(minutes=19) < left <= timedelta(minutes=20)


@needs_store
@KINDS
def test_a_clear_whose_cancellation_is_throttled_watches_what_it_discards(
    omics: Control, clock: Clock, kind: Kind
) -> None:
    """A kill before the next cancellation still cancels it."""
    hold_runs(omics)
    ti, store = FakeTaskInstance(max_tries=5), Store()
    old = kind.task().execute(try_of(ti, store))
    clock.advance(30)
    ti.try_number, ti.max_tries = 2, 6  # a Clear
    omics.inject_error(kind.operation("Cancel"), "ThrottlingException", times=None)
    with pytest.raises(TaskDeferred) as caught:
        kind.task().execute(try_of(ti, store))
    uuid = kind.all(omics)[0]["uuid"]
    assert caught.value.trigger.targets == [{"kind": kind.name, "id": old, "uuid": uuid, "name": None}]
