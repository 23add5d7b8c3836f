# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The life of a run batch, by the clock and by hand: submission, counts, lists, cancelling, deleting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.testing import Control, HealthOmicsServer, mock_healthomics

from .conftest import BUCKET, ROLE, aws, error_of

StartBatch = Callable[..., str]
PACE = {
    "batch_creating_seconds": 1,
    "batch_pending_seconds": 1,
    "batch_runs_per_second": 2,
    "pending_seconds": 10,
    "starting_seconds": 10,
    "running_seconds": 10,
    "stopping_seconds": 10,
}
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@pytest.fixture
def by_the_clock() -> Iterator[Control]:
    """The local HealthOmics with a clock that only the test moves."""
    with mock_healthomics(any_workflow=True, create_buckets=True, **PACE) as control:
        control.stop_clock()
        yield control


def batch_of(count: int, **defaults: Any) -> str:
    """Start a batch with N settings, named r1, r2, ..., and return its id."""
    common = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}"}
    batch_id: str = aws("omics").start_run_batch(
        defaultRunSetting={**common, **defaults},
        batchRunSettings={"inlineSettings": [{"runSettingId": f"r{n}"} for n in range(1, count + 1)]},
    )["id"]
    return batch_id


def get(batch_id: str) -> Any:
    """Return a batch."""
    return aws("omics").get_batch(batchId=batch_id)


def counts(batch_id: str) -> dict[str, int]:
    """Return how many runs have each status, without zeros."""
    summary = get(batch_id)["runSummary"]
    return {name.removesuffix("RunCount"): count for name, count in summary.items() if count}


def submitted(batch_id: str) -> dict[str, int]:
    """Return how many requests were made for runs, without zeros."""
    summary = get(batch_id)["submissionSummary"]
    return {name.removesuffix("SubmissionCount"): count for name, count in summary.items() if count}


def entries(batch_id: str, **filters: Any) -> list[Any]:
    """Return the runs of a batch."""
    runs: list[Any] = aws("omics").list_runs_in_batch(batchId=batch_id, **filters)["runs"]
    return runs


def statuses(batch_id: str) -> dict[str, str | None]:
    """Return the submission status of each setting."""
    return {entry["runSettingId"]: entry.get("submissionStatus") for entry in entries(batch_id)}


# --- states ---


def test_the_clock_moves_a_batch_through_every_state(by_the_clock: Control) -> None:
    """Runs are submitted one by one at the configured pace; the batch is PROCESSED when the last run ends."""
    batch_id = batch_of(3)
    seen = [(get(batch_id)["status"], counts(batch_id))]
    for seconds in (1, 1, 0.5, 0.5, 39, 0.5, 0.5):
        by_the_clock.advance_clock(seconds)
        seen.append((get(batch_id)["status"], counts(batch_id)))
    assert seen == [
        ("CREATING", {}),
        ("PENDING", {}),
        ("SUBMITTING", {"pending": 1}),
        ("SUBMITTING", {"pending": 2}),
        ("INPROGRESS", {"pending": 3}),
        ("INPROGRESS", {"stopping": 2, "completed": 1}),
        ("INPROGRESS", {"stopping": 1, "completed": 2}),
        ("PROCESSED", {"completed": 3}),
    ]


def test_times_are_those_of_the_transitions(by_the_clock: Control) -> None:
    """A batch that is read late still shows when its submissions and runs ended; no time appears early."""
    batch_id = batch_of(3)
    assert not {"submittedTime", "processedTime", "failedTime"} & set(get(batch_id))
    by_the_clock.advance_clock(10_000)
    batch = get(batch_id)
    assert batch["submittedTime"] - batch["creationTime"] == timedelta(seconds=3)
    assert batch["processedTime"] - batch["creationTime"] == timedelta(seconds=43)
    created = [run["creationTime"] - batch["creationTime"] for run in aws("omics").list_runs()["items"]]
    assert created == [timedelta(seconds=2), timedelta(seconds=2.5), timedelta(seconds=3)]


def test_all_runs_can_be_submitted_at_once(by_the_clock: Control) -> None:
    """Without a pace, SUBMITTING takes no time."""
    by_the_clock.set_options(batch_runs_per_second=None)
    batch_id = batch_of(50)
    by_the_clock.advance_clock(2)
    assert (get(batch_id)["status"], counts(batch_id)) == ("INPROGRESS", {"pending": 50})


