# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The watch of a batch."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsBatchReplacedError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.batch_watch import BatchWatch, describe_progress, summarize_batch
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, answering

log = logging.getLogger(__name__)

COUNTS = {
    "completedRunCount": 1,
    "failedRunCount": 2,
    "cancelledRunCount": 3,
    "stoppingRunCount": 4,
    "runningRunCount": 5,
    "startingRunCount": 6,
    "pendingRunCount": 1007,
}
SUBMISSIONS = {"failedStartSubmissionCount": 1008, "pendingStartSubmissionCount": 1009}


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ({}, "0 runs ended"),
        ({"totalRuns": 0, "runSummary": {}}, "0 of 0 runs ended"),
        (
            {"totalRuns": 2000, "runSummary": {"completedRunCount": 1000}},
            "1,000 of 2,000 runs ended (1,000 completed)",
        ),
        ({"runSummary": {"completedRunCount": 7, "failedRunCount": 0}}, "7 runs ended (7 completed)"),
        (
            {"totalRuns": 9, "runSummary": COUNTS, "submissionSummary": SUBMISSIONS},
            "6 of 9 runs ended (1 completed, 2 failed, 3 cancelled), 4 stopping, 5 running, 6 starting, "
            "1,007 pending, 1,008 not started, 1,009 to be started",
        ),
    ],
)
def test_the_progress_is_a_line(batch: dict[str, Any], text: str) -> None:
    """It omits counts of zero."""
    assert describe_progress(batch) == text


def test_a_summary_has_no_values_of_the_user() -> None:
    """It has only fields that GetBatch returns."""
    setting = {"workflowId": "7", "outputUri": "s3://outputs", "parameters": {"patient": "Ada"}}
    batch = {"id": "1", "creationTime": datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC), "tags": {"a": "b"}}
    assert summarize_batch({}) == {}
    assert summarize_batch({**batch, "defaultRunSetting": setting}) == {
        "id": "1",
        "creationTime": "2026-11-22T03:04:05+00:00",
        "workflowId": "7",
        "outputUri": "s3://outputs",
    }


@pytest.mark.parametrize("uuid", [None, "u"])
def test_another_batch_under_the_same_id_is_an_error(uuid: str | None) -> None:
    """Whether the uuid was given or learned; a response may lack it."""
    watch = BatchWatch("1234567", uuid=uuid, log=log)
    for answer in ({"uuid": "u"} if uuid is None else {}, {}):
        assert watch.update({"id": "1234567", "status": "INPROGRESS", **answer}) is None
    assert watch.uuid == "u"
    with pytest.raises(HealthOmicsBatchReplacedError) as caught:
        watch.update({"id": "1234567", "status": "INPROGRESS", "uuid": "v"})
    assert str(caught.value) == str(HealthOmicsBatchReplacedError("1234567", "u", "v"))


@pytest.mark.parametrize(
    ("uuid", "missing", "is_repeated"),
    [("u", "arn", True), ("u", "uuid", True), (None, "arn", True), (None, "uuid", False)],
)
def test_an_incomplete_response_is_repeated(
    omics: Control, uuid: str | None, missing: str, is_repeated: bool
) -> None:
    """It comes from a proxy, and shows neither an end nor another batch."""
    hook = HealthOmicsHook(config=ONE_ATTEMPT)
    arn, created = "arn:aws:omics:us-east-1:123456789012:runBatch/1", "2026-11-22T03:04:05Z"
    batch = {"id": "1", "arn": arn, "status": "PROCESSED", "creationTime": created, "uuid": "u"}
    answering(hook.conn, "GetBatch", {name: batch[name] for name in batch if name != missing}, batch)
    watch = BatchWatch("1", uuid=uuid, log=log)
    assert (watch.poll(hook.conn) is None) is is_repeated
    assert watch.poll(hook.conn) is not None


def test_a_new_batch_has_a_grace_period() -> None:
    """After it, a batch that is not found has ended."""
    watch = BatchWatch("1", grace=60, log=log)
    assert watch.update(None) is None
    assert watch.grace == 60
    watch.update({"id": "1", "status": "INPROGRESS", "uuid": "u"})
    assert watch.grace == 0
    summary = watch.update(None)
    assert summary is not None
    assert (summary["id"], summary["status"]) == ("1", "DELETED")
    assert summary["failureReason"].startswith("GetBatch does not find the batch.")
    assert watch.uuid == "u"


@pytest.mark.parametrize(
    ("status", "ends", "ends_deletion"),
    [
        ("INPROGRESS", False, False),
        ("PROCESSED", True, False),
        ("RUNS_DELETING", False, False),
        ("RUNS_DELETED", True, True),
        ("A_STATUS_OF_NEXT_YEAR", False, False),
    ],
)
def test_a_watch_of_a_deletion_outlasts_the_batch(status: str, ends: bool, ends_deletion: bool) -> None:
    """Its batch has ended before."""
    for watch, has_ended in (
        (BatchWatch("1", log=log), ends),
        (BatchWatch("1", is_deletion=True, log=log), ends_deletion),
    ):
        assert (watch.update({"id": "1", "status": status}) is not None) is has_ended


def test_progress_is_logged_on_a_change(caplog: pytest.LogCaptureFixture) -> None:
    """A status that this version does not know is a warning."""
    caplog.set_level("INFO")
    watch = BatchWatch("1", log=log)
    for status, completed in (("INPROGRESS", 0), ("INPROGRESS", 0), ("INPROGRESS", 1), ("OF_NEXT_YEAR", 1)):
        watch.update({"id": "1", "status": status, "runSummary": {"completedRunCount": completed}})
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING"]
    assert "1 is INPROGRESS: 1 runs ended (1 completed)" in caplog.text
