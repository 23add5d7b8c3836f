# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that start an import, an export or an activation, and wait for it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any

import airflow
import pytest

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsJobFailedError,
    HealthOmicsRequestError,
    HealthOmicsResultUnavailableError,
)
from tests.healthomics import Control, omics_client
from tests.unit.conftest import (
    OUTPUT,
    ROLE,
    WORKFLOW,
    Clock,
    FakeTaskInstance,
    Tasks,
    calls_of,
    context_of,
)
from tests.unit.histories import WAYS
from tests.unit.job_attempts import (
    ACTIVATION,
    ALL,
    CANARY,
    DESTINATION,
    EXPORT,
    IMPORTS,
    JOB_KINDS,
    READ_SET_IMPORT,
    JobAttempts,
    JobKind,
    Stores,
    read_set_source,
)

DEFERRABLE = pytest.mark.parametrize("deferrable", WAYS)


@pytest.fixture
def stores(omics: Control) -> Stores:
    """A reference store and a sequence store."""
    return Stores(omics)


@JOB_KINDS
@DEFERRABLE
def test_a_task_ends_with_its_job(tasks: Tasks, stores: Stores, kind: JobKind, deferrable: bool) -> None:
    """It returns the job id, and pushes the ids of the read sets or references, in the given order."""
    attempts = JobAttempts(tasks, stores, kind, deferrable=deferrable)
    job_id = attempts.again()
    (job,) = stores.jobs(kind)
    assert (job_id, job["status"]) == (job["id"], "COMPLETED")
    xcoms = attempts.ti.xcoms
    store = {kind.store_field: stores.ids[kind.store]}
    assert xcoms["job"] == {"id": job_id, **store, "clientToken": job["clientToken"]}
    results = [source["result"] for source in job["sources"]]
    assert xcoms[kind.results] == (results if kind.takes_files else attempts.fields[kind.sources])
    summary = xcoms["summary"]
    assert (summary["id"], summary["status"], summary["jobIds"]) == (job_id, "COMPLETED", [job_id])
    assert [source["status"] for source in summary["sources"]] == ["FINISHED"] * 3
    assert len(tasks.deferrals) == int(deferrable)


# --- failures ---


@JOB_KINDS
@DEFERRABLE
def test_a_job_with_failures_fails_its_task(
    omics: Control, tasks: Tasks, stores: Stores, kind: JobKind, deferrable: bool
) -> None:
    """The error has each failed source with its message and read set, and Airflow may retry the task."""
    attempts = JobAttempts(tasks, stores, kind, deferrable=deferrable)
    value = attempts.fields[kind.sources][1]
    omics.fail_source(value["name"] if kind.takes_files else value, message="the file is truncated")
    with pytest.raises(HealthOmicsJobFailedError) as caught:
        attempts.again()
    error = caught.value
    (job,) = stores.jobs(kind)
    assert not isinstance(error, AirflowFailException)
    assert (error.noun, error.job_id, error.status) == (kind.name, job["id"], "COMPLETED_WITH_FAILURES")
    (source,) = error.sources
    assert (source["index"], source["status"]) == (1, "FAILED")
    label = "sources[1]" if kind.takes_files else f"read set {value}"
    assert f"  - {label} FAILED: the file is truncated\n" in str(error)
    assert "1 of 3 sources were not processed" in str(error)
    assert f"aws omics get-{kind.name.replace(' ', '-')} --{kind.store.replace('_', '-')}" in str(error)
    assert attempts.ti.xcoms["summary"]["status"] == "COMPLETED_WITH_FAILURES"
    assert kind.results not in attempts.ti.xcoms
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.sources, copy.job_id) == (str(error), error.sources, error.job_id)


