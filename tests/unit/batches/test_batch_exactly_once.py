# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one batch per task instance, whatever crashes; retries repeat the failed part, Clears all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsRunBatchFailedError,
)
from airflow_healthomics.service import batch_states
from tests.healthomics import Control
from tests.unit.batch_attempts import (
    PLACE,
    Attempts,
    batch_of,
    crashing,
    fail_runs,
    hold_runs,
    objects,
    setting_ids,
    some_settings,
)
from tests.unit.conftest import Clock, Crash, FakeTaskInstance, Store, Tasks, calls_of, needs_store, try_of
from tests.unit.histories import STORES, WAYS

# --- crashes of the submission ---

#: Where the process dies: at a call, in the order of an attempt.
CALLS = [
    ("PutObject", "before"),
    ("PutObject", "after"),
    ("StartRunBatch", "before"),
    ("StartRunBatch", "after"),
    ("GetBatch", "before"),  # the id is recorded, nothing is deferred yet
    ("GetBatch", "after"),
    ("ListRunsInBatch", "before"),  # in finish
    ("ListRuns", "after"),
    ("GetRun", "before"),
    ("GetRun", "after"),
]
IDS = [f"{when}-{operation}" for operation, when in CALLS]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize(("operation", "when"), CALLS, ids=IDS)
def test_a_crash_leaves_one_batch(
    omics: Control, tasks: Tasks, bucket: Any, with_store: bool, deferrable: bool, operation: str, when: str
) -> None:
    """The next try finds it, or starts it under the same request ID."""
    omics.set_options(batch_runs_per_second=None, tasks=0)
    attempts = Attempts(
        tasks,
        with_store=with_store,
        deferrable=deferrable,
        run_settings=some_settings(101),
        settings_s3_uri=PLACE,
        output_uris=operation == "GetRun",
    )
    for _ in range(2):
        attempts.crash(operation, when)
        if operation == "PutObject" and when == "after":
            break  # it exists, and is not written again
        if operation == "StartRunBatch" and when == "after":
            break  # from now on it is found by its name
    batch_id = attempts.again()
    (batch,) = omics.batches()
    assert (batch_id, batch["status"]) == (batch["id"], "PROCESSED")
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 101}
    assert len([key for key in objects() if "/settings-" in key]) == 1


@needs_store
@pytest.mark.parametrize("with_id", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_the_record_leaves_one_batch(
    omics: Control, tasks: Tasks, bucket: Any, with_id: bool, when: str
) -> None:
    """A crash while the intention is written ahead, or while the batch id is recorded."""
    attempts = Attempts(tasks, with_store=True, run_settings=some_settings(101), settings_s3_uri=PLACE)
    store: Any = attempts.store

    def die(value: dict[str, Any]) -> None:
        if bool(value["resource_id"]) == with_id:
            raise Crash

    setattr(store, f"{when}_set", die)
    with pytest.raises(Crash):
        attempts.again()
    store.before_set = store.after_set = lambda value: None
    started_before = len(omics.batches())
    assert started_before == with_id
    batch_id = attempts.again()
    assert [batch["id"] for batch in omics.batches()] == [batch_id]


@needs_store
def test_the_intention_is_stored_before_anything_else(omics: Control, bucket: Any) -> None:
    """It is stored before the settings are written to S3, and contains no setting."""
    store = Store()
    seen: list[tuple[int, int]] = []
    store.after_set = lambda value: seen.append((len(objects()), calls_of(omics, "StartRunBatch")))
    batch_of(run_settings=some_settings(101), settings_s3_uri=PLACE).execute(
        try_of(FakeTaskInstance(), store)
    )
    assert seen == [(0, 0), (1, 1)]
    assert "sample-" not in json.dumps(store.values)


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_settings_are_not_rewritten_with_another_content(
    omics: Control, tasks: Tasks, bucket: Any, client: Any, with_store: bool, when: str
) -> None:
    """
    HealthOmics fails a batch whose settings have changed since StartRunBatch.

    Changed settings are written to another object, which is used if no batch was started yet.
    """
    omics.set_options(batch_creating_seconds=600.0)
    attempts = Attempts(tasks, with_store=with_store, run_settings=some_settings(101), settings_s3_uri=PLACE)
    attempts.crash("StartRunBatch", when)
    written = objects()
    attempts.again(run_settings=some_settings(150))
    assert written.items() <= objects().items()
    (batch,) = omics.batches()
    assert (batch["status"], batch["totalRuns"]) == ("PROCESSED", 101 if when == "after" else 150)


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_of_a_live_batch_waits_for_it(
    omics: Control, tasks: Tasks, clock: Clock, with_store: bool, deferrable: bool
) -> None:
    """In each active state."""
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable)
    omics.set_options(manual=True)
    for status in ("CREATING", "PENDING", "SUBMITTING", "INPROGRESS"):
        omics.advance_batch(status)
        attempts.crash("GetBatch")
    clock.at(600, lambda: omics.advance_batch("PROCESSED"))
    assert attempts.again() == omics.batches()[0]["id"]
    assert len(omics.batches()) == 1


