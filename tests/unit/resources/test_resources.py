# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The common interface of runs and batches: their status, watches, records and places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsBatchReplacedError,
    HealthOmicsConnectionChangedError,
    HealthOmicsRunReplacedError,
)
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.batch import BatchResource
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.resources.run import RunResource
from tests.healthomics import Control
from tests.unit.batch_attempts import crashing
from tests.unit.conftest import Clock, answering
from tests.unit.kinds import BATCH, KINDS, RUN, Kind
from tests.unit.resources.conftest import Records

#: moto's account.
ACCOUNT = "123456789012"


# --- the status of a batch ---


class Judge:
    """Decides that enough runs of a batch completed, or not."""

    def __init__(self, is_success: bool) -> None:
        self.is_convinced = is_success

    def is_success(self, batch: Mapping[str, Any], earlier: Sequence[str]) -> bool:
        """Return the decision."""
        return self.is_convinced


@pytest.mark.parametrize(
    ("status", "verdict", "run_status"),
    [
        ("INPROGRESS", None, "RUNNING"),
        ("HIBERNATING", None, "RUNNING"),
        ("FAILED", Judge(True), "FAILED"),
        ("PROCESSED", None, "COMPLETED"),
        ("PROCESSED", Judge(True), "COMPLETED"),
        ("PROCESSED", Judge(False), "FAILED"),
        ("CANCELLED", Judge(True), "COMPLETED"),
        ("CANCELLED", Judge(False), "CANCELLED"),
    ],
)
def test_a_batch_has_the_status_of_a_run(
    hook: HealthOmicsHook, log: Records, status: str, verdict: Judge | None, run_status: str
) -> None:
    """The policy is applied once all runs have ended; an unknown status is active."""
    arn, created = f"arn:aws:omics:us-east-1:{ACCOUNT}:runBatch/1", "2026-11-22T03:04:05Z"
    answering(hook.conn, "GetBatch", {"id": "1", "arn": arn, "status": status, "creationTime": created})
    batch = BatchResource(hook, log, verdict).get("1")
    assert (batch["status"], batch["arn"]) == (run_status, arn)


# --- watches ---


@KINDS
def test_only_a_new_one_may_not_be_visible_yet(hook: HealthOmicsHook, log: Records, kind: Kind) -> None:
    """Any other one that is not found has ended."""
    resource = resource_of_kind(kind.name, hook, log)
    assert resource.watch("7654321").poll(hook.conn) is not None
    assert resource.watch("7654321", is_new=True).poll(hook.conn) is None


@KINDS
def test_a_watch_checks_the_uuid(omics: Control, hook: HealthOmicsHook, log: Records, kind: Kind) -> None:
    """Another one with the id is an error."""
    watch = resource_of_kind(kind.name, hook, log).watch(kind.start(omics), uuid="another")
    with pytest.raises((HealthOmicsRunReplacedError, HealthOmicsBatchReplacedError)):
        watch.poll(hook.conn)


@KINDS
def test_a_watch_of_a_deletion_outlasts_the_end(
    omics: Control, hook: HealthOmicsHook, log: Records, clock: Clock, kind: Kind
) -> None:
    """Its resource has ended before."""
    resource_id = kind.start(omics)
    clock.advance(10)
    kind.end(omics, kind.succeeded)
    resource = resource_of_kind(kind.name, hook, log)
    assert resource.watch(resource_id).poll(hook.conn) is not None
    assert resource.watch(resource_id, is_deletion=True).poll(hook.conn) is None


# --- the record of a batch ---


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        ("ThrottlingException", ClientError, "ThrottlingException"),
        ("AccessDeniedException", HealthOmicsApiError, "omics:DeleteBatch"),
        ("ResourceNotFoundException", None, ""),
    ],
)
def test_the_record_of_a_batch_is_deleted_or_missing(
    omics: Control, hook: HealthOmicsHook, log: Records, clock: Clock, code: str, error: Any, text: str
) -> None:
    """A retry may find the deletion done by the attempt before."""
    batch_id = BATCH.start(omics)
    clock.advance(10)
    BATCH.end(omics, "PROCESSED")
    resource = BatchResource(hook, log)
    omics.inject_error("DeleteBatch", code)
    if error is None:
        resource.delete_record(batch_id)
    else:
        with pytest.raises(error, match=text):
            resource.delete_record(batch_id)
    assert len(omics.batches()) == 1
    resource.delete_record(batch_id)
    assert omics.batches() == []


# --- the place ---


def arn_of(kind: Kind, region: str, account: str) -> str:
    """Return the ARN of a run or batch."""
    return f"arn:aws:omics:{region}:{account}:{'run' if kind is RUN else 'runBatch'}/1234567"


@KINDS
@pytest.mark.parametrize(
    ("region", "account", "here"),
    [
        ("eu-west-1", ACCOUNT, "region us-east-1"),
        ("us-east-1", "1" * 12, f"account {ACCOUNT}"),
    ],
)
def test_another_place_is_an_error(
    omics: Control, hook: HealthOmicsHook, log: Records, kind: Kind, region: str, account: str, here: str
) -> None:
    """It names the owner, and the account and region of the connection."""
    arn = arn_of(kind, region, account)
    with pytest.raises(HealthOmicsConnectionChangedError) as caught:
        resource_of_kind(kind.name, hook, log).check_place(arn)
    assert (caught.value.noun, caught.value.arn, caught.value.here) == (kind.name, arn, here)


@KINDS
def test_the_same_place_is_no_error(omics: Control, hook: HealthOmicsHook, log: Records, kind: Kind) -> None:
    """An ARN, or its account, may be unknown."""
    resource = resource_of_kind(kind.name, hook, log)
    for arn in (None, arn_of(kind, "us-east-1", ACCOUNT), arn_of(kind, "us-east-1", "")):
        resource.check_place(arn)
    assert log.lines == []


def test_an_unknown_account_is_no_error(omics: Control, hook: HealthOmicsHook, log: Records) -> None:
    """The permission may be missing."""
    _ = hook.conn
    error = ClientError({"Error": {"Code": "AccessDenied"}}, "GetCallerIdentity")
    with crashing("GetCallerIdentity", error=error):
        RunResource(hook, log).check_place(arn_of(RUN, "us-east-1", "1" * 12))
    assert "AccessDenied" in log.lines[0][1]


def test_only_not_found_errors_name_a_place(omics: Control, hook: HealthOmicsHook, log: Records) -> None:
    """The look-up of the account costs a call."""
    resource = RunResource(hook, log)
    not_found, denied = (
        resource.refusal("GetRun", "run 1", ClientError({"Error": {"Code": code}}, "GetRun"))
        for code in ("ResourceNotFoundException", "AccessDeniedException")
    )
    assert f"account {ACCOUNT}, region us-east-1" in str(not_found)
    assert "account" not in str(denied)


def test_an_account_is_not_looked_up_if_the_task_is_about_to_time_out(
    omics: Control, hook: HealthOmicsHook, log: Records
) -> None:
    """The error with the region is more important."""
    place = RunResource(hook, log).describe_place(timedelta(0))
    assert place.startswith("region us-east-1 (")


def test_the_console_has_a_page_for_each_run(hook: HealthOmicsHook, log: Records) -> None:
    """And one for all runs."""
    assert "7654321" in RunResource(hook, log).location("7654321")
    assert BatchResource(hook, log).location("7654321").endswith("/runs")
