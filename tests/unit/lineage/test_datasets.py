# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The data sets and facts of the lineage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.lineage.datasets import (
    MAX_INPUTS,
    DataSet,
    batch_lineage,
    bounded_inputs,
    common_prefixes,
    data_sets,
    run_lineage,
)

STORE = "omics://123456789012.storage.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("s3://reads/a/b.fastq.gz", [("s3://reads", "a/b.fastq.gz")]),
        ("  s3://reads/a/b.fastq.gz\n", [("s3://reads", "a/b.fastq.gz")]),
        ("s3://reads/folder/", [("s3://reads", "folder")]),
        ("s3://reads", [("s3://reads", "/")]),
        ("s3://reads/", [("s3://reads", "/")]),
        (
            "s3://reads-1/a,s3://reads-2/b; s3://reads-1/c",
            [("s3://reads-1", "a"), ("s3://reads-2", "b"), ("s3://reads-1", "c")],
        ),
        ("s3://reads/*_{1,2}.fastq.gz", [("s3://reads", "*_{1,2}.fastq.gz")]),
        (f"{STORE}/1234/readSet/5678/source1", [(STORE, "1234/readSet/5678")]),
        (f"{STORE}/1234/readSet/5678/source2", [(STORE, "1234/readSet/5678")]),
        (f"{STORE}/1234/readSet/5678", [(STORE, "1234/readSet/5678")]),
        (f"{STORE}/1234/reference/5678/source", [(STORE, "1234/reference/5678")]),
        (f"{STORE}/1234/reference/5678/index", [(STORE, "1234/reference/5678")]),
        (
            {"a": ["s3://reads/x", {"b": "s3://reads/y"}], "c": "s3://reads/z"},
            [("s3://reads", "x"), ("s3://reads", "y"), ("s3://reads", "z")],
        ),
    ],
)
def test_a_uri_is_a_data_set(value: Any, expected: list[tuple[str, str]]) -> None:
    """By OpenLineage's naming rules and in the order of the parameters, at any depth."""
    assert list(data_sets(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "NA12878",
        "reads of s3://reads/a",
        "s3://reads/a of Jane Doe",
        "s3://reads/a, Jane Doe",
        "Jane Doe, s3://reads/a",
        "s3://key:secret@reads/a",
        "https://reads.s3.amazonaws.com/a?X-Amz-Signature=secret",
        "s3:/reads/a",
        "omics://nonsense",
        f"{STORE}/1234/readSet/Jane",
        "file:///home/jane",
        '["s3://reads/a"]',
        {"s3://reads/key": 1},
        7,
        None,
        True,
        "",
    ],
)
def test_anything_else_is_none(value: Any) -> None:
    """A text that has anything besides URIs is skipped as a whole."""
    assert list(data_sets(value)) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_only_uris_are_reported(value: Any) -> None:
    """Whatever the parameters are."""
    for namespace, name in data_sets(value):
        assert namespace.startswith(("s3://", "omics://"))
        assert name in json.dumps(value, ensure_ascii=False) or name == "/"


def test_a_data_set_is_reported_once() -> None:
    """Even if it is read several times."""
    assert bounded_inputs([["s3://reads/a", "s3://reads/b"], "s3://reads/a"]) == (
        (DataSet("s3://reads", "a"), DataSet("s3://reads", "b")),
        {},
    )


def test_inputs_are_bounded() -> None:
    """A batch of a hundred thousand runs reports its first inputs, and reads no others."""
    read = 0

    def settings() -> Any:
        nonlocal read
        for read in range(100_000):
            yield {"reads": [f"s3://reads/{read}_1", f"s3://reads/{read}_2"]}

    inputs, more = bounded_inputs(settings())
    assert len(inputs) == MAX_INPUTS
    assert more == {"inputsTruncated": True}
    assert read <= MAX_INPUTS


def test_exactly_as_many_inputs_as_allowed_are_all() -> None:
    """A number of inputs equal to the limit is complete."""
    inputs, more = bounded_inputs([[f"s3://reads/{n}" for n in range(MAX_INPUTS)]])
    assert (len(inputs), more) == (MAX_INPUTS, {})


