# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Limits of runs: CPUs, GPUs and duration of run groups, quotas of the account, early failures, inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_healthomics.testing import Control, mock_healthomics

from .conftest import BUCKET, ROLE, aws, error_of
from .test_events import listen

PACE = {"pending_seconds": 1, "starting_seconds": 1, "running_seconds": 10, "stopping_seconds": 1}
DAY = 86_400.0


@pytest.fixture
def omics_options() -> dict[str, Any]:
    """Options; override them by parametrization."""
    return {}


@pytest.fixture
def clocked(omics_options: dict[str, Any]) -> Iterator[Control]:
    """The local HealthOmics with a clock that only the test moves."""
    options = {"any_workflow": True, "create_buckets": True, **PACE, **omics_options}
    with mock_healthomics(**options) as control:
        control.stop_clock()
        yield control


def start_run(**fields: Any) -> str:
    """Start a run and return its id."""
    request = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}", **fields}
    run_id: str = aws("omics").start_run(**request)["id"]
    return run_id


def status_of(*run_ids: str) -> list[str]:
    """Return the status of each run."""
    return [aws("omics").get_run(id=run_id)["status"] for run_id in run_ids]


def tasks_of(run_id: str) -> list[str]:
    """Return the status of each task."""
    return [task["status"] for task in aws("omics").list_run_tasks(id=run_id)["items"]]


def failure_of(run_id: str) -> tuple[str, str | None, str | None]:
    """Return status, failure reason and message of a run."""
    run = aws("omics").get_run(id=run_id)
    return run["status"], run.get("failureReason"), run.get("statusMessage")


@pytest.mark.parametrize(
    ("limit", "task"), [("maxCpus", {"cpus": 4, "gpus": 0}), ("maxGpus", {"cpus": 64, "gpus": 4})]
)
def test_tasks_queue_for_the_cpus_of_their_group(clocked: Control, limit: str, task: dict[str, int]) -> None:
    """Two of three tasks fit; the third begins when one has ended, and the run lasts until its end."""
    clocked.plan_run(tasks=[{"name": name, **task} for name in ("a", "b", "c")])
    run_id = start_run(runGroupId=aws("omics").create_run_group(**{limit: 8})["id"])
    clocked.advance_clock(2)
    assert tasks_of(run_id) == ["RUNNING", "RUNNING", "PENDING"]
    pending = aws("omics").list_run_tasks(id=run_id, status="PENDING")["items"]
    assert ["startTime" in item for item in pending] == [False]
    clocked.advance_clock(10)
    assert tasks_of(run_id) == ["COMPLETED", "COMPLETED", "RUNNING"]
    assert status_of(run_id) == ["RUNNING"]
    clocked.advance_clock(11)
    assert status_of(run_id) == ["COMPLETED"]
    assert tasks_of(run_id) == ["COMPLETED"] * 3


def test_a_run_stays_pending_while_its_group_has_no_cpus(clocked: Control) -> None:
    """The next run starts when CPUs are free, or at once when the group gets more."""
    group_id = aws("omics").create_run_group(maxCpus=6)["id"]
    first = start_run(runGroupId=group_id)  # three tasks with two CPUs
    clocked.advance_clock(2)
    second = start_run(runGroupId=group_id)
    third = start_run(runGroupId=group_id)
    clocked.advance_clock(5)
    assert status_of(first, second, third) == ["RUNNING", "PENDING", "PENDING"]
    aws("omics").update_run_group(id=group_id, maxCpus=12)
    assert status_of(first, second) == ["RUNNING", "STARTING"]
    clocked.advance_clock(100)
    assert status_of(first, second, third) == ["COMPLETED"] * 3


def test_tasks_of_several_runs_queue_by_priority(clocked: Control) -> None:
    """Free CPUs go to the run with the higher priority."""
    group_id = aws("omics").create_run_group(maxCpus=4)["id"]
    for name, seconds in (("first", 10), ("low", 10), ("high", 10)):
        clocked.plan_run(name=name, tasks=[{"name": name, "cpus": 3, "seconds": seconds}])
    runs = [
        start_run(runGroupId=group_id, name=name, priority=priority)
        for name, priority in (("first", 1), ("low", 1), ("high", 5))
    ]
    clocked.advance_clock(2)
    assert [tasks_of(run_id) for run_id in runs] == [["RUNNING"], ["PENDING"], ["PENDING"]]
    clocked.advance_clock(10)
    assert [tasks_of(run_id) for run_id in runs] == [["COMPLETED"], ["PENDING"], ["RUNNING"]]


