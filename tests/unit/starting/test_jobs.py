# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One job per task instance despite crashes; retries, Clears and kills."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsJobFailedError,
    HealthOmicsOutcomeLostError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
    HealthOmicsUnwatchedError,
)
from airflow_healthomics.starting.exactly_once import VISIBILITY_GRACE
from tests.healthomics import Control
from tests.unit.conftest import ROLE, Clock, Tasks, calls_of, needs_store
from tests.unit.histories import STORES
from tests.unit.job_attempts import (
    EXPORT,
    IMPORTS,
    JOB_KINDS,
    READ_SET_IMPORT,
    JobAttempts,
    JobKind,
    Stores,
    read_set_source,
)

WITH_STORE = pytest.mark.parametrize("with_store", STORES)

#: Options with which the local HealthOmics forgets client tokens.
FORGETFUL = {"request_id_lifetime": 100.0, "job_in_progress_seconds": 3600.0}


@pytest.fixture
def stores(omics: Control) -> Stores:
    """A reference store and a sequence store."""
    return Stores(omics)


# --- crashes ---


@JOB_KINDS
@WITH_STORE
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_around_the_start_leaves_one_job(
    tasks: Tasks, stores: Stores, kind: JobKind, with_store: bool, when: str
) -> None:
    """The next attempt finds it, or starts it."""
    attempts = JobAttempts(tasks, stores, kind, with_store=with_store)
    attempts.crash(f"Start{kind.operation}", when)
    job_id = attempts.again()
    (job,) = stores.jobs(kind)
    assert (job_id, job["status"]) == (job["id"], "COMPLETED")


@JOB_KINDS
@WITH_STORE
def test_a_crash_while_it_waits_leaves_one_job(
    tasks: Tasks, stores: Stores, kind: JobKind, with_store: bool
) -> None:
    """The next attempt reattaches, and reads all results."""
    attempts = JobAttempts(tasks, stores, kind, with_store=with_store)
    attempts.crash(f"Get{kind.operation}")
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(kind)] == [job_id]
    assert len(attempts.ti.xcoms[kind.results]) == 3


@needs_store
@JOB_KINDS
def test_a_lost_job_is_found_by_its_sources(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, kind: JobKind
) -> None:
    """HealthOmics may have forgotten the client token, since AWS documents no lifetime."""
    omics.set_options(**FORGETFUL)
    attempts = JobAttempts(tasks, stores, kind, with_store=True)
    attempts.crash(f"Start{kind.operation}", "after")
    clock.advance(1000)
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(kind)] == [job_id]
    assert calls_of(omics, f"List{kind.operation}s") == 1


