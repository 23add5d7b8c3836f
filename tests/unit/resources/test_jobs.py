# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Jobs of stores: their watches, and the lack of cancellation."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources.job import JOB_RESOURCES, JobResource
from airflow_healthomics.resources.job_watch import JobWatch, job_watch_of_kind
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.resources.watch import NEW_GRACE
from airflow_healthomics.service.errors import IncompleteAnswerError
from airflow_healthomics.service.jobs import JOB_TYPES
from airflow_healthomics.triggers import HealthOmicsJobTrigger
from airflow_healthomics.triggers.kinds import wait_trigger_of_kind
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks, answering, calls_of
from tests.unit.job_attempts import JOB_KINDS, READ_SET_IMPORT, JobAttempts, JobKind, Stores
from tests.unit.resources.conftest import Records

NOUNS = pytest.mark.parametrize("noun", JOB_TYPES)
STORE = "1234567890"


@NOUNS
def test_a_kind_has_its_classes(omics: Control, log: Records, noun: Any) -> None:
    """They are found by its noun, which records and triggers contain."""
    resource = resource_of_kind(noun, HealthOmicsHook(), log)
    assert isinstance(resource, JOB_RESOURCES[noun])
    assert resource.hook.conn_region_name == "us-east-1"
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
    assert [line.rpartition(" is ")[2] for _, line in log.lines] == [
        "IN_PROGRESS: 1 of 2 sources processed",
        "IN_PROGRESS: 1 of 2 sources processed, 1 failed",
    ]
    assert {level for level, _ in log.lines} == {logging.INFO}


def test_an_unknown_status_is_waited_on(clock: Clock, log: Records) -> None:
    """The log has a warning."""
    assert watch_of(log).update(answer("HIBERNATING")) is None
    ((level, line),) = log.lines
    assert level == logging.WARNING
    assert "This version does not know the status" in line


@NOUNS
@pytest.mark.parametrize(
    ("status", "state"), [("COMPLETED_WITH_FAILURES", "FAILED"), ("HIBERNATING", "RUNNING")]
)
def test_a_task_sees_the_state_of_a_run(
    hook: HealthOmicsHook, log: Records, noun: str, status: str, state: str
) -> None:
    """A status unknown to this version counts as active, so no second job is started."""
    job_type = JOB_TYPES[noun]
    fields = {"id": "7" * 10, job_type.store: STORE, "status": status, "creationTime": "2026-11-22T03:04:05Z"}
    answering(hook.conn, f"Get{job_type.operation}", fields)
    resource = JOB_RESOURCES[noun](hook, log, STORE)
    assert resource.describe("7" * 10)["status"] == status
    assert resource.get("7" * 10)["status"] == state


@NOUNS
def test_a_subclass_knows_its_operations(noun: Any) -> None:
    """It only says which kind of job it is."""
    job_type = JOB_TYPES[noun]

    class Job(JobResource, job_type=job_type, noun=noun):
        pass

    class Waiting(JobWatch, job_type=job_type):
        pass

    assert (Job.noun, Waiting.noun) == (noun, noun)
    assert (Job.job_type, Waiting.job_type) == (job_type, job_type)
    assert (Job.start_operation, Job.get_operation) == (
        f"Start{job_type.operation}",
        f"Get{job_type.operation}",
    )
    assert Waiting.operation == Job.get_operation


def test_a_new_job_may_be_invisible(clock: Clock, log: Records) -> None:
    """After its grace period it counts as DELETED."""
    watch = watch_of(log, grace=60.0)
    assert watch.update(None) is None
    clock.advance(61)
    summary = watch.update(None)
    assert summary is not None
    assert (summary["status"], summary["sequenceStoreId"], summary["sources"]) == ("DELETED", STORE, [])
    assert summary["id"] == "7" * 10
    assert "GetReadSetImportJob does not find the job" in summary["statusMessage"]


def test_a_job_that_was_visible_is_deleted(clock: Clock, log: Records) -> None:
    """Its grace period ends with the first answer, also for a trigger that continues the wait."""
    watch = watch_of(log, grace=60.0)
    assert watch.update(answer("SUBMITTED")) is None
    assert watch.grace == 0.0
    summary = watch.update(None)
    assert summary is not None
    assert summary["status"] == "DELETED"


def test_a_new_job_may_end_at_once(clock: Clock, log: Records) -> None:
    """Within its grace period."""
    summary = watch_of(log, grace=60.0).update(answer("COMPLETED", "FINISHED"))
    assert summary is not None
    assert summary["status"] == "COMPLETED"


def test_an_earlier_job_is_visible(clock: Clock, log: Records) -> None:
    """Only a new one has a grace period."""
    summary = watch_of(log).update(None)
    assert summary is not None
    assert summary["status"] == "DELETED"


@pytest.mark.parametrize(
    ("fields", "grace"), [({}, 0.0), ({"is_new": False}, 0.0), ({"is_new": True}, NEW_GRACE)]
)
def test_a_task_waits_with_grace_only_for_a_new_job(
    omics: Control, log: Records, fields: dict[str, Any], grace: float
) -> None:
    """The watch has the id of the store, too."""
    watch = JOB_RESOURCES[READ_SET_IMPORT.name](HealthOmicsHook(), log, STORE).watch("7", **fields)
    assert (watch.resource_id, watch.store_id, watch.grace) == ("7", STORE, grace)


def test_an_answer_without_a_status_is_transient(hook: HealthOmicsHook, log: Records) -> None:
    """A proxy may have sent it."""
    answering(hook.conn, "GetReadSetImportJob", {"id": "7" * 10, "sequenceStoreId": STORE})
    with pytest.raises(IncompleteAnswerError, match="GetReadSetImportJob lacks status"):
        watch_of(log).fetch(hook.conn)


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
