# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Reference stores, references, and the jobs that import them."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import ROLE, aws, error_of

FASTA = b">chr1\nACGTACGTACGT\n"
URI = "s3://genomes/hg38.fa"
pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@pytest.fixture
def store_id(omics: Any) -> str:
    """A reference store, and a genome in S3."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="genomes")
    s3.put_object(Bucket="genomes", Key="hg38.fa", Body=FASTA)
    made: str = omics.create_reference_store(name="genomes")["id"]
    return made


def imports(omics: Any, store_id: str, *sources: str, **fields: Any) -> str:
    """Start an import, and return the id of its job."""
    job: dict[str, Any] = omics.start_reference_import_job(
        referenceStoreId=store_id,
        roleArn=ROLE,
        sources=[{"sourceFile": source, "name": source.rpartition("/")[2]} for source in sources or (URI,)],
        **fields,
    )
    job_id: str = job["id"]
    return job_id


def reference_of(control: Control, omics: Any, store_id: str, *sources: str) -> dict[str, Any]:
    """Import a reference, and return the members that identify it in requests."""
    job_id = imports(omics, store_id, *sources)
    control.advance_job("COMPLETED", job_id=job_id)
    job = omics.get_reference_import_job(referenceStoreId=store_id, id=job_id)
    return {"referenceStoreId": store_id, "id": job["sources"][0]["referenceId"]}


def test_an_account_has_one_reference_store(omics: Any) -> None:
    """A second store exceeds the quota, but a repeated client token returns the first store."""
    request = {"name": "genomes", "description": "human", "sseConfig": {"type": "KMS"}, "clientToken": "one"}
    made = omics.create_reference_store(**request)
    assert omics.create_reference_store(**request)["id"] == made["id"]
    assert made["arn"] == f"arn:aws:omics:us-east-1:123456789012:referenceStore/{made['id']}"
    assert len(made["id"]) >= 10
    code, status, _ = error_of(omics.create_reference_store, name="second")
    assert (code, status) == ("ServiceQuotaExceededException", 402)
    (item,) = omics.list_reference_stores(filter={"name": "genomes"})["referenceStores"]
    assert (item["description"], item["sseConfig"]) == ("human", {"type": "KMS"})
    assert omics.list_reference_stores(filter={"name": "other"})["referenceStores"] == []
    assert omics.get_reference_store(id=made["id"])["name"] == "genomes"
    omics.delete_reference_store(id=made["id"])
    for call in (omics.get_reference_store, omics.delete_reference_store):
        assert error_of(call, id=made["id"])[:2] == ("ResourceNotFoundException", 404)
    omics.create_reference_store(name="second")
    assert aws("omics", region_name="eu-west-1").list_reference_stores()["referenceStores"] == []


def test_stores_are_filtered_by_creation_time(control: Control, omics: Any, store_id: str) -> None:
    """The filters createdAfter and createdBefore are exclusive."""
    created = omics.get_reference_store(id=store_id)["creationTime"]
    hour = timedelta(hours=1)

    def found(**times: Any) -> int:
        return len(omics.list_reference_stores(filter=times)["referenceStores"])

    assert (found(createdAfter=created - hour), found(createdAfter=created + hour)) == (1, 0)
    assert (found(createdBefore=created - hour), found(createdBefore=created + hour)) == (0, 1)


def test_an_import_creates_a_reference(control: Control, omics: Any, store_id: str) -> None:
    """The job and its source pass through their states; the reference has the content of the source."""
    job_id = imports(omics, store_id, clientToken="one")
    key = {"referenceStoreId": store_id, "id": job_id}
    job = omics.get_reference_import_job(**key)
    assert (job["status"], job["sources"][0]["status"]) == ("SUBMITTED", "NOT_STARTED")
    assert "completionTime" not in job
    control.advance_job("IN_PROGRESS")
    job = omics.get_reference_import_job(**key)
    assert (job["status"], job["sources"][0]["status"]) == ("IN_PROGRESS", "IN_PROGRESS")
    assert "referenceId" not in job["sources"][0]
    assert control.advance_job("COMPLETED") == {job_id: "COMPLETED"}
    job = omics.get_reference_import_job(**key)
    (source,) = job["sources"]
    assert (source["status"], source["sourceFile"], source["name"]) == ("FINISHED", URI, "hg38.fa")
    assert job["completionTime"] >= job["creationTime"]
    reference = omics.get_reference_metadata(referenceStoreId=store_id, id=source["referenceId"])
    assert reference["md5"] == hashlib.md5(FASTA, usedforsecurity=False).hexdigest()
    assert (reference["status"], reference["creationType"]) == ("ACTIVE", "IMPORT")
    assert reference["creationJobId"] == job_id
    assert reference["files"]["source"]["contentLength"] == len(FASTA)
    assert reference["arn"].endswith(f":referenceStore/{store_id}/reference/{reference['id']}")
    assert imports(omics, store_id, clientToken="one") == job_id
    for status, count in (("COMPLETED", 1), ("FAILED", 0)):
        found = omics.list_reference_import_jobs(referenceStoreId=store_id, filter={"status": status})
        assert len(found["importJobs"]) == count


def test_a_client_token_is_refused_with_another_request(control: Control, omics: Any, store_id: str) -> None:
    """An option returns the first job instead."""
    first = imports(omics, store_id, clientToken="one")
    other = {"referenceStoreId": store_id, "roleArn": ROLE, "clientToken": "one"}
    sources = [{"sourceFile": "s3://genomes/other.fa", "name": "other"}]
    call = omics.start_reference_import_job
    assert error_of(call, **other, sources=sources)[0] == "ValidationException"
    control.set_options(client_token_reuse="original")
    assert call(**other, sources=sources)["id"] == first
    control.advance_job("COMPLETED")
    assert call(**other, sources=sources)["status"] == "COMPLETED"
    control.set_options(duplicate_status="pending")
    assert call(**other, sources=sources)["status"] == "SUBMITTED"


@pytest.mark.parametrize("options", [{"storage_part_bytes": 8}])
def test_a_reference_is_read_in_parts(control: Control, omics: Any, store_id: str) -> None:
    """The parts together are the content. A part after the last one and an empty range are refused."""
    key = reference_of(control, omics, store_id)
    information = omics.get_reference_metadata(**key)["files"]["source"]
    assert (information["totalParts"], information["partSize"]) == (3, 8)

    def part(number: int, **fields: Any) -> bytes:
        content: bytes = omics.get_reference(**key, partNumber=number, **fields)["payload"].read()
        return content

    assert b"".join(part(number) for number in (1, 2, 3)) == FASTA
    assert part(1, range="1-4") == FASTA[1:5]
    assert part(2, range="3-") == FASTA[11:16]
    assert part(2, range="-2") == FASTA[14:16]
    assert part(1, file="INDEX") == b"index of"
    get = omics.get_reference
    for fields in ({"partNumber": 4}, {"partNumber": 1, "range": "8-9"}):
        assert error_of(get, **key, **fields)[:2] == ("RangeNotSatisfiableException", 416)
    for text in ("1", "-", "9-1-2"):
        assert error_of(get, **key, partNumber=1, range=text)[0] == "ValidationException"
    control.set_options(reference_range="file")
    assert part(1, range="8-9") == FASTA[8:10]


def test_a_large_file_is_read_from_its_source(control: Control, omics: Any, store_id: str) -> None:
    """A small file is copied. Reading a large one fails once its source has changed."""
    large = b"A" * 1_048_577
    aws("s3").put_object(Bucket="genomes", Key="large.fa", Body=large)
    keys = [reference_of(control, omics, store_id, uri) for uri in (URI, "s3://genomes/large.fa")]
    assert omics.get_reference(**keys[1], partNumber=1)["payload"].read() == large
    aws("s3").delete_object(Bucket="genomes", Key="hg38.fa")
    aws("s3").put_object(Bucket="genomes", Key="large.fa", Body=b"B" * 1_048_577)
    assert omics.get_reference(**keys[0], partNumber=1)["payload"].read() == FASTA
    code, _, message = error_of(omics.get_reference, **keys[1], partNumber=1)
    assert code == "InternalServerException"
    assert "in S3 was changed or deleted" in message
    assert "large" not in message


def test_a_planned_failure_has_a_message(control: Control, omics: Any, store_id: str) -> None:
    """A plan affects one source or all; the job has the status of each source."""
    control.fail_source("s3://genomes/bad.fa", message="not a genome")
    job_id = imports(omics, store_id, URI, "s3://genomes/bad.fa")
    assert control.advance_job("COMPLETED") == {job_id: "COMPLETED_WITH_FAILURES"}
    sources = omics.get_reference_import_job(referenceStoreId=store_id, id=job_id)["sources"]
    assert [source["status"] for source in sources] == ["FINISHED", "FAILED"]
    assert sources[1]["statusMessage"] == "not a genome"
    control.fail_source(operation="StartReadSetImportJob", times=None)
    control.fail_source(operation="StartReferenceImportJob")
    assert set(control.advance_job("COMPLETED", job_id=imports(omics, store_id)).values()) == {"FAILED"}
    control.set_options(job_without_success="COMPLETED_WITH_FAILURES")
    control.fail_source()
    job_id = imports(omics, store_id)
    assert control.advance_job("COMPLETED") == {job_id: "COMPLETED_WITH_FAILURES"}
    assert len(omics.list_references(referenceStoreId=store_id)["references"]) == 1
    assert [job["status"] for job in control.jobs()].count("COMPLETED_WITH_FAILURES") == 2


def test_the_control_ends_a_job(control: Control, omics: Any, store_id: str) -> None:
    """A job ends as FAILED with all its sources, or as CANCELLED, although no operation cancels jobs."""
    failed, cancelled = imports(omics, store_id), imports(omics, store_id)
    control.advance_job("FAILED", job_id=failed, message="no space")
    control.advance_job("CANCELLED", job_id=cancelled)
    sources = omics.get_reference_import_job(referenceStoreId=store_id, id=failed)["sources"]
    assert (sources[0]["status"], sources[0]["statusMessage"]) == ("FAILED", "no space")
    assert omics.get_reference_import_job(referenceStoreId=store_id, id=cancelled)["status"] == "CANCELLED"
    assert control.advance_job("COMPLETED", job_id=failed) == {failed: "FAILED"}
    with pytest.raises(LookupError, match="no job 5"):
        control.advance_job("COMPLETED", job_id="5")
    with pytest.raises(ValueError, match="SUBMITTED"):
        control.advance_job("SUBMITTED")
    with pytest.raises(ValueError, match="operation"):
        control.fail_source(operation="StartRun")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="127 characters"):
        control.fail_source(message="x" * 128)


@pytest.mark.parametrize("options", [{"strict": True}])
def test_strict_imports_need_their_source(control: Control, omics: Any, store_id: str) -> None:
    """The source must exist in the region of the store, and a store has one active import."""
    aws("s3").create_bucket(Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws("s3").put_object(Bucket="elsewhere", Key="a.fa", Body=FASTA)
    sources = ("s3://genomes/missing.fa", "s3://elsewhere/a.fa", "s3://genomes/reads.bam")
    job_id = imports(omics, store_id, URI, *sources)
    second = {"referenceStoreId": store_id, "roleArn": ROLE, "sources": [{"sourceFile": URI, "name": "abc"}]}
    code, _, message = error_of(omics.start_reference_import_job, **second)
    assert code == "ServiceQuotaExceededException"
    assert "has an active import job" in message
    assert control.advance_job("COMPLETED") == {job_id: "COMPLETED_WITH_FAILURES"}
    sources = omics.get_reference_import_job(referenceStoreId=store_id, id=job_id)["sources"]
    assert [source["statusMessage"] for source in sources] == [
        "The source completed successfully.",
        "The source file does not exist.",
        "The bucket of the source file is in another region.",
        "The source file does not have the extension of a FASTA file.",
    ]
    omics.start_reference_import_job(**second)


def test_lenient_imports_accept_a_missing_source(control: Control, omics: Any, store_id: str) -> None:
    """The content of the reference is made up."""
    key = reference_of(control, omics, store_id, "s3://nowhere/hg19.fa")
    assert omics.get_reference(**key, partNumber=1)["payload"].read() == b"made up for hg19.fa\n"


def test_a_store_with_references_cannot_be_deleted(control: Control, omics: Any, store_id: str) -> None:
    """Its references are listed with filters, and must be deleted first."""
    keys = [reference_of(control, omics, store_id, uri) for uri in (URI, "s3://genomes/other.fa")]
    assert error_of(omics.delete_reference_store, id=store_id)[:2] == ("ConflictException", 409)
    found = omics.list_references(referenceStoreId=store_id, maxResults=1)
    assert [item["id"] for item in found["references"]] == [keys[0]["id"]]
    rest = omics.list_references(referenceStoreId=store_id, nextToken=found["nextToken"])
    assert [item["id"] for item in rest["references"]] == [keys[1]["id"]]
    md5 = found["references"][0]["md5"]
    for wanted in ({"md5": md5}, {"name": "hg38.fa"}):
        (item,) = omics.list_references(referenceStoreId=store_id, filter=wanted)["references"]
        assert item["id"] == keys[0]["id"]
    for key in keys:
        omics.delete_reference(**key)
        assert error_of(omics.get_reference_metadata, **key)[0] == "ResourceNotFoundException"
    omics.delete_reference_store(id=store_id)


@pytest.mark.parametrize("options", [{"manual": False}])
def test_a_job_ends_by_the_clock(control: Control, omics: Any, store_id: str) -> None:
    """A new pace also applies to active jobs."""
    job_id = imports(omics, store_id)
    control.wait_for_job("COMPLETED", job_id=job_id)
    control.set_options(job_submitted_seconds=1e9)
    late = imports(omics, store_id)
    with pytest.raises(TimeoutError, match="0 of 1 jobs COMPLETED"):
        control.wait_for_job("COMPLETED", job_id=late, timeout=0.01)
    control.set_options(job_submitted_seconds=0.0, job_in_progress_seconds=0.0)
    control.wait_for_job("COMPLETED", job_id=late)


def test_stores_and_references_have_tags(control: Control, omics: Any, store_id: str) -> None:
    """A reference gets the tags of its source."""
    job = {"referenceStoreId": store_id, "roleArn": ROLE}
    source = {"sourceFile": URI, "name": "hg38", "tags": {"a": "1"}}
    omics.start_reference_import_job(**job, sources=[source])
    control.advance_job("COMPLETED")
    (reference,) = omics.list_references(referenceStoreId=store_id)["references"]
    assert omics.list_tags_for_resource(resourceArn=reference["arn"])["tags"] == {"a": "1"}
    for arn in (reference["arn"], omics.get_reference_store(id=store_id)["arn"]):
        omics.tag_resource(resourceArn=arn, tags={"a": "2", "b": "3"})
        omics.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert omics.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}


def test_an_import_into_a_deleted_store_fails(control: Control, omics: Any, store_id: str) -> None:
    """AWS does not document whether a store with an active job can be deleted."""
    job_id = imports(omics, store_id)
    omics.delete_reference_store(id=store_id)
    assert control.advance_job("COMPLETED") == {job_id: "FAILED"}
    (job,) = control.jobs()
    assert job["sources"][0]["statusMessage"] == f"Reference store {store_id} not found"