steps = st.lists(
    st.tuples(
        st.sampled_from([None, None, *CALLS[:6]]),
        st.sampled_from([None, "INPROGRESS", "PROCESSED", "FAILED", "CANCELLED"]),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=2,
    max_size=6,
)


@pytest.mark.parametrize("with_store", STORES)
@given(plot=steps)
@settings(
    deadline=None,
    max_examples=20,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_new_batch_follows_failed_ones_only(
    omics: Control, tasks: Tasks, client: Any, with_store: bool, plot: list[Any]
) -> None:
    """Whatever crashes, no epoch has two batches that live or have succeeded, and no try starts two."""
    omics.reset()
    omics.stop_clock()
    omics.set_options(manual=True)
    attempts = Attempts(tasks, with_store=with_store, wait_for_completion=False)
    epoch_of: dict[str, int] = {}
    for crash, becomes, is_cleared in plot:
        before = len(omics.batches())
        with crashing(*crash) if crash else nullcontext():
            try:
                answer = attempts.again()
            except Crash:
                answer = None
        batches = omics.batches()
        assert len(batches) - before <= 1
        for batch in batches:
            epoch_of.setdefault(batch["id"], attempts.ti.max_tries)
        mine = [batch for batch in batches if epoch_of[batch["id"]] == attempts.ti.max_tries]
        assert len([batch for batch in mine if batch["status"] not in ("FAILED", "CANCELLED")]) <= 1
        assert answer in (None, *(batch["id"] for batch in mine))
        if answer is not None and with_store:
            others = [batch for batch in batches if batch not in mine]
            assert not [b for b in others if b["status"] in batch_states.CANCELLABLE]
        if batches and becomes and batches[-1]["status"] not in batch_states.TERMINAL:
            newest = batches[-1]["id"]
            if becomes == "CANCELLED":
                omics.advance_batch("INPROGRESS", batch_id=newest)
                client.cancel_run_batch(batchId=newest)
            omics.advance_batch(becomes, batch_id=newest)
        if is_cleared:
            attempts.clear()


# --- a retry repeats the failed part ---


def fail(attempts: Attempts, **fields: Any) -> HealthOmicsRunBatchFailedError:
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        attempts.again(**fields)
    return caught.value


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_repeats_the_failed_part_only(
    omics: Control, tasks: Tasks, client: Any, with_store: bool, deferrable: bool
) -> None:
    """It includes the runs that were not started; the result is that of both batches."""
    fail_runs(omics, "sample-1")
    omics.fail_submission(["sample-3"], times=1)
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable, run_settings=some_settings(5))
    fail(attempts)
    batch_id = attempts.again()
    first, second = (batch["id"] for batch in omics.batches())
    assert batch_id == second
    assert setting_ids(client, second) == ["sample-1", "sample-3"]
    summary = attempts.ti.xcoms["summary"]
    assert (summary["batchIds"], summary["counts"]) == ([first, second], {"COMPLETED": 5})
    assert [each["runSettingId"] for each in attempts.ti.xcoms["successes"]] == [
        f"sample-{number}" for number in range(5)
    ]


@pytest.mark.parametrize("with_store", STORES)
def test_the_retry_after_a_crashed_one_repeats_the_failed_part_only(
    omics: Control, tasks: Tasks, client: Any, with_store: bool
) -> None:
    """It sends the request of the crashed retry again."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=with_store, run_settings=some_settings(5))
    fail(attempts)
    attempts.crash("StartRunBatch")
    batch_id = attempts.again()
    assert len(omics.batches()) == 2
    assert setting_ids(client, batch_id) == ["sample-1"]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_retry_after_two_failures_repeats_the_rest(
    omics: Control, tasks: Tasks, client: Any, with_store: bool, deferrable: bool
) -> None:
    """Each batch is smaller than the one before."""
    fail_runs(omics, "sample-1", "sample-2", "sample-3")
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable, run_settings=some_settings(5))
    assert fail(attempts).counts == {"COMPLETED": 2, "FAILED": 3}
    fail_runs(omics, "sample-2")
    error = fail(attempts)
    assert error.counts == {"COMPLETED": 4, "FAILED": 1}
    assert "4 of 5 runs completed" in str(error)
    attempts.again()
    assert [setting_ids(client, batch["id"]) for batch in omics.batches()] == [
        [f"sample-{number}" for number in range(5)],
        ["sample-1", "sample-2", "sample-3"],
        ["sample-2"],
    ]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 5}


@pytest.mark.parametrize("with_store", STORES)
def test_a_custom_name_changes_nothing(omics: Control, tasks: Tasks, client: Any, with_store: bool) -> None:
    """The retry knows the completed runs, and the policy is applied to all settings."""
    if not with_store:
        pytest.xfail("without a store the end of a try knows only its own batch, if that has another name")
    fail_runs(omics, "sample-1", "sample-2")
    attempts = Attempts(
        tasks,
        with_store=with_store,
        batch_name="cohort",
        run_settings=some_settings(10),
        success_policy="90%",
    )
    fail(attempts)
    fail_runs(omics, "sample-2")
    attempts.again()
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-1", "sample-2"]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 9, "FAILED": 1}


@pytest.mark.parametrize("with_store", STORES)
def test_two_dag_runs_with_a_custom_name_have_two_manifests(
    omics: Control, clock: Clock, tasks: Tasks, bucket: Any, with_store: bool
) -> None:
    """Neither overwrites the other."""
    manifests = set()
    for run_id in ("monday", "tuesday"):
        attempts = Attempts(tasks, with_store=with_store, batch_name="cohort", settings_s3_uri=PLACE)
        attempts.ti.run_id = run_id
        attempts.again()
        manifests.add(attempts.ti.xcoms["manifest"])
    assert len(manifests) == 2


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_large_failed_part_goes_to_s3_again(
    omics: Control, tasks: Tasks, bucket: Any, with_store: bool, deferrable: bool
) -> None:
    """It goes to another object, since the first batch's must not change; a small one is sent inline."""
    omics.set_options(batch_runs_per_second=None)
    fail_runs(omics, *(f"sample-{number}" for number in range(120)))
    attempts = Attempts(
        tasks,
        with_store=with_store,
        deferrable=deferrable,
        run_settings=some_settings(150),
        settings_s3_uri=PLACE,
        output_uris=False,
    )
    fail(attempts)
    fail_runs(omics, "sample-7")
    fail(attempts)
    attempts.again()
    sizes = [len(content) for key, content in objects().items() if "/settings-" in key]
    assert sorted(sizes) == [120, 150]
    assert [batch["totalRuns"] for batch in omics.batches()] == [150, 120, 1]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_batch_is_repeated_whole(
    omics: Control, tasks: Tasks, client: Any, with_store: bool, deferrable: bool
) -> None:
    """None of its runs has completed."""
    omics.fail_batch()
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable)
    fail(attempts)
    attempts.again()
    ids = [setting_ids(client, batch["id"]) for batch in omics.batches()]
    assert ids[1] == ["sample-0", "sample-1", "sample-2"]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_share_is_measured_by_all_settings_after_a_failed_batch(
    omics: Control, tasks: Tasks, bucket: Any, with_store: bool, deferrable: bool
) -> None:
    """Also if its runs were not counted: a crash after a third batch that met the policy starts no fourth."""
    settings = some_settings(110)
    omics.set_options(batch_creating_seconds=100.0, batch_runs_per_second=None)
    tasks.clock.at(50, lambda: omics.advance_batch("FAILED"))
    attempts = Attempts(
        tasks,
        with_store=with_store,
        deferrable=deferrable,
        run_settings=settings,
        settings_s3_uri=PLACE,
        success_policy="90%",
        output_uris=False,
    )
    fail(attempts)
    fail_runs(omics, *(f"sample-{number}" for number in range(20)))
    fail(attempts)
    fail_runs(omics, *(f"sample-{number}" for number in range(10)))
    attempts.crash("ListRunsInBatch", survives=3)  # the pages that show which runs to repeat
    attempts.again()
    assert [batch["totalRuns"] for batch in omics.batches()] == [None, 110, 20]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 100, "FAILED": 10}


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_the_rest_of_a_cancelled_batch_is_repeated(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, with_store: bool, deferrable: bool
) -> None:
    """Somebody has cancelled it, and the retry starts the runs that had not completed."""
    omics.plan_run(times=3, seconds={"RUNNING": None})
    clock.at(100, lambda: omics.advance("COMPLETED", run_id=omics.runs()[0]["id"]))
    clock.at(101, lambda: client.cancel_run_batch(batchId=omics.batches()[0]["id"]))
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable)
    fail(attempts)
    attempts.again()
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-1", "sample-2"]


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_stopping_batch_is_waited_out(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, with_store: bool, deferrable: bool
) -> None:
    """Then the rest is repeated."""
    omics.plan_run(times=3, seconds={"RUNNING": None, "STOPPING": 600})
    attempts = Attempts(tasks, with_store=with_store, deferrable=deferrable, wait_for_completion=False)
    first = attempts.again()
    clock.advance(100)
    omics.advance("COMPLETED", run_id=omics.runs()[0]["id"])
    client.cancel_run_batch(batchId=first)
    second = attempts.again(wait_for_completion=True)
    assert clock.elapsed >= 600
    assert setting_ids(client, second) == ["sample-1", "sample-2"]


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
def test_a_batch_that_was_deleted_is_repeated_whole_on_request(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, deferrable: bool
) -> None:
    """Nothing shows which of its runs completed."""
    attempts = Attempts(tasks, with_store=True, deferrable=deferrable, on_unknown_end="repeat")
    attempts.crash("GetBatch")
    clock.advance(600)
    client.delete_batch(batchId=omics.batches()[0]["id"])
    batch_id = attempts.again()
    assert setting_ids(client, batch_id) == ["sample-0", "sample-1", "sample-2"]


