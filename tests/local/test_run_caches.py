# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run uses the outputs that an earlier run with the same inputs left in the run cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import BUCKET, aws

Start = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)
ALWAYS, ON_FAILURE = "CACHE_ALWAYS", "CACHE_ON_FAILURE"


@pytest.fixture
def cache(omics: Any) -> str:
    """A run cache with the default behavior."""
    cache_id: str = omics.create_run_cache(cacheS3Location="s3://cache")["id"]
    return cache_id


@pytest.fixture
def hits(control: Control, omics: Any, start: Start, cache: str) -> Callable[..., int]:
    """Run a workflow to its end, and return the number of tasks that hit the cache."""

    def run(end: str = "COMPLETED", reason: str | None = None, **fields: Any) -> int:
        run_id = start(cacheId=cache, **fields)["id"]
        control.advance("RUNNING", run_id=run_id)
        tasks = omics.list_run_tasks(id=run_id)["items"]
        if end == "CANCELLED":
            omics.cancel_run(id=run_id)
        control.advance(end, run_id=run_id, failure_reason=reason)
        return sum(task["cacheHit"] for task in tasks)

    return run


@pytest.mark.parametrize(
    ("end", "reason", "behavior", "found"),
    [
        ("COMPLETED", None, None, 0),
        ("COMPLETED", None, ON_FAILURE, 0),
        ("COMPLETED", None, ALWAYS, 3),
        ("FAILED", "WORKFLOW_RUN_FAILED", None, 3),
        ("FAILED", "WORKFLOW_RUN_FAILED", ALWAYS, 3),
        ("FAILED", "RUN_TIMED_OUT", ALWAYS, 0),
        ("FAILED", "FILE_SYSTEM_OUT_OF_SPACE", ALWAYS, 0),
        ("CANCELLED", None, ALWAYS, 0),  # none of its tasks has completed
    ],
)
def test_the_behavior_decides_what_is_saved(
    hits: Callable[..., int], end: str, reason: str | None, behavior: str | None, found: int
) -> None:
    """CACHE_ON_FAILURE saves after failures, CACHE_ALWAYS always; some ends save nothing."""
    fields = {} if behavior is None else {"cacheBehavior": behavior}
    assert hits(end, reason, parameters={"a": 1}, **fields) == 0
    assert hits(parameters={"a": 1}) == found


@pytest.mark.parametrize("behavior", [ON_FAILURE, ALWAYS])
def test_a_cancelled_run_saves_what_it_completed(
    control: Control, omics: Any, start: Start, hits: Callable[..., int], cache: str, behavior: str
) -> None:
    """The outputs of tasks that were still running are not saved."""
    control.stop_clock()
    control.plan_run(tasks=[{"name": "task-1", "seconds": 5}, {"name": "task-2"}])
    run_id = start(cacheId=cache, cacheBehavior=behavior)["id"]
    control.advance("RUNNING")
    control.advance_clock(5)
    omics.cancel_run(id=run_id)
    assert hits(cacheBehavior=behavior) == 1


def test_only_equal_inputs_hit(control: Control, omics: Any, hits: Callable[..., int]) -> None:
    """Other parameters, another workflow or a changed object of S3 are misses."""
    reads = f"s3://{BUCKET}/reads"
    aws("s3").put_object(Bucket=BUCKET, Key="reads", Body=b"1")
    first = {"parameters": {"samples": [{"reads": reads}]}, "cacheBehavior": ALWAYS}
    assert hits(**first) == 0
    assert hits(**first) == 3
    assert hits(**{**first, "parameters": {"samples": []}}) == 0
    assert hits(**first, workflowId="7") == 0
    aws("s3").put_object(Bucket=BUCKET, Key="reads", Body=b"2")
    assert hits(**first) == 0


def test_a_hit_takes_no_time(control: Control, omics: Any, start: Start, cache: str) -> None:
    """The task is COMPLETED at once and has the cache's id; a failed task is computed again."""
    control.plan_run(tasks=[{"name": "a"}, {"name": "b", "failure_reason": "X"}], status="FAILED")
    start(cacheId=cache)
    control.advance("FAILED")
    control.plan_run(tasks=[{"name": "a"}, {"name": "b"}])
    run_id = start(cacheId=cache)["id"]
    control.advance("RUNNING", run_id=run_id)
    found = omics.list_run_tasks(id=run_id)["items"]
    first, second = (omics.get_run_task(id=run_id, taskId=task["taskId"]) for task in found)
    assert (first["status"], first["cacheHit"], first["cacheS3Uri"]) == ("COMPLETED", True, "s3://cache")
    assert (second["status"], second["cacheHit"]) == ("RUNNING", False)
    assert "cacheS3Uri" not in second
    assert [task.get("cacheS3Uri") for task in found] == ["s3://cache", None]


def test_without_the_cache_nothing_hits(control: Control, omics: Any, start: Start, cache: str) -> None:
    """A run without a cacheId neither saves nor uses outputs."""
    for fields in ({}, {"cacheId": cache}):
        run_id = start(**fields)["id"]
        control.advance("FAILED", run_id=run_id)
        assert not any(task["cacheHit"] for task in omics.list_run_tasks(id=run_id)["items"])
