# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Read sets, and the jobs that import, export and activate them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import ROLE, aws, error_of

READS = b"@r1\nACGT\n+\nFFFF\n"
DAYS = 24 * 60 * 60
Import = Callable[..., list[dict[str, Any]]]
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@pytest.fixture
def store_id(omics: Any) -> str:
    """A sequence store, and reads in S3."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="reads")
    for number in (1, 2):
        s3.put_object(Bucket="reads", Key=f"a_{number}.fastq.gz", Body=READS * number)
    made: str = omics.create_sequence_store(name="reads")["id"]
    return made


def source(name: str = "a", **more: Any) -> dict[str, Any]:
    """Return a source of an import."""
    files = {"source1": f"s3://reads/{name}_1.fastq.gz"}
    people = {"subjectId": f"subject-{name}", "sampleId": f"sample-{name}"}
    return {"sourceFiles": files, "sourceFileType": "FASTQ", "name": name, **people, **more}


@pytest.fixture
def imported(control: Control, omics: Any, store_id: str) -> Import:
    """Import sources, and return the keys of the read sets."""

    def import_sources(*sources: dict[str, Any]) -> list[dict[str, Any]]:
        store = {"sequenceStoreId": store_id}
        job_id = omics.start_read_set_import_job(**store, roleArn=ROLE, sources=sources or [source()])["id"]
        control.advance_job("COMPLETED", job_id=job_id)
        job = omics.get_read_set_import_job(**store, id=job_id)
        return [{**store, "id": each["readSetId"]} for each in job["sources"]]

    return import_sources


def run_job(control: Control, omics: Any, kind: str, store_id: str, **fields: Any) -> dict[str, Any]:
    """Run an export or activation, and return the ended job."""
    job = getattr(omics, f"start_read_set_{kind}_job")(sequenceStoreId=store_id, **fields)
    control.advance_job("COMPLETED", job_id=job["id"])
    ended: dict[str, Any] = getattr(omics, f"get_read_set_{kind}_job")(sequenceStoreId=store_id, id=job["id"])
    return ended


@pytest.mark.parametrize("options", [{"storage_part_bytes": 10}])
def test_an_import_creates_a_read_set(control: Control, omics: Any, store_id: str, imported: Import) -> None:
    """A read set has the files of its source, in parts, and an ETag of their content."""
    pair = {f"source{number}": f"s3://reads/a_{number}.fastq.gz" for number in (1, 2)}
    (key,) = imported(source(sourceFiles=pair, generatedFrom="run 7", description="d", tags={"a": "1"}))
    read_set = omics.get_read_set_metadata(**key)
    assert (read_set["status"], read_set["fileType"]) == ("ACTIVE", "FASTQ")
    assert (read_set["subjectId"], read_set["sampleId"]) == ("subject-a", "sample-a")
    assert read_set["sequenceInformation"] == {"generatedFrom": "run 7", "alignment": "UNALIGNED"}
    assert (read_set["creationType"], read_set["creationJobId"]) == ("IMPORT", control.jobs()[0]["id"])
    digests = [hashlib.md5(READS * number, usedforsecurity=False).hexdigest() for number in (1, 2)]
    etag = {"algorithm": "FASTQ_MD5up", "source1": digests[0], "source2": digests[1]}
    assert read_set["etag"] == etag
    first = read_set["files"]["source1"]
    assert (first["totalParts"], first["partSize"], first["contentLength"]) == (2, 10, len(READS))
    uri = omics.get_sequence_store(id=store_id)["s3Access"]["s3Uri"]
    assert first["s3Access"]["s3Uri"] == f"{uri}readSet/{key['id']}/a_1.fastq.gz"
    parts = [omics.get_read_set(**key, partNumber=number)["payload"].read() for number in (1, 2)]
    assert b"".join(parts) == READS
    second = omics.get_read_set(**key, file="SOURCE2", partNumber=2)["payload"].read()
    assert second == (READS * 2)[10:20]
    get = omics.get_read_set
    assert error_of(get, **key, partNumber=3)[:2] == ("RangeNotSatisfiableException", 416)
    assert error_of(get, **key, partNumber=1, file="INDEX")[:2] == ("ResourceNotFoundException", 404)
    control.set_options(missing_file_error="ValidationException")
    assert error_of(get, **key, partNumber=1, file="INDEX")[0] == "ValidationException"
    assert omics.list_tags_for_resource(resourceArn=read_set["arn"])["tags"] == {"a": "1"}


@in_process
def test_an_import_passes_through_its_states(control: Control, omics: Any, store_id: str) -> None:
    """A source has a read set once it is FINISHED; a planned failure has a message."""
    store = {"sequenceStoreId": store_id}
    control.fail_source("sample-b", message="truncated file")
    request = {**store, "roleArn": ROLE, "sources": [source("a"), source("b")], "clientToken": "one"}
    job_id = omics.start_read_set_import_job(**request)["id"]
    seen = []
    for status in ("IN_PROGRESS", "COMPLETED"):
        job = omics.get_read_set_import_job(**store, id=job_id)
        seen.append((job["status"], *[each["status"] for each in job["sources"]]))
        assert all("readSetId" not in each for each in job["sources"])
        control.advance_job(status)
    assert seen == [
        ("SUBMITTED", "NOT_STARTED", "NOT_STARTED"),
        ("IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS"),
    ]
    job = omics.get_read_set_import_job(**store, id=job_id)
    assert job["status"] == "COMPLETED_WITH_FAILURES"
    assert [each["status"] for each in job["sources"]] == ["FINISHED", "FAILED"]
    assert job["sources"][1]["statusMessage"] == "truncated file"
    assert job["sources"][0]["sourceFiles"] == {"source1": "s3://reads/a_1.fastq.gz"}
    assert omics.start_read_set_import_job(**request)["id"] == job_id
    (item,) = omics.list_read_set_import_jobs(**store)["importJobs"]
    assert (item["id"], item["status"]) == (job_id, "COMPLETED_WITH_FAILURES")
    other = omics.create_sequence_store(name="other")["id"]
    assert omics.list_read_set_import_jobs(sequenceStoreId=other)["importJobs"] == []
    get = omics.get_read_set_import_job
    assert error_of(get, sequenceStoreId=other, id=job_id)[0] == "ResourceNotFoundException"


@in_process
@pytest.mark.parametrize("options", [{"any_workflow": False}])
def test_aligned_read_sets_need_a_reference(control: Control, omics: Any, imported: Import) -> None:
    """The reference must exist, and cannot be deleted before the read sets."""
    start = {"sequenceStoreId": omics.create_sequence_store(name="s")["id"], "roleArn": ROLE}
    genome = {"sourceFile": "s3://reads/hg38.fa", "name": "hg38"}
    store_id = omics.create_reference_store(name="genomes")["id"]
    omics.start_reference_import_job(referenceStoreId=store_id, roleArn=ROLE, sources=[genome])
    control.advance_job("COMPLETED")
    (reference,) = omics.list_references(referenceStoreId=store_id)["references"]
    for kind in ("BAM", "CRAM"):
        call, aligned = omics.start_read_set_import_job, source(sourceFileType=kind)
        code, _, message = error_of(call, **start, sources=[aligned])
        assert (code, message) == ("ValidationException", f"referenceArn is required for {kind}")
        unknown = {**aligned, "referenceArn": f"{reference['arn']}0"}
        assert error_of(call, **start, sources=[unknown])[0] == "ResourceNotFoundException"
    (key,) = imported(source(sourceFileType="BAM", referenceArn=reference["arn"]))
    read_set = omics.get_read_set_metadata(**key)
    assert (read_set["etag"]["algorithm"], set(read_set["files"])) == ("BAM_MD5up", {"source1", "index"})
    assert omics.get_read_set(**key, partNumber=1, file="INDEX")["payload"].read().startswith(b"index of")
    gone = {"referenceStoreId": store_id, "id": reference["id"]}
    assert error_of(omics.delete_reference, **gone)[:2] == ("ConflictException", 409)
    omics.batch_delete_read_set(sequenceStoreId=key["sequenceStoreId"], ids=[key["id"]])
    omics.delete_reference(**gone)


@in_process
@pytest.mark.parametrize("options", [{"strict": True}])
def test_strict_imports_need_their_sources(control: Control, omics: Any, store_id: str) -> None:
    """Both files of a pair must exist."""
    pair = {"source1": "s3://reads/a_1.fastq.gz", "source2": "s3://reads/missing.fastq.gz"}
    sources = [source(), source(sourceFiles=pair)]
    store = {"sequenceStoreId": store_id}
    job_id = omics.start_read_set_import_job(**store, roleArn=ROLE, sources=sources)["id"]
    assert control.advance_job("COMPLETED") == {job_id: "COMPLETED_WITH_FAILURES"}
    failed = omics.get_read_set_import_job(**store, id=job_id)["sources"][1]
    assert (failed["status"], failed["statusMessage"]) == ("FAILED", "The source file does not exist.")


@in_process
def test_etags_follow_the_family_of_the_store(control: Control, omics: Any) -> None:
    """Two files with the same name get different names."""
    store = {"sequenceStoreId": omics.create_sequence_store(name="s", eTagAlgorithmFamily="SHA256up")["id"]}
    files = {"source1": "s3://one/x.ubam", "source2": "s3://two/x.ubam"}
    sources = [source(sourceFileType="UBAM", sourceFiles=files)]
    omics.start_read_set_import_job(**store, roleArn=ROLE, sources=sources)
    control.advance_job("COMPLETED")
    (read_set,) = omics.list_read_sets(**store)["readSets"]
    assert read_set["etag"]["algorithm"] == "BAM_SHA256up"
    assert read_set["etag"]["source1"] == hashlib.sha256(b"made up for x.ubam\n").hexdigest()
    files = omics.get_read_set_metadata(**store, id=read_set["id"])["files"]
    uris = [file["s3Access"]["s3Uri"] for file in files.values()]
    assert [uri.rpartition("/")[2] for uri in uris] == ["x_source1.ubam", "x_source2.ubam"]


@in_process
def test_read_sets_are_listed_with_filters(omics: Any, store_id: str, imported: Import) -> None:
    """Each member of the filter selects read sets."""
    imported(source("a", generatedFrom="g"), source("b"), source("c"))

    def found(**wanted: Any) -> list[str]:
        items = omics.list_read_sets(sequenceStoreId=store_id, filter=wanted)["readSets"]
        return [item["name"] for item in items]

    assert found(name="b") == found(sampleId="sample-b") == found(subjectId="subject-b") == ["b"]
    assert found(generatedFrom="g") == ["a"]
    assert (found(status="ACTIVE", creationType="IMPORT"), found(status="ARCHIVED")) == (list("abc"), [])
    assert found(referenceArn="arn:x") == found(creationType="UPLOAD") == []
    paginator = omics.get_paginator("list_read_sets")
    pages = paginator.paginate(sequenceStoreId=store_id, PaginationConfig={"PageSize": 2})
    assert [len(page["readSets"]) for page in pages] == [2, 1]


@in_process
def test_deletion_returns_an_error_for_each_unknown_read_set(
    omics: Any, store_id: str, imported: Import
) -> None:
    """The other read sets are deleted."""
    (key,) = imported()
    answer = omics.batch_delete_read_set(sequenceStoreId=store_id, ids=[key["id"], "9999999999"])
    (error,) = answer["errors"]
    assert (error["id"], error["code"]) == ("9999999999", "ResourceNotFoundException")
    assert error_of(omics.get_read_set_metadata, **key)[0] == "ResourceNotFoundException"


@in_process
def test_unused_read_sets_are_archived(control: Control, omics: Any, imported: Import) -> None:
    """A download within 30 days prevents it, and an archived read set needs an activation."""
    used, unused = imported(source("a"), source("b"))
    control.advance_clock(20 * DAYS)
    omics.get_read_set(**used, partNumber=1)
    control.advance_clock(11 * DAYS)
    assert omics.get_read_set_metadata(**used)["status"] == "ACTIVE"
    assert omics.get_read_set_metadata(**unused)["status"] == "ARCHIVED"
    code, status, message = error_of(omics.get_read_set, **unused, partNumber=1)
    assert (code, status) == ("ConflictException", 409)
    assert "is ARCHIVED, not ACTIVE" in message
    control.advance_clock(20 * DAYS)
    assert omics.get_read_set_metadata(**used)["status"] == "ARCHIVED"
    control.set_options(read_set_archive_seconds=None)
    job = run_job(control, omics, "activation", used["sequenceStoreId"], sources=[{"readSetId": used["id"]}])
    assert (job["status"], job["sources"][0]["status"]) == ("COMPLETED", "FINISHED")
    control.advance_clock(1000 * DAYS)
    omics.get_read_set(**used, partNumber=1)
    control.set_options(read_set_archive_seconds=10.0)
    control.advance_clock(11)
    assert omics.get_read_set_metadata(**used)["status"] == "ARCHIVED"


@in_process
def test_an_activation_passes_through_its_states(
    control: Control, omics: Any, store_id: str, imported: Import
) -> None:
    """The read set is ACTIVATING meanwhile, and ARCHIVED again if the activation fails."""
    (key,) = imported()
    assert control.archive_read_sets([]) == []
    assert control.archive_read_sets() == [key["id"]]
    start = {"sequenceStoreId": store_id, "sources": [{"readSetId": key["id"]}]}

    def status() -> str:
        value: str = omics.get_read_set_metadata(**key)["status"]
        return value

    for end, left in (("FAILED", "ARCHIVED"), ("CANCELLED", "ARCHIVED"), ("COMPLETED", "ACTIVE")):
        job_id = omics.start_read_set_activation_job(**start)["id"]
        assert status() == "ARCHIVED"
        control.advance_job("IN_PROGRESS", job_id=job_id)
        assert status() == "ACTIVATING"
        assert error_of(omics.get_read_set, **key, partNumber=1)[0] == "ConflictException"
        control.advance_job(end, job_id=job_id)
        assert status() == left
    control.archive_read_sets()
    control.fail_source(key["id"], operation="StartReadSetActivationJob", message="not restored")
    failed = run_job(control, omics, "activation", store_id, sources=start["sources"])
    assert (failed["status"], failed["sources"][0]["statusMessage"]) == ("FAILED", "not restored")
    assert status() == "ARCHIVED"
    run_job(control, omics, "activation", store_id, sources=start["sources"])
    again = run_job(control, omics, "activation", store_id, sources=start["sources"])
    assert again["status"] == "COMPLETED"
    jobs = omics.list_read_set_activation_jobs(sequenceStoreId=store_id, filter={"status": "COMPLETED"})
    assert len(jobs["activationJobs"]) == 3


@in_process
def test_an_export_writes_to_s3(control: Control, omics: Any, store_id: str, imported: Import) -> None:
    """Sources that are archived or unknown fail."""
    active, archived = imported(source("a"), source("b"))
    control.archive_read_sets([archived["id"]])
    aws("s3").create_bucket(Bucket="exports")
    sources = [{"readSetId": each} for each in (active["id"], archived["id"], "9999999999")]
    request = {"destination": "s3://exports/x/", "roleArn": ROLE, "sources": sources}
    job = run_job(control, omics, "export", store_id, **request)
    assert (job["status"], job["destination"]) == ("COMPLETED_WITH_FAILURES", "s3://exports/x/")
    assert [each["status"] for each in job["readSets"]] == ["FINISHED", "FAILED", "FAILED"]
    assert job["readSets"][1]["statusMessage"] == f"Read set {archived['id']} is ARCHIVED, not ACTIVE"
    (stored,) = aws("s3").list_objects_v2(Bucket="exports")["Contents"]
    assert stored["Key"] == f"x/{active['id']}/a_1.fastq.gz"
    body = aws("s3").get_object(Bucket="exports", Key=stored["Key"])["Body"].read()
    assert body == READS
    control.set_options(unknown_read_set="ResourceNotFoundException")
    start = omics.start_read_set_export_job
    assert error_of(start, sequenceStoreId=store_id, **request)[0] == "ResourceNotFoundException"
    jobs = omics.list_read_set_export_jobs(sequenceStoreId=store_id)["exportJobs"]
    assert [each["id"] for each in jobs] == [job["id"]]


@in_process
def test_an_export_needs_its_bucket(control: Control, omics: Any, store_id: str, imported: Import) -> None:
    """An option creates a missing bucket."""
    (key,) = imported()
    request = {"destination": "s3://exports", "roleArn": ROLE, "sources": [{"readSetId": key["id"]}]}
    job = run_job(control, omics, "export", store_id, **request)
    assert (job["status"], job["readSets"][0]["statusMessage"]) == (
        "FAILED",
        "The destination bucket does not exist.",
    )
    control.set_options(create_buckets=True)
    assert run_job(control, omics, "export", store_id, **request)["status"] == "COMPLETED"
    (stored,) = aws("s3").list_objects_v2(Bucket="exports")["Contents"]
    assert stored["Key"] == f"{key['id']}/a_1.fastq.gz"


@in_process
def test_botocore_waits_for_a_job(control: Control, omics: Any, store_id: str) -> None:
    """A waiter returns for COMPLETED, and raises an error for COMPLETED_WITH_FAILURES."""
    from botocore.exceptions import WaiterError

    control.set_options(manual=False, job_submitted_seconds=0.0, job_in_progress_seconds=0.0)
    waiter = omics.get_waiter("read_set_import_job_completed")
    pace = {"Delay": 0, "MaxAttempts": 2}
    start = {"sequenceStoreId": store_id, "roleArn": ROLE}
    job = omics.start_read_set_import_job(**start, sources=[source()])
    waiter.wait(sequenceStoreId=store_id, id=job["id"], WaiterConfig=pace)
    control.fail_source("b")
    job = omics.start_read_set_import_job(**start, sources=[source("a"), source("b")])
    with pytest.raises(WaiterError, match="COMPLETED_WITH_FAILURES"):
        waiter.wait(sequenceStoreId=store_id, id=job["id"], WaiterConfig=pace)