@JOB_KINDS
@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_failed_job_fails_its_task(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, kind: JobKind, status: str
) -> None:
    """A cancelled job does, too, although the API has no operation that cancels one."""
    omics.set_options(job_in_progress_seconds=1e6)
    attempts = JobAttempts(tasks, stores, kind, deferrable=True)
    clock.at(120, lambda: omics.advance_job(status, message="no access to the key"))
    with pytest.raises(HealthOmicsJobFailedError, match=f"ended as {status}: 3 of 3 sources") as caught:
        attempts.again()
    assert len(caught.value.sources) == 3
    assert ("no access to the key" in str(caught.value)) is (status == "FAILED")


@IMPORTS
@DEFERRABLE
def test_values_of_sources_stay_private(
    omics: Control,
    tasks: Tasks,
    stores: Stores,
    logged: Callable[[], str],
    kind: JobKind,
    deferrable: bool,
) -> None:
    """Logs, errors, XComs and events have none, even if a message of HealthOmics repeats one."""
    attempts = JobAttempts(tasks, stores, kind, deferrable=deferrable)
    source = attempts.fields["sources"][0]
    uri = source.get("source_file") or source["source_files"]["source2"]
    file = uri.rpartition("/")[2]
    omics.fail_source(message=f"{uri}, that is {file} of {source['name']}, is missing")
    with pytest.raises(HealthOmicsJobFailedError) as caught:
        attempts.again()
    field = "sourceFile" if "source_file" in source else "sourceFiles"
    assert f"<{field}>, that is <{field}> of <name>, is missing" in str(caught.value)
    everything = f"{caught.value} {attempts.ti.xcoms} {logged()} {tasks.events}"
    assert CANARY not in everything


def test_an_error_shows_twenty_failed_sources(omics: Control, tasks: Tasks, stores: Stores) -> None:
    """It counts the others."""
    omics.fail_source(times=None)
    sources = [read_set_source(str(number)) for number in range(25)]
    with pytest.raises(HealthOmicsJobFailedError) as caught:
        JobAttempts(tasks, stores, READ_SET_IMPORT, sources=sources).again()
    assert str(caught.value).count("  - sources[") == 20
    assert "  - and 5 more\n" in str(caught.value)
    assert len(caught.value.sources) == 25


# --- arguments ---

