# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads of read sets, and S3 access policies of their stores."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from airflow_healthomics.testing import Control
from airflow_healthomics.testing.omics.storage import uploads

from .conftest import aws, error_of

READS = bytes(range(256)) * 2
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@pytest.fixture
def store_id(omics: Any) -> str:
    """A sequence store with a fallback location."""
    aws("s3").create_bucket(Bucket="fallback")
    made: str = omics.create_sequence_store(name="reads", fallbackLocation="s3://fallback/x/")["id"]
    return made


def begin(omics: Any, store_id: str, **more: Any) -> dict[str, Any]:
    """Begin an upload, and return its key."""
    people = {"subjectId": "subject-a", "sampleId": "sample-a"}
    request = {"sequenceStoreId": store_id, "sourceFileType": "FASTQ", "name": "HG1", **people, **more}
    upload_id = omics.create_multipart_read_set_upload(**request)["uploadId"]
    return {"sequenceStoreId": store_id, "uploadId": upload_id}


def put(omics: Any, key: dict[str, Any], *contents: bytes, source: str = "SOURCE1") -> list[dict[str, Any]]:
    """Upload parts, and return the members that complete the upload."""
    parts = []
    for number, content in enumerate(contents, 1):
        place = {"partSource": source, "partNumber": number}
        parts.append({**place, **omics.upload_read_set_part(**key, **place, payload=content)})
        del parts[-1]["ResponseMetadata"]
    return parts


def test_an_upload_creates_a_read_set(control: Control, omics: Any, store_id: str) -> None:
    """Parts are in the order of their numbers; a part with a used number replaces the previous one."""
    key = begin(omics, store_id, generatedFrom="g", tags={"a": "1"})
    (upload,) = omics.list_multipart_read_set_uploads(sequenceStoreId=store_id)["uploads"]
    assert (upload["uploadId"], upload["name"], upload["generatedFrom"]) == (key["uploadId"], "HG1", "g")
    put(omics, key, READS, b"replaced")
    parts = put(omics, key, READS, READS[:100]) + put(omics, key, b"second", source="SOURCE2")
    assert parts[0]["checksum"] == base64.b64encode(hashlib.sha256(READS).digest()).decode()
    listed = omics.list_read_set_upload_parts(**key, partSource="SOURCE1")["parts"]
    assert [(each["partNumber"], each["partSize"]) for each in listed] == [(1, 512), (2, 100)]
    assert all(each["lastUpdatedTime"] >= each["creationTime"] for each in listed)
    page = omics.list_read_set_upload_parts(**key, partSource="SOURCE1", maxResults=1)
    rest = omics.list_read_set_upload_parts(**key, partSource="SOURCE1", nextToken=page["nextToken"])
    assert [each["partNumber"] for each in rest["parts"]] == [2]
    read_set_id = omics.complete_multipart_read_set_upload(**key, parts=parts[::-1])["readSetId"]
    read_set = omics.get_read_set_metadata(sequenceStoreId=store_id, id=read_set_id)
    assert (read_set["status"], read_set["creationType"]) == ("ACTIVE", "UPLOAD")
    uris = [file["s3Access"]["s3Uri"] for file in read_set["files"].values()]
    assert [uri.rpartition("/")[2] for uri in uris] == ["HG1_source1.fastq.gz", "HG1_source2.fastq.gz"]
    content = omics.get_read_set(sequenceStoreId=store_id, id=read_set_id, partNumber=1)["payload"].read()
    assert content == READS + READS[:100]
    assert omics.list_multipart_read_set_uploads(sequenceStoreId=store_id)["uploads"] == []
    assert omics.list_tags_for_resource(resourceArn=read_set["arn"])["tags"] == {"a": "1"}


@in_process
@pytest.mark.parametrize("options", [{"upload_processing_seconds": 60.0}])
def test_an_upload_is_processed(control: Control, omics: Any, store_id: str) -> None:
    """Until the end of processing, the read set cannot be read, nor the upload changed."""
    control.stop_clock()
    key = begin(omics, store_id)
    parts = put(omics, key, READS)
    read_set = {"sequenceStoreId": store_id}
    read_set["id"] = omics.complete_multipart_read_set_upload(**key, parts=parts)["readSetId"]
    assert omics.get_read_set_metadata(**read_set)["status"] == "PROCESSING_UPLOAD"
    assert error_of(omics.get_read_set, **read_set, partNumber=1)[0] == "ConflictException"
    assert len(omics.list_multipart_read_set_uploads(sequenceStoreId=store_id)["uploads"]) == 1
    again = omics.complete_multipart_read_set_upload
    assert error_of(again, **key, parts=parts)[0] == "ResourceNotFoundException"
    control.advance_clock(60)
    assert omics.get_read_set_metadata(**read_set)["status"] == "ACTIVE"
    assert omics.list_multipart_read_set_uploads(sequenceStoreId=store_id)["uploads"] == []


@in_process
def test_a_failed_upload_goes_to_the_fallback_location(control: Control, omics: Any, store_id: str) -> None:
    """The read set is UPLOAD_FAILED, with the message of the plan."""
    control.fail_source("sample-a", operation="CompleteMultipartReadSetUpload", message="truncated")
    key = begin(omics, store_id)
    read_set_id = omics.complete_multipart_read_set_upload(**key, parts=put(omics, key, READS))["readSetId"]
    read_set = omics.get_read_set_metadata(sequenceStoreId=store_id, id=read_set_id)
    assert (read_set["status"], read_set["statusMessage"]) == ("UPLOAD_FAILED", "truncated")
    (stored,) = aws("s3").list_objects_v2(Bucket="fallback")["Contents"]
    assert stored["Key"] == f"x/{key['uploadId']}/SOURCE1/1"
    assert stored["Size"] == len(READS)
    omics.update_sequence_store(id=store_id, fallbackLocation="s3://nowhere")
    control.fail_source(times=None)
    key = begin(omics, store_id)
    omics.complete_multipart_read_set_upload(**key, parts=put(omics, key, READS))
    found = omics.list_read_sets(sequenceStoreId=store_id, filter={"status": "UPLOAD_FAILED"})
    assert len(found["readSets"]) == 2


