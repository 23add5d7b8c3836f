# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Calls of every operation on stores, in every state of what they are about."""

from __future__ import annotations

from typing import Any

from airflow_healthomics.testing import Control

from .conftest import ROLE

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
    for status in ("IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"):
        sources = [source, {**source, "name": "bad"}]
        job_id = omics.start_reference_import_job(**store, roleArn=ROLE, sources=sources)["id"]
        omics.get_reference_import_job(**store, id=job_id)
        control.advance_job(status, job_id=job_id)
        omics.get_reference_import_job(**store, id=job_id)
        omics.list_reference_import_jobs(**store)
    for reference in omics.list_references(**store)["references"]:
        omics.get_reference_metadata(**store, id=reference["id"])
        omics.get_reference(**store, id=reference["id"], partNumber=1)
        omics.delete_reference(**store, id=reference["id"])
    omics.delete_reference_store(id=store_id)
