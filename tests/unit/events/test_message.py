# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a message of the queue tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_healthomics.events.message import UnreadableMessageError, parse_message
from airflow_healthomics.events.queue import SOURCES

#: The example of the user guide, page "eventbridge".
EXAMPLE: dict[str, Any] = {
    "version": "0",
    "id": "c0e540f4-df38-b986-86c1-3e3730f971fe",
    "detail-type": "Run Status Change",
    "source": "aws.omics",
    "account": "123456789012",
    "time": "2022-10-20T22:07:35Z",
    "region": "us-west-2",
    "resources": ["arn:aws:omics:us-west-2:123456789012:run/2101313"],
    "detail": {
        "omicsVersion": "1.0.0",
        "arn": "arn:aws:omics:us-west-2:123456789012:run/2101313",
        "status": "COMPLETED",
        "uuid": "153893cd-097a-40ec-aec7-838a97cd2b21",
        "runId": "1234567",
        "runName": "run name",
        "runOutputUri": "s3://amzn-s3-demo-bucket/run-output/2101313",
        "workflowId": "1234567",
        "workflowName": "workflow name",
    },
}


def body(**changes: Any) -> str:
    """Return the example with changes; None removes a member."""
    event = {**EXAMPLE, **changes}
    return json.dumps({name: value for name, value in event.items() if value is not None})


def test_the_end_of_a_run_is_read() -> None:
    """By the names of the payload."""
    candidate = parse_message(body(), SOURCES).candidate
    assert candidate is not None
    assert (candidate.id, candidate.told["name"]) == ("1234567", "run name")
    assert candidate.ended is not None
    assert candidate.ended.isoformat() == "2022-10-20T22:07:35+00:00"


def test_the_end_of_a_batch_is_read() -> None:
    """All values of its events are text."""
    detail = {"arn": "a:runBatch/7", "batchId": "7", "status": "PROCESSED", "uuid": "u", "batchName": "b"}
    message = parse_message(body(**{"detail-type": "RunBatch Status Change", "detail": detail}), SOURCES)
    assert message.candidate is not None
    assert (message.candidate.id, message.candidate.told["name"]) == ("7", "b")
    assert message.source is SOURCES["RunBatch Status Change"]


def test_an_old_event_has_only_an_arn() -> None:
    """As in 2023."""
    detail = {"arn": EXAMPLE["detail"]["arn"], "status": "FAILED"}
    candidate = parse_message(body(detail=detail), SOURCES).candidate
    assert candidate is not None
    assert candidate.id == "2101313"


def test_a_run_that_goes_on_is_no_end() -> None:
    """Nor is its message foreign."""
    message = parse_message(body(detail={**EXAMPLE["detail"], "status": "RUNNING"}), SOURCES)
    assert message.candidate is None
    assert not message.is_foreign


@pytest.mark.parametrize("changes", [{"source": "aws.s3"}, {"detail-type": "Task Status Change"}], ids=str)
def test_other_events_are_foreign(changes: dict[str, Any]) -> None:
    """They may belong to another reader of the queue."""
    assert parse_message(body(**changes), SOURCES).is_foreign


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Jane", "not JSON"),
        ('["Jane"]', "source"),
        ('{"Jane": 1}', "source"),
        (body(detail="Jane"), "status"),
        (body(detail={"runName": "Jane"}), "status"),
        (body(detail={"status": "FAILED", "runName": "Jane"}), "runId"),
        (body(time="Jane"), "time"),
    ],
)
def test_what_cannot_be_read_is_named_without_content(text: str, missing: str) -> None:
    """It may be about a patient."""
    with pytest.raises(UnreadableMessageError, match=missing) as caught:
        parse_message(text, SOURCES)
    assert "Jane" not in str(caught.value)
