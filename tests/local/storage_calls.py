# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Calls of every operation on stores and shares, in every status of their resources."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_healthomics.testing import Control

from .archives import ARCHIVE
from .conftest import ROLE
from .test_shares import in_account

TAGS = {"a": "b"}
KEY = {"type": "KMS", "keyArn": "arn:aws:kms:us-east-1:123456789012:key/1"}


def answer_references(control: Control, omics: Any) -> None:
    """Call every operation of reference stores and references."""
    request = {"name": "genomes", "description": "d", "sseConfig": KEY, "tags": TAGS, "clientToken": "t"}
    store_id = omics.create_reference_store(**request)["id"]
    omics.get_reference_store(id=store_id)
    omics.list_reference_stores()
    source = {"sourceFile": "s3://genomes/a.fa", "name": "hg38", "description": "human", "tags": TAGS}
    store = {"referenceStoreId": store_id}
    control.fail_source("bad")
    start = partial(
        omics.start_reference_import_job, **store, roleArn=ROLE, sources=[source, {**source, "name": "bad"}]
    )
    see_job(control, start, partial(omics.get_reference_import_job, **store))
    omics.list_reference_import_jobs(**store)
    for reference in omics.list_references(**store)["references"]:
        omics.get_reference_metadata(**store, id=reference["id"])
        omics.get_reference(**store, id=reference["id"], partNumber=1)
        omics.delete_reference(**store, id=reference["id"])
    omics.delete_reference_store(id=store_id)


def answer_read_sets(control: Control, omics: Any) -> None:
    """Call every operation of sequence stores and read sets."""
    control.set_options(store_changing_seconds=1e9)
    store_id = omics.create_sequence_store(
        name="reads",
        description="d",
        sseConfig=KEY,
        tags=TAGS,
        fallbackLocation="s3://fallback/",
        eTagAlgorithmFamily="SHA512up",
        propagatedSetLevelTags=["a"],
        s3AccessConfig={"accessLogLocation": "s3://logs/"},
    )["id"]
    omics.update_sequence_store(id=store_id, name="cohort")
    control.set_options(store_changing_seconds=0.0)
    omics.get_sequence_store(id=store_id)
    omics.list_sequence_stores()
    store = {"sequenceStoreId": store_id}
    source = {
        "sourceFiles": {"source1": "s3://reads/a", "source2": "s3://reads/b"},
        "sourceFileType": "CRAM",
        "subjectId": "s",
        "sampleId": "t",
        "generatedFrom": "g",
        "referenceArn": "arn:aws:omics:us-east-1:123456789012:referenceStore/1/reference/2",
        "name": "n",
        "description": "d",
        "tags": TAGS,
    }
    control.fail_source("bad")
    start = partial(
        omics.start_read_set_import_job, **store, roleArn=ROLE, sources=[source, {**source, "name": "bad"}]
    )
    see_job(control, start, partial(omics.get_read_set_import_job, **store))
    omics.list_read_set_import_jobs(**store)
    chosen = [{"readSetId": each["id"]} for each in omics.list_read_sets(**store)["readSets"]]
    export = partial(omics.start_read_set_export_job, **store, destination="s3://exports/x/", roleArn=ROLE)
    see_job(control, partial(export, sources=chosen), partial(omics.get_read_set_export_job, **store))
    omics.list_read_set_export_jobs(**store)
    omics.get_read_set(**store, id=chosen[0]["readSetId"], partNumber=1)
    control.archive_read_sets()
    omics.get_read_set_metadata(**store, id=chosen[0]["readSetId"])
    activate = partial(omics.start_read_set_activation_job, **store, sources=chosen)
    see_job(control, activate, partial(omics.get_read_set_activation_job, **store))
    omics.list_read_set_activation_jobs(**store)
    ids = [each["readSetId"] for each in chosen]
    omics.batch_delete_read_set(**store, ids=[*ids, "9999999999"])
    omics.delete_sequence_store(id=store_id)


def answer_uploads(control: Control, omics: Any) -> None:
    """Call every operation of multipart uploads and S3 access policies."""
    made = omics.create_sequence_store(name="uploads")
    store = {"sequenceStoreId": made["id"]}
    request = {
        "sourceFileType": "BAM",
        "subjectId": "s",
        "sampleId": "t",
        "generatedFrom": "g",
        "referenceArn": "arn:aws:omics:us-east-1:123456789012:referenceStore/1/reference/2",
        "name": "n",
        "description": "d",
        "tags": TAGS,
    }
    key = {**store, "uploadId": omics.create_multipart_read_set_upload(**store, **request)["uploadId"]}
    place = {"partSource": "SOURCE1", "partNumber": 1}
    checksum = omics.upload_read_set_part(**key, **place, payload=b"reads")["checksum"]
    omics.list_multipart_read_set_uploads(**store)
    omics.list_read_set_upload_parts(**key, partSource="SOURCE1")
    control.set_options(upload_processing_seconds=1e9)
    parts = [{**place, "checksum": checksum}]
    read_set_id = omics.complete_multipart_read_set_upload(**key, parts=parts)["readSetId"]
    omics.get_read_set_metadata(**store, id=read_set_id)
    control.fail_source(message="truncated")
    control.set_options(upload_processing_seconds=0.0)
    omics.get_read_set_metadata(**store, id=read_set_id)
    key = {**store, "uploadId": omics.create_multipart_read_set_upload(**store, **request)["uploadId"]}
    omics.abort_multipart_read_set_upload(**key)
    access_point = {"s3AccessPointArn": made["s3Access"]["s3AccessPointArn"]}
    omics.put_s3_access_policy(**access_point, s3AccessPolicy='{"Statement": []}')
    omics.get_s3_access_policy(**access_point)
    omics.delete_s3_access_policy(**access_point)


def answer_shares(omics: Any, keep: Callable[..., None]) -> None:
    """Call every operation of shares, as both accounts."""
    workflow = omics.create_workflow(definitionZip=ARCHIVE)
    request = {"resourceArn": workflow["arn"], "principalSubscriber": "222222222222", "shareName": "s"}
    share_id = omics.create_share(**request)["shareId"]
    omics.get_share(shareId=share_id)
    subscriber = in_account("222222222222", "omics")
    subscriber.meta.events.register("after-call.omics", keep)
    subscriber.accept_share(shareId=share_id)
    subscriber.list_shares(resourceOwner="OTHER")
    subscriber.get_workflow(id=workflow["id"], workflowOwnerId="123456789012")
    subscriber.get_share(shareId=share_id)
    omics.delete_share(shareId=share_id)


def see_job(control: Control, start: Callable[[], Any], get: Callable[..., Any]) -> None:
    """Start jobs, and get them in all of their states."""
    for status in ("IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"):
        job_id = start()["id"]
        get(id=job_id)
        control.advance_job(status, job_id=job_id)
        get(id=job_id)
