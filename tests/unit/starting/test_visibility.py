# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run or batch that GetRun or GetBatch does not find yet is waited for, whichever attempt started it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import HealthOmicsOutcomeLostError
from airflow_healthomics.starting.exactly_once import VISIBILITY_GRACE
from tests.healthomics import Control
from tests.unit.batch_attempts import crashing, hold_runs
from tests.unit.conftest import (
    Clock,
    Crash,
    FakeTaskInstance,
    Store,
    Tasks,
    intercepting,
    needs_store,
    try_of,
)
from tests.unit.histories import WAYS
from tests.unit.kinds import KINDS, Kind

pytestmark = needs_store

NOT_FOUND: dict[str, Any] = {"code": "ResourceNotFoundException", "status": 404}


def crashed(kind: Kind, when: str) -> tuple[FakeTaskInstance, Store]:
    """Crash in the start of the first attempt, and return the task instance and its store in the second."""
    ti, store = FakeTaskInstance(max_tries=5), Store()
    with crashing(kind.operation("Start"), when), pytest.raises(Crash):
        kind.task().execute(try_of(ti, store))
    ti.try_number = 2
    return ti, store


@KINDS
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("crash", ["before", "after"])
def test_a_repeated_start_may_not_be_found_yet(
    omics: Control, clock: Clock, tasks: Tasks, kind: Kind, deferrable: bool, crash: str
) -> None:
    """After a repeated StartRun, a missing run has not ended either, and starts no second run."""
    ti, store = crashed(kind, crash)
    clock.advance(VISIBILITY_GRACE)
    omics.inject_error(kind.get, **NOT_FOUND, times=3)
    fields = {"wait_for_completion": True, "deferrable": deferrable, "waiter_delay": 10}
    resource_id = tasks.run(lambda: kind.task(**fields), try_of(ti, store))
    assert [each["id"] for each in kind.all(omics)] == [resource_id]


@KINDS
def test_the_attempt_after_a_repeated_start_may_not_find_it_yet(
    omics: Control, clock: Clock, kind: Kind
) -> None:
    """The grace period begins with the StartRun that started the run, not with the lost one."""
    ti, store = crashed(kind, "before")
    clock.advance(VISIBILITY_GRACE)
    with crashing(kind.get), pytest.raises(Crash):
        kind.task().execute(try_of(ti, store))
    ti.try_number = 3
    omics.inject_error(kind.get, **NOT_FOUND)
    resource_id = kind.task().execute(try_of(ti, store))
    assert [each["id"] for each in kind.all(omics)] == [resource_id]


@KINDS
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_soon_after_the_start_waits_for_a_run_that_is_not_found_yet(
    omics: Control, clock: Clock, tasks: Tasks, kind: Kind, deferrable: bool
) -> None:
    """Neither its first read nor its first polls treat the run as deleted."""
    ti, store = FakeTaskInstance(max_tries=5), Store()
    first = kind.task().execute(try_of(ti, store))
    ti.try_number = 2
    omics.inject_error(kind.get, **NOT_FOUND, times=3)
    fields = {"wait_for_completion": True, "deferrable": deferrable, "waiter_delay": 10}
    assert tasks.run(lambda: kind.task(**fields), try_of(ti, store)) == first
    assert [each["id"] for each in kind.all(omics)] == [first]


@KINDS
def test_a_clear_waits_for_a_run_that_is_not_found_yet(
    omics: Control, clock: Clock, tasks: Tasks, kind: Kind
) -> None:
    """The attempt after the Clear starts no other run until it can cancel the old one."""
    hold_runs(omics)
    ti, store = FakeTaskInstance(max_tries=2), Store()
    first = kind.task().execute(try_of(ti, store))
    ti.try_number, ti.max_tries = 2, 4
    omics.inject_error(kind.get, **NOT_FOUND)
    omics.inject_error(kind.operation("Cancel"), **NOT_FOUND)
    second = tasks.run(kind.task, try_of(ti, store))
    (deferral,) = tasks.deferrals
    assert deferral.method_name == "resume_start"
    assert deferral.trigger.serialize()[1]["failures"] == 0
    assert second != first
    assert kind.cancelled(omics) == [first]


@KINDS
def test_a_clear_does_not_cancel_another_run_with_the_id(omics: Control, clock: Clock, kind: Kind) -> None:
    """The old run was deleted between its read and its cancellation."""
    hold_runs(omics)
    ti, store = FakeTaskInstance(max_tries=2), Store()
    first = kind.task().execute(try_of(ti, store))
    ti.try_number, ti.max_tries = 2, 4
    looks = itertools.count()

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        answer = call()
        return answer | {"uuid": "0" * 8} if operation == kind.get and next(looks) else answer

    with intercepting(respond):
        assert kind.task().execute(try_of(ti, store)) != first
    assert kind.cancelled(omics) == []


@KINDS
def test_a_run_that_a_retry_has_found_has_no_grace_period(
    omics: Control, clock: Clock, tasks: Tasks, kind: Kind
) -> None:
    """If it is not found a moment later, it was deleted."""
    hold_runs(omics)
    ti, store = FakeTaskInstance(max_tries=2), Store()
    kind.task().execute(try_of(ti, store))
    clock.advance(VISIBILITY_GRACE)
    ti.try_number = 2
    begun = clock.elapsed
    error = ClientError(
        {"Error": {"Code": NOT_FOUND["code"]}, "ResponseMetadata": {"HTTPStatusCode": 404}},  # type: ignore[typeddict-item]
        kind.get,
    )
    with crashing(kind.get, survives=1, error=error), pytest.raises(HealthOmicsOutcomeLostError):
        tasks.run(lambda: kind.task(wait_for_completion=True, deferrable=False), try_of(ti, store))
    assert clock.elapsed == begun
