# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of jobs, their states, and their answers without the values of sources."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_healthomics.service import jobs, run_states
from airflow_healthomics.service.jobs import (
    JOB_TYPES,
    READ_SET_EXPORT,
    READ_SET_IMPORT,
    REFERENCE_IMPORT,
    JobType,
    key_of,
    results_by_key,
    sources_of,
    summarize_job,
    unprocessed,
    without_values,
)
from tests.healthomics import service_model

TYPES = pytest.mark.parametrize("job_type", JOB_TYPES.values(), ids=JOB_TYPES)

SOURCE = {
    "sourceFiles": {"source1": "s3://reads/patients/anna_1.bam"},
    "sourceFileType": "BAM",
    "subjectId": "anna",
    "sampleId": "anna-blood",
    "name": "Anna's blood (1)",
    "tags": {"ward": "B 12"},
}


def output_of(job_type: JobType, verb: str) -> Any:
    """Return the shape of an answer."""
    suffix = "s" if verb == "List" else ""
    return service_model().operation_model(f"{verb}{job_type.operation}{suffix}").output_shape


@TYPES
def test_the_states_are_those_of_botocore(job_type: JobType) -> None:
    """Only DELETED is this package's."""
    states = set(output_of(job_type, "Get").members["status"].enum)
    assert states == jobs.ACTIVE | jobs.TERMINAL - {"DELETED"}
    assert states | {"DELETED"} == jobs.AS_RUN_STATE.keys()


def test_each_state_corresponds_to_a_run_state() -> None:
    """Starts and waits know only the states of runs."""
    for states, as_run in (
        (jobs.ACTIVE, run_states.ACTIVE),
        (jobs.SUCCEEDED, run_states.SUCCEEDED),
        (jobs.FAILED, run_states.FAILED),
    ):
        assert {jobs.AS_RUN_STATE[state] for state in states} <= as_run


@TYPES
def test_the_fields_are_those_of_botocore(job_type: JobType) -> None:
    """Nothing else reports a misspelt field."""
    get, listed = output_of(job_type, "Get"), output_of(job_type, "List")
    start = service_model().operation_model(f"Start{job_type.operation}").input_shape
    assert {job_type.store, job_type.sources} <= get.members.keys()
    assert job_type.list_key in listed.members
    assert {job_type.store, "sources", "clientToken"} <= start.members.keys()
    assert set(job_type.key) <= start.members["sources"].member.members.keys()
    item = get.members[job_type.sources].member
    assert jobs.FINISHED in item.members["status"].enum
    assert job_type.result in item.members or "id" in item.members
    assert start.members["clientToken"].metadata["max"] == 127


@TYPES
def test_texts_of_sources_are_private(job_type: JobType) -> None:
    """Ids, types, statuses and ARNs are the exceptions."""
    shape = output_of(job_type, "Get").members[job_type.sources].member
    harmless = {"id", "readSetId", "referenceId", "status", "statusMessage", "sourceFileType", "referenceArn"}
    assert shape.members.keys() - harmless <= set(jobs._PRIVATE_FIELDS)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("s3://reads/patients/anna_1.bam is missing", "<sourceFiles> is missing"),
        ("patients/anna_1.bam in reads", "<sourceFiles> in reads"),
        ("anna_1.bam: no index", "<sourceFiles>: no index"),
        ("sample anna-blood of anna", "sample <sampleId> of <subjectId>"),
        ("the annals of BAM", "the annals of BAM"),
        ("(Anna's blood (1))", "(<name>)"),
        ("ward B 12.", "ward <tags>."),
        ("no access to s3://elsewhere/anna.bai here", "no access to <S3 URI> here"),
    ],
)
def test_a_message_has_fields_instead_of_values(message: str, shown: str) -> None:
    """Values of the sources are replaced by the names of their fields."""
    assert without_values(message, [SOURCE]) == shown


def test_a_summary_has_no_value_of_a_source() -> None:
    """It has the index, status and read set of each source, as JSON values."""
    job = {
        "id": "1" * 10,
        "sequenceStoreId": "2" * 10,
        "roleArn": "arn:aws:iam::123456789012:role/x",
        "status": "COMPLETED_WITH_FAILURES",
        "statusMessage": "anna failed.",
        "creationTime": datetime(2026, 11, 22, tzinfo=UTC),
        "sources": [
            {**SOURCE, "status": "FINISHED", "statusMessage": "done", "readSetId": "3" * 10},
            {**SOURCE, "status": "FAILED", "statusMessage": "anna-blood is missing"},
            {**SOURCE, "status": "NOT_STARTED"},
        ],
    }
    summary = summarize_job(READ_SET_IMPORT, job)
    assert json.loads(json.dumps(summary)) == {
        "id": "1" * 10,
        "sequenceStoreId": "2" * 10,
        "status": "COMPLETED_WITH_FAILURES",
        "statusMessage": "<subjectId> failed.",
        "creationTime": "2026-11-22T00:00:00+00:00",
        "sources": [
            {"index": 0, "status": "FINISHED", "readSetId": "3" * 10},
            {"index": 1, "status": "FAILED", "statusMessage": "<sampleId> is missing"},
            {"index": 2, "status": "NOT_STARTED"},
        ],
    }
    assert [source["index"] for source in unprocessed(summary)] == [1, 2]


def test_a_source_has_one_key_in_requests_and_answers() -> None:
    """An answer may have further fields."""
    answer = {**SOURCE, "status": "FINISHED", "readSetId": "3" * 10, "description": None}
    assert key_of(READ_SET_IMPORT, SOURCE) == key_of(READ_SET_IMPORT, answer)
    assert key_of(READ_SET_IMPORT, SOURCE) != key_of(READ_SET_IMPORT, {**SOURCE, "sampleId": "other"})
    assert results_by_key(READ_SET_IMPORT, {"sources": [answer]}) == {
        key_of(READ_SET_IMPORT, SOURCE): "3" * 10
    }


def test_read_sets_of_an_export_have_the_names_of_the_request() -> None:
    """Its answer calls the id of a read set ``id``."""
    job = {"readSets": [{"id": "3" * 10, "status": "FINISHED"}]}
    assert sources_of(READ_SET_EXPORT, job) == [{"id": "3" * 10, "readSetId": "3" * 10, "status": "FINISHED"}]
    key = key_of(READ_SET_EXPORT, {"readSetId": "3" * 10})
    assert results_by_key(READ_SET_EXPORT, job) == {key: "3" * 10}


def test_stores_have_names() -> None:
    """Arguments and log lines use them."""
    assert (READ_SET_IMPORT.store_argument, READ_SET_IMPORT.store_noun) == (
        "sequence_store_id",
        "sequence store",
    )
    assert REFERENCE_IMPORT.store_argument == "reference_store_id"
