# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run moves through the real state graph, by the clock or by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.testing import Control, HealthOmicsServer, mock_healthomics

from .conftest import BUCKET, ROLE, aws, error_of

PACE = {"pending_seconds": 10, "starting_seconds": 20, "running_seconds": 300, "stopping_seconds": 5}


@pytest.fixture
def by_the_clock(request: pytest.FixtureRequest) -> Any:
    """The local HealthOmics with a clock that only the test moves."""
    with mock_healthomics(any_workflow=True, create_buckets=True, **PACE) as control:
        control.stop_clock()
        yield control


def start_run(**fields: Any) -> str:
    """Start a run and return its id."""
    defaults = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}"}
    run_id: str = aws("omics").start_run(**{**defaults, **fields})["id"]
    return run_id


def test_the_clock_moves_a_run_through_every_state(by_the_clock: Control) -> None:
    """Each state lasts its seconds, to the instant."""
    run_id = start_run()
    seen = []
    for seconds in (9.9, 0.1, 19.9, 0.1, 299.9, 0.1, 4.9, 0.1):
        by_the_clock.advance_clock(seconds)
        seen.append(aws("omics").get_run(id=run_id)["status"])
    assert seen == [
        "PENDING",
        "STARTING",
        "STARTING",
        "RUNNING",
        "RUNNING",
        "STOPPING",
        "STOPPING",
        "COMPLETED",
    ]


def test_times_are_those_of_the_transitions(by_the_clock: Control) -> None:
    """A run that is read late still shows when it started and stopped."""
    run_id = start_run()
    by_the_clock.advance_clock(10_000)
    run = aws("omics").get_run(id=run_id)
    assert run["startTime"] - run["creationTime"] == timedelta(seconds=30)
    assert run["stopTime"] - run["startTime"] == timedelta(seconds=305)


def test_a_plan_sets_the_pace_of_its_runs(by_the_clock: Control) -> None:
    """A planned run has its own seconds, and None keeps it where it is."""
    by_the_clock.plan_run(name="slow", seconds={"PENDING": None})
    by_the_clock.plan_run(name="fast", seconds={"PENDING": 0, "STARTING": 0, "RUNNING": 1, "STOPPING": 0})
    slow, fast = start_run(name="slow"), start_run(name="fast")
    by_the_clock.advance_clock(5)
    assert aws("omics").get_run(id=fast)["status"] == "COMPLETED"
    by_the_clock.advance_clock(100_000)
    assert aws("omics").get_run(id=slow)["status"] == "PENDING"
    by_the_clock.advance("RUNNING", run_id=slow)
    by_the_clock.advance_clock(100_000)
    assert aws("omics").get_run(id=slow)["status"] == "COMPLETED"


def test_a_run_moved_by_hand_stays_for_the_time_of_its_new_state(by_the_clock: Control) -> None:
    """The timer of the state that it left no longer applies."""
    run_id = start_run()
    by_the_clock.advance("RUNNING")
    by_the_clock.advance_clock(299.9)
    assert aws("omics").get_run(id=run_id)["status"] == "RUNNING"
    by_the_clock.advance_clock(0.1)
    assert aws("omics").get_run(id=run_id)["status"] == "STOPPING"


def test_a_new_pace_applies_to_running_runs(by_the_clock: Control) -> None:
    """``set_options`` changes the pace at once."""
    run_id = start_run()
    by_the_clock.set_options(pending_seconds=1)
    by_the_clock.advance_clock(1)
    assert aws("omics").get_run(id=run_id)["status"] == "STARTING"