@needs_store
@pytest.mark.parametrize("deferrable", WAYS)
def test_an_earlier_batch_that_was_deleted_is_no_obstacle(
    omics: Control, tasks: Tasks, client: Any, deferrable: bool
) -> None:
    """The task succeeds by the batches that still exist."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=True, deferrable=deferrable)
    fail(attempts)
    fail_runs(omics, "sample-1")
    fail(attempts)
    client.delete_batch(batchId=omics.batches()[0]["id"])
    batch_id = attempts.again()
    assert {"sample-1"} <= set(setting_ids(client, batch_id))


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize(("operation", "when"), CALLS[6:], ids=IDS[6:])
def test_a_crash_in_finish_starts_nothing_new_if_the_policy_is_met(
    omics: Control, tasks: Tasks, with_store: bool, deferrable: bool, operation: str, when: str
) -> None:
    """Also after a batch of the failed part, which counts towards the share of all settings."""
    fail_runs(omics, "sample-1", "sample-2", "sample-3")
    attempts = Attempts(
        tasks,
        with_store=with_store,
        deferrable=deferrable,
        run_settings=some_settings(10),
        success_policy="80%",
    )
    fail(attempts)
    fail_runs(omics, "sample-1", "sample-2")
    # Finding the runs to repeat costs one call of each list.
    attempts.crash(operation, when, survives=0 if operation == "GetRun" else 1)
    assert [batch["totalRuns"] for batch in omics.batches()] == [10, 3]
    batch_id = attempts.again()
    assert [batch["totalRuns"] for batch in omics.batches()] == [10, 3]
    assert batch_id == omics.batches()[1]["id"]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 8, "FAILED": 2}


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("deferrable", WAYS)
@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("completed", [2, 3])
def test_a_cancelled_batch_with_enough_successes_is_one(
    omics: Control,
    tasks: Tasks,
    clock: Clock,
    client: Any,
    with_store: bool,
    deferrable: bool,
    crashes: bool,
    completed: int,
) -> None:
    """
    Somebody has cancelled the stragglers, or tried to; a crash in finish makes no difference.

    The counts of GetBatch are final for a batch that is PROCESSED only.
    """
    omics.set_options(batch_counts_lag_seconds=3600.0)
    hold_runs(omics)

    def end_two_and_cancel() -> None:
        for run in omics.runs()[:2]:
            omics.advance("COMPLETED", run_id=run["id"])
        client.cancel_run_batch(batchId=omics.batches()[0]["id"])

    if completed == 3:
        omics.fail_submission(["sample-2"], operation="CancelRun")
    clock.at(100, end_two_and_cancel)
    clock.at(200, lambda: omics.advance("COMPLETED"))
    attempts = Attempts(
        tasks, with_store=with_store, deferrable=deferrable, success_policy="all" if completed == 3 else 2
    )
    if crashes:
        attempts.crash("ListRunsInBatch")
    assert attempts.again() == omics.batches()[0]["id"]
    assert len(omics.batches()) == 1


@pytest.mark.parametrize("with_store", STORES)
def test_a_crash_in_finish_repeats_the_failed_part(
    omics: Control, tasks: Tasks, client: Any, with_store: bool
) -> None:
    """If the policy is not met, a retry repeats the failed part even if the crash hid the failure."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=with_store)
    attempts.crash("ListRunsInBatch")
    attempts.again()
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-1"]