def test_a_group_limits_the_duration_of_a_run(clocked: Control) -> None:
    """A run over ``maxDuration`` fails, its tasks do not complete, and nothing is exported."""
    clocked.plan_run(seconds={"RUNNING": 180})
    group_id = aws("omics").create_run_group(maxDuration=2)["id"]
    run_id = start_run(runGroupId=group_id)
    clocked.advance_clock(2 + 119.9)
    assert status_of(run_id) == ["RUNNING"]
    clocked.advance_clock(0.1)
    assert status_of(run_id) == ["STOPPING"]
    clocked.advance_clock(1)
    assert failure_of(run_id) == ("FAILED", "RUN_TIMED_OUT", "Run timeout after 2 minutes")
    assert tasks_of(run_id) == ["CANCELLED"] * 3
    assert aws("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize(
    ("omics_options", "days"), [({}, 7), ({"max_run_seconds": DAY}, 1), ({"max_run_seconds": None}, None)]
)
def test_the_account_limits_the_duration_of_a_run(clocked: Control, days: int | None) -> None:
    """A run that would never end times out after seven days, or after the option."""
    clocked.plan_run(seconds={"RUNNING": None})
    run_id = start_run()
    clocked.advance_clock(2 + (days or 100) * DAY - 1)
    assert status_of(run_id) == ["RUNNING"]
    clocked.advance_clock(2)
    expected = "RUNNING" if days is None else "FAILED"
    assert failure_of(run_id)[:2] == (expected, None if days is None else "RUN_TIMED_OUT")


@pytest.mark.parametrize("omics_options", [{"max_active_runs": 2}])
def test_the_account_has_a_quota_of_active_runs(clocked: Control) -> None:
    """Further runs stay PENDING, by storage type; runs outside of groups go by priority."""
    first, second = start_run(), start_run()
    low, high = start_run(priority=1), start_run(priority=9)
    static = start_run(storageType="STATIC")
    clocked.advance_clock(2)
    assert status_of(first, second, static) == ["RUNNING"] * 3
    assert status_of(low, high) == ["PENDING"] * 2
    aws("omics").cancel_run(id=first)
    clocked.advance_clock(1)
    assert status_of(low, high) == ["PENDING", "STARTING"]
    clocked.advance_clock(100)
    assert status_of(first, second, low, high, static) == ["CANCELLED", *["COMPLETED"] * 4]


@pytest.mark.parametrize("reason", ["ASSUME_ROLE_FAILED", "WORKFLOW_VER_VALIDATION_FAILED"])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_run_without_its_role_does_not_run(clocked: Control, reason: str, by_hand: bool) -> None:
    """It goes from STARTING to STOPPING, without start time and tasks."""
    clocked.plan_run(status="FAILED", failure_reason=reason)
    run_id = start_run()
    if by_hand:
        assert clocked.advance("RUNNING") == {run_id: "STOPPING"}
    else:
        clocked.advance_clock(2)
        assert status_of(run_id) == ["STOPPING"]
    clocked.advance_clock(1)
    assert failure_of(run_id)[:2] == ("FAILED", reason)
    assert "startTime" not in aws("omics").get_run(id=run_id)
    assert tasks_of(run_id) == []


@pytest.mark.parametrize("omics_options", [{"fails_in_starting": ["IMPORT_FAILED"]}])
@pytest.mark.parametrize(
    ("reason", "status"), [("IMPORT_FAILED", "STOPPING"), ("ASSUME_ROLE_FAILED", "RUNNING")]
)
def test_the_failures_before_running_can_be_chosen(clocked: Control, reason: str, status: str) -> None:
    """They are options, since AWS does not document them."""
    clocked.plan_run(status="FAILED", failure_reason=reason)
    run_id = start_run()
    clocked.advance_clock(2)
    assert status_of(run_id) == [status]


