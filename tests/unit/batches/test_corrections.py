# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Batches whose sheet is corrected between attempts, whose runs are removed, and whose lists lag behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsOutcomeLostError,
    HealthOmicsResultUnavailableError,
    HealthOmicsRunBatchFailedError,
)
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.waiting.kill_guard import Target
from tests.healthomics import Control
from tests.unit.batch_attempts import PLACE, Attempts, batch_of, fail_runs, setting_ids, some_settings
from tests.unit.conftest import Clock, FakeTaskInstance, Tasks, calls_of, intercepting, needs_store, try_of
from tests.unit.histories import WAYS

pytestmark = needs_store

LOG = logging.getLogger(__name__)


def fail(attempts: Attempts, **fields: Any) -> HealthOmicsRunBatchFailedError:
    """Make an attempt whose batch fails."""
    with pytest.raises(HealthOmicsRunBatchFailedError) as caught:
        attempts.again(**fields)
    return caught.value


def settings_of(*ids: str) -> list[dict[str, Any]]:
    """Return run settings with these ids."""
    return [{"run_setting_id": each} for each in ids]


@contextmanager
def lagging_lists(calls: float) -> Iterator[None]:
    """Let the first calls of ListRuns show every run as RUNNING."""
    left = calls

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        nonlocal left
        response = call()
        if operation == "ListRuns" and left > 0:
            left -= 1
            for item in response["items"]:
                item["status"] = "RUNNING"
        return response

    with intercepting(respond):
        yield


# --- a corrected sheet ---


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_sample_that_is_replaced(
    omics: Control, tasks: Tasks, client: Any, deferrable: bool
) -> None:
    """The new one is run, and the old one no longer counts."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=True, deferrable=deferrable, run_settings=some_settings(3))
    fail(attempts)
    attempts.again(run_settings=settings_of("sample-0", "sample-2", "better"))
    assert setting_ids(client, omics.batches()[1]["id"]) == ["better"]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 3}


@pytest.mark.parametrize("deferrable", WAYS)
def test_a_failed_sample_that_is_taken_out(omics: Control, tasks: Tasks, deferrable: bool) -> None:
    """All others have completed, so nothing remains to run."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=True, deferrable=deferrable, run_settings=some_settings(3))
    fail(attempts)
    batch_id = attempts.again(run_settings=settings_of("sample-0", "sample-2"))
    assert [batch["id"] for batch in omics.batches()] == [batch_id]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 2}
    assert [each["runSettingId"] for each in attempts.ti.xcoms["successes"]] == ["sample-0", "sample-2"]


def test_a_sample_that_is_taken_out_of_a_failed_part(omics: Control, tasks: Tasks, client: Any) -> None:
    """The repeated part becomes smaller, and so does the number of runs that must complete."""
    fail_runs(omics, "sample-1", "sample-2")
    attempts = Attempts(tasks, with_store=True, deferrable=True, run_settings=some_settings(4))
    fail(attempts)
    attempts.again(run_settings=settings_of("sample-0", "sample-2", "sample-3"))
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-2"]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 3}


def test_a_corrected_sheet_with_a_fixed_request_id(
    omics: Control, tasks: Tasks, bucket: Any, client: Any
) -> None:
    """It runs, if nothing was started with the old sheet."""
    omics.inject_error("StartRunBatch", "ValidationException", status=400, times=1)
    attempts = Attempts(
        tasks,
        with_store=True,
        request_id="cohort-7",
        run_settings=some_settings(101),
        settings_s3_uri=PLACE,
        output_uris=False,
    )
    with pytest.raises(HealthOmicsApiError):
        attempts.again()
    attempts.clear()
    attempts.again(run_settings=some_settings(102))
    assert [batch["totalRuns"] for batch in omics.batches()] == [102]


# --- a batch that has failed while some of its runs continue ---


def failed_halfway(omics: Control, tasks: Tasks) -> Attempts:
    """Return a task whose batch has failed, and whose first three runs continue."""
    omics.set_options(batch_runs_per_second=1)
    omics.fail_batch(after=3)
    omics.plan_run(times=3, seconds={"RUNNING": 900})
    attempts = Attempts(tasks, with_store=True, deferrable=True, run_settings=some_settings(5))
    fail(attempts)
    assert [run["status"] for run in omics.runs()] == ["RUNNING"] * 3
    return attempts


def test_a_clear_cancels_the_runs_of_a_failed_batch(omics: Control, tasks: Tasks, clock: Clock) -> None:
    """No sample runs twice at once."""
    attempts = failed_halfway(omics, tasks)
    attempts.clear()
    attempts.again()
    statuses = [run["status"] for run in omics.runs()]
    assert statuses == ["CANCELLED"] * 3 + ["COMPLETED"] * 5


