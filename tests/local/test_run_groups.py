# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run groups: how they are created, listed and deleted, and how they limit their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_healthomics.testing import Control, mock_healthomics

from .conftest import BUCKET, ROLE, aws, error_of

Start = Callable[..., dict[str, Any]]
PACE = {"pending_seconds": 1, "starting_seconds": 1, "running_seconds": 10, "stopping_seconds": 1}


@pytest.fixture
def by_the_clock() -> Iterator[Control]:
    """The local HealthOmics with a clock that only the test moves."""
    with mock_healthomics(any_workflow=True, create_buckets=True, **PACE) as control:
        control.stop_clock()
        yield control


def start_run(group_id: str, **fields: Any) -> str:
    """Start a run in a group and return its id."""
    request = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}", "runGroupId": group_id}
    run_id: str = aws("omics").start_run(**request, **fields)["id"]
    return run_id


def status_of(*run_ids: str) -> list[str]:
    """Return the status of each run."""
    return [aws("omics").get_run(id=run_id)["status"] for run_id in run_ids]


def test_a_run_group_is_created_and_found(omics: Any) -> None:
    """GetRunGroup returns the fields of the request, and a repeated request creates no second group."""
    request = {"name": "g", "maxRuns": 2, "maxCpus": 8, "tags": {"a": "b"}, "requestId": "one"}
    made = omics.create_run_group(**request)
    assert made["arn"] == f"arn:aws:omics:us-east-1:123456789012:runGroup/{made['id']}"
    assert omics.create_run_group(**request)["id"] == made["id"]
    assert error_of(omics.create_run_group, **{**request, "maxRuns": 3})[0] == "ConflictException"
    group = omics.get_run_group(id=made["id"])
    expected = {"arn": made["arn"], "name": "g", "maxRuns": 2, "maxCpus": 8, "tags": {"a": "b"}}
    assert {name: group[name] for name in expected} == expected
    assert "maxGpus" not in group


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_run_groups_are_listed(omics: Any) -> None:
    """Pages show each group once, without its tags, and a name narrows the list."""
    ids = [omics.create_run_group(name=name)["id"] for name in ("a", "b", "c")]
    pages = list(omics.get_paginator("list_run_groups").paginate(PaginationConfig={"PageSize": 2}))
    assert [group["id"] for page in pages for group in page["items"]] == ids
    assert [len(page["items"]) for page in pages] == [2, 1]
    (found,) = omics.list_run_groups(name="b")["items"]
    assert found["id"] == ids[1]
    assert "tags" not in found


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_run_group_with_active_runs_cannot_be_deleted(control: Control, omics: Any, start: Start) -> None:
    """An idle group is gone at once, also for GetRunGroup."""
    group_id = omics.create_run_group()["id"]
    start(runGroupId=group_id)
    assert error_of(omics.delete_run_group, id=group_id)[:2] == ("ConflictException", 409)
    control.advance("COMPLETED")
    omics.delete_run_group(id=group_id)
    for call in (omics.get_run_group, omics.delete_run_group):
        assert error_of(call, id=group_id)[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
@pytest.mark.parametrize("options", [{"any_run_group": False}])
def test_unknown_run_groups_can_be_refused(omics: Any, start: Start, start_batch: Callable[..., str]) -> None:
    """With the option off, an unknown group is not found, for a run and for a batch."""
    assert error_of(start, runGroupId="1")[:2] == ("ResourceNotFoundException", 404)
    assert error_of(start_batch, "a", defaults={"runGroupId": "1"})[0] == "ResourceNotFoundException"
    assert omics.list_batch()["items"] == []
    assert start(runGroupId=omics.create_run_group()["id"])["id"]


def test_a_group_limits_its_active_runs(by_the_clock: Control) -> None:
    """Runs over ``maxRuns`` stay PENDING until another one ends, whatever its status."""
    group_id = aws("omics").create_run_group(maxRuns=2)["id"]
    by_the_clock.plan_run(status="FAILED")
    runs = [start_run(group_id) for _ in range(4)]
    outside = start_run("1")
    by_the_clock.advance_clock(2)
    assert status_of(*runs, outside) == ["RUNNING", "RUNNING", "PENDING", "PENDING", "RUNNING"]
    aws("omics").cancel_run(id=runs[1])
    by_the_clock.advance_clock(1)
    assert status_of(*runs) == ["RUNNING", "CANCELLED", "STARTING", "PENDING"]
    by_the_clock.advance_clock(10)
    assert status_of(*runs) == ["FAILED", "CANCELLED", "RUNNING", "STARTING"]
    by_the_clock.advance_clock(100)
    assert status_of(*runs) == ["FAILED", "CANCELLED", "COMPLETED", "COMPLETED"]


@pytest.mark.parametrize(("order", "first"), [("higher_first", 1), ("lower_first", 0)])
def test_the_priority_decides_who_is_next(by_the_clock: Control, order: str, first: int) -> None:
    """A higher number starts first unless the option says otherwise; among equals, the earlier run does."""
    by_the_clock.set_options(priority_order=order)
    group_id = aws("omics").create_run_group(maxRuns=1)["id"]
    start_run(group_id)
    waiting = [start_run(group_id, priority=priority) for priority in (1, 5, 5, 1)]
    by_the_clock.advance_clock(13)
    assert [run_id for run_id in waiting if status_of(run_id) != ["PENDING"]] == [waiting[first]]


def test_a_run_that_was_cancelled_in_the_queue_is_skipped(by_the_clock: Control) -> None:
    """A run that never started does not count when its turn comes."""
    group_id = aws("omics").create_run_group(maxRuns=1)["id"]
    runs = [start_run(group_id) for _ in range(3)]
    by_the_clock.advance_clock(2)
    aws("omics").cancel_run(id=runs[1])
    by_the_clock.advance_clock(11)
    assert status_of(*runs) == ["COMPLETED", "CANCELLED", "STARTING"]


def test_the_queue_survives_a_new_pace(by_the_clock: Control) -> None:
    """Changing the options neither loses nor admits a queued run."""
    group_id = aws("omics").create_run_group(maxRuns=1)["id"]
    runs = [start_run(group_id) for _ in range(3)]
    by_the_clock.advance_clock(2)
    by_the_clock.set_options(running_seconds=20)
    by_the_clock.advance_clock(18)
    assert status_of(*runs) == ["RUNNING", "PENDING", "PENDING"]
    by_the_clock.advance_clock(1000)
    assert status_of(*runs) == ["COMPLETED"] * 3


def test_by_hand_a_full_group_keeps_its_runs_too(control: Control, omics: Any, start: Start) -> None:
    """``advance`` leaves a run PENDING if its group is full."""
    group_id = omics.create_run_group(maxRuns=1)["id"]
    first, second = (start(runGroupId=group_id)["id"] for _ in range(2))
    assert control.advance("RUNNING") == {first: "RUNNING", second: "PENDING"}
    assert control.advance("COMPLETED", run_id=first) == {first: "COMPLETED"}
    assert control.advance("RUNNING") == {second: "RUNNING"}