def test_a_failed_import_has_no_tasks(clocked: Control) -> None:
    """The import is in RUNNING, before the tasks."""
    clocked.plan_run(status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    run_id = start_run()
    clocked.advance_clock(2)
    assert (status_of(run_id), tasks_of(run_id)) == (["RUNNING"], [])


@pytest.mark.parametrize("omics_options", [{"task_pending_seconds": 2.0, "task_starting_seconds": 3.0}])
def test_tasks_begin_pending(clocked: Control) -> None:
    """A task is PENDING, STARTING and RUNNING; it has a start time only then."""
    clocked.plan_run(tasks=[{"name": "a", "seconds": 4}], seconds={"RUNNING": 20})
    run_id = start_run()
    seen = []
    for seconds in (2, 2, 3, 4):
        clocked.advance_clock(seconds)
        (task,) = aws("omics").list_run_tasks(id=run_id)["items"]
        seen.append((task["status"], "startTime" in task))
    assert seen == [("PENDING", False), ("STARTING", False), ("RUNNING", True), ("COMPLETED", True)]
    assert (task["startTime"] - task["creationTime"]).total_seconds() == 5
    assert (task["stopTime"] - task["startTime"]).total_seconds() == 4


@pytest.mark.parametrize("omics_options", [{"task_pending_seconds": 2.0, "task_starting_seconds": 3.0}])
def test_each_state_of_a_task_is_an_event(clocked: Control) -> None:
    """Even if nothing polls in between."""
    read = listen("Task Status Change")
    clocked.plan_run(tasks=[{"name": "a", "seconds": 4}], seconds={"RUNNING": 20})
    start_run()
    clocked.advance_clock(100)
    assert [event["detail"]["status"] for event in read()] == ["PENDING", "STARTING", "RUNNING", "COMPLETED"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_queued_task_is_an_event(clocked: Control, by_hand: bool) -> None:
    """It is PENDING until it gets its CPUs, or until the control moves its run."""
    read = listen("Task Status Change")
    clocked.plan_run(tasks=[{"name": "a", "cpus": 8}, {"name": "b", "cpus": 8, "after": 1}])
    run_id = start_run(runGroupId=aws("omics").create_run_group(maxCpus=8)["id"])
    clocked.advance_clock(3)
    assert [event["detail"]["status"] for event in read()] == ["PENDING", "RUNNING", "PENDING"]
    if by_hand:
        clocked.advance("RUNNING")
        assert tasks_of(run_id) == ["RUNNING", "RUNNING"]
        assert [event["detail"]["status"] for event in read()] == ["RUNNING"]
    clocked.advance_clock(100)
    ended = ["COMPLETED", "COMPLETED"] if by_hand else ["COMPLETED", "RUNNING", "COMPLETED"]
    assert [event["detail"]["status"] for event in read()] == ended
    assert status_of(run_id) == ["COMPLETED"]


def test_tasks_begin_running_unless_strict(clocked: Control) -> None:
    """By default durations follow the plan; strict tasks are PENDING first."""
    first = start_run()
    clocked.advance_clock(2)
    assert tasks_of(first) == ["RUNNING"] * 3
    workflow = {
        "definitionRepository": {"connectionArn": "arn:aws:c:r:123456789012:x", "fullRepositoryId": "a/b"}
    }
    clocked.set_options(strict=True)
    second = start_run(workflowId=aws("omics").create_workflow(**workflow)["id"])
    clocked.advance_clock(2)
    assert tasks_of(second) == ["PENDING"] * 3


@pytest.mark.parametrize("omics_options", [{}, {"strict": True}, {"strict": True, "check_inputs": False}])
@pytest.mark.parametrize(
    ("value", "missing"),
    [
        ("s3://inputs/here", False),
        ("s3://inputs/folder/", False),
        ("s3://inputs/*.bam", False),
        ([{"reads": "s3://inputs/PATIENT-1"}], True),
        ("s3://inputs/none/", True),
        ("s3://nowhere/x", True),
    ],
)
def test_missing_inputs_fail_a_strict_run(
    clocked: Control, omics_options: dict[str, Any], value: Any, missing: bool
) -> None:
    """The run fails in its import; the message names the parameter, but not its value."""
    aws("s3").create_bucket(Bucket="inputs")
    for key in ("here", "folder/x"):
        aws("s3").put_object(Bucket="inputs", Key=key, Body=b"x")
    run_id = start_run(parameters={"samples": value})
    clocked.advance_clock(100)
    status, reason, message = failure_of(run_id)
    if missing and omics_options == {"strict": True}:
        assert (status, reason) == ("FAILED", "INPUT_URI_NOT_FOUND")
        assert "samples" in str(message)
        assert "PATIENT" not in str(message)
    else:
        assert (status, reason) == ("COMPLETED", None)


@pytest.mark.parametrize("omics_options", [{}, {"strict": True, "any_configuration": True}])
def test_a_strict_output_bucket_is_in_the_region(clocked: Control, omics_options: dict[str, Any]) -> None:
    """A bucket of another region is refused, unless the run uses a VPC."""
    aws("s3").create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    request = {"workflowId": "1", "roleArn": ROLE, "outputUri": "s3://elsewhere/x"}
    start = aws("omics").start_run
    assert start(**request, networkingMode="VPC", configurationName="vpc")["id"]
    if omics_options:
        code, _, message = error_of(start, **request)
        assert (code, "eu-west-1" in message) == ("ValidationException", True)
    else:
        assert start(**request)["id"]