#: Arguments that are refused, and the message of the error.
BAD: list[tuple[JobKind, dict[str, Any], str]] = [
    (READ_SET_IMPORT, {"sequence_store_id": "7"}, "sequence_store_id must be the id of a sequence store"),
    (READ_SET_IMPORT, {"sequence_store_id": None}, "sequence_store_id is None"),
    (READ_SET_IMPORT, {"role_arn": "admin"}, "role_arn must be the ARN of an IAM role"),
    (READ_SET_IMPORT, {"role_arn": None}, "role_arn is required, as an argument or in the connection"),
    (READ_SET_IMPORT, {"client_token": "x" * 128}, "client_token must be 1 to 127 characters long"),
    (READ_SET_IMPORT, {"sources": None}, "sources is required"),
    (READ_SET_IMPORT, {"sources": []}, "sources must have 1 to 100 elements, not 0"),
    (READ_SET_IMPORT, {"sources": [read_set_source()] * 101}, "sources must have 1 to 100 elements, not 101"),
    (READ_SET_IMPORT, {"sources": "s3://reads/a"}, "sources must be a list, not str"),
    (READ_SET_IMPORT, {"sources": ["s3://reads/a"]}, r"sources\[0\] must be a mapping, not str"),
    (READ_SET_IMPORT, {"sources": [{}]}, r"sources\[0\].subject_id is required"),
    (READ_SET_IMPORT, {"sources": [{**read_set_source(), "sampleId": "x"}]}, "must be written sample_id"),
    (READ_SET_IMPORT, {"sources": [{**read_set_source(), "sample": "x"}]}, r"sources\[0\].sample is unknown"),
    (READ_SET_IMPORT, {"sources": [{**read_set_source(), 7: "x"}]}, "has a key of type int"),
    (READ_SET_IMPORT, {"sources": [read_set_source()] * 2}, r"sources\[1\] is the same as sources\[0\]"),
    (READ_SET_IMPORT, {"sources": [read_set_source(source_file_type="VCF")]}, "must be one of FASTQ"),
    (READ_SET_IMPORT, {"sources": [read_set_source(source_files="a")]}, "must be a mapping with source1"),
    (READ_SET_IMPORT, {"sources": [read_set_source(source_files={})]}, "source_files.source1 is required"),
    (
        READ_SET_IMPORT,
        {"sources": [read_set_source(source_files={"source1": "reads/a"})]},
        r"sources\[0\].source_files.source1 must be the S3 URI of an object",
    ),
    (READ_SET_IMPORT, {"sources": [read_set_source(tags=["a"])]}, r"sources\[0\].tags must be a mapping"),
    (EXPORT, {"destination": "exports"}, "destination must be an S3 URI"),
    (EXPORT, {"read_set_ids": ["1234567890", "x"]}, r"read_set_ids\[1\] must be the id of a read set"),
    (ACTIVATION, {"read_set_ids": ["1234567890"] * 2}, r"read_set_ids\[1\] is the same as read_set_ids\[0\]"),
    (ACTIVATION, {"read_set_ids": [str(10**9 + n) for n in range(21)]}, "must have 1 to 20 elements"),
    (READ_SET_IMPORT, {"on_clear": "never"}, "on_clear must be new or reattach"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_arguments_are_refused(
    omics: Control, tasks: Tasks, stores: Stores, kind: JobKind, fields: dict[str, Any], message: str
) -> None:
    """Before any call; the error names the argument, but no value."""
    attempts = JobAttempts(tasks, stores, kind, **fields)
    before = omics.call_counts()
    with pytest.raises(HealthOmicsRequestError, match=message) as caught:
        attempts.again()
    assert omics.call_counts() == before
    assert CANARY not in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)


def test_all_fields_are_sent(tasks: Tasks, stores: Stores) -> None:
    """Each field of a source has its API name in the request."""
    reference = f"arn:aws:omics:us-east-1:123456789012:referenceStore/{'1' * 10}/reference/{'2' * 10}"
    further: dict[str, Any] = {
        "reference_arn": reference,
        "description": "a description",
        "generated_from": "a sequencer",
        "tags": {"project": "x"},
    }
    JobAttempts(tasks, stores, READ_SET_IMPORT, sources=[read_set_source(**further)]).again()
    (source,) = stores.describe(READ_SET_IMPORT)["sources"]
    assert source == {
        "status": "FINISHED",
        "statusMessage": source["statusMessage"],
        "readSetId": source["readSetId"],
        "sourceFiles": read_set_source()["source_files"],
        "sourceFileType": "FASTQ",
        "subjectId": f"subject-{CANARY}",
        "sampleId": f"sample-{CANARY}",
        "name": CANARY,
        "referenceArn": reference,
        "description": "a description",
        "generatedFrom": "a sequencer",
        "tags": {"project": "x"},
    }


def test_the_role_may_come_from_the_connection(
    tasks: Tasks, stores: Stores, connection: Callable[..., None]
) -> None:
    """Like the role of a run."""
    connection(omics={"role_arn": "arn:aws:iam::123456789012:role/imports", "tags": {"a": "b"}})
    JobAttempts(tasks, stores, READ_SET_IMPORT, role_arn=None).again()
    assert stores.jobs(READ_SET_IMPORT)[0]["status"] == "COMPLETED"


@pytest.mark.parametrize("destination", [DESTINATION, f"{DESTINATION}/", "s3://exports"])
def test_a_destination_is_a_folder(tasks: Tasks, stores: Stores, destination: str) -> None:
    """The API requires a slash at its end."""
    JobAttempts(tasks, stores, EXPORT, destination=destination).again()
    assert stores.describe(EXPORT)["destination"] == f"{destination.rstrip('/')}/"


@DEFERRABLE
def test_an_export_has_a_link_to_its_files(tasks: Tasks, stores: Stores, deferrable: bool) -> None:
    """The other jobs have no link."""
    attempts = JobAttempts(tasks, stores, EXPORT, deferrable=deferrable)
    attempts.again()
    url = attempts.ti.xcoms["healthomics_outputs_link"]
    assert "/s3/buckets/exports?region=us-east-1&prefix=read-sets%2F" in url
    others = [kind.operator.operator_extra_links for kind in ALL if kind is not EXPORT]
    assert [len(links) for links in others] == [0, 0, 0]


# --- waiting and calls ---


@JOB_KINDS
def test_a_task_may_end_before_its_job(omics: Control, tasks: Tasks, stores: Stores, kind: JobKind) -> None:
    """With wait_for_completion=False, it returns the id of the active job."""
    attempts = JobAttempts(tasks, stores, kind, wait_for_completion=False)
    job_id = attempts.again()
    (job,) = stores.jobs(kind)
    assert (job_id, job["status"]) == (job["id"], "SUBMITTED")
    assert attempts.ti.xcoms.keys() - {"healthomics_outputs_link"} == {"job"}
    assert calls_of(omics, f"Get{kind.operation}") == 0


@DEFERRABLE
def test_a_wait_costs_a_call_for_each_interval(
    omics: Control, clock: Clock, tasks: Tasks, stores: Stores, deferrable: bool
) -> None:
    """At the end, one more call returns the ids of the read sets."""
    omics.set_options(job_in_progress_seconds=3600)
    JobAttempts(tasks, stores, READ_SET_IMPORT, deferrable=deferrable, waiter_delay=600).again()
    assert clock.elapsed == pytest.approx(4200, abs=601)
    assert calls_of(omics, "GetReadSetImportJob") <= 9


def deny_after_wait(omics: Control, tasks: Tasks, operation: str) -> None:
    """Deny the first call of an operation after the wait in the triggerer."""
    fire = tasks.fire

    def firing(*arguments: Any) -> Any:
        event = fire(*arguments)
        omics.inject_error(operation, "AccessDeniedException", times=1)
        return event

    tasks.fire = firing  # type: ignore[assignment,method-assign]


@IMPORTS
def test_a_failure_is_reported_even_if_its_sources_cannot_be_read(
    omics: Control, tasks: Tasks, stores: Stores, kind: JobKind
) -> None:
    """The error then has their indexes in the job."""
    omics.fail_source(message="the file is truncated")
    attempts = JobAttempts(tasks, stores, kind, deferrable=True)
    deny_after_wait(omics, tasks, f"Get{kind.operation}")
    with pytest.raises(HealthOmicsJobFailedError, match=r"sources\[0\] FAILED: the file is truncated"):
        attempts.again()


def test_an_unavailable_result_is_read_by_the_next_attempt(
    omics: Control, tasks: Tasks, stores: Stores
) -> None:
    """It starts no other job."""
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, deferrable=True)
    fire = tasks.fire
    deny_after_wait(omics, tasks, "GetReadSetImportJob")
    with pytest.raises(
        HealthOmicsResultUnavailableError, match="GetReadSetImportJob failed with AccessDenied"
    ):
        attempts.again()
    tasks.fire = fire  # type: ignore[method-assign]
    (job,) = stores.jobs(READ_SET_IMPORT)
    assert attempts.again() == job["id"]
    assert len(attempts.ti.xcoms["read_set_ids"]) == 3


