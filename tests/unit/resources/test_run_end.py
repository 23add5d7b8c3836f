# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The end of a deleted run, from its manifest."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.run import RunResource
from tests.unit.conftest import intercepting
from tests.unit.resources.conftest import Records

GROUP = "/aws/omics/WorkflowLog"
PLACE = "arn:aws:omics:us-east-1:123456789012"

#: The object of a run, with some fields of AWS's example and two of the user.
RUN: dict[str, Any] = {
    "arn": f"{PLACE}:run/7654321",
    "uuid": "u",
    "name": "a run",
    "status": "FAILED",
    "statusMessage": "A task failed",
    "failureReason": "RUN_TASK_FAILED",
    "creationTime": "2026-11-22T03:04:05.678Z",
    "startTime": "2026-11-22T03:14:05.678",
    "stopTime": "2026-11-22T04:14:05.678",
    "workflow": f"{PLACE}:workflow/1234567",
    "runGroup": f"{PLACE}:runGroup/2345678",
    "runCache": f"{PLACE}:runCache/3456789",
    "outputUri": "s3://outputs",
    "storageType": "DYNAMIC",
    "parameters": {"patient": "Ada"},
    "roleArn": "arn:aws:iam::123456789012:role/omics",
}


def write_manifest(*items: dict[str, Any]) -> None:
    """Write the manifest of run 7654321."""
    logs, stream = boto3.client("logs"), "manifest/run/7654321/u"
    logs.create_log_group(logGroupName=GROUP)
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": json.dumps(item)} for item in items]
    for start in range(0, len(events), 10_000):
        logs.put_log_events(
            logGroupName=GROUP, logStreamName=stream, logEvents=events[start : start + 10_000]
        )


def test_the_summary_has_the_names_of_getrun(hook: HealthOmicsHook, log: Records) -> None:
    """It has ids instead of ARNs, times with a zone, and no values of the user."""
    write_manifest(RUN)
    assert RunResource(hook, log).find_end("7654321", "u") == {
        "id": "7654321",
        "arn": f"{PLACE}:run/7654321",
        "uuid": "u",
        "name": "a run",
        "status": "FAILED",
        "statusMessage": "A task failed",
        "failureReason": "RUN_TASK_FAILED",
        "creationTime": "2026-11-22T03:04:05.678000+00:00",
        "startTime": "2026-11-22T03:14:05.678000+00:00",
        "stopTime": "2026-11-22T04:14:05.678000+00:00",
        "workflowId": "1234567",
        "runGroupId": "2345678",
        "cacheId": "3456789",
        "outputUri": "s3://outputs",
        "storageType": "DYNAMIC",
    }


@pytest.mark.parametrize("field", ["creationTime", "startTime", "stopTime"])
def test_a_time_in_another_format_is_kept(hook: HealthOmicsHook, log: Records, field: str) -> None:
    """It is better than none."""
    write_manifest({**RUN, field: "yesterday"})
    end = RunResource(hook, log).find_end("7654321", "u")
    assert end is not None
    assert end[field] == "yesterday"


@pytest.mark.parametrize(
    "changes", [{"uuid": "another"}, {"status": "RUNNING"}, {"status": "HIBERNATING"}], ids=str
)
def test_a_manifest_of_another_run_or_another_status_is_no_end(
    hook: HealthOmicsHook, log: Records, changes: dict[str, Any]
) -> None:
    """The outcome is unknown then."""
    write_manifest({**RUN, **changes})
    assert RunResource(hook, log).find_end("7654321", "u") is None


@pytest.mark.parametrize("uuid", ["u", None])
def test_without_a_manifest_the_end_is_unknown(hook: HealthOmicsHook, log: Records, uuid: str | None) -> None:
    """The same without the uuid, which is in its name."""
    assert RunResource(hook, log).find_end("7654321", uuid) is None
    assert len(log.lines) == (uuid is not None)


def test_empty_pages_of_the_manifest_are_followed(hook: HealthOmicsHook, log: Records) -> None:
    """GetLogEvents may return them although there are events behind their token."""
    pages: list[dict[str, Any]] = [{"events": [], "nextForwardToken": f"f/{number}"} for number in range(3)]
    pages.append({"events": [{"message": json.dumps(RUN)}], "nextForwardToken": "f/3"})
    with intercepting(lambda *_: pages.pop(0)):
        assert RunResource(hook, log).find_end("7654321", "u") is not None


def test_a_manifest_without_its_run_ends_with_its_last_page(hook: HealthOmicsHook, log: Records) -> None:
    """There the token is that of the page before."""
    write_manifest({"arn": f"{PLACE}:task/1"})
    assert RunResource(hook, log).find_end("7654321", "u") is None
    assert log.lines == []  # of the time limit


def test_the_run_is_in_front_of_its_tasks(hook: HealthOmicsHook, log: Records) -> None:
    """For any number of tasks: a response has up to 10,000 events."""
    write_manifest(RUN, *({"arn": f"{PLACE}:task/{number}"} for number in range(10_000)))
    assert RunResource(hook, log).find_end("7654321", "u") is not None
