# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Sequence stores: their states, updates and deletion."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import ROLE, error_of

pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)


def test_a_store_is_created_and_updated(omics: Any) -> None:
    """A request with a repeated client token has no further effect."""
    request = {"name": "reads", "fallbackLocation": "s3://fallback/x/", "clientToken": "one"}
    made = omics.create_sequence_store(**request, s3AccessConfig={"accessLogLocation": "s3://logs/x/"})
    assert made["status"] == "ACTIVE"
    assert made["eTagAlgorithmFamily"] == "MD5up"
    assert made["s3Access"]["accessLogLocation"] == "s3://logs/x/"
    assert made["s3Access"]["s3Uri"].endswith(f"-s3alias/123456789012/sequenceStore/{made['id']}/")
    assert error_of(omics.create_sequence_store, **request)[0] == "ValidationException"
    changes = {"id": made["id"], "name": "cohort", "propagatedSetLevelTags": ["a"], "clientToken": "two"}
    assert omics.update_sequence_store(**changes)["propagatedSetLevelTags"] == ["a"]
    omics.update_sequence_store(id=made["id"], name="other", fallbackLocation="")
    assert omics.update_sequence_store(**changes)["name"] == "other"
    store = omics.get_sequence_store(id=made["id"])
    assert (store["name"], store["fallbackLocation"]) == ("other", "")
    assert store["updateTime"] > store["creationTime"] == made["creationTime"]
    omics.delete_sequence_store(id=made["id"])
    for call in (omics.get_sequence_store, omics.update_sequence_store, omics.delete_sequence_store):
        assert error_of(call, id=made["id"])[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize("options", [{"store_changing_seconds": 60.0}])
def test_a_changed_store_becomes_active_later(control: Control, omics: Any) -> None:
    """A new store is CREATING, and a changed one UPDATING."""
    control.stop_clock()
    store_id = omics.create_sequence_store(name="reads")["id"]

    def status() -> str:
        (item,) = omics.list_sequence_stores()["sequenceStores"]
        value: str = item["status"]
        return value

    assert status() == "CREATING"
    control.advance_clock(60)
    assert status() == "ACTIVE"
    assert omics.update_sequence_store(id=store_id, description="d")["status"] == "UPDATING"
    assert omics.list_sequence_stores(filter={"status": "ACTIVE"})["sequenceStores"] == []
    control.advance_clock(60)
    assert status() == "ACTIVE"


def test_stores_are_listed_with_filters(omics: Any) -> None:
    """The filters are name, creation time and time of the last change."""
    first, second = (omics.create_sequence_store(name=name) for name in ("a", "b"))
    updated = omics.update_sequence_store(id=first["id"], name="c")["updateTime"]

    def found(**wanted: Any) -> list[str]:
        items = omics.list_sequence_stores(filter=wanted)["sequenceStores"]
        return [item["name"] for item in items]

    assert (found(name="a"), found(name="c")) == ([], ["c"])
    moment = timedelta(microseconds=1)
    assert found(updatedAfter=updated - moment) == ["c"]
    assert found(updatedBefore=updated) == ["b"]
    assert found(createdAfter=second["creationTime"]) == []
    pages = omics.get_paginator("list_sequence_stores").paginate(PaginationConfig={"PageSize": 1})
    assert [[item["name"] for item in page["sequenceStores"]] for page in pages] == [["c"], ["b"]]
    assert error_of(omics.list_sequence_stores, nextToken="x")[0] == "ValidationException"
    assert error_of(omics.list_sequence_stores, nextToken="1" * 5000)[0] == "ValidationException"


def test_a_store_propagates_at_most_five_tags(omics: Any) -> None:
    """The model would allow fifty."""
    call = omics.create_sequence_store
    code, _, message = error_of(call, name="reads", propagatedSetLevelTags=list("abcdef"))
    assert code == "ValidationException"
    assert "at most 5" in message
    store_id = call(name="reads", propagatedSetLevelTags=list("abcde"))["id"]
    update = omics.update_sequence_store
    assert error_of(update, id=store_id, propagatedSetLevelTags=list("abcdef"))[0] == "ValidationException"


@pytest.mark.parametrize("error", ["ConflictException", "ValidationException"])
def test_a_store_with_read_sets_cannot_be_deleted(control: Control, omics: Any, error: Any) -> None:
    """The read sets must be deleted first."""
    control.set_options(delete_error=error)
    store_id = omics.create_sequence_store(name="reads")["id"]
    source = {"sourceFileType": "FASTQ", "subjectId": "s", "sampleId": "s", "name": "n"}
    omics.start_read_set_import_job(
        sequenceStoreId=store_id,
        roleArn=ROLE,
        sources=[{**source, "sourceFiles": {"source1": "s3://reads/a.fastq.gz"}}],
    )
    control.advance_job("COMPLETED")
    assert error_of(omics.delete_sequence_store, id=store_id)[0] == error
    (read_set,) = omics.list_read_sets(sequenceStoreId=store_id)["readSets"]
    assert omics.batch_delete_read_set(sequenceStoreId=store_id, ids=[read_set["id"]])["errors"] == []
    omics.delete_sequence_store(id=store_id)