@needs_store
def test_a_worker_may_be_in_another_time_zone(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lost job is found all the same: botocore takes a time without a zone for UTC."""
    omics.set_options(**FORGETFUL)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob", "after")
    clock.advance(1000)
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            job_id = attempts.again()
    finally:
        time.tzset()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [job_id]


@needs_store
def test_a_job_with_other_sources_is_not_adopted(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores
) -> None:
    """Neither is one with equal sources and another destination."""
    omics.set_options(**FORGETFUL)
    ids = stores.read_sets(2)
    other: dict[str, Any] = {"with_store": True, "wait_for_completion": False}
    attempts = JobAttempts(tasks, stores, EXPORT, with_store=True, read_set_ids=ids)
    attempts.crash("StartReadSetExportJob")
    others: list[dict[str, Any]] = [{"read_set_ids": ids[:1]}, {"destination": "s3://exports/elsewhere"}]
    for number, fields in enumerate(others):
        further = JobAttempts(tasks, stores, EXPORT, **{"read_set_ids": ids, **other, **fields})
        further.ti.task_id = f"other_{number}"
        further.again()
    found = attempts.again()
    assert [job["id"] for job in stores.jobs(EXPORT)][2:] == [found]


@needs_store
def test_a_job_with_another_role_is_not_adopted(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores
) -> None:
    """Though it has equal sources."""
    omics.set_options(**FORGETFUL)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob")
    role = "arn:aws:iam::123456789012:role/others"
    other = JobAttempts(tasks, stores, READ_SET_IMPORT, wait_for_completion=False, role_arn=role)
    other.ti.task_id = "another_task"
    other_id = other.again()
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [other_id, job_id]


@needs_store
def test_a_job_from_before_the_request_is_not_adopted(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores
) -> None:
    """Another task, or this one before a Clear, may have started it."""
    omics.set_options(**FORGETFUL)
    other = JobAttempts(tasks, stores, READ_SET_IMPORT, wait_for_completion=False)
    other.ti.task_id = "another_task"
    other_id = other.again()
    clock.advance(60)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob")
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [other_id, job_id]


@needs_store
def test_a_lost_job_is_found_beside_an_earlier_one(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores
) -> None:
    """A retry started it seconds after the first one had failed."""
    omics.set_options(request_id_lifetime=100.0, job_submitted_seconds=0.0, job_in_progress_seconds=0.0)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True, waiter_delay=1)
    omics.fail_source(times=3)
    with pytest.raises(HealthOmicsJobFailedError):
        attempts.again()
    attempts.crash("StartReadSetImportJob", "after")
    clock.advance(1000)
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)][1:] == [job_id]


@needs_store
def test_a_search_is_limited(omics: Control, clock: Clock, tasks: Tasks, stores: Stores) -> None:
    """A store may have thousands of jobs, and each costs a call."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True, wait_for_completion=False)
    attempts.crash("StartReadSetImportJob", "after")
    clock.advance(1)
    for number in range(55):
        stores.client.start_read_set_import_job(
            sequenceStoreId=stores.ids["sequence_store_id"],
            roleArn=ROLE,
            sources=[
                {
                    "sourceFiles": {"source1": f"s3://reads/{number}.fastq.gz"},
                    "sourceFileType": "FASTQ",
                    "subjectId": "subject",
                    "sampleId": "sample",
                }
            ],
        )
    attempts.again()
    of_the_answer = 1
    assert calls_of(omics, "GetReadSetImportJob") == 50 + of_the_answer


@needs_store
def test_a_failed_job_of_the_task_is_not_adopted(omics: Control, tasks: Tasks, stores: Stores) -> None:
    """A retry starts a job with the same sources seconds later."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True, waiter_delay=1)
    omics.fail_source(times=3)
    with pytest.raises(HealthOmicsJobFailedError):
        attempts.again()
    attempts.crash("StartReadSetImportJob")
    job_id = attempts.again()
    first, second = stores.jobs(READ_SET_IMPORT)
    assert (first["status"], second["id"]) == ("FAILED", job_id)
    assert attempts.ti.xcoms["summary"]["jobIds"] == [first["id"], job_id]


@needs_store
@pytest.mark.parametrize("is_forgotten", [False, True])
def test_the_client_token_decides_between_equal_jobs(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, is_forgotten: bool
) -> None:
    """Their sources do not show which one the task has started."""
    omics.set_options(job_in_progress_seconds=3600.0, request_id_lifetime=100.0 if is_forgotten else None)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob", "after")
    (own,) = stores.jobs(READ_SET_IMPORT)
    other = JobAttempts(tasks, stores, READ_SET_IMPORT, wait_for_completion=False)
    other.ti.task_id = "another_task"
    other.again()
    clock.advance(1000)
    found = attempts.again()
    assert (found == own["id"]) is not is_forgotten
    assert len(stores.jobs(READ_SET_IMPORT)) == (3 if is_forgotten else 2)


@needs_store
def test_without_the_list_the_client_token_decides(
    omics: Control, tasks: Tasks, stores: Stores, logged: Callable[[], str]
) -> None:
    """The log names the permissions."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob", "after")
    omics.inject_error("ListReadSetImportJobs", "AccessDeniedException")
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [job_id]
    assert "omics:ListReadSetImportJobs and omics:GetReadSetImportJob" in logged()


@needs_store
def test_a_throttled_list_is_repeated(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, logged: Callable[[], str]
) -> None:
    """In the next turn of the start, since HealthOmics may have forgotten the client token."""
    omics.set_options(**FORGETFUL)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob", "after")
    clock.advance(1000)
    omics.inject_error("ListReadSetImportJobs", "ThrottlingException")
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [job_id]
    assert "could not be searched" not in logged()


