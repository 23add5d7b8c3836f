# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The control: one class, in this process and over HTTP."""

from __future__ import annotations

import inspect
import json
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_healthomics.testing import Control, HealthOmicsServer, Options, mock_healthomics
from airflow_healthomics.testing.control import VERBS

from .conftest import BUCKET, aws, error_of

Start = Callable[..., dict[str, Any]]


def test_every_public_method_is_a_verb() -> None:
    """In-process code can do nothing that another process cannot do."""
    public = {name for name, _ in inspect.getmembers(Control, inspect.isfunction) if not name.startswith("_")}
    assert public == set(VERBS)


def test_calls_are_recorded_without_parameters(control: Control, omics: Any, start: Start) -> None:
    """A recorded call has its operation, status, error and ids, but no parameters or tags."""
    run = start(name="n", requestId="one", parameters={"sample": "PATIENT-1"}, tags={"who": "PATIENT-1"})
    omics.get_run(id=run["id"])
    error_of(omics.get_run, id="1")
    calls = control.calls()
    assert [(call["operation"], call["status"], call["error"]) for call in calls] == [
        ("StartRun", 201, None),
        ("GetRun", 200, None),
        ("GetRun", 404, "ResourceNotFoundException"),
    ]
    assert calls[0]["ids"] == {"name": "n", "requestId": "one", "workflowId": "1234567"}
    assert calls[1]["ids"] == {"id": run["id"]}
    assert "PATIENT-1" not in json.dumps(calls)
    assert control.call_counts() == {"StartRun": 1, "GetRun": 2}
    assert len(control.calls("GetRun")) == 2


def test_runs_are_listed_with_their_request_ids(control: Control, start: Start) -> None:
    """The list has each started run, deleted ones too."""
    first, second = start(name="a", requestId="one"), start(name="b", requestId="two")
    control.advance("DELETED", run_id=first["id"])
    told = [(run["id"], run["uuid"], run["name"], run["requestId"], run["status"]) for run in control.runs()]
    assert told == [
        (first["id"], first["uuid"], "a", "one", "DELETED"),
        (second["id"], second["uuid"], "b", "two", "PENDING"),
    ]


def test_batches_and_their_runs_are_listed(
    control: Control, omics: Any, start_batch: Callable[..., str]
) -> None:
    """The lists have the batches and the run of each setting; no recorded call has a setting's id."""
    batch_id = start_batch("a", "b", batchName="cohort", requestId="one")
    control.fail_submission(["b"])
    control.advance_batch("INPROGRESS")
    omics.list_runs_in_batch(batchId=batch_id, runSettingId="a")
    (batch,) = control.batches()
    expected = {"id": batch_id, "name": "cohort", "requestId": "one", "status": "INPROGRESS", "totalRuns": 2}
    assert {name: batch[name] for name in expected} == expected
    assert batch["submissionSummary"]["failedStartSubmissionCount"] == 1
    assert [(run["batchId"], run["runSettingId"], run["requestId"]) for run in control.runs()] == [
        (batch_id, "a", None)
    ]
    ids = [call["ids"] for call in control.calls()]
    assert ids == [{"requestId": "one", "batchName": "cohort"}, {"batchId": batch_id}]


def test_one_run_can_be_advanced_and_others_stay(control: Control, start: Start) -> None:
    """``run_id`` chooses one, else all active runs move; a run that is past a state stays."""
    first, second = start()["id"], start()["id"]
    assert control.advance("RUNNING", run_id=first) == {first: "RUNNING"}
    assert control.advance("STARTING") == {first: "RUNNING", second: "STARTING"}


def test_a_run_can_fail_unplanned(control: Control, omics: Any, start: Start) -> None:
    """``advance`` sets status and reason, whatever was planned."""
    run_id = start()["id"]
    control.advance("FAILED", failure_reason="SERVICE_ERROR", status_message="try again")
    run = omics.get_run(id=run_id)
    assert (run["failureReason"], run["statusMessage"]) == ("SERVICE_ERROR", "try again")


