# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Status changes of stores, their contents and their jobs are events in EventBridge."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import ROLE
from .test_events import listen

pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)


def statuses(events: list[Any]) -> list[tuple[str, str]]:
    """Return kind and status of each event."""
    return [(each["detail-type"].removesuffix(" Status Change"), each["detail"]["status"]) for each in events]


def test_the_life_of_a_reference_is_announced(control: Control, omics: Any) -> None:
    """The store, the job and the reference have events, in order."""
    kinds = ("Reference Store", "Reference", "Reference Import Job")
    read = listen(*(f"{kind} Status Change" for kind in kinds))
    store = omics.create_reference_store(name="genomes")
    job_id = omics.start_reference_import_job(
        referenceStoreId=store["id"],
        roleArn=ROLE,
        sources=[{"sourceFile": "s3://genomes/a.fa", "name": "hg38"}],
    )["id"]
    control.advance_job("COMPLETED")
    (reference,) = omics.list_references(referenceStoreId=store["id"])["references"]
    omics.delete_reference(referenceStoreId=store["id"], id=reference["id"])
    omics.delete_reference_store(id=store["id"])
    heard = read()
    assert statuses(heard) == [
        ("Reference Store", "CREATED"),
        ("Reference Store", "ACTIVE"),
        ("Reference Import Job", "SUBMITTED"),
        ("Reference Import Job", "IN_PROGRESS"),
        ("Reference", "ACTIVE"),
        ("Reference Import Job", "COMPLETED"),
        ("Reference", "DELETED"),
        ("Reference Store", "DELETED"),
    ]
    assert heard[0]["detail"] == {"omicsVersion": "1.0.0", "arn": store["arn"], "status": "CREATED"}
    assert (heard[2]["account"], heard[2]["resources"]) == ("123456789012", [store["arn"]])
    assert heard[2]["detail"] == {
        "omicsVersion": "1.0.0",
        "id": job_id,
        "referenceStoreId": store["id"],
        "status": "SUBMITTED",
        "statusMessage": "The job is submitted and will start soon.",
    }
    assert heard[4]["resources"] == [reference["arn"]]
    assert heard[4]["detail"] == {
        "omicsVersion": "1.0.0",
        "arn": reference["arn"],
        "id": reference["id"],
        "referenceStoreId": store["id"],
        "creationJobId": job_id,
        "status": "ACTIVE",
    }


def test_the_life_of_a_read_set_is_announced(control: Control, omics: Any) -> None:
    """The store, the jobs and the read set have events, in order."""
    kinds = ("Sequence Store", "Read Set", "Read Set Import Job", "Read Set Activation Job")
    read = listen(*(f"{kind} Status Change" for kind in kinds))
    store = omics.create_sequence_store(name="reads")
    key = {"sequenceStoreId": store["id"]}
    files = {"sourceFiles": {"source1": "s3://reads/a.fastq.gz"}, "sourceFileType": "FASTQ"}
    source = {**files, "subjectId": "s", "sampleId": "t", "name": "n"}
    job_id = omics.start_read_set_import_job(**key, roleArn=ROLE, sources=[source])["id"]
    control.advance_job("COMPLETED")
    (read_set,) = omics.list_read_sets(**key)["readSets"]
    control.archive_read_sets()
    sources = [{"readSetId": read_set["id"]}]
    omics.start_read_set_activation_job(**key, sources=sources)
    control.advance_job("COMPLETED")
    omics.batch_delete_read_set(**key, ids=[read_set["id"]])
    omics.update_sequence_store(id=store["id"], name="other")
    omics.delete_sequence_store(id=store["id"])
    heard = read()
    assert statuses(heard) == [
        ("Sequence Store", "CREATED"),
        ("Sequence Store", "ACTIVE"),
        ("Read Set Import Job", "SUBMITTED"),
        ("Read Set Import Job", "IN_PROGRESS"),
        ("Read Set", "ACTIVE"),
        ("Read Set Import Job", "COMPLETED"),
        ("Read Set", "ARCHIVED"),
        ("Read Set Activation Job", "SUBMITTED"),
        ("Read Set Activation Job", "IN_PROGRESS"),
        ("Read Set", "ACTIVATING"),
        ("Read Set", "ACTIVE"),
        ("Read Set Activation Job", "COMPLETED"),
        ("Read Set", "DELETED"),
        ("Sequence Store", "UPDATED"),
        ("Sequence Store", "ACTIVE"),
        ("Sequence Store", "DELETED"),
    ]
    assert heard[4]["resources"] == [read_set["arn"]]
    assert heard[4]["detail"] == {
        "omicsVersion": "1.0.0",
        "arn": read_set["arn"],
        "sequenceStoreId": store["id"],
        "id": read_set["id"],
        "creationJobId": job_id,
        "status": "ACTIVE",
    }


def test_uploads_and_access_policies_are_announced(control: Control, omics: Any) -> None:
    """An upload has the events of its read set; the event of a policy names the store."""
    read = listen("Read Set Status Change", "S3 Access Policy Status Change")
    store = omics.create_sequence_store(name="reads")
    request = {"sourceFileType": "FASTQ", "subjectId": "s", "sampleId": "t", "name": "n"}
    key = {"sequenceStoreId": store["id"]}
    upload = {**key, "uploadId": omics.create_multipart_read_set_upload(**key, **request)["uploadId"]}
    place = {"partSource": "SOURCE1", "partNumber": 1}
    checksum = omics.upload_read_set_part(**upload, **place, payload=b"reads")["checksum"]
    control.fail_source("t", message="truncated")
    omics.complete_multipart_read_set_upload(**upload, parts=[{**place, "checksum": checksum}])
    access_point = {"s3AccessPointArn": store["s3Access"]["s3AccessPointArn"]}
    omics.put_s3_access_policy(**access_point, s3AccessPolicy='{"Statement": []}')
    omics.delete_s3_access_policy(**access_point)
    heard = read()
    assert statuses(heard) == [
        ("Read Set", "PROCESSING_UPLOAD"),
        ("Read Set", "UPLOAD_FAILED"),
        ("S3 Access Policy", "UPDATED"),
        ("S3 Access Policy", "DELETED"),
    ]
    assert heard[1]["detail"]["statusMessage"] == "truncated"
    assert heard[2]["detail"] == {
        "omicsVersion": "1.0.0",
        **access_point,
        "storeId": store["id"],
        "storeType": "SEQUENCE_STORE",
        "status": "UPDATED",
    }


@pytest.mark.parametrize("options", [{"store_changing_seconds": 60.0}])
def test_a_store_is_announced_as_active_after_its_last_change(control: Control, omics: Any) -> None:
    """There is no such event before that, or after a deletion."""
    control.stop_clock()
    read = listen("Sequence Store Status Change")
    store_id = omics.create_sequence_store(name="reads")["id"]
    control.advance_clock(30)
    omics.update_sequence_store(id=store_id, name="a")
    control.advance_clock(30)
    assert [status for _, status in statuses(read())] == ["CREATED", "UPDATED"]
    control.advance_clock(30)
    omics.update_sequence_store(id=store_id, name="b")
    omics.delete_sequence_store(id=store_id)
    control.advance_clock(60)
    assert [status for _, status in statuses(read())] == ["ACTIVE", "UPDATED", "DELETED"]