@pytest.mark.parametrize("with_store", STORES)
def test_a_retry_with_an_explicit_request_id_says_why_it_cannot(
    omics: Control, tasks: Tasks, with_store: bool
) -> None:
    """HealthOmics would return the failed batch forever."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=with_store, request_id="mine")
    fail(attempts)
    with pytest.raises(HealthOmicsApiError, match=r"batch.*request_id is fixed"):
        attempts.again()
    assert len(omics.batches()) == 1


# --- a clear ---


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("fails", [False, True])
def test_a_clear_runs_everything_again(
    omics: Control, tasks: Tasks, client: Any, with_store: bool, fails: bool
) -> None:
    """Completed runs are repeated, too."""
    attempts = Attempts(tasks, with_store=with_store)
    if fails:
        fail_runs(omics, "sample-1")
        fail(attempts)
    else:
        attempts.again()
    attempts.clear()
    batch_id = attempts.again()
    assert setting_ids(client, batch_id) == ["sample-0", "sample-1", "sample-2"]
    assert attempts.ti.xcoms["summary"]["batchIds"] == [batch_id]


@needs_store
@pytest.mark.parametrize("status", ["CREATING", "PENDING", "SUBMITTING", "INPROGRESS"])
@pytest.mark.parametrize(("operation", "when"), [("StartRunBatch", "after"), ("GetBatch", "before")])
def test_a_clear_cancels_the_old_batch(
    omics: Control, tasks: Tasks, clock: Clock, status: str, operation: str, when: str
) -> None:
    """In each state, also if the response of its start was lost."""
    hold_runs(omics)
    omics.set_options(manual=True)
    attempts = Attempts(tasks, with_store=True)
    attempts.crash(operation, when)
    (old,) = omics.batches()
    omics.advance_batch(status)
    clock.at(20, lambda: omics.advance_batch("PENDING", batch_id=old["id"]))
    attempts.clear()
    attempts.again(wait_for_completion=False)
    statuses = {batch["id"]: batch["status"] for batch in omics.batches()}
    assert statuses.pop(old["id"]) in ("STOPPING", "CANCELLED")
    assert list(statuses.values()) == ["CREATING"]
    operations = [call["operation"] for call in omics.calls() if call["error"] is None]
    assert operations.index("CancelRunBatch") < len(operations) - 1 - operations[::-1].index("StartRunBatch")


@needs_store
def test_cancel_on_kill_false_leaves_the_old_batch_after_a_clear(
    omics: Control, tasks: Tasks, logged: Callable[[], str]
) -> None:
    """The log says so."""
    hold_runs(omics)
    attempts = Attempts(tasks, with_store=True, wait_for_completion=False, cancel_on_kill=False)
    first = attempts.again()
    attempts.clear()
    attempts.again()
    assert calls_of(omics, "CancelRunBatch") == 0
    assert re.search(rf"batch {first} \(\w+\) from before the Clear continues", logged())


# --- throttled ---


@pytest.mark.parametrize("with_store", STORES)
def test_a_delayed_retry_repeats_the_failed_part(
    omics: Control, tasks: Tasks, client: Any, with_store: bool
) -> None:
    """A delayed start keeps the results of the tries before."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=with_store)
    fail(attempts)
    omics.inject_error("StartRunBatch", "ThrottlingException", times=3)
    attempts.again()
    assert [len(setting_ids(client, batch["id"])) for batch in omics.batches()] == [3, 1]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 3}