def test_a_clear_leaves_another_batch_with_the_id_alone(omics: Control) -> None:
    """An id does not show whose batch it is, and an active batch is not the failed one."""
    batch_of(run_settings=some_settings(2)).execute(try_of(FakeTaskInstance()))
    (batch,) = omics.batches()
    BatchResource(HealthOmicsHook(), LOG).cancel_rest([batch["id"], "7654321"])
    assert calls_of(omics, "CancelRunBatch") == calls_of(omics, "CancelRun") == 0


def test_a_kill_cancels_the_runs_of_a_failed_batch(omics: Control, tasks: Tasks) -> None:
    """CancelRunBatch refuses a failed batch, so each run is cancelled."""
    failed_halfway(omics, tasks)
    (batch,) = omics.batches()
    target = Target(kind="batch", id=batch["id"], uuid=batch["uuid"])
    assert target.cancel(HealthOmicsHook(), LOG)
    assert {run["status"] for run in omics.runs()} <= {"STOPPING", "CANCELLED"}


def test_runs_of_another_batch_continue(omics: Control, tasks: Tasks) -> None:
    """Another batch with the task's id is left alone."""
    failed_halfway(omics, tasks)
    (batch,) = omics.batches()
    Target(kind="batch", id=batch["id"], uuid="another").cancel(HealthOmicsHook(), LOG)
    assert [run["status"] for run in omics.runs()] == ["RUNNING"] * 3


# --- lists that lag behind the counts ---


def test_lists_that_lag_for_a_while_are_waited_for(omics: Control, tasks: Tasks, clock: Clock) -> None:
    """GetBatch's counts are final: a run that they count as completed will be listed."""
    attempts = Attempts(tasks, with_store=True, deferrable=True)
    with lagging_lists(3):
        attempts.again()
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 3}
    assert len(attempts.ti.xcoms["successes"]) == 3


@pytest.mark.parametrize("deferrable", WAYS)
def test_lists_that_lag_for_long_do_not_fail_the_task(
    omics: Control, tasks: Tasks, clock: Clock, logged: Callable[[], str], deferrable: bool
) -> None:
    """The sensor would report a success, too; the log says that completed runs are missing."""
    attempts = Attempts(tasks, with_store=True, deferrable=deferrable)
    with lagging_lists(1e9):
        attempts.again()
    assert "fewer completed runs" in logged()


# --- runs whose record was removed ---


def delete_runs(omics: Control, client: Any, *run_setting_ids: str) -> None:
    """Delete the records of runs, as retention mode REMOVE does."""
    for batch in omics.batches():
        for run in client.list_runs_in_batch(batchId=batch["id"])["runs"]:
            if run["runSettingId"] in run_setting_ids:
                client.delete_run(id=run["runId"])


def test_removed_runs_that_completed_are_not_repeated(omics: Control, tasks: Tasks, client: Any) -> None:
    """GetBatch has counted them."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=True, deferrable=True)
    fail(attempts)
    delete_runs(omics, client, "sample-0", "sample-2")
    attempts.again()
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-1"]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 3}


def test_removed_runs_are_distinguished_by_their_manifests(omics: Control, tasks: Tasks, client: Any) -> None:
    """No list shows any longer which of them completed."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=True, deferrable=True)
    fail(attempts)
    delete_runs(omics, client, "sample-0", "sample-1")
    attempts.again()
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-1"]


@pytest.mark.parametrize("on_unknown_end", ["fail", "repeat"])
def test_removed_runs_without_any_record(
    omics: Control, tasks: Tasks, client: Any, on_unknown_end: str
) -> None:
    """They are repeated only if the DAG author allows it."""
    fail_runs(omics, "sample-1")
    attempts = Attempts(tasks, with_store=True, deferrable=True, on_unknown_end=on_unknown_end)
    fail(attempts)
    delete_runs(omics, client, "sample-0", "sample-1")
    logs = boto3.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        logs.delete_log_group(logGroupName=group["logGroupName"])
    if on_unknown_end == "fail":
        with pytest.raises(HealthOmicsOutcomeLostError, match="2 runs of batch"):
            attempts.again()
        assert len(omics.batches()) == 1
    else:
        attempts.again()
        assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-0", "sample-1"]


# --- results that are refused ---


def test_a_clear_after_denied_lists_runs_nothing_again(omics: Control, tasks: Tasks, client: Any) -> None:
    """The last attempt could not read the results, so nobody meant to run everything again."""
    fail_runs(omics, "sample-1")
    omics.inject_error("ListRunsInBatch", "AccessDeniedException", status=403, times=None)
    attempts = Attempts(tasks, with_store=True, deferrable=True, retries=0)
    with pytest.raises(HealthOmicsResultUnavailableError, match="omics:ListRunsInBatch"):
        attempts.again()
    omics.clear_faults()
    attempts.clear()
    attempts.again()
    assert setting_ids(client, omics.batches()[1]["id"]) == ["sample-1"]
    assert attempts.ti.xcoms["summary"]["counts"] == {"COMPLETED": 3}