def test_a_new_pace_applies_to_a_batch_that_is_submitting(by_the_clock: Control) -> None:
    """``set_options`` changes the pace from the next run on."""
    batch_id = batch_of(10)
    by_the_clock.advance_clock(2)
    by_the_clock.set_options(batch_runs_per_second=4)
    by_the_clock.advance_clock(1)
    assert submitted(batch_id) == {"successfulStart": 4, "pendingStart": 6}


def test_a_batch_uses_the_quota_of_single_runs(by_the_clock: Control) -> None:
    """With throttling, a batch submits one run a second and competes with StartRun for the quota."""
    by_the_clock.set_throttling(rates={"StartRun": 1})
    batch_id = batch_of(5)
    by_the_clock.advance_clock(4)
    assert submitted(batch_id) == {"successfulStart": 3, "pendingStart": 2}
    start = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}"}
    assert error_of(aws("omics").start_run, **start)[:2] == ("ThrottlingException", 429)
    by_the_clock.advance_clock(10)
    assert submitted(batch_id) == {"successfulStart": 5}


def test_a_server_moves_batches_without_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends in real time, at the default pace of batches sped up."""
    pace: dict[str, Any] = {name: 0.01 for name in PACE if name.endswith("seconds")}
    with HealthOmicsServer(any_workflow=True, create_buckets=True, **pace) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        batch_id = batch_of(3)
        server.control.wait_for_batch("PROCESSED", batch_id=batch_id)
        assert counts(batch_id) == {"completed": 3}


def test_by_hand_nothing_moves_until_advanced(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """The manual pace passes through the intermediate states; a batch ends only with its last run."""
    batch_id = start_batch("a", "b")
    control.advance_clock(1_000_000)
    assert get(batch_id)["status"] == "CREATING"
    for status, runs in (("PENDING", {}), ("SUBMITTING", {}), ("INPROGRESS", {"pending": 2})):
        assert control.advance_batch(status) == {batch_id: status}
        assert (get(batch_id)["status"], counts(batch_id)) == (status, runs)
    control.advance("COMPLETED", run_id=entries(batch_id)[0]["runId"])
    assert (get(batch_id)["status"], counts(batch_id)) == ("INPROGRESS", {"completed": 1, "pending": 1})
    control.advance("FAILED")
    assert (get(batch_id)["status"], counts(batch_id)) == ("PROCESSED", {"completed": 1, "failed": 1})


def test_by_hand_some_runs_can_be_submitted(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """``submit_runs`` makes the next requests of a batch; in other states there are none."""
    batch_id = start_batch("a", "b", "c")
    assert control.submit_runs(2)[batch_id]["pendingStartSubmissionCount"] == 3
    control.advance_batch("SUBMITTING")
    control.submit_runs(2, batch_id=batch_id)
    assert statuses(batch_id) == {"a": "SUCCESS", "b": "SUCCESS", "c": None}
    assert get(batch_id)["status"] == "SUBMITTING"
    assert control.submit_runs(2)[batch_id]["successfulStartSubmissionCount"] == 3
    assert get(batch_id)["status"] == "INPROGRESS"


@in_process
def test_advancing_to_the_end_moves_the_runs_too(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """PROCESSED brings every run to its planned end, and leaves runs outside of the batch alone."""
    control.plan_run(run_setting_id="b", status="FAILED", failure_reason="RUN_TASK_FAILED")
    batch_id = start_batch("a", "b", "c")
    other = start_batch("a")
    assert control.advance_batch("PROCESSED", batch_id=batch_id) == {batch_id: "PROCESSED"}
    assert counts(batch_id) == {"completed": 2, "failed": 1}
    (failed,) = omics.list_runs(batchId=batch_id, status="FAILED")["items"]
    assert [failed["id"]] == [entry["runId"] for entry in entries(batch_id, runSettingId="b")]
    assert omics.get_run(id=failed["id"])["failureReason"] == "RUN_TASK_FAILED"
    assert get(other)["status"] == "CREATING"


@in_process
def test_a_batch_stays_where_a_full_run_group_keeps_it(
    control: Control, omics: Any, start_batch: StartBatch, start: Callable[..., Any]
) -> None:
    """``advance_batch`` returns the status that each batch has reached."""
    group_id = omics.create_run_group(maxRuns=1)["id"]
    run_id = start(runGroupId=group_id)["id"]
    control.advance("RUNNING")
    batch_id = start_batch("a", "b", defaults={"runGroupId": group_id})
    assert control.advance_batch("PROCESSED") == {batch_id: "INPROGRESS"}
    control.advance("COMPLETED", run_id=run_id)
    assert control.advance_batch("PROCESSED") == {batch_id: "PROCESSED"}


@in_process
def test_a_batch_of_failed_submissions_is_processed(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """PROCESSED does not mean success: here no run was ever started."""
    control.fail_submission()
    batch_id = start_batch("a", "b")
    control.advance_batch("INPROGRESS")
    assert (get(batch_id)["status"], submitted(batch_id)) == ("PROCESSED", {"failedStart": 2})
    assert counts(batch_id) == {}


# --- counts and lists ---


def test_counts_can_lag(by_the_clock: Control) -> None:
    """With the option, GetBatch's counts lag by N seconds until the batch is PROCESSED."""
    by_the_clock.set_options(batch_counts_lag_seconds=5, batch_runs_per_second=None)
    batch_id = batch_of(2)
    by_the_clock.advance_clock(12)
    assert [run["status"] for run in aws("omics").list_runs()["items"]] == ["STARTING"] * 2
    assert counts(batch_id) == {"pending": 2}
    by_the_clock.advance_clock(5)
    assert counts(batch_id) == {"starting": 2}
    by_the_clock.advance_clock(25)
    assert (get(batch_id)["status"], counts(batch_id)) == ("PROCESSED", {"completed": 2})