@pytest.mark.parametrize("with_store", STORES)
@pytest.mark.parametrize("operation", ["ListRuns", "ListRunsInBatch", "GetBatch"])
def test_throttled_lists_of_the_failed_part_are_no_failure(
    omics: Control,
    tasks: Tasks,
    client: Any,
    with_store: bool,
    operation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The failed part is repeated, however long the lists take."""
    # botocore's rate limiter would wait for real seconds until the test's clock moves.
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=with_store)
    fail(attempts)
    omics.inject_error(operation, "ThrottlingException", times=20)
    attempts.again()
    assert [len(setting_ids(client, batch["id"])) for batch in omics.batches()] == [3, 1]


@needs_store
def test_a_run_that_continues_after_its_batch_failed_is_not_repeated(
    omics: Control, tasks: Tasks, client: Any, clock: Clock
) -> None:
    """A batch may fail while it starts runs; the runs that it has started cost money already."""
    omics.set_options(batch_runs_per_second=1)
    omics.fail_batch(after=3)
    for setting in ("sample-0", "sample-1", "sample-2"):
        omics.plan_run(run_setting_id=setting, seconds={"RUNNING": 900})
    attempts = Attempts(tasks, with_store=True, deferrable=True, run_settings=some_settings(5))
    fail(attempts)
    error = fail(attempts)
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-3", "sample-4"]
    assert error.counts["COMPLETED"] == 2
    clock.advance(1000)
    attempts.again()
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 5}
    assert len(omics.batches()) == 2


@needs_store
def test_a_run_that_fails_after_its_batch_failed_is_repeated(
    omics: Control, tasks: Tasks, client: Any, clock: Clock
) -> None:
    """It was active when the rest was repeated, and did not succeed."""
    omics.set_options(batch_runs_per_second=1)
    omics.fail_batch(after=3)
    for setting in ("sample-0", "sample-1", "sample-2"):
        status = "FAILED" if setting == "sample-1" else "COMPLETED"
        omics.plan_run(run_setting_id=setting, seconds={"RUNNING": 900}, status=status)  # type: ignore[arg-type]
    attempts = Attempts(tasks, with_store=True, deferrable=True, run_settings=some_settings(5))
    fail(attempts)
    fail(attempts)
    clock.advance(1000)
    attempts.again()
    ids = [setting_ids(client, batch["id"]) for batch in omics.batches()]
    assert ids[1:] == [["sample-3", "sample-4"], ["sample-1"]]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 5}


@pytest.mark.parametrize("with_store", STORES)
def test_a_deleted_sheet_loses_no_batch(
    omics: Control, tasks: Tasks, with_store: bool, tmp_path: Any
) -> None:
    """The crashed attempt has started the batch, so the sheet is not needed."""
    sheet = tmp_path / "samples.csv"
    sheet.write_text("sample\nA\nB\n")
    attempts = Attempts(
        tasks, with_store=with_store, sample_sheet=str(sheet), columns={"run_setting_id": "sample"}
    )
    with crashing("StartRunBatch", "after"), pytest.raises(Crash):
        attempts.again()
    sheet.unlink()
    attempts.again()
    assert [batch["totalRuns"] for batch in omics.batches()] == [2]