@needs_store
def test_a_missing_store_has_no_jobs_to_search(
    omics: Control, tasks: Tasks, stores: Stores, logged: Callable[[], str]
) -> None:
    """No permission is missing; if the store was deleted, the start fails."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob")
    omics.inject_error("ListReadSetImportJobs", "ResourceNotFoundException")
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [job_id]
    assert "could not be searched" not in logged()


@JOB_KINDS
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delayed_start_is_made_by_the_triggerer(
    omics: Control, tasks: Tasks, stores: Stores, kind: JobKind, when: Any
) -> None:
    """It starts only one job, even if an answer is lost."""
    attempts = JobAttempts(tasks, stores, kind)
    omics.inject_error(f"Start{kind.operation}", "InternalServerException", times=2, when=when)
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(kind)] == [job_id]
    assert [deferral.method_name for deferral in tasks.deferrals] == ["resume_start"]
    assert tasks.events[0]["started"]["id"] == job_id


# --- retries ---


@JOB_KINDS
@WITH_STORE
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_retry_processes_only_what_is_missing(
    omics: Control, tasks: Tasks, stores: Stores, kind: JobKind, with_store: bool, deferrable: bool
) -> None:
    """The results are those of all jobs, in the order of the sources."""
    attempts = JobAttempts(tasks, stores, kind, with_store=with_store, deferrable=deferrable)
    values = attempts.fields[kind.sources]
    for value in values[:2]:
        omics.fail_source(value["name"] if kind.takes_files else value)
    omics.fail_source(values[1]["name"] if kind.takes_files else values[1])
    for label in (0, 1):
        with pytest.raises(HealthOmicsJobFailedError) as caught:
            attempts.again()
        name = f"sources[{label}]" if kind.takes_files else f"read set {values[label]}"
        assert f"- {name} FAILED" in str(caught.value)
        assert label in [source["index"] for source in caught.value.sources]
    last = attempts.again()
    started = stores.jobs(kind)
    assert [len(job["sources"]) for job in started] == [3, 2, 1]
    assert last == started[-1]["id"]
    assert attempts.ti.xcoms["summary"]["jobIds"] == [job["id"] for job in started]
    if kind.takes_files:
        results = [source["result"] for job in started for source in job["sources"] if source["result"]]
        third, first, second = results
        assert attempts.ti.xcoms[kind.results] == [first, second, third]
    else:
        assert attempts.ti.xcoms[kind.results] == values


@IMPORTS
def test_a_retry_of_a_failed_job_imports_everything(
    omics: Control, tasks: Tasks, stores: Stores, kind: JobKind
) -> None:
    """The failed job has imported nothing."""
    attempts = JobAttempts(tasks, stores, kind)
    omics.fail_source(times=3)
    with pytest.raises(HealthOmicsJobFailedError, match="ended as FAILED: 3 of 3"):
        attempts.again()
    attempts.again()
    assert [len(job["sources"]) for job in stores.jobs(kind)] == [3, 3]


@needs_store
def test_a_retry_without_remaining_sources_is_refused(omics: Control, tasks: Tasks, stores: Stores) -> None:
    """The DAG author removed the failed source, so no job is left to start."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    sources = attempts.fields["sources"]
    omics.fail_source(sources[2]["name"])
    with pytest.raises(HealthOmicsJobFailedError):
        attempts.again()
    with pytest.raises(HealthOmicsRequestError, match="every source was already processed"):
        attempts.again(sources=sources[:2])


@needs_store
def test_a_source_that_an_edit_adds_is_reported(
    clock: Clock, tasks: Tasks, stores: Stores, logged: Callable[[], str]
) -> None:
    """The task reattaches to a job that has started without it."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("GetReadSetImportJob")
    attempts.again(sources=[*attempts.fields["sources"], read_set_source("late")])
    assert len(attempts.ti.xcoms["read_set_ids"]) == 3
    assert "1 of 4 sources of the task are in no job of it" in logged()


def test_a_fixed_client_token_is_sent(tasks: Tasks, stores: Stores) -> None:
    """The job has this token instead of a derived one."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, client_token="mine")
    attempts.again()
    (job,) = stores.jobs(READ_SET_IMPORT)
    assert (job["clientToken"], attempts.ti.xcoms["job"]["clientToken"]) == ("mine", "mine")


@needs_store
def test_a_fixed_client_token_cannot_start_another_job(omics: Control, tasks: Tasks, stores: Stores) -> None:
    """The error after a failure names the argument."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True, client_token="mine")
    omics.fail_source()
    with pytest.raises(HealthOmicsJobFailedError):
        attempts.again()
    with pytest.raises(HealthOmicsApiError, match="Remove client_token from the task"):
        attempts.again()


def test_a_derived_client_token_fits(tasks: Tasks, stores: Stores) -> None:
    """Its limit is one character below that of a run's request ID."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT)
    attempts.ti.run_id = "manual__" + "x" * 200
    attempts.again()
    (job,) = stores.jobs(READ_SET_IMPORT)
    assert len(job["clientToken"]) == 127


@needs_store
@JOB_KINDS
def test_a_job_that_is_not_found_is_lost(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, kind: JobKind
) -> None:
    """A retry starts no other one; a Clear does."""
    attempts = JobAttempts(tasks, stores, kind, with_store=True)
    attempts.crash(f"Get{kind.operation}")
    clock.advance(VISIBILITY_GRACE + 1)
    omics.inject_error(f"Get{kind.operation}", "ResourceNotFoundException")
    with pytest.raises(
        HealthOmicsOutcomeLostError, match="Its store was deleted, or the connection leads to"
    ):
        attempts.again()
    attempts.clear()
    omics.inject_error(f"Get{kind.operation}", "ResourceNotFoundException")
    attempts.again()
    assert len(stores.jobs(kind)) == 2


# --- Clear ---