@JOB_KINDS
def test_a_refusal_names_the_permission(omics: Control, tasks: Tasks, stores: Stores, kind: JobKind) -> None:
    """The error is permanent."""
    omics.inject_error(f"Start{kind.operation}", "AccessDeniedException")
    with pytest.raises(HealthOmicsApiError, match=f"omics:Start{kind.operation}") as caught:
        JobAttempts(tasks, stores, kind).again()
    assert ("iam:PassRole" in str(caught.value)) is (kind is not ACTIVATION)
    assert stores.ids[kind.store] in str(caught.value)


@IMPORTS
def test_a_refusal_has_no_value_of_a_source(
    omics: Control, tasks: Tasks, stores: Stores, logged: Callable[[], str], kind: JobKind
) -> None:
    """The message of HealthOmics may name the file."""
    attempts = JobAttempts(tasks, stores, kind)
    source = attempts.fields["sources"][0]
    uri = source.get("source_file") or source["source_files"]["source1"]
    start = f"Start{kind.operation}"
    omics.inject_error(start, "ValidationException", message=f"{uri} of {source['name']} is too large")
    with pytest.raises(HealthOmicsApiError, match=f"{start} for request .* of <name> is too large") as caught:
        attempts.again()
    assert caught.value.code == "ValidationException"
    assert CANARY not in f"{caught.value} {caught.value.__cause__} {logged()}"