def test_a_server_moves_runs_without_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs appear in S3 although nothing polls HealthOmics."""
    pace: dict[str, Any] = dict.fromkeys(PACE, 0.01)
    with HealthOmicsServer(any_workflow=True, create_buckets=True, **pace) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        run_id = start_run()
        aws("s3").get_waiter("object_exists").wait(
            Bucket=BUCKET,
            Key=f"{run_id}/logs/outputs.json",
            WaiterConfig={"Delay": 1, "MaxAttempts": 30},
        )


def test_by_hand_nothing_moves_until_advanced(
    control: Control, omics: Any, start: Callable[..., Any]
) -> None:
    """The manual pace passes through the intermediate states."""
    run_id = start()["id"]
    control.advance_clock(1_000_000)
    assert omics.get_run(id=run_id)["status"] == "PENDING"
    for status in ("STARTING", "RUNNING", "STOPPING", "COMPLETED"):
        assert control.advance(status) == {run_id: status}
        assert omics.get_run(id=run_id)["status"] == status


@pytest.mark.parametrize(
    ("status", "has_start", "has_stop"),
    [
        ("PENDING", False, False),
        ("STARTING", False, False),
        ("RUNNING", True, False),
        ("STOPPING", True, False),
        ("COMPLETED", True, True),
        ("FAILED", True, True),
    ],
)
def test_times_are_absent_until_reached(
    control: Control, omics: Any, start: Callable[..., Any], status: str, has_start: bool, has_stop: bool
) -> None:
    """A run has a start time from RUNNING on, and a stop time at its end."""
    run_id = start()["id"]
    control.advance(status)
    for run in (omics.get_run(id=run_id), omics.list_runs()["items"][0]):
        assert ("startTime" in run, "stopTime" in run) == (has_start, has_stop)


@pytest.mark.parametrize("status", ["PENDING", "STARTING", "RUNNING", "STOPPING"])
def test_an_active_run_can_be_cancelled(
    control: Control, omics: Any, start: Callable[..., Any], status: str
) -> None:
    """Cancelling leads through STOPPING to CANCELLED; a second cancel changes nothing."""
    run_id = start()["id"]
    control.advance(status)
    for _ in range(2):
        omics.cancel_run(id=run_id)
        assert omics.get_run(id=run_id)["status"] == "STOPPING"
    assert control.advance("CANCELLED") == {run_id: "CANCELLED"}
    assert "startTime" in omics.get_run(id=run_id) or status in ("PENDING", "STARTING")


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
def test_an_ended_run_cannot_be_cancelled(
    control: Control, omics: Any, start: Callable[..., Any], status: str, code: str
) -> None:
    """The error is ConflictException unless the option says otherwise."""
    run_id = start()["id"]
    control.set_options(cancel_error=code)
    control.advance(status)
    assert error_of(omics.cancel_run, id=run_id)[0] == code


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_an_ended_run_can_be_deleted(
    control: Control, omics: Any, start: Callable[..., Any], status: str
) -> None:
    """A deleted run is not found, and cannot be deleted again."""
    run_id = start()["id"]
    control.advance(status)
    omics.delete_run(id=run_id)
    for call in (omics.get_run, omics.delete_run, omics.cancel_run, omics.list_run_tasks):
        assert error_of(call, id=run_id)[:2] == ("ResourceNotFoundException", 404)
    assert omics.list_runs()["items"] == []


@pytest.mark.parametrize("status", ["PENDING", "STARTING", "RUNNING", "STOPPING"])
def test_an_active_run_cannot_be_deleted(
    control: Control, omics: Any, start: Callable[..., Any], status: str
) -> None:
    """Only ended runs can be deleted."""
    run_id = start()["id"]
    control.advance(status)
    assert error_of(omics.delete_run, id=run_id)[:2] == ("ConflictException", 409)


@pytest.mark.parametrize("options", [{"show_deleted_runs": True}])
def test_a_deleted_run_can_be_shown(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """With the option, the service shows the status DELETED, here of a run that its user did not delete."""
    run_id = start()["id"]
    control.advance("DELETED", run_id=run_id)
    assert omics.get_run(id=run_id)["status"] == "DELETED"
    assert [run["status"] for run in omics.list_runs()["items"]] == ["DELETED"]


@pytest.mark.parametrize("options", [{"reuse_run_ids": True}])
def test_an_id_can_be_used_again(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """With the option, a new run gets the id of a deleted one, and a new uuid."""
    first = start()
    control.advance("DELETED")
    second = start()
    assert second["id"] == first["id"]
    assert second["uuid"] != first["uuid"]
    assert omics.get_run(id=first["id"])["uuid"] == second["uuid"]


def test_a_planned_failure_goes_through_stopping(
    control: Control, omics: Any, start: Callable[..., Any]
) -> None:
    """STOPPING does not reveal how the run will end; FAILED has the planned reason."""
    control.plan_run(
        workflow_id="42",
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        status_message="task align failed",
        tasks=[
            {"name": "qc"},
            {"name": "align", "failure_reason": "OUT_OF_MEMORY_ERROR", "status_message": "needs 64 GiB"},
        ],
    )
    other, failing = start()["id"], start(workflowId="42")["id"]
    control.advance("STOPPING")
    assert "failureReason" not in omics.get_run(id=failing)
    control.advance("COMPLETED", run_id=other)
    control.advance("FAILED", run_id=failing)
    run = omics.get_run(id=failing)
    assert (run["failureReason"], run["statusMessage"]) == ("RUN_TASK_FAILED", "task align failed")
    (failed,) = omics.list_run_tasks(id=failing, status="FAILED")["items"]
    task = omics.get_run_task(id=failing, taskId=failed["taskId"])
    assert (task["name"], task["failureReason"], task["statusMessage"]) == (
        "align",
        "OUT_OF_MEMORY_ERROR",
        "needs 64 GiB",
    )
    assert omics.get_run(id=other)["status"] == "COMPLETED"


def test_a_plan_is_used_up(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """The plan applies to ``times`` runs, and not to the next one."""
    control.plan_run(times=2, status="FAILED", failure_reason="SERVICE_ERROR")
    runs = [start()["id"] for _ in range(3)]
    for run_id in runs[:2]:
        control.advance("FAILED", run_id=run_id)
        assert omics.get_run(id=run_id)["failureReason"] == "SERVICE_ERROR"
    control.advance("COMPLETED", run_id=runs[2])
    assert omics.get_run(id=runs[2])["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("run_status", "cancelled", "task_status"),
    [
        ("RUNNING", False, "RUNNING"),
        ("STOPPING", False, "COMPLETED"),
        ("COMPLETED", False, "COMPLETED"),
        ("STOPPING", True, "STOPPING"),
        ("CANCELLED", True, "CANCELLED"),
    ],
)
def test_tasks_follow_their_run(
    control: Control,
    omics: Any,
    start: Callable[..., Any],
    run_status: str,
    cancelled: bool,
    task_status: str,
) -> None:
    """Tasks run while their run is RUNNING and end with it."""
    run_id = start()["id"]
    control.advance("STARTING")
    assert omics.list_run_tasks(id=run_id)["items"] == []
    control.advance("RUNNING")
    if cancelled:
        omics.cancel_run(id=run_id)
    control.advance(run_status)
    tasks = omics.list_run_tasks(id=run_id)["items"]
    assert [task["status"] for task in tasks] == [task_status] * 3
    assert len({task["uuid"] for task in tasks}) == 3
    assert all(("stopTime" in task) == (task_status in ("COMPLETED", "CANCELLED")) for task in tasks)


def test_tasks_begin_and_end_as_planned(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """One after the other, and none that would begin after the end of the run."""
    control.plan_run(
        seconds={"RUNNING": None},
        tasks=[
            {"name": "align", "seconds": 60},
            {"name": "call", "after": 60},
            {"name": "report", "after": 600},
        ],
    )
    run_id = start()["id"]
    control.advance("RUNNING")

    def statuses() -> dict[str, str]:
        return {task["name"]: task["status"] for task in omics.list_run_tasks(id=run_id)["items"]}

    assert statuses() == {"align": "RUNNING"}
    control.advance_clock(61)
    assert statuses() == {"align": "COMPLETED", "call": "RUNNING"}
    control.advance("COMPLETED")
    assert statuses() == {"align": "COMPLETED", "call": "COMPLETED"}