@needs_store
@JOB_KINDS
def test_a_clear_reattaches_to_an_active_job(
    omics: Control, tasks: Tasks, stores: Stores, logged: Callable[[], str], kind: JobKind
) -> None:
    """HealthOmics cannot cancel it, and a second job would import the same files twice."""
    attempts = JobAttempts(tasks, stores, kind, with_store=True)
    attempts.crash(f"Get{kind.operation}")
    attempts.clear()
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(kind)] == [job_id]
    assert "because HealthOmics cannot cancel it" in logged()


@needs_store
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_clear_of_an_unconfirmed_start_repeats_it(tasks: Tasks, stores: Stores, when: str) -> None:
    """The job may be active."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    attempts.crash("StartReadSetImportJob", when)
    attempts.clear()
    job_id = attempts.again()
    assert [job["id"] for job in stores.jobs(READ_SET_IMPORT)] == [job_id]


@JOB_KINDS
@WITH_STORE
def test_a_clear_runs_an_ended_job_again(
    tasks: Tasks, stores: Stores, kind: JobKind, with_store: bool
) -> None:
    """The new job has all sources."""
    attempts = JobAttempts(tasks, stores, kind, with_store=with_store)
    first = attempts.again()
    attempts.clear()
    assert attempts.again() != first
    assert [len(job["sources"]) for job in stores.jobs(kind)] == [3, 3]


@needs_store
def test_a_clear_after_a_failure_imports_everything(omics: Control, tasks: Tasks, stores: Stores) -> None:
    """A Clear means "run it again"."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    omics.fail_source()
    with pytest.raises(HealthOmicsJobFailedError):
        attempts.again()
    attempts.clear()
    attempts.again()
    assert [len(job["sources"]) for job in stores.jobs(READ_SET_IMPORT)] == [3, 3]


@needs_store
def test_on_clear_new_starts_a_job_beside_the_active_one(
    omics: Control, tasks: Tasks, stores: Stores, logged: Callable[[], str]
) -> None:
    """The log says that the old one continues."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True, on_clear="new")
    attempts.crash("GetReadSetImportJob")
    attempts.clear()
    attempts.again()
    assert len(stores.jobs(READ_SET_IMPORT)) == 2
    assert "from before the Clear continues because HealthOmics cannot cancel it" in logged()


@needs_store
def test_on_clear_reattach_uses_a_completed_job_again(tasks: Tasks, stores: Stores) -> None:
    """The task pushes the results again."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True, on_clear="reattach")
    first = attempts.again()
    attempts.ti.xcoms.clear()
    attempts.clear()
    assert attempts.again() == first
    assert len(attempts.ti.xcoms["read_set_ids"]) == 3


# --- kills, timeouts, outages ---


@needs_store
def test_a_killed_task_leaves_its_job(omics: Control, clock: Clock, tasks: Tasks, stores: Stores) -> None:
    """No operation cancels it; the next attempt reattaches."""
    omics.set_options(job_in_progress_seconds=600)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    killed = READ_SET_IMPORT.operator(**attempts.fields)

    def kill() -> None:
        attempts.ti.state = "failed"
        killed.on_kill()
        raise KeyboardInterrupt

    clock.at(120, kill)
    attempts.ti.try_number += 1
    with pytest.raises(KeyboardInterrupt):
        killed.execute(attempts.context)
    (job,) = stores.jobs(READ_SET_IMPORT)
    assert job["status"] == "IN_PROGRESS"
    attempts.clear()
    assert attempts.again() == job["id"]


@needs_store
def test_a_timeout_leaves_the_job(
    omics: Control, tasks: Tasks, stores: Stores, logged: Callable[[], str]
) -> None:
    """The log of the last attempt has the reason."""
    omics.set_options(job_in_progress_seconds=1e6)
    fields: dict[str, Any] = {
        "with_store": True,
        "deferrable": True,
        "execution_timeout": timedelta(minutes=30),
    }
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, **fields)
    attempts.ti.max_tries = 0
    with pytest.raises(AirflowException, match=r"[Tt]imeout"):
        attempts.again()
    assert stores.jobs(READ_SET_IMPORT)[0]["status"] == "IN_PROGRESS"
    assert "continues because HealthOmics cannot cancel it" in logged()


@needs_store
def test_refused_polls_end_an_attempt_and_a_clear_reattaches(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores
) -> None:
    """The error of the last attempt has the command that describes the job."""
    omics.set_options(job_in_progress_seconds=7200)
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, with_store=True)
    omics.inject_error("GetReadSetImportJob", "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetReadSetImportJob"):
        attempts.again()
    attempts.ti.max_tries = 1
    with pytest.raises(
        HealthOmicsUnwatchedError, match="continues because HealthOmics cannot cancel it\nSee aws"
    ):
        attempts.again()
    omics.clear_faults()
    attempts.clear()
    (job,) = stores.jobs(READ_SET_IMPORT)
    assert attempts.again() == job["id"]
