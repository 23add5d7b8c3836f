# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""References and read sets as inputs of runs, and read sets at their S3 URIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import ROLE, aws, error_of

READS = b"@r1\nACGT\n+\nFFFF\n"
OMICS = "omics://123456789012.storage.us-east-1.amazonaws.com"
Start = Callable[..., dict[str, Any]]
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@pytest.fixture
def read_set(control: Control, omics: Any) -> dict[str, Any]:
    """An aligned read set, and the reference in its metadata."""
    s3 = aws("s3")
    s3.create_bucket(Bucket="reads")
    for key in ("a.bam", "hg38.fa"):
        s3.put_object(Bucket="reads", Key=key, Body=READS)
    store_id = omics.create_reference_store(name="genomes")["id"]
    genome = {"sourceFile": "s3://reads/hg38.fa", "name": "hg38"}
    omics.start_reference_import_job(referenceStoreId=store_id, roleArn=ROLE, sources=[genome])
    control.advance_job("COMPLETED")
    (reference,) = omics.list_references(referenceStoreId=store_id)["references"]
    store = {"sequenceStoreId": omics.create_sequence_store(name="reads")["id"]}
    source = {
        "sourceFiles": {"source1": "s3://reads/a.bam"},
        "sourceFileType": "BAM",
        "subjectId": "PATIENT-1",
        "sampleId": "s",
        "name": "n",
        "referenceArn": reference["arn"],
    }
    omics.start_read_set_import_job(**store, roleArn=ROLE, sources=[source])
    control.advance_job("COMPLETED")
    (made,) = omics.list_read_sets(**store)["readSets"]
    found: dict[str, Any] = omics.get_read_set_metadata(**store, id=made["id"])
    return found


def test_an_active_read_set_is_in_s3(control: Control, omics: Any, read_set: dict[str, Any]) -> None:
    """Its S3 URIs are the same after an activation, and their bucket is not listed."""
    s3 = aws("s3")
    places = [
        file["s3Access"]["s3Uri"].removeprefix("s3://").split("/", 1) for file in read_set["files"].values()
    ]
    (bucket, source), (_, index) = places

    def content(key: str) -> bytes:
        body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    assert content(source) == READS
    assert content(index) == b"index of a.bam.bai\n"
    assert bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    control.archive_read_sets()
    assert error_of(s3.get_object, Bucket=bucket, Key=source)[:2] == ("NoSuchKey", 404)
    key = {"sequenceStoreId": read_set["sequenceStoreId"]}
    omics.start_read_set_activation_job(**key, sources=[{"readSetId": read_set["id"]}])
    control.advance_job("COMPLETED")
    assert content(source) == READS
    omics.batch_delete_read_set(**key, ids=[read_set["id"]])
    assert error_of(s3.get_object, Bucket=bucket, Key=source)[0] == "NoSuchKey"
    omics.delete_sequence_store(id=key["sequenceStoreId"])
    assert error_of(s3.get_object, Bucket=bucket, Key=source)[0] == "NoSuchBucket"


def outcome(control: Control, omics: Any, start: Start, uri: str) -> str | None:
    """Start a run with an input, and return its failureReason, if any."""
    run_id = start(parameters={"reads": [uri]})["id"]
    control.advance("COMPLETED", run_id=run_id)
    run = omics.get_run(id=run_id)
    assert "PATIENT" not in run.get("statusMessage", "")
    reason: str | None = run.get("failureReason")
    return reason


@in_process
@pytest.mark.parametrize("options", [{"check_inputs": True}])
def test_a_strict_run_needs_active_read_sets(
    control: Control, omics: Any, start: Start, read_set: dict[str, Any]
) -> None:
    """A read set has a HealthOmics URI and S3 URIs; a reference only has the former."""
    read_set_uri = f"{OMICS}/{read_set['sequenceStoreId']}/readSet/{read_set['id']}"
    s3_uri = read_set["files"]["source1"]["s3Access"]["s3Uri"]
    _, store_id, _, reference_id = read_set["referenceArn"].rpartition(":")[2].split("/")
    reference_uri = f"{OMICS}/{store_id}/reference/{reference_id}"
    usable = (read_set_uri, f"{read_set_uri}/source1", f"{read_set_uri}/index", s3_uri)
    for uri in (*usable, reference_uri, f"{reference_uri}/source", f"{reference_uri}/index"):
        assert outcome(control, omics, start, uri) is None, uri
    missing = (
        f"{read_set_uri}/source2",
        f"{read_set_uri}0",
        f"{reference_uri}0",
        f"{reference_uri}/source1",
        read_set_uri.replace("us-east-1", "us-west-2"),
        read_set_uri.replace("123456789012", "222222222222"),
        s3_uri.replace("a.bam", "b.bam"),
        s3_uri.replace(read_set["id"], "9999999999"),
    )
    for uri in missing:
        assert outcome(control, omics, start, uri) == "INPUT_URI_NOT_FOUND", uri
    assert outcome(control, omics, start, "omics://reads") == "INVALID_URI_INPUT"
    control.archive_read_sets()
    for uri in usable:
        assert outcome(control, omics, start, uri) == "INACTIVE_OMICS_STORAGE_RESOURCE", uri
    control.set_options(check_inputs=False)
    assert outcome(control, omics, start, read_set_uri) is None