@pytest.mark.parametrize(
    ("verb", "arguments", "error", "complaint"),
    [
        ("advance", {"status": "DONE"}, ValueError, "DONE"),
        ("advance", {"status": "RUNNING", "run_id": "1"}, LookupError, "no run 1"),
        ("advance_clock", {"seconds": -1}, ValueError, "not be negative"),
        ("plan_run", {"failure_reason": "SERVICE_ERROR"}, ValueError, "FAILED"),
        ("plan_run", {"seconds": {"COMPLETED": 1}}, ValueError, "COMPLETED"),
        ("plan_run", {"tasks": [{"cpu": 1}]}, TypeError, "cpu"),
        ("set_options", {"paces": 1}, TypeError, "paces"),
        ("set_options", {"request_id_reuse": "maybe"}, ValueError, "request_id_reuse"),
        ("advance_batch", {"status": "STOPPING"}, ValueError, "STOPPING"),
        ("advance_batch", {"status": "PENDING", "batch_id": "1"}, LookupError, "no batch 1"),
        ("fail_submission", {"run_setting_ids": "sample"}, TypeError, "list"),
        ("fail_submission", {"code": "Bogus"}, ValueError, "Bogus"),
        ("fail_submission", {"operation": "GetRun"}, ValueError, "operation"),
        ("set_options", {"batch_runs_per_second": 0}, ValueError, "batch_runs_per_second"),
        ("wait_for_batch", {"status": "FAILED", "timeout": 0.05}, TimeoutError, "0 of 1 batches FAILED"),
        ("wait_for_run", {"status": "RUNNING", "timeout": 0.05}, TimeoutError, "0 of 1 runs RUNNING"),
        ("wait_for_call", {"operation": "GetRun", "timeout": 0.05}, TimeoutError, "0 of 1 calls of GetRun"),
    ],
)
def test_a_mistake_is_the_same_error_in_both_modes(
    control: Control, verb: str, arguments: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    """A verb raises the same error in-process and over HTTP."""
    with pytest.raises(error, match=complaint):
        getattr(control, verb)(**arguments)


def test_waiting_for_runs_and_calls(control: Control, omics: Any, start: Start) -> None:
    """A wait ends when another thread brings about its condition."""
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(control.wait_for_run, "RUNNING", count=2)
        asked = pool.submit(control.wait_for_call, "ListRuns", count=1)
        start()
        start()
        assert not running.done()
        control.advance("RUNNING")
        omics.list_runs()
        running.result(10)
        asked.result(10)


@pytest.mark.parametrize("options", [{"pending_seconds": 7.0}])
def test_reset_goes_back_to_the_beginning(control: Control, omics: Any, start: Start) -> None:
    """Runs, buckets, faults, plans and calls are gone, and the options are those of the start."""
    start()
    control.set_options(any_workflow=False)
    control.inject_error("ListRuns")
    control.plan_run(status="FAILED")
    control.fail_submission()
    control.fail_batch()
    control.stop_clock()
    control.reset()
    assert control.calls() == []
    assert control.runs() == []
    assert omics.list_runs()["items"] == []
    assert aws("s3").list_buckets()["Buckets"] == []
    run_id = start()["id"]
    aws("s3").create_bucket(Bucket=BUCKET)
    assert control.advance("COMPLETED") == {run_id: "COMPLETED"}


def test_a_verb_is_a_plain_http_request() -> None:
    """Any program can send a verb, by GET or with JSON by POST; the error for an unknown verb lists them."""
    with HealthOmicsServer() as server:
        url = f"{server.endpoint_url}/_healthomics/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url + "runs") as answer:
            assert json.load(answer) == {"result": []}
        with opener.open(url + "advance_clock", data=b'{"seconds": 5}') as answer:
            assert json.load(answer) == {"result": None}
        with pytest.raises(urllib.error.HTTPError) as caught:
            opener.open(url + "bogus")
        assert caught.value.code == 400
        assert "wait_for_run" in json.load(caught.value)["message"]


def test_options_are_checked() -> None:
    """An unknown option or value is refused at once, by name."""
    with pytest.raises(ValueError, match="output_layout must be one of run_id, run_id_uuid"):
        Options(output_layout="flat")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pace"), mock_healthomics(pace=1):
        pass


def test_the_more_specific_plan_applies(control: Control, omics: Any, start: Start) -> None:
    """A plan by workflow or for any run does not hide a later plan by name."""
    control.plan_run(times=None)
    control.plan_run(workflow_id="1234567", times=None)
    control.plan_run(name="broken", status="FAILED")
    control.plan_run(name="broken", workflow_id="1234567", status="CANCELLED")
    for number in range(4):
        start(name="broken" if number < 3 else "other", requestId=str(number))
    control.set_options(
        manual=False, pending_seconds=0, starting_seconds=0, running_seconds=0, stopping_seconds=0
    )
    assert [run["status"] for run in control.runs()] == ["CANCELLED", "FAILED", "COMPLETED", "COMPLETED"]