# --- templates ---


def test_a_template_that_yields_none_is_refused(omics: Control, tasks: Tasks, stores: Stores) -> None:
    """The error has its path within the source."""
    source = read_set_source(
        sample_id="{{ ti.xcom_pull('sheet', key='sample') }}",
        source_files={"source1": "{{ ti.xcom_pull('sheet', key='reads') }}"},
    )
    attempts = JobAttempts(tasks, stores, READ_SET_IMPORT, sources=[source, "{{ none_such }}"])
    operator = READ_SET_IMPORT.operator(**attempts.fields)
    operator.render_template_fields(attempts.context)
    with pytest.raises(HealthOmicsRequestError) as caught:
        operator.execute(attempts.context)
    text = str(caught.value)
    assert "sources[0].sample_id is a template that yields None" in text
    assert "sources[0].source_files.source1 is a template that yields None" in text
    assert "sources[1] is a template that is undefined" in text
    assert stores.jobs(READ_SET_IMPORT) == []


def test_templates_keep_their_type(tasks: Tasks, stores: Stores) -> None:
    """A list from another task stays a list."""
    ids = stores.read_sets(2)
    attempts = JobAttempts(
        tasks, stores, EXPORT, read_set_ids="{{ ti.xcom_pull(task_ids='import', key='read_set_ids') }}"
    )
    attempts.ti.upstream["import", "read_set_ids"] = ids
    operator = EXPORT.operator(**attempts.fields)
    operator.render_template_fields(attempts.context)
    assert operator.read_set_ids == ids


# --- the example ---


@pytest.mark.skipif(airflow.__version__ < "3", reason="Airflow 2 renders XComs by a real task instance")
def test_the_example_runs_to_its_end(
    omics: Control, tasks: Tasks, stores: Stores, connection: Callable[..., None]
) -> None:
    """Each task receives the XComs of earlier tasks, and all jobs are COMPLETED."""
    connection(omics={"role_arn": ROLE, "output_uri": OUTPUT})
    path = Path(__file__).parents[3] / "example_dags" / "example_healthomics_read_sets.py"
    params = {**stores.ids, "workflow_id": WORKFLOW}
    upstream: dict[tuple[str, str], Any] = {}
    for task in run_path(str(path))["dag"].topological_sort():
        ti = FakeTaskInstance(task_id=task.task_id, upstream=upstream)
        context = context_of(ti, params=params, expanded_ti_count=None)
        task.render_template_fields(context)
        result = tasks.run(lambda task=task: task, context)  # type: ignore[misc]
        xcoms = {**ti.xcoms, "return_value": result}
        upstream |= {(task.task_id, key): value for key, value in xcoms.items()}
    assert [job["status"] for job in omics.jobs()] == ["COMPLETED"] * 5
    (run,) = omics.runs()
    reads = omics_client().get_run(id=run["id"])["parameters"]["reads"]
    assert reads.endswith(f"/readSet/{upstream['import_reads', 'read_set_ids'][0]}/source1")
    assert upstream["export_reads", "read_set_ids"] == upstream["import_reads", "read_set_ids"]
    assert upstream["wait_for_import", "return_value"]["status"] == "COMPLETED"