def test_a_run_has_its_batch(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """GetRun and ListRuns show the batch, ListRuns filters by it, and ListRunsInBatch leads to the run."""
    batch_id = start_batch("a")
    other = start_batch("a")
    control.advance_batch("INPROGRESS")
    (entry,) = entries(batch_id)
    run = omics.get_run(id=entry["runId"])
    assert (run["batchId"], run["uuid"], run["arn"]) == (batch_id, entry["runInternalUuid"], entry["runArn"])
    assert [item["id"] for item in omics.list_runs(batchId=batch_id)["items"]] == [entry["runId"]]
    assert {item["batchId"] for item in omics.list_runs()["items"]} == {batch_id, other}
    assert omics.list_runs(batchId="1")["items"] == []


@in_process
def test_pages_show_every_run_once(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """The pages of ListRunsInBatch follow each other in the order of the settings, 100 at most."""
    names = [f"sample-{number}" for number in range(100)]
    batch_id = start_batch(*names)
    control.advance_batch("INPROGRESS")
    pages = list(
        omics.get_paginator("list_runs_in_batch").paginate(
            batchId=batch_id, PaginationConfig={"PageSize": 30}
        )
    )
    assert [len(page["runs"]) for page in pages] == [30, 30, 30, 10]
    assert [run["runSettingId"] for page in pages for run in page["runs"]] == names
    assert len(entries(batch_id)) == 100
    wrong = {"batchId": batch_id, "startingToken": "bogus"}
    assert error_of(omics.list_runs_in_batch, **wrong)[0] == "ValidationException"


@in_process
def test_runs_of_a_batch_are_filtered(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """By status, setting or run, also in pages."""
    batch_id = start_batch("a", "b", "c", "d")
    control.fail_submission(["b", "c"])
    control.advance_batch("INPROGRESS")

    def found(**filters: Any) -> list[str]:
        return [entry["runSettingId"] for entry in entries(batch_id, **filters)]

    assert found(submissionStatus="FAILED") == ["b", "c"]
    assert found(submissionStatus="CANCEL_SUCCESS") == []
    assert found(runSettingId="d") == ["d"]
    assert found(runId=entries(batch_id)[3]["runId"]) == ["d"]
    first = omics.list_runs_in_batch(batchId=batch_id, submissionStatus="FAILED", maxItems=1)
    assert found(submissionStatus="FAILED", startingToken=first["nextToken"]) == ["c"]


@in_process
def test_batches_are_listed(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """By status, by name or by run group, in pages."""
    a = start_batch("x", batchName="a", defaults={"runGroupId": "7"})
    b = start_batch("x", "y", batchName="b")
    c = start_batch("x", batchName="b")
    control.advance_batch("PENDING", batch_id=c)

    def listed(**filters: Any) -> list[str]:
        return [batch["id"] for batch in omics.list_batch(**filters)["items"]]

    assert listed() == [a, b, c]
    assert listed(status="CREATING") == [a, b]
    assert listed(name="b") == [b, c]
    assert listed(runGroupId="7") == [a]
    pages = omics.get_paginator("list_batch").paginate(PaginationConfig={"PageSize": 2})
    assert [[batch["id"] for batch in page["items"]] for page in pages] == [[a, b], [c]]
    item = omics.list_batch(name="a")["items"][0]
    assert (item["name"], item["totalRuns"], item["workflowId"]) == ("a", 1, "1234567")
    assert item["createdAt"] == get(a)["creationTime"]


@pytest.mark.parametrize(
    ("operation", "filters"),
    [
        ("list_batch", {"status": "FAILED", "name": "a"}),
        ("list_batch", {"name": "a", "runGroupId": "1"}),
        ("list_runs_in_batch", {"batchId": "1", "submissionStatus": "FAILED", "runSettingId": "a"}),
        ("list_runs_in_batch", {"batchId": "1", "runId": "1", "runSettingId": "a"}),
    ],
)
@in_process
def test_a_list_accepts_one_filter(omics: Any, operation: str, filters: dict[str, str]) -> None:
    """More than one filter is refused."""
    code, status, message = error_of(getattr(omics, operation), **filters)
    assert (code, status) == ("ValidationException", 400)
    assert "only one filter" in message


@in_process
def test_runs_are_listed_before_their_submission(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """Without status and run, unless the option hides them; totalRuns is known."""
    batch_id = start_batch("a", "b")
    control.advance_batch("SUBMITTING")
    control.submit_runs(1)
    assert set(entries(batch_id)[1]) == {"runSettingId"}
    assert (get(batch_id)["totalRuns"], submitted(batch_id)) == (2, {"successfulStart": 1, "pendingStart": 1})
    control.set_options(batch_lists_unsubmitted=False)
    assert statuses(batch_id) == {"a": "SUCCESS"}


# --- failures ---


@in_process
def test_submissions_fail_as_planned(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """Planned submissions fail with a reason and a message and have no run; the others continue."""
    control.fail_submission(["b"], "ServiceQuotaExceededException", message="too many runs")
    control.fail_submission(times=1, code="AccessDeniedException")
    batch_id = start_batch("a", "b", "c")
    control.advance_batch("INPROGRESS")
    assert statuses(batch_id) == {"a": "FAILED", "b": "FAILED", "c": "SUCCESS"}
    assert submitted(batch_id) == {"successfulStart": 1, "failedStart": 2}
    assert entries(batch_id)[1] == {
        "runSettingId": "b",
        "submissionStatus": "FAILED",
        "submissionFailureReason": "ServiceQuotaExceededException",
        "submissionFailureMessage": "too many runs",
    }
    assert entries(batch_id)[0]["submissionFailureReason"] == "AccessDeniedException"
    assert get(batch_id)["status"] == "INPROGRESS"


@in_process
@pytest.mark.parametrize(
    ("after", "runs", "totals"),
    [(0, 0, {"pendingStart": 3}), (2, 2, {"successfulStart": 2, "pendingStart": 1})],
)
def test_a_batch_fails_as_planned(
    control: Control, omics: Any, start_batch: StartBatch, after: int, runs: int, totals: dict[str, int]
) -> None:
    """Before any run or after some of them; GetBatch has the reason, and started runs continue."""
    control.fail_batch(name="cohort", after=after)
    other = start_batch("a")
    batch_id = start_batch("a", "b", "c", batchName="cohort")
    assert control.advance_batch("PROCESSED") == {other: "PROCESSED", batch_id: "FAILED"}
    batch = get(batch_id)
    assert batch["failureReason"] == "There was a transient error in the service. Retry the batch."
    assert batch["failedTime"] >= batch["creationTime"]
    assert submitted(batch_id) == totals
    assert len(omics.list_runs(batchId=batch_id, status="PENDING")["items"]) == runs


@in_process
@pytest.mark.parametrize("survives", [True, False])
def test_the_request_id_of_a_failed_batch(
    control: Control, omics: Any, start_batch: StartBatch, survives: bool
) -> None:
    """A repeated request returns the failed batch, unless the option makes it a retry."""
    control.set_options(batch_request_id_survives_failure=survives)
    batch_id = start_batch("a", requestId="one")
    control.advance_batch("FAILED")
    assert (start_batch("a", requestId="one") == batch_id) == survives


# --- cancelling and deleting ---


def test_cancelling_a_batch_cancels_its_runs(by_the_clock: Control) -> None:
    """Runs are cancelled at the pace, the rest is never submitted, and the batch ends with its last run."""
    batch_id = batch_of(5)
    by_the_clock.advance_clock(2.5)
    aws("omics").cancel_run_batch(batchId=batch_id)
    assert get(batch_id)["status"] == "STOPPING"
    assert submitted(batch_id) == {"successfulStart": 2, "pendingStart": 3, "successfulCancel": 1}
    by_the_clock.advance_clock(9)
    assert (get(batch_id)["status"], counts(batch_id)) == ("STOPPING", {"stopping": 2})
    assert submitted(batch_id) == {"successfulStart": 2, "successfulCancel": 5}
    by_the_clock.advance_clock(10)
    assert (get(batch_id)["status"], counts(batch_id)) == ("CANCELLED", {"cancelled": 2})
    assert set(statuses(batch_id).values()) == {"CANCEL_SUCCESS"}
    assert ["runId" in entry for entry in entries(batch_id)] == [True, True, False, False, False]


@in_process
def test_unsubmitted_runs_can_stay_without_status(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """With the option, only submitted runs count as cancelled."""
    control.set_options(batch_unsubmitted_after_cancel="none")
    batch_id = start_batch("a", "b", "c")
    control.advance_batch("SUBMITTING")
    control.submit_runs(1)
    omics.cancel_run_batch(batchId=batch_id)
    assert control.advance_batch("CANCELLED") == {batch_id: "CANCELLED"}
    assert statuses(batch_id) == {"a": "CANCEL_SUCCESS", "b": None, "c": None}
    assert submitted(batch_id) == {"successfulStart": 1, "successfulCancel": 1}


@in_process
def test_a_batch_can_be_cancelled_before_its_runs_have_stopped(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """With the option, it is CANCELLED once the cancellation of every run was requested."""
    control.set_options(batch_cancelled_when="requested")
    batch_id = start_batch("a", "b")
    control.advance_batch("INPROGRESS")
    omics.cancel_run_batch(batchId=batch_id)
    control.submit_runs(2)
    assert (get(batch_id)["status"], counts(batch_id)) == ("CANCELLED", {"stopping": 2})
    omics.delete_run_batch(batchId=batch_id)
    assert control.advance_batch("RUNS_DELETED") == {batch_id: "RUNS_DELETE_FAILED"}
    assert {entry["submissionFailureReason"] for entry in entries(batch_id)} == {"ConflictException"}


@in_process
@pytest.mark.parametrize(
    ("skips", "status", "deleted"),
    [(True, "SUCCESS", "RUNS_DELETED"), (False, "CANCEL_FAILED", "RUNS_DELETE_FAILED")],
)
def test_ended_runs_are_skipped(
    control: Control, omics: Any, start_batch: StartBatch, skips: bool, status: str, deleted: str
) -> None:
    """A run that has ended or is gone is skipped, unless the option makes it a failure."""
    control.set_options(batch_skips_finished=skips)
    batch_id = start_batch("a", "b", "c")
    control.fail_submission(["c"])
    control.advance_batch("INPROGRESS")
    ended = entries(batch_id)[0]["runId"]
    control.advance("COMPLETED", run_id=ended)
    omics.cancel_run_batch(batchId=batch_id)
    control.advance_batch("CANCELLED")
    assert statuses(batch_id) == {"a": status, "b": "CANCEL_SUCCESS", "c": "FAILED"}
    omics.delete_run(id=ended)
    omics.delete_run_batch(batchId=batch_id)
    assert control.advance_batch("RUNS_DELETED") == {batch_id: deleted}
    assert counts(batch_id) == {"deleted": 2}


def test_deleting_the_runs_of_a_batch(by_the_clock: Control) -> None:
    """Runs are deleted at the pace; the batch and its list stay."""
    batch_id = batch_of(3)
    by_the_clock.advance_clock(100)
    run_ids = [entry["runId"] for entry in entries(batch_id)]
    aws("omics").delete_run_batch(batchId=batch_id)
    assert get(batch_id)["status"] == "RUNS_DELETING"
    by_the_clock.advance_clock(0.5)
    assert submitted(batch_id) == {"successfulStart": 3, "successfulDelete": 2}
    by_the_clock.advance_clock(0.5)
    assert (get(batch_id)["status"], counts(batch_id)) == ("RUNS_DELETED", {"deleted": 3})
    assert set(statuses(batch_id).values()) == {"DELETE_SUCCESS"}
    for run_id in run_ids:
        assert error_of(aws("omics").get_run, id=run_id)[0] == "ResourceNotFoundException"


@in_process
def test_cancelling_and_deleting_can_fail_for_some(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """Both are non-atomic: planned failures are reported for each run and counted."""
    control.fail_submission(["a"], "ThrottlingException", operation="CancelRun")
    control.fail_submission(["b"], "AccessDeniedException", operation="DeleteRun", message="no")
    batch_id = start_batch("a", "b", "c")
    control.advance_batch("INPROGRESS")
    omics.cancel_run_batch(batchId=batch_id)
    control.advance_batch("CANCELLED")
    assert statuses(batch_id) == {"a": "CANCEL_FAILED", "b": "CANCEL_SUCCESS", "c": "CANCEL_SUCCESS"}
    assert counts(batch_id) == {"completed": 1, "cancelled": 2}
    omics.delete_run_batch(batchId=batch_id)
    control.advance_batch("RUNS_DELETED")
    assert get(batch_id)["status"] == "RUNS_DELETE_FAILED"
    assert statuses(batch_id) == {"a": "DELETE_SUCCESS", "b": "DELETE_FAILED", "c": "DELETE_SUCCESS"}
    assert submitted(batch_id) == {
        "successfulStart": 3,
        "successfulCancel": 2,
        "failedCancel": 1,
        "successfulDelete": 2,
        "failedDelete": 1,
    }


#: For each state, the errors of CancelRunBatch, DeleteRunBatch and DeleteBatch; None means success.
BUSY = ("ConflictException",) * 3
ALLOWED = {
    "CREATING": ("ConflictException", "ConflictException", "ConflictException"),
    "PENDING": (None, "ConflictException", "ConflictException"),
    "SUBMITTING": (None, "ConflictException", "ConflictException"),
    "INPROGRESS": (None, "ConflictException", "ConflictException"),
    "PROCESSED": ("ConflictException", None, None),
    "FAILED": ("ConflictException", "ConflictException", None),
    "STOPPING": BUSY,
    "CANCELLED": ("ConflictException", None, None),
    "RUNS_DELETING": BUSY,
    "RUNS_DELETED": ("ConflictException", "ConflictException", None),
    "RUNS_DELETE_FAILED": ("ConflictException", "ConflictException", None),
}


def bring(control: Control, omics: Any, batch_id: str, status: str) -> None:
    """Bring a new batch to a state."""
    if status in ("STOPPING", "CANCELLED"):
        control.advance_batch("INPROGRESS")
        omics.cancel_run_batch(batchId=batch_id)
    elif status.startswith("RUNS_"):
        if status == "RUNS_DELETE_FAILED":
            control.fail_submission(operation="DeleteRun")
        control.advance_batch("PROCESSED")
        omics.delete_run_batch(batchId=batch_id)
    if status not in ("STOPPING", "RUNS_DELETING"):
        control.advance_batch("RUNS_DELETED" if status == "RUNS_DELETE_FAILED" else status)
    assert get(batch_id)["status"] == status


@in_process
@pytest.mark.parametrize("status", ALLOWED)
def test_each_state_allows_only_documented_calls(
    control: Control, omics: Any, start_batch: StartBatch, status: str
) -> None:
    """Cancelling, deleting the runs and deleting the batch are each allowed only in their states."""
    calls = (omics.cancel_run_batch, omics.delete_run_batch, omics.delete_batch)
    for call, error in zip(calls, ALLOWED[status], strict=True):
        batch_id = start_batch("a")
        bring(control, omics, batch_id, status)
        if error is None:
            call(batchId=batch_id)
        else:
            assert error_of(call, batchId=batch_id)[:2] == (error, 409)
        control.reset()


@in_process
def test_a_wrong_state_can_be_a_validation_error(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """The options of the single operations apply to batches; a second cancel is still a conflict."""
    control.set_options(cancel_error="ValidationException", delete_error="ValidationException")
    batch_id = start_batch("a")
    for call in (omics.cancel_run_batch, omics.delete_run_batch, omics.delete_batch):
        assert error_of(call, batchId=batch_id)[:2] == ("ValidationException", 400)
    control.advance_batch("PENDING")
    omics.cancel_run_batch(batchId=batch_id)
    assert error_of(omics.cancel_run_batch, batchId=batch_id)[0] == "ConflictException"


def test_a_deleted_batch_leaves_its_runs(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """Calls for the batch get 404; its runs remain, and keep its id."""
    batch_id = start_batch("a")
    control.advance_batch("PROCESSED")
    (entry,) = entries(batch_id)
    omics.delete_batch(batchId=batch_id)
    for call in (
        omics.get_batch,
        omics.list_runs_in_batch,
        omics.cancel_run_batch,
        omics.delete_run_batch,
        omics.delete_batch,
    ):
        assert error_of(call, batchId=batch_id)[:2] == ("ResourceNotFoundException", 404)
    assert omics.list_batch()["items"] == []
    assert omics.get_run(id=entry["runId"])["batchId"] == batch_id
    assert [run["id"] for run in omics.list_runs(batchId=batch_id)["items"]] == [entry["runId"]]


# --- size ---


def test_a_batch_can_have_ten_thousand_runs(by_the_clock: Control) -> None:
    """Each setting is submitted once and found by its id; every page and count is complete."""
    names = [f"sample-{number}" for number in range(10_000)]
    aws("s3").create_bucket(Bucket=BUCKET)
    body = json.dumps([{"runSettingId": name, "parameters": {"sample": name}} for name in names])
    aws("s3").put_object(Bucket=BUCKET, Key="settings.json", Body=body.encode())
    by_the_clock.set_options(batch_runs_per_second=1000, pending_seconds=3600)
    omics = aws("omics")
    # Without logs, which cost more than the runs themselves.
    common = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}", "logLevel": "OFF"}
    batch_id = omics.start_run_batch(
        defaultRunSetting=common, batchRunSettings={"s3UriSettings": f"s3://{BUCKET}/settings.json"}
    )["id"]
    by_the_clock.advance_clock(12)
    assert (get(batch_id)["status"], counts(batch_id)) == ("INPROGRESS", {"pending": 10_000})
    pages = omics.get_paginator("list_runs_in_batch").paginate(batchId=batch_id)
    runs = [run for page in pages for run in page["runs"]]
    assert [run["runSettingId"] for run in runs] == names
    assert len({run["runId"] for run in runs}) == 10_000
    (last,) = entries(batch_id, runSettingId=names[-1])
    assert omics.get_run(id=last["runId"])["parameters"] == {"sample": names[-1]}


def test_the_more_specific_batch_plans_apply(
    control: Control, omics: Any, start_batch: Callable[..., str]
) -> None:
    """Plans for all batches or submissions do not hide later ones by name or run setting."""
    control.fail_submission(times=None, message="any")
    control.fail_submission(["a"], message="this one")
    control.fail_batch(times=None, after=1)
    control.fail_batch(name="own", after=2)
    batch_id = start_batch("a", "b", "c", batchName="own")
    control.advance_batch("INPROGRESS", batch_id=batch_id)
    runs = omics.list_runs_in_batch(batchId=batch_id)["runs"]
    assert [run.get("submissionFailureMessage") for run in runs] == ["this one", "any", None]
