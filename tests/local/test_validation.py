# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Requests are checked against the installed botocore model, also where botocore's client does not check."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.api_model import listed_regions
from airflow_healthomics.testing import Control
from airflow_healthomics.testing.validation import compiled, violations

from .conftest import BUCKET, ROLE, SESSION, aws, error_of

MODEL = botocore.session.get_session().get_service_model("omics")
START_RUN: Any = MODEL.operation_model("StartRun").input_shape
VALID = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}", "requestId": "one"}


def nested(levels: int) -> bytes:
    """Return lists within lists."""
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"roleArn": None}, "roleArn is required"),
        ({"roleArn": 5}, "roleArn must be a string"),
        ({"roleArn": "role"}, "roleArn must match arn:.+"),
        ({"roleArn": "arn:" + "x" * 125}, "roleArn must have at most 128 characters"),
        ({"name": ""}, "name must have at least 1 characters"),
        ({"name": "a\x00b"}, "name must match"),
        ({"requestId": "x" * 129}, "requestId must have at most 128 characters"),
        ({"requestId": "line\nbreak"}, "requestId must match"),
        ({"workflowId": "abc"}, "workflowId must match [0-9]+"),
        ({"workflowId": "1" * 19}, "workflowId must have at most 18 characters"),
        ({"storageType": "BOGUS"}, "storageType must be one of STATIC, DYNAMIC"),
        ({"logLevel": "all"}, "logLevel must be one of OFF, FATAL, ERROR, ALL"),
        ({"priority": 100_001}, "priority must be at most 100000"),
        ({"priority": -1}, "priority must be at least 0"),
        ({"priority": "1"}, "priority must be an integer"),
        ({"priority": True}, "priority must be an integer"),
        ({"priority": 1.5}, "priority must be an integer"),
        ({"tags": {"": "x"}}, "tags key must have at least 1 characters"),
        ({"tags": {"k": "x" * 257}}, "tags.k must have at most 256 characters"),
        ({"tags": ["k"]}, "tags must be an object"),
        (
            {"tags": {"aws:cloudformation:stack-name": "x"}},
            "tags must not have keys with the reserved prefix aws:",
        ),
        ({"tags": {"AWS:owner": "x"}}, "tags must not have keys with the reserved prefix aws:"),
        ({"workflowOwnerId": "123"}, "workflowOwnerId must match [0-9]{12}"),
        ({"workflowVersionName": "-x"}, "workflowVersionName must match"),
        ({"outputBucketOwnerId": "1"}, "outputBucketOwnerId is not a member of the request"),
    ],
)
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_each_rule_of_the_model_is_kept(control: Control, fields: dict[str, Any], complaint: str) -> None:
    """ValidationException names field and rule, even if the client validates nothing."""
    client = SESSION.client("omics", config=Config(parameter_validation=False))

    def send(params: dict[str, Any], **_: Any) -> None:
        body = {name: value for name, value in {**VALID, **fields}.items() if value is not None}
        params["body"] = json.dumps(body).encode()

    client.meta.events.register("before-call.omics.StartRun", send)
    code, status, message = error_of(client.start_run, **VALID)
    assert (code, status) == ("ValidationException", 400)
    assert complaint in message
    assert control.runs() == []


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b'"text"',
        b"\xff",
        *(
            b'{"parameters": {"a": %b}}' % value
            for value in (b"NaN", b"[-Infinity]", nested(150), nested(3000))
        ),
    ],
    ids=["text", "list", "string", "bytes", "NaN", "Infinity", "nested", "nested-very-deeply"],
)
def test_a_body_must_be_an_object(control: Control, body: bytes) -> None:
    """Anything but a JSON object of sane depth is refused as the client's error, not as a server error."""
    client = SESSION.client("omics")
    client.meta.events.register("before-call.omics.StartRun", lambda params, **_: params.update(body=body))
    code, status, message = error_of(client.start_run, **VALID)
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith("the request body must")