@pytest.mark.parametrize(
    ("uris", "expected"),
    [
        ([], []),
        ([None, "nonsense"], []),
        (["s3://bucket-b/runs/a"], ["s3://bucket-b/runs/a"]),
        (["s3://bucket-b/runs/a", "s3://bucket-b/runs/a"], ["s3://bucket-b/runs/a"]),
        (["s3://bucket-b/runs/a", "s3://bucket-b/runs/b/c", "s3://bucket-b/runs/ab"], ["s3://bucket-b/runs"]),
        (["s3://bucket-b/runs", "s3://bucket-b/runs/a"], ["s3://bucket-b/runs"]),
        (["s3://bucket-b/x", "s3://bucket-b/y"], ["s3://bucket-b"]),
        (["s3://bucket-b/x", "s3://bucket-c/y"], ["s3://bucket-b/x", "s3://bucket-c/y"]),
    ],
)
def test_outputs_have_a_common_folder(uris: list[Any], expected: list[str]) -> None:
    """One for each bucket, for any number of runs."""
    assert common_prefixes(uris) == expected


RUN = {
    "id": "1234567",
    "uuid": "u",
    "status": "COMPLETED",
    "name": "Jane Doe",
    "statusMessage": "Jane Doe",
    "workflowId": "7",
    "workflowVersionName": "v2",
    "digest": "sha256:d",
    "storageType": "DYNAMIC",
    "runId": "7654321",
    "runOutputUri": "s3://out/runs/1234567",
    "startTime": "2026-11-22T03:04:05+00:00",
    "stopTime": datetime(2026, 11, 22, 5, 4, 5, tzinfo=UTC),
}


def test_facts_of_a_run() -> None:
    """By the facet's names, as far as they are known; free text of the user is not among them."""
    lineage = run_lineage(RUN, {"reads": "s3://reads/a", "sample": "Jane Doe"}, engine="WDL")
    assert lineage.facts == {
        "runId": "1234567",
        "uuid": "u",
        "status": "COMPLETED",
        "workflowId": "7",
        "workflowVersionName": "v2",
        "digest": "sha256:d",
        "engine": "WDL",
        "storageType": "DYNAMIC",
        "duplicateOf": "7654321",
        "startTime": "2026-11-22T03:04:05+00:00",
        "stopTime": "2026-11-22T05:04:05+00:00",
        "durationSeconds": timedelta(hours=2).total_seconds(),
    }
    assert lineage.inputs == (("s3://reads", "a"),)
    assert lineage.outputs == (("s3://out", "runs/1234567"),)


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "DELETED", "RUNNING"])
def test_only_a_completed_run_has_outputs(status: str) -> None:
    """HealthOmics exports none for another run."""
    assert run_lineage({**RUN, "status": status}).outputs == ()


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("yesterday", "2026-11-22T05:04:05+00:00", None),
        (None, "2026-11-22T05:04:05+00:00", None),
        (7, "2026-11-22T05:04:05+00:00", None),
        ("2026-11-22T05:04:00", "2026-11-22T05:04:05+00:00", 5.0),
        (datetime(2026, 11, 22, 5, 4), "2026-11-22T05:04:05Z", 5.0),
    ],
)
def test_a_time_may_be_odd(start: Any, stop: Any, expected: float | None) -> None:
    """Without a zone it is UTC; an unreadable time gives no duration."""
    facts = run_lineage({**RUN, "startTime": start, "stopTime": stop}).facts
    assert facts.get("durationSeconds") == expected


def test_facts_of_a_batch() -> None:
    """With those of the setting that its runs share."""
    lineage = batch_lineage(
        {
            "id": "99",
            "uuid": "u",
            "name": "Jane Doe",
            "totalRuns": 2,
            "runSummary": {"completedRunCount": 2},
            "defaultRunSetting": {"workflowId": "7", "name": "Jane Doe", "parameters": {"a": "Jane Doe"}},
        },
        [{"a": "s3://reads/a"}, {"a": "s3://reads/b"}],
        outputs=["s3://out/runs", None, "s3://out/runs/"],
    )
    assert lineage.facts == {
        "batchId": "99",
        "uuid": "u",
        "totalRuns": 2,
        "runSummary": {"completedRunCount": 2},
        "workflowId": "7",
    }
    assert lineage.inputs == (("s3://reads", "a"), ("s3://reads", "b"))
    assert lineage.outputs == (("s3://out", "runs"),)
