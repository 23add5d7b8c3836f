# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Sensors of imports, exports and activations, in each of their modes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_healthomics.compat import AirflowFailException, AirflowSkipException
from airflow_healthomics.exceptions import (
    HealthOmicsJobFailedPermanentlyError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
)
from tests.healthomics import Control
from tests.unit.conftest import HAS_STORE, Clock, FakeTaskInstance, calls_of, context_of
from tests.unit.job_attempts import CANARY, JOB_KINDS, READ_SET_IMPORT, JobKind, Stores

from .conftest import INTERVAL, MODES, SOFT, Sensing


class JobSensing:
    """Runs the sensor of a job that a task has started."""

    def __init__(self, omics: Control, sensing: Sensing) -> None:
        self.omics = omics
        self.sensing = sensing
        self.stores = Stores(omics)

    def start(self, kind: JobKind, **fields: Any) -> str:
        """Start a job of three sources that stays IN_PROGRESS, and return its id."""
        arguments = self.stores.arguments(kind, wait_for_completion=False, **fields)
        self.omics.set_options(job_in_progress_seconds=1e7)
        return str(kind.operator(**arguments).execute(context_of(FakeTaskInstance(task_id="start"))))

    def run(self, kind: JobKind, mode: str, an_id: Any, **fields: Any) -> Any:
        """Return the result of the sensor."""
        store = {kind.store: self.stores.ids[kind.store]}
        return self.sensing.run(_ById(kind), mode, an_id, **{**store, **fields})  # type: ignore[arg-type]


class _ById:
    """A kind of job in the form that :class:`Sensing` expects."""

    def __init__(self, kind: JobKind) -> None:
        self.sensor = kind.sensor

    def by_id(self, job_id: str) -> dict[str, Any]:
        """Return the argument with the id."""
        return {"job_id": job_id}


@pytest.fixture
def jobs(omics: Control, sensing: Sensing) -> JobSensing:
    """Start jobs, and run their sensors."""
    return JobSensing(omics, sensing)


@JOB_KINDS
@MODES
def test_a_completed_job_ends_it(
    omics: Control, clock: Clock, jobs: JobSensing, kind: JobKind, mode: str
) -> None:
    """It returns the summary as JSON values, with the ids of the results."""
    job_id = jobs.start(kind)
    clock.at(3600, lambda: omics.advance_job("COMPLETED"))
    summary = jobs.run(kind, mode, job_id)
    (job,) = jobs.stores.jobs(kind)
    store = {kind.store_field: jobs.stores.ids[kind.store]}
    assert store.items() <= summary.items()
    assert (summary["id"], summary["status"]) == (job_id, "COMPLETED")
    result = "referenceId" if kind.results == "reference_ids" else "readSetId"
    assert [source["index"] for source in summary["sources"]] == [0, 1, 2]
    if kind.takes_files:
        assert [source[result] for source in summary["sources"]] == [
            source["result"] for source in job["sources"]
        ]
    assert json.loads(json.dumps(summary)) == summary
    assert CANARY not in str(summary)
    assert 3600 <= clock.elapsed <= 3600 + 2 * INTERVAL
    assert calls_of(omics, f"Get{kind.operation}") <= 3600 / INTERVAL + 3


@JOB_KINDS
@MODES
@SOFT
@pytest.mark.parametrize("status", ["COMPLETED_WITH_FAILURES", "FAILED", "CANCELLED"])
def test_any_other_end_fails_it_permanently(
    omics: Control, jobs: JobSensing, kind: JobKind, mode: str, soft_fail: bool, status: str
) -> None:
    """Or skips it, since it cannot repeat the job of another task."""
    job_id = jobs.start(kind)
    if status == "COMPLETED_WITH_FAILURES":
        omics.fail_source(message="the file is truncated")
        omics.advance_job("COMPLETED")
    else:
        omics.advance_job(status)
    if soft_fail:
        with pytest.raises(AirflowSkipException):
            jobs.run(kind, mode, job_id, soft_fail=True)
        return
    with pytest.raises(HealthOmicsJobFailedPermanentlyError, match=f"of .* ended as {status}: ") as caught:
        jobs.run(kind, mode, job_id)
    error = caught.value
    assert isinstance(error, AirflowFailException)
    assert (error.noun, error.job_id, error.status) == (kind.name, job_id, status)
    text = str(error)
    assert ("FAILED: the file is truncated" in text) is (status == "COMPLETED_WITH_FAILURES")
    assert "clear the task that started the job" in text
    assert CANARY not in text


@JOB_KINDS
@MODES
def test_a_job_that_is_not_found_fails_it(jobs: JobSensing, kind: JobKind, mode: str) -> None:
    """The error has the source of the id."""
    with pytest.raises(HealthOmicsJobFailedPermanentlyError, match="was not found in account") as caught:
        jobs.run(kind, mode, "9" * 10)
    assert (caught.value.status, caught.value.sources) == ("DELETED", [])
    assert "comes from the argument job_id" in str(caught.value)


@JOB_KINDS
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"job_id": "7"}, "job_id must be the id of a job"),
        ({"job_id": None}, "job_id is None: an XCom is missing"),
        ({"sequence_store_id": "x", "reference_store_id": "x"}, "store_id must be the id of a"),
    ],
)
def test_a_bad_id_is_refused(
    omics: Control, jobs: JobSensing, kind: JobKind, fields: dict[str, Any], message: str
) -> None:
    """Before any call."""
    chosen = {name: value for name, value in fields.items() if name in ("job_id", kind.store)}
    before = omics.call_counts()
    with pytest.raises(HealthOmicsRequestError, match=message):
        jobs.run(kind, "poke", "1234567890", **chosen)
    assert omics.call_counts() == before


@MODES
def test_refused_polls_end_it_later(omics: Control, clock: Clock, jobs: JobSensing, mode: str) -> None:
    """After refusal_patience, by a retryable error."""
    if mode == "reschedule" and not HAS_STORE:
        pytest.skip("before Airflow 3.3 a rescheduled sensor keeps nothing between two pokes")
    job_id = jobs.start(READ_SET_IMPORT)
    omics.inject_error("GetReadSetImportJob", "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetReadSetImportJob"):
        jobs.run(READ_SET_IMPORT, mode, job_id)
    assert clock.elapsed >= 3600
