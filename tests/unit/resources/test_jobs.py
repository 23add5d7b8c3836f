# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of stores: their watches, and the lack of cancellation."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.job import JOB_RESOURCES, JobResource
from airflow_healthomics.resources.job_watch import JobWatch, job_watch_of_kind
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.service.jobs import JOB_TYPES
from airflow_healthomics.triggers import HealthOmicsJobTrigger
from airflow_healthomics.triggers.kinds import wait_trigger_of_kind
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks, calls_of
from tests.unit.job_attempts import JOB_KINDS, READ_SET_IMPORT, JobAttempts, JobKind, Stores
from tests.unit.resources.conftest import Records

NOUNS = pytest.mark.parametrize("noun", JOB_TYPES)
STORE = "1234567890"


@NOUNS
def test_a_kind_has_its_classes(omics: Control, log: Records, noun: Any) -> None:
    """They are found by its noun, which records and triggers contain."""
    resource = resource_of_kind(noun, HealthOmicsHook(), log)
    assert isinstance(resource, JOB_RESOURCES[noun])
    assert (resource.noun, resource.job_type.noun, job_watch_of_kind(noun).noun) == (noun, noun, noun)
    assert wait_trigger_of_kind(noun) is HealthOmicsJobTrigger


@NOUNS
def test_a_job_cannot_be_cancelled(omics: Control, log: Records, noun: str) -> None:
    """The log says so, and no call is made."""
    resource = resource_of_kind(noun, HealthOmicsHook(), log)
    assert resource.cancel("1", None) is False
    assert resource.cancel_command("1") is None
    assert resource.find("a name") is None
    assert f"The {noun} 1 continues" in str(log.lines)
    assert omics.call_counts() == {}


def watch_of(log: Records, **fields: Any) -> JobWatch:
    """Return the watch of an import."""
    return job_watch_of_kind("read set import job")("7" * 10, store_id=STORE, log=log, **fields)


def answer(status: str, *sources: str) -> dict[str, Any]:
    """Return an answer of GetReadSetImportJob."""
    described = [{"status": each} for each in sources]
    return {"id": "7" * 10, "sequenceStoreId": STORE, "status": status, "sources": described}


def test_progress_is_logged_when_it_changes(clock: Clock, log: Records) -> None:
    """The line counts the processed and failed sources."""
    watch = watch_of(log)
    for _ in range(2):
        assert watch.update(answer("IN_PROGRESS", "FINISHED", "IN_PROGRESS")) is None
    assert watch.update(answer("IN_PROGRESS", "FINISHED", "FAILED")) is None
    text = str(log.lines)
    assert text.count("1 of 2 sources processed") == 2
    assert text.count("1 of 2 sources processed, 1 failed") == 1


def test_an_unknown_status_is_waited_on(clock: Clock, log: Records) -> None:
    """The log has a warning."""
    assert watch_of(log).update(answer("HIBERNATING")) is None
    assert "This version does not know the status" in str(log.lines)


def test_a_new_job_may_be_invisible(clock: Clock, log: Records) -> None:
    """After its grace period it counts as DELETED."""
    watch = watch_of(log, grace=60.0)
    assert watch.update(None) is None
    clock.advance(61)
    summary = watch.update(None)
    assert summary is not None
    assert (summary["status"], summary["sequenceStoreId"], summary["sources"]) == ("DELETED", STORE, [])
    assert "GetReadSetImportJob does not find the job" in summary["statusMessage"]


def test_jobs_of_two_stores_are_polled_separately(clock: Clock, log: Records) -> None:
    """Their ids may be equal."""
    other = job_watch_of_kind("read set import job")("7" * 10, store_id="9" * 10, log=log)
    assert watch_of(log).key != other.key


@JOB_KINDS
def test_a_trigger_waits_for_the_job(omics: Control, tasks: Tasks, clock: Clock, kind: JobKind) -> None:
    """Its event also has the ids of the earlier jobs."""
    stores = Stores(omics)
    omics.set_options(job_in_progress_seconds=600)
    attempts = JobAttempts(tasks, stores, kind, wait_for_completion=False)
    job_id = attempts.again()
    trigger = HealthOmicsJobTrigger(
        kind.name, stores.ids[kind.store], job_id, earlier=["1"], botocore_config=ONE_ATTEMPT
    )
    event = tasks.fire(trigger)
    assert (event["event"], event["summary"]["status"], event["earlier"]) == ("ended", "COMPLETED", ["1"])
    assert calls_of(omics, f"Get{kind.operation}") <= 13


def test_the_command_describes_the_job(omics: Control, tasks: Tasks, log: Records) -> None:
    """AWS documents no URL of its page in the console."""
    resource = JOB_RESOURCES[READ_SET_IMPORT.name](HealthOmicsHook(), log, STORE)
    assert isinstance(resource, JobResource)
    assert resource.location("7") == (
        f"aws omics get-read-set-import-job --sequence-store-id {STORE} --id 7 --region us-east-1"
    )
