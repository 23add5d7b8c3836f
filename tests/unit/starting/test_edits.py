# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""An edited DAG or connection, and invalid responses, start no second run and lose none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsConnectionChangedError
from airflow_healthomics.starting.exactly_once import VISIBILITY_GRACE
from airflow_healthomics.starting.record import KEY
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import hold_runs
from tests.unit.conftest import Clock, FakeTaskInstance, Store, calls_of, intercepting, needs_store, try_of
from tests.unit.histories import History
from tests.unit.kinds import BATCH, RUN, Kind

pytestmark = needs_store


# --- the DAG ---


@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
def test_a_request_id_that_is_added(omics: Control, status: Any) -> None:
    """A retry reattaches to the run of the derived request ID."""
    history = History(omics, with_store=True)
    first = history.try_again()
    omics.advance(status, run_id=first)
    history.fields["request_id"] = "chosen"
    assert history.try_again() == first
    assert calls_of(omics, "CancelRun") == 0


@pytest.mark.parametrize("crash", ["after-call", "before-run-id", None])
def test_a_name_that_is_added(omics: Control, crash: str | None) -> None:
    """The run of a crashed attempt is found by its own name."""
    history = History(omics, with_store=True)
    history.try_again(crash)
    (run,) = omics.runs()
    history.fields["name"] = "mine"
    assert history.try_again() == run["id"]


@pytest.mark.parametrize(
    ("cancel_on_kill", "changes", "is_cancelled"),
    [
        pytest.param(True, {}, True, id="cancelled"),
        pytest.param(False, {}, False, id="left"),
        pytest.param(True, {"uuid": "0" * 8}, False, id="another-by-now"),
    ],
)
@pytest.mark.parametrize(("before", "after"), [(RUN, BATCH), (BATCH, RUN)], ids=str)
def test_an_operator_that_changes_its_kind(
    omics: Control,
    store: Store,
    logged: Callable[[], str],
    before: Kind,
    after: Kind,
    cancel_on_kill: bool,
    changes: dict[str, Any],
    is_cancelled: bool,
) -> None:
    """The run or batch that it started before is cancelled, or left, and the log says so."""
    hold_runs(omics)
    ti = FakeTaskInstance(max_tries=2)
    first = before.task().execute(try_of(ti, store))
    store.set(KEY, {**store.get(KEY), **changes})
    ti.try_number += 1
    second = after.task(cancel_on_kill=cancel_on_kill).execute(try_of(ti, store))
    assert before.cancelled(omics) == [first] * is_cancelled
    assert store.get(KEY)["epoch"] == 1
    assert f"started the {before.name} {first}, but the DAG now starts a {after.name}" in logged()
    assert second in [each["id"] for each in after.all(omics)]


# --- the connection ---


@pytest.mark.parametrize("is_cleared", [False, True])
def test_another_region_is_an_error_and_no_deletion(omics: Control, clock: Clock, is_cleared: bool) -> None:
    """The run is not found there, which does not mean that it was deleted."""
    history = History(omics, with_store=True)
    first = history.try_again()
    clock.advance(VISIBILITY_GRACE)
    history.fields["region_name"] = "us-west-2"
    history.hook = None
    if is_cleared:
        history.clear()
    with pytest.raises(HealthOmicsConnectionChangedError, match="us-west-2"):
        history.try_again()
    assert [run["id"] for run in omics.runs()] == [first]


def test_another_account_is_an_error_and_no_deletion(omics: Control, clock: Clock) -> None:
    """The run is not found there either."""
    history = History(omics, with_store=True, on_unknown_end="repeat")
    first = history.try_again()
    assert history.store is not None
    record = history.store.get(KEY)
    account = record["arn"].split(":")[4]
    history.store.set(
        KEY, {**record, "resource_id": "7654321", "arn": record["arn"].replace(account, "1" * 12)}
    )
    clock.advance(VISIBILITY_GRACE)
    with pytest.raises(HealthOmicsConnectionChangedError, match=f"account {account}"):
        history.try_again()
    assert [run["id"] for run in omics.runs()] == [first]


def test_a_run_with_the_same_id_in_another_account_is_an_error(
    omics: Control, clock: Clock, logged: Callable[[], str]
) -> None:
    """It belongs to another task, and this task's run was not deleted."""
    history = History(omics, with_store=True)
    first = history.try_again()
    assert history.store is not None
    record = history.store.get(KEY)
    account = record["arn"].split(":")[4]
    elsewhere = {"arn": record["arn"].replace(account, "1" * 12), "uuid": "0" * 8}
    history.store.set(KEY, {**record, **elsewhere})
    with pytest.raises(HealthOmicsConnectionChangedError, match=f"account {account}"):
        history.try_again()
    assert "deleted" not in logged()
    assert [run["id"] for run in omics.runs()] == [first]


# --- responses ---


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("StartRun", {}),
        ("StartRun", {"status": "PENDING"}),
        ("GetRun", {}),
        ("GetRun", {"id": "1", "arn": "a", "creationTime": 1, "uuid": "u"}),
        ("GetRun", {"id": "1", "arn": "a", "creationTime": 1, "status": "RUNNING"}),
    ],
)
def test_an_incomplete_response_is_repeated(
    omics: Control, clock: Clock, operation: str, answer: dict[str, Any]
) -> None:
    """It comes from a proxy, and starts no second run."""
    history = History(omics, with_store=True)
    if operation == "GetRun":
        history.try_again()

    def respond(called: str, call: Callable[[], Any]) -> Any:
        return dict(answer) if called == operation else call()

    with intercepting(respond), pytest.raises(TaskDeferred):
        history.try_again()
    run_id = history.try_again()
    assert [run["id"] for run in omics.runs()] == [run_id]


def test_a_response_without_the_status_of_the_run_is_repeated(omics: Control, clock: Clock) -> None:
    """Even if it is about the right run."""
    history = History(omics, with_store=True)
    history.try_again()

    def respond(_: str, call: Callable[[], Any]) -> Any:
        answer = call()
        return {name: answer[name] for name in answer if name != "status"}

    with intercepting(respond), pytest.raises(TaskDeferred):
        history.try_again()


def test_a_response_needs_no_uuid(omics: Control, clock: Clock) -> None:
    """AWS's model does not require it."""

    def respond(_: str, call: Callable[[], Any]) -> Any:
        answer = call()
        return {name: answer[name] for name in answer if name != "uuid"}

    history = History(omics, with_store=True)
    with intercepting(respond):
        assert history.try_again() == history.try_again() == omics.runs()[0]["id"]


def test_a_run_that_is_not_found_at_once_is_waited_for(omics: Control, clock: Clock) -> None:
    """A fast retry on another worker has the same grace period as the attempt that started the run."""
    history = History(omics, with_store=True)
    first = history.try_again()
    published = history.ti.xcoms.pop("run")
    clock.advance(10)
    omics.inject_error("GetRun", "ResourceNotFoundException", status=404, times=1)
    assert history.try_again() == first
    assert len(omics.runs()) == 1
    assert history.ti.xcoms["run"] == published
