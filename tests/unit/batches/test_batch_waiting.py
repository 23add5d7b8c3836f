# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a task waits for its batch, on a worker or in the triggerer, and its error if too few runs complete."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException, AirflowFailException, AirflowTaskTimeout, Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsOutcomeLostError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRunBatchFailedError,
    HealthOmicsUnwatchedError,
)
from airflow_healthomics.operators import (
    HealthOmicsCancelRunBatchOperator,
    HealthOmicsDeleteRunBatchOperator,
)
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import CANARY, Attempts, batch_of, fail_runs, hold_runs, some_settings
from tests.unit.conftest import (
    HAS_STORE,
    ONE_ATTEMPT,
    SHOWN,
    Clock,
    FakeTaskInstance,
    Tasks,
    calls_of,
    try_of,
)
from tests.unit.histories import STORES, WAYS

# --- how it ends ---


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("with_store", STORES)
def test_all_completed(omics: Control, tasks: Tasks, deferrable: bool, with_store: bool) -> None:
    """It returns the batch id."""
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable)
    assert attempts.again() == omics.batches()[0]["id"]
    assert len(tasks.deferrals) == deferrable


def failure(attempts: Attempts, **fields: Any) -> HealthOmicsRunBatchFailedError:
    """Make a try, and return its error."""
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        attempts.again(**fields)
    # So Airflow applies the task's retries.
    assert not isinstance(caught.value, AirflowFailException)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value))
    return caught.value


@pytest.mark.parametrize("deferrable", WAYS)
def test_some_failed(omics: Control, tasks: Tasks, deferrable: bool) -> None:
    """PROCESSED is not success."""
    fail_runs(omics, "sample-1")
    error = failure(Attempts(tasks, deferrable=deferrable))
    assert (error.batch_id, error.status) == (omics.batches()[0]["id"], "PROCESSED")
    assert error.counts == {"COMPLETED": 2, "FAILED": 1}
    assert "2 of 3 runs completed" in str(error)