@in_process
def test_an_upload_is_aborted(omics: Any, store_id: str) -> None:
    """A repeated client token returns the same upload. After AbortMultipartReadSetUpload it is not found."""
    key = begin(omics, store_id, clientToken="one")
    assert begin(omics, store_id, clientToken="one") == key
    put(omics, key, READS)
    omics.abort_multipart_read_set_upload(**key)
    place = {"partSource": "SOURCE1", "partNumber": 1}
    for call, more in (
        (omics.abort_multipart_read_set_upload, {}),
        (omics.upload_read_set_part, {**place, "payload": b"1"}),
        (omics.list_read_set_upload_parts, {"partSource": "SOURCE1"}),
    ):
        assert error_of(call, **key, **more)[:2] == ("ResourceNotFoundException", 404)


@in_process
def test_invalid_parts_are_refused(
    control: Control, omics: Any, store_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts must not be empty, too large, unknown or changed, and SOURCE1 must have one."""
    key = begin(omics, store_id)
    (part,) = put(omics, key, READS)
    upload, complete = omics.upload_read_set_part, omics.complete_multipart_read_set_upload
    place = {"partSource": "SOURCE1", "partNumber": 1}
    assert error_of(upload, **key, **place, payload=b"")[0] == "ValidationException"
    for changes in ({"checksum": "x"}, {"partNumber": 2}, {"partSource": "SOURCE2"}):
        assert error_of(complete, **key, parts=[{**part, **changes}])[0] == "ValidationException"
    second = put(omics, key, READS, source="SOURCE2")
    for parts in ([], second):
        assert error_of(complete, **key, parts=parts)[0] == "ValidationException"
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 1100)
    put(omics, key, READS)
    code, _, message = error_of(upload, **key, partSource="SOURCE1", partNumber=2, payload=READS * 2)
    assert (code, message) == (
        "ServiceQuotaExceededException",
        "The local HealthOmics limits an upload to 1100 bytes",
    )
    control.set_options(any_reference=False)
    call, aligned = omics.create_multipart_read_set_upload, {"sourceFileType": "CRAM", "name": "n"}
    people = {"subjectId": "s", "sampleId": "t"}
    assert error_of(call, sequenceStoreId=store_id, **aligned, **people)[0] == "ValidationException"


@in_process
def test_a_store_has_an_access_policy(omics: Any, store_id: str) -> None:
    """A new store has a policy for its owner, which can be replaced and deleted."""
    access_point = omics.get_sequence_store(id=store_id)["s3Access"]["s3AccessPointArn"]
    key = {"s3AccessPointArn": access_point}
    found = omics.get_s3_access_policy(**key)
    assert (found["storeId"], found["storeType"]) == (store_id, "SEQUENCE_STORE")
    statement, _ = json.loads(found["s3AccessPolicy"])["Statement"]
    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    conditions = {"StringEquals": {"s3:ExistingObjectTag/a": "b"}, "ArnLike": {"aws:PrincipalArn": "x"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Condition": conditions}]})
    assert omics.put_s3_access_policy(**key, s3AccessPolicy=policy)["storeId"] == store_id
    changed = omics.get_s3_access_policy(**key)
    assert changed["s3AccessPolicy"] == policy
    assert changed["updateTime"] >= found["updateTime"]
    omics.delete_s3_access_policy(**key)
    for call in (omics.get_s3_access_policy, omics.delete_s3_access_policy):
        assert error_of(call, **key)[:2] == ("ResourceNotFoundException", 404)
    unknown = {"s3AccessPointArn": f"{access_point}0"}
    assert error_of(omics.get_s3_access_policy, **unknown)[0] == "ResourceNotFoundException"


STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject"}


@in_process
@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("{", "must be JSON"),
        ([], "must be a JSON object"),
        ({"Statement": [1]}, "must be a list of objects"),
        ({"Statement": {**STATEMENT, "NotAction": "s3:*"}}, "does not support NotAction"),
        ({"Rule": 1, "Statement": []}, "does not support Rule"),
        ({"Statement": [{**STATEMENT, "Condition": 1}]}, "must be an object of objects"),
        (
            {"Statement": [{**STATEMENT, "Condition": {"Bool": {"aws:SecureTransport": True}}}]},
            "does not support aws:SecureTransport",
        ),
        (
            {"Statement": [{**STATEMENT, "Condition": {"StringLike": {"aws:PrincipalArn": "x"}}}]},
            "does not support aws:PrincipalArn with StringLike",
        ),
        ({"Id": "x" * 16_000}, "at most 15360 bytes"),
    ],
)
def test_an_unsupported_access_policy_is_refused(
    omics: Any, store_id: str, policy: Any, problem: str
) -> None:
    """The error names the element, and the store keeps its policy."""
    key = {"s3AccessPointArn": omics.get_sequence_store(id=store_id)["s3Access"]["s3AccessPointArn"]}
    before = omics.get_s3_access_policy(**key)["s3AccessPolicy"]
    text = policy if isinstance(policy, str) else json.dumps(policy)
    code, _, message = error_of(omics.put_s3_access_policy, **key, s3AccessPolicy=text)
    assert code == "ValidationException"
    assert problem in message
    assert omics.get_s3_access_policy(**key)["s3AccessPolicy"] == before
