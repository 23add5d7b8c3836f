# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A Clear means "run it again", unless the DAG author has chosen otherwise or nobody meant it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.starting.record import KEY
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import hold_runs
from tests.unit.conftest import OUTPUT, ROLE, Clock, FakeTaskInstance, Store, calls_of, needs_store, try_of
from tests.unit.histories import History, start_of
from tests.unit.kinds import KINDS, RUN, Kind

pytestmark = needs_store

LIVE_OR_DONE = ["PENDING", "RUNNING", "COMPLETED"]


def cleared(omics: Control, status: str, **fields: Any) -> tuple[Any, Any]:
    """Return the run ids of an attempt and of the Clear after it."""
    history = History(omics, with_store=True, **fields)
    first = history.try_again()
    if status != "PENDING":
        omics.advance(status, run_id=first)
    history.clear()
    return first, history.try_again()


@pytest.mark.parametrize("status", LIVE_OR_DONE)
def test_the_log_says_what_a_clear_discards(omics: Control, logged: Callable[[], str], status: str) -> None:
    """And the argument that would keep it."""
    first, second = cleared(omics, status)
    assert second != first
    text = logged()
    assert f"discards the run {first} ({status})" in text
    assert "on_clear='reattach'" in text


def test_the_log_names_the_request_of_a_start_without_a_response(
    omics: Control, clock: Clock, logged: Callable[[], str]
) -> None:
    """Its run has no id yet."""
    history = History(omics, with_store=True)
    history.try_again("after-record")
    assert history.store is not None
    request_id = history.store.get(KEY)["request_id"]
    history.clear()
    history.try_again()
    assert f"discards the run with request ID {request_id} (start not confirmed)" in logged()


@pytest.mark.parametrize("status", LIVE_OR_DONE)
def test_a_clear_reuses_the_run_on_request(omics: Control, status: str) -> None:
    """It has completed, or will: a second one would cost money."""
    first, second = cleared(omics, status, on_clear="reattach")
    assert second == first
    assert calls_of(omics, "CancelRun") == 0


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_clear_repeats_a_failed_run_in_any_case(omics: Control, status: str) -> None:
    """There is nothing to reuse."""
    first, second = cleared(omics, status, on_clear="reattach")
    assert second not in (None, first)


def test_the_connection_has_a_default(omics: Control, connection: Callable[..., None]) -> None:
    """For all tasks without an argument."""
    connection(omics={"role_arn": ROLE, "output_uri": OUTPUT, "on_clear": "reattach"})
    first, second = cleared(omics, "COMPLETED")
    assert second == first
    first, second = cleared(omics, "COMPLETED", on_clear="new")
    assert second != first


@pytest.mark.parametrize("argument", ["on_clear", "on_failure", "on_unknown_end"])
def test_another_choice_is_refused(omics: Control, argument: str) -> None:
    """Before any call, with the list of choices."""
    with pytest.raises(HealthOmicsRequestError, match=f"{argument} must be \\w+ or \\w+"):
        start_of(**{argument: "perhaps"}).execute(try_of(FakeTaskInstance(), Store()))
    assert omics.calls() == []


def waiting(store: Store, ti: FakeTaskInstance, kind: Kind = RUN, **fields: Any) -> None:
    """Start an attempt that defers to wait for its run."""
    with pytest.raises(TaskDeferred):
        kind.task(wait_for_completion=True, deferrable=True, **fields).execute(try_of(ti, store))


def resumed_in_vain(store: Store, ti: FakeTaskInstance, kind: Kind = RUN, **fields: Any) -> Exception:
    """Resume an attempt whose trigger failed because of Airflow, and return its error."""
    operator = kind.task(wait_for_completion=True, deferrable=True, **fields)
    with pytest.raises(AirflowException, match="Trigger failure") as caught:
        operator.resume_execution("__fail__", {"error": "Trigger failure"}, try_of(ti, store))
    return caught.value


def test_a_task_whose_run_has_no_known_end_reattaches(omics: Control, logged: Callable[[], str]) -> None:
    """A failing triggerer has failed it, so nobody meant to discard the run."""
    omics.set_options(manual=True)
    store, ti = Store(), FakeTaskInstance()
    waiting(store, ti)
    resumed_in_vain(store, ti)
    assert store.get(KEY)["is_outcome_unknown"]
    ti.try_number, ti.max_tries = 2, 1
    waiting(store, ti)
    (run,) = omics.runs()
    assert f"reattaches to the run {run['id']}" in logged()
    assert not store.get(KEY)["is_outcome_unknown"]


def test_a_clear_starts_a_new_run_if_the_dag_author_has_chosen_so(omics: Control) -> None:
    """Even if the end of the run was unknown."""
    omics.set_options(manual=True)
    store, ti = Store(), FakeTaskInstance()
    waiting(store, ti, on_clear="new")
    resumed_in_vain(store, ti, on_clear="new")
    ti.try_number, ti.max_tries = 2, 1
    waiting(store, ti, on_clear="new")
    assert len(omics.runs()) == 2


def test_a_clear_with_a_lost_number_of_tries_starts_a_new_run(omics: Control) -> None:
    """The scheduler can lose it for a running task; without a retry left, only a Clear tries again."""
    omics.set_options(manual=True)
    store, ti = Store(), FakeTaskInstance(max_tries=0)
    waiting(store, ti)
    ti.try_number = 2
    waiting(store, ti)
    assert [run["status"] for run in omics.runs()] == ["STOPPING", "PENDING"]


# --- a run that no attempt watches ---


@KINDS
@pytest.mark.parametrize("on_failure", ["leave", "cancel"])
def test_the_last_failure_says_what_happens_to_the_run(omics: Control, kind: Kind, on_failure: str) -> None:
    """With its id, its page in the console and the command that cancels it."""
    hold_runs(omics)
    store, ti = Store(), FakeTaskInstance()
    waiting(store, ti, kind, on_failure=on_failure)
    error = resumed_in_vain(store, ti, kind, on_failure=on_failure)
    (only,) = kind.all(omics)
    assert f"The {kind.name} {only['id']}" in str(error)
    assert "See https://console.aws.amazon.com/omics/home?region=us-east-1#/runs" in str(error)
    if on_failure == "leave":
        command = {"run": "cancel-run --id", "batch": "cancel-run-batch --batch-id"}[kind.name]
        assert f"aws omics {command} {only['id']} --region us-east-1" in str(error)
    else:
        assert "is being cancelled" in str(error)
    assert kind.is_cancelled(omics) is (on_failure == "cancel")


@pytest.mark.parametrize("on_failure", ["leave", "cancel"])
def test_a_failure_with_attempts_left_leaves_the_run_to_them(omics: Control, on_failure: str) -> None:
    """The next one waits for it."""
    omics.set_options(manual=True)
    store, ti = Store(), FakeTaskInstance(max_tries=1)
    waiting(store, ti, on_failure=on_failure)
    resumed_in_vain(store, ti, on_failure=on_failure)
    assert calls_of(omics, "CancelRun") == 0
    ti.try_number = 2
    waiting(store, ti, on_failure=on_failure)
    assert len(omics.runs()) == 1