@pytest.mark.parametrize("deferrable", WAYS)
def test_some_not_started(omics: Control, tasks: Tasks, deferrable: bool) -> None:
    """A run that could not be submitted counts as failed, too."""
    omics.fail_submission(["sample-0"], "AccessDeniedException", message="role cannot be assumed")
    error = failure(Attempts(tasks, deferrable=deferrable))
    assert error.counts == {"COMPLETED": 2, "NOT_STARTED": 1}
    assert "1 not started: AccessDeniedException" in str(error)
    assert "role cannot be assumed" in str(error)


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("after", [0, 2])
def test_a_failed_batch(omics: Control, tasks: Tasks, deferrable: bool, after: int) -> None:
    """HealthOmics failed the batch before or while creating its runs; the error has the reason."""
    omics.fail_batch(after=after, failure_reason="The dog ate it.")
    error = failure(Attempts(tasks, deferrable=deferrable))
    assert error.status == "FAILED"
    assert "ended as FAILED" in str(error)
    assert "The dog ate it." in str(error)
    assert "of 3 runs" in str(error)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_batch_is_no_success_if_enough_runs_complete(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """HealthOmics did not create all runs, so neither the wait nor a retry counts the completed ones."""
    omics.fail_batch(after=2, failure_reason="The dog ate it.")
    attempts = Attempts(tasks, deferrable=deferrable, success_policy="any", waiter_delay=24 * 3600)
    assert failure(attempts).status == "FAILED"
    clock.advance(24 * 3600)
    attempts.again()
    assert len(omics.batches()) == 2


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_batch_of_unread_settings(
    omics: Control, tasks: Tasks, bucket: Any, deferrable: bool
) -> None:
    """Its runs were never counted, and the text does not make a number up."""
    omics.set_options(batch_creating_seconds=100.0)
    tasks.clock.at(50, lambda: omics.advance_batch("FAILED"))
    settings = some_settings(101)
    error = failure(
        Attempts(tasks, deferrable=deferrable, run_settings=settings, settings_s3_uri="s3://settings-bucket")
    )
    assert error.status == "FAILED"
    assert " of 0" not in str(error)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_cancelled_batch(omics: Control, tasks: Tasks, clock: Clock, client: Any, deferrable: bool) -> None:
    """Somebody cancelled it in the console: each run counts with its own status."""
    hold_runs(omics)
    clock.at(100, lambda: omics.advance("COMPLETED", run_id=omics.runs()[0]["id"]))
    clock.at(101, lambda: client.cancel_run_batch(batchId=omics.batches()[0]["id"]))
    error = failure(Attempts(tasks, deferrable=deferrable))
    assert error.status == "CANCELLED"
    assert error.counts == {"COMPLETED": 1, "CANCELLED": 2}


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("lists_unsubmitted", [True, False])
def test_a_batch_that_was_cancelled_early_is_no_success(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, deferrable: bool, lists_unsubmitted: bool
) -> None:
    """Runs that were never submitted count, even if ListRunsInBatch omits them."""
    omics.set_options(
        batch_runs_per_second=0.02,
        batch_lists_unsubmitted=lists_unsubmitted,
        batch_unsubmitted_after_cancel="none",
    )
    clock.at(30, lambda: client.cancel_run_batch(batchId=omics.batches()[0]["id"]))
    error = failure(Attempts(tasks, deferrable=deferrable))
    assert "2 of 3 runs completed" in str(error)
    assert error.counts == {"COMPLETED": 2, "NOT_STARTED": 1}
    assert "1 not started" in str(error)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_that_is_deleted_meanwhile(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, deferrable: bool
) -> None:
    """The task fails and repeats nothing, since the runs may have completed."""
    hold_runs(omics)

    def delete() -> None:
        omics.advance_batch("PROCESSED")
        client.delete_batch(batchId=omics.batches()[0]["id"])

    clock.at(100, delete)
    with pytest.raises(HealthOmicsOutcomeLostError, match="Somebody deleted it"):
        Attempts(tasks, deferrable=deferrable).again()


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_whose_runs_are_deleted_meanwhile(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, deferrable: bool
) -> None:
    """No result can be read."""
    hold_runs(omics)

    def delete() -> None:
        omics.advance_batch("PROCESSED")
        client.delete_run_batch(batchId=omics.batches()[0]["id"])

    clock.at(100, delete)
    error = failure(Attempts(tasks, deferrable=deferrable))
    assert (error.status, error.counts) == ("RUNS_DELETED", {"DELETED": 3})


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_throttled_polls(omics: Control, tasks: Tasks, deferrable: bool, code: str) -> None:
    """Throttled polls are repeated."""
    omics.inject_error("GetBatch", code, times=5)
    assert Attempts(tasks, deferrable=deferrable).again()


@pytest.mark.parametrize("deferrable", WAYS)
def test_lost_connections(omics: Control, tasks: Tasks, deferrable: bool) -> None:
    """Polls without a response are repeated, too."""
    omics.drop_connection("GetBatch", times=5)
    assert Attempts(tasks, deferrable=deferrable).again()


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("later", [False, True])
def test_denied_polls(omics: Control, tasks: Tasks, clock: Clock, deferrable: bool, later: bool) -> None:
    """They end the wait after an hour, with the missing permission, and the next attempt reattaches."""
    hold_runs(omics)
    clock.at(100 if later else 0, lambda: omics.inject_error("GetBatch", "AccessDeniedException", times=None))
    if not later:
        clock.advance(0)
    with pytest.raises(HealthOmicsError, match="omics:GetBatch") as caught:
        Attempts(tasks, deferrable=deferrable).again()
    assert isinstance(caught.value, (HealthOmicsOutcomeUnknownError, HealthOmicsUnwatchedError))
    assert not isinstance(caught.value, AirflowFailException)
    assert 3600 <= clock.elapsed <= 3600 + 300


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_wait_that_times_out(omics: Control, tasks: Tasks, clock: Clock, deferrable: bool) -> None:
    """``execution_timeout`` includes the time before the deferral."""
    hold_runs(omics)
    attempts = Attempts(tasks, deferrable=deferrable, execution_timeout=timedelta(minutes=30))
    with pytest.raises((AirflowException, AirflowTaskTimeout)):
        attempts.again()
    assert 1790 <= clock.elapsed <= 1900


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("operation", ["ListRuns", "ListRunsInBatch"])
def test_denied_results_are_reported(omics: Control, tasks: Tasks, deferrable: bool, operation: str) -> None:
    """A retry continues once the IAM policy is repaired, whereas a Clear would run everything again."""
    omics.inject_error(operation, "AccessDeniedException", times=None)
    attempts = Attempts(tasks, deferrable=deferrable)
    with pytest.raises(HealthOmicsError, match=f"omics:{operation}") as caught:
        attempts.again()
    assert not isinstance(caught.value, AirflowFailException)
    omics.clear_faults()
    assert attempts.again() == omics.batches()[0]["id"]
    assert len(omics.batches()) == 1


@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("operation", ["ListRuns", "ListRunsInBatch", "GetRun"])
def test_throttled_results_are_waited_for(
    omics: Control, tasks: Tasks, deferrable: bool, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands of calls, which share the account's quota with other callers."""
    # botocore's rate limiter would wait for real seconds until the test's clock moves.
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    omics.inject_error(operation, "ThrottlingException", times=8)
    assert Attempts(tasks, deferrable=deferrable).again()


def test_an_unknown_status_is_active(
    omics: Control, tasks: Tasks, logged: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged once."""
    from airflow_healthomics.service import batch_states

    monkeypatch.setattr(batch_states, "ACTIVE", batch_states.ACTIVE - {"INPROGRESS"})
    hold_runs(omics)
    tasks.clock.at(400, lambda: omics.advance_batch("PROCESSED"))
    assert Attempts(tasks).again()
    assert logged().count("does not know") == SHOWN


# --- the policy ---

POLICIES: list[tuple[Any, int, bool]] = [
    ("all", 20, True),
    ("all", 19, False),
    ("any", 1, True),
    ("any", 0, False),
    (19, 19, True),
    (19, 18, False),
    ("95%", 19, True),
    ("95%", 18, False),
    (0.95, 19, True),
    ("0.95", 18, False),
    ("12", 12, True),
]


@pytest.mark.parametrize(("policy", "completed", "is_met"), POLICIES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_policy_decides(
    omics: Control, tasks: Tasks, deferrable: bool, policy: Any, completed: int, is_met: bool
) -> None:
    """The number of the twenty runs that must complete."""
    fail_runs(omics, *(f"sample-{number}" for number in range(20 - completed)))
    attempts = Attempts(
        tasks, deferrable=deferrable, success_policy=policy, run_settings=some_settings(20), output_uris=False
    )
    if is_met:
        assert attempts.again()
    else:
        assert "success requires" in str(failure(attempts))


def test_a_run_that_was_not_started_counts_towards_the_total(omics: Control, tasks: Tasks) -> None:
    """A share refers to all settings."""
    omics.fail_submission(["sample-0", "sample-1"])
    failure(Attempts(tasks, success_policy="90%", run_settings=some_settings(10)))


# --- the error ---


def test_the_failed_part_is_counted_by_reason(omics: Control, tasks: Tasks) -> None:
    """With the first few run ids and their failures."""
    settings = some_settings(20)
    fail_runs(omics, *(f"sample-{number}" for number in range(4)), reason="OUT_OF_MEMORY_ERROR")
    fail_runs(omics, *(f"sample-{number}" for number in range(4, 10)), reason="SERVICE_ERROR")
    omics.fail_submission([f"sample-{number}" for number in range(10, 13)], "ServiceQuotaExceededException")
    text = str(failure(Attempts(tasks, run_settings=settings)))
    assert "4 FAILED: OUT_OF_MEMORY_ERROR" in text
    assert "6 FAILED: SERVICE_ERROR" in text
    assert "3 not started: ServiceQuotaExceededException" in text
    runs = [run for run in omics.runs() if f"run {run['id']}: FAILED" in text]
    assert 1 <= len(runs) <= 5
    assert len(text.splitlines()) < 20
    assert "retry" in text


def test_a_thousand_failures_are_few_lines_and_few_calls(omics: Control, tasks: Tasks) -> None:
    """The reasons of a sample are enough."""
    omics.set_options(batch_runs_per_second=None)
    omics.plan_run(times=None, status="FAILED", failure_reason="SERVICE_ERROR")
    attempts = Attempts(
        tasks, run_settings=some_settings(1000), settings_s3_uri="s3://settings-bucket", output_uris=False
    )
    import boto3

    boto3.client("s3").create_bucket(Bucket="settings-bucket")
    text = str(failure(attempts))
    assert len(text.splitlines()) < 20
    assert calls_of(omics, "GetRun") <= 100
    assert "0 of 1,000 runs completed" in text


def test_denied_reasons_are_left_out(omics: Control, tasks: Tasks, logged: Callable[[], str]) -> None:
    """They do not fail the task."""
    fail_runs(omics, "sample-1", "sample-2")
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    assert "2 FAILED" in str(failure(Attempts(tasks, output_uris=False)))
    assert "AccessDeniedException" in logged()


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_error_names_no_patient(
    omics: Control, tasks: Tasks, deferrable: bool, logged: Callable[[], str]
) -> None:
    """No error, log, event or record has a value of a parameter or the id of a run setting."""
    settings = [
        {"run_setting_id": f"{CANARY}-{number}", "parameters": {"sample": CANARY}, "name": f"run {number}"}
        for number in range(6)
    ]
    fail_runs(omics, f"{CANARY}-0", f"{CANARY}-1")
    omics.fail_submission([f"{CANARY}-2"])
    attempts = Attempts(tasks, with_store=HAS_STORE, deferrable=deferrable, run_settings=settings)
    errors = [failure(attempts), failure_of_retry(omics, attempts)]
    told = [logged(), repr(tasks.events), repr(attempts.store and attempts.store.values)]
    told += [repr(deferral.trigger.serialize()) for deferral in tasks.deferrals]
    told += [f"{error} {error.args} {vars(error)}" for error in errors]
    told += [repr({key: value for key, value in attempts.ti.xcoms.items() if key != "successes"})]
    assert not [text for text in told if CANARY in text]


def failure_of_retry(omics: Control, attempts: Attempts) -> HealthOmicsRunBatchFailedError:
    fail_runs(omics, f"{CANARY}-0")
    return failure(attempts)


# --- the log and the calls ---


@pytest.mark.parametrize("deferrable", WAYS)
def test_progress_is_logged_on_a_change_only(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool, logged: Callable[[], str]
) -> None:
    """As counts."""
    hold_runs(omics)
    clock.at(3600, lambda: omics.advance("COMPLETED", run_id=omics.runs()[0]["id"]))
    clock.at(7200, lambda: omics.advance("COMPLETED"))
    Attempts(tasks, deferrable=deferrable).again()
    lines = [line for line in logged().splitlines() if "runs ended" in line]
    texts = list(dict.fromkeys(line.partition("HealthOmics batch")[2].partition("[")[0] for line in lines))
    assert any("INPROGRESS: 1 of 3 runs ended (1 completed), 2 running" in text for text in texts)
    assert any("PROCESSED: 3 of 3 runs ended (3 completed)" in text for text in texts)
    assert len(texts) <= 6
    assert calls_of(omics, "GetBatch") >= 7200 / 60


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_poll_costs_one_get_batch(omics: Control, tasks: Tasks, clock: Clock, deferrable: bool) -> None:
    """However many runs the batch has."""
    hold_runs(omics)
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    Attempts(tasks, deferrable=deferrable, run_settings=some_settings(100), output_uris=False).again()
    assert 60 <= calls_of(omics, "GetBatch") <= 65
    assert calls_of(omics, "ListRuns") == calls_of(omics, "ListRunsInBatch") == 1
    assert calls_of(omics, "GetRun") == 0


@pytest.mark.parametrize("deferrable", WAYS)
def test_the_delay_is_configurable(omics: Control, tasks: Tasks, clock: Clock, deferrable: bool) -> None:
    """``waiter_delay``."""
    hold_runs(omics)
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    Attempts(tasks, deferrable=deferrable, waiter_delay=600).again()
    assert calls_of(omics, "GetBatch") <= 9


def test_a_batch_that_has_ended_before_the_first_poll_needs_no_wait(
    omics: Control, tasks: Tasks, clock: Clock
) -> None:
    """A retry that finds it ended does not defer."""
    attempts = Attempts(tasks, deferrable=True)
    attempts.crash("StartRunBatch", "after")
    clock.advance(3600)
    before = clock.elapsed
    assert attempts.again()
    assert (clock.elapsed, tasks.deferrals) == (before, [])


def test_the_connections_settings_survive_the_deferral(omics: Control) -> None:
    """The other arguments of the trigger do, too."""
    hold_runs(omics)
    operator = batch_of(
        wait_for_completion=True,
        deferrable=True,
        waiter_delay=7,
        aws_conn_id=None,
        region_name="us-east-1",
        verify=False,
    )
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(try_of(FakeTaskInstance()))
    (batch,) = omics.batches()
    assert caught.value.trigger.serialize()[1] == {
        "batch_id": batch["id"],
        "uuid": batch["uuid"],
        "grace": 60.0,
        "is_deletion": False,
        "waiter_delay": 7,
        "cancel_on_kill": True,
        "report": None,
        "aws_conn_id": None,
        "region_name": "us-east-1",
        "verify": False,
        "botocore_config": ONE_ATTEMPT,
    }


def test_a_batch_whose_id_was_given_to_another_is_an_error(omics: Control, client: Any) -> None:
    """The uuid shows it."""
    hold_runs(omics)
    operator = batch_of(wait_for_completion=True, deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(try_of(FakeTaskInstance()))
    watch = caught.value.trigger.watch()
    watch.uuid = "another"
    with pytest.raises(HealthOmicsApiError, match="belongs to a different batch now"):
        watch.poll(client)


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_new_batch_may_not_be_found_for_a_moment(
    omics: Control, tasks: Tasks, clock: Clock, deferrable: bool
) -> None:
    """AWS documents no such delay; ending the wait would start a second batch on the retry."""
    omics.inject_error("GetBatch", "ResourceNotFoundException", status=404, times=1)
    Attempts(tasks, deferrable=deferrable, waiter_delay=10).again()
    assert len(omics.batches()) == 1


def test_cancelling_continues_an_earlier_cancellation(omics: Control, context: Context) -> None:
    """A batch that is STOPPING, or still being created, is not an error."""
    hold_runs(omics)
    batch_id = batch_of().execute(context)
    for _ in range(2):
        task = HealthOmicsCancelRunBatchOperator(
            task_id="cancel", batch_id=batch_id, wait_for_completion=True, waiter_delay=1
        )
        assert task.execute(context) == batch_id
        assert omics.batches()[0]["status"] in {"STOPPING", "CANCELLED"}


def test_a_retry_of_a_deletion_continues_it(omics: Control, context: Context, tasks: Tasks) -> None:
    """The crashed attempt may have made the call."""
    Attempts(tasks).again()
    (batch,) = omics.batches()
    for delete_batch in (False, True):
        task = HealthOmicsDeleteRunBatchOperator(
            task_id="delete",
            batch_id=batch["id"],
            delete_batch=delete_batch,
            wait_for_completion=True,
            waiter_delay=1,
        )
        assert task.execute(context) == batch["id"]
    assert omics.batches() == []