@pytest.mark.parametrize(
    ("operation", "arguments", "complaint"),
    [
        ("get_run", {"id": "abc"}, "id must match [0-9]+"),
        ("get_run", {"id": "1", "export": ["BOGUS"]}, "export[0] must be one of DEFINITION"),
        ("list_runs", {"maxResults": 101}, "maxResults must be at most 100"),
        ("list_runs", {"status": "DONE"}, "status must be one of PENDING"),
        ("list_runs", {"startingToken": "bogus"}, "startingToken"),
        ("list_run_tasks", {"id": "1", "status": "DELETED"}, "status must be one of PENDING"),
        ("list_workflows", {"type": "SHARED"}, "type must be one of PRIVATE, READY2RUN"),
        ("create_workflow", {}, "exactly one of definitionZip, definitionUri, definitionRepository"),
        (
            "create_workflow",
            {"definitionZip": b"x", "parameterTemplate": {"a": {"description": "x" * 257}}},
            "parameterTemplate.a.description must have at most 256 characters",
        ),
    ],
)
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_rules_hold_in_paths_and_queries_too(
    omics: Any, operation: str, arguments: dict[str, Any], complaint: str
) -> None:
    """A value in the path, the query string or deep in the body is checked alike."""
    code, status, message = error_of(getattr(omics, operation), **arguments)
    assert (code, status) == ("ValidationException", 400)
    assert complaint in message


def test_nested_parameters_are_accepted(control: Control, omics: Any) -> None:
    """Parameters of a sane depth come back as they were sent."""
    parameters = {"a": json.loads(nested(90))}
    run = omics.start_run(**VALID, parameters=parameters)
    assert omics.get_run(id=run["id"])["parameters"] == parameters


@pytest.mark.parametrize("operation", ["list_runs", "list_workflows"])
def test_a_region_without_healthomics_gets_an_error(control: Control, operation: str) -> None:
    """The error has the form of the service's, names the region, and the call is recorded."""
    client = aws("omics", region_name="eu-north-1")
    code, status, message = error_of(getattr(client, operation))
    assert (code, status) == ("NotSupportedOperationException", 501)
    assert "eu-north-1" in message
    assert [call["error"] for call in control.calls()] == ["NotSupportedOperationException"]


@pytest.mark.parametrize("region", sorted(listed_regions()))
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_every_region_with_healthomics_answers(control: Control, region: str) -> None:
    """The regions are those of the current API, whatever botocore is installed."""
    assert aws("omics", region_name=region).list_runs()["items"] == []


def test_run_tags_of_a_batch_must_not_be_reserved(omics: Any, start_batch: Callable[..., str]) -> None:
    """A reserved tag key is refused in both kinds of tags."""
    for place in ({"defaults": {"runTags": {"aws:a": "b"}}}, {"tags": {"aws:a": "b"}}):
        code, _, message = error_of(start_batch, "a", **place)
        assert code == "ValidationException"
        assert "reserved prefix" in message


def test_all_broken_rules_are_reported() -> None:
    """One error names every field that is wrong."""
    broken = list(violations(START_RUN, {"priority": "x", "storageType": "y", "workflowId": "z"}))
    assert {sentence.split()[0] for sentence in broken} == {
        "priority",
        "storageType",
        "workflowId",
        "roleArn",
        "outputUri",
        "requestId",
    }


@given(st.text(min_size=1, max_size=128))
def test_java_categories_are_read_as_java_reads_them(text: str) -> None:
    """A name may have every character but control characters and those that are not assigned."""
    pattern = START_RUN.members["name"].metadata["pattern"]
    allowed = all(unicodedata.category(character)[0] in "LMZSNP" for character in text)
    assert bool(compiled(pattern).fullmatch(text)) == allowed


def test_every_pattern_of_the_model_compiles() -> None:
    """No pattern of the installed model is beyond the translation."""
    for name in MODEL.shape_names:
        if pattern := MODEL.shape_for(name).metadata.get("pattern"):
            assert isinstance(compiled(pattern), re.Pattern)
