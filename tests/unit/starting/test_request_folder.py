# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The S3 folder of a request ID is a readable key under the prefix, and unique for the request ID."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.starting.request_folder import RunFolder
from tests.unit.batch_attempts import BUCKET, PLACE, crashing

HOOK = HealthOmicsHook(aws_conn_id=None)


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("s3://a-bucket", "s3://a-bucket"),
        ("s3://a-bucket/", "s3://a-bucket"),
        ("s3://a-bucket/X/", "s3://a-bucket/X"),
        ("s3://a-bucket//a/b//", "s3://a-bucket/a/b"),
    ],
)
def test_it_is_under_the_prefix(prefix: str, folder: str) -> None:
    """Whether or not the prefix ends with a slash."""
    assert RunFolder(prefix, "id.1_2-3", HOOK).uri("x.json") == f"{folder}/id.1_2-3/x.json"


@pytest.mark.parametrize("request_id", ["a+b", "a b", "a/b", "a\u00e9b"])
def test_unusual_characters_are_replaced(request_id: str) -> None:
    """They get a digest, so two request IDs do not share a folder."""
    uri = RunFolder("s3://a-bucket", request_id, HOOK).uri("x")
    assert re.fullmatch(r"s3://a-bucket/a-b\.[0-9a-f]{16}/x", uri)
    assert uri != RunFolder("s3://a-bucket", "a:b", HOOK).uri("x")


@pytest.mark.parametrize("prefix", ["", "bucket/folder", "https://bucket/folder", "s3://A/folder"])
def test_an_invalid_prefix_is_refused(prefix: str) -> None:
    """The error names the call and the argument."""
    with pytest.raises(HealthOmicsRequestError, match="parameters_s3_uri must be an S3 URI") as caught:
        RunFolder(prefix, "id", HOOK)
    assert caught.value.operation == "StartRun"


def test_an_input_file_is_never_overwritten(bucket: Any) -> None:
    """A run may read the first one; other objects are replaced."""
    folder = RunFolder(PLACE, "id", HOOK)
    file = folder.input_file("parameters", b"{}")
    key = file.uri.removeprefix(f"s3://{BUCKET}/")
    file.write()
    file._replace(content=b"[]").write()
    assert bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"{}"
    folder.write(file.name, b"[]")
    assert folder.read(file.name) == b"[]"


@pytest.mark.parametrize(("code", "has_advice"), [("AccessDenied", True), ("NoSuchBucket", False)])
def test_a_refused_object_is_an_error_with_its_location(bucket: Any, code: str, has_advice: bool) -> None:
    """Only a missing permission has the advice to edit the policy."""
    file = RunFolder(PLACE, "id", HOOK).input_file("parameters", b"{}")
    with (
        crashing("PutObject", error=ClientError({"Error": {"Code": code}}, "PutObject")),
        pytest.raises(HealthOmicsApiError, match=f"{file.uri} .parameters_s3_uri.*{code}") as caught,
    ):
        file.write()
    assert caught.value.code == code
    assert ("s3:PutObject" in str(caught.value)) is has_advice
