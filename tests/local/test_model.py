# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Every implemented operation accepts what the service model allows, and refuses each break of its rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from moto.core.utils import get_service_model

from airflow_healthomics.testing import Control

from .conftest import SESSION, error_of
from .model_requests import ABSENT, Break, breaks, put, requests, sound
from .test_members import operations

pytestmark = [
    pytest.mark.parametrize("control", ["in-process"], indirect=True),
    pytest.mark.parametrize("operation", operations()),
]


def model_of(operation: str) -> OperationModel:
    """Return the model of an operation."""
    found: OperationModel = get_service_model("omics").operation_model(operation)
    return found


def location_of(model: OperationModel, each: Break) -> str | None:
    """Return where a request has the broken member: "uri", "payload" and so on, or None for its JSON."""
    shape: Any = model.input_shape
    if shape.serialization.get("payload") == each.path[0]:
        return "payload"
    member: Any = shape.members.get(str(each.path[0]))
    location: str | None = None if member is None else member.serialization.get("location")
    return location


def can_travel(model: OperationModel, each: Break) -> bool:
    """
    Whether a request can break the rule in this way.

    Without its ids and its required query, a request is not that operation. Outside of bodies, all is text.
    A body that is not JSON can be anything.
    """
    location = location_of(model, each)
    if location in (None, "payload"):
        return location is None
    return each.value is not ABSENT and each.value not in ("", []) and each.rule != "type"


def name_of(each: Break) -> str:
    """Return how an error names the broken member."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in each.path)
    name = "".join(steps).removeprefix(".")
    return f"{name} key" if each.rule.startswith("key ") else name


def outcome(call: Callable[..., Any], request: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the code and message of the error that a call raises, if any."""
    try:
        call(**request)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return None, ""


def test_what_the_model_allows_is_accepted(control: Control, operation: str) -> None:
    """A request within all limits may be refused for its references, but not for its form."""
    client = SESSION.client("omics")
    for request in requests(model_of(operation)):
        if operation == "UntagResource" and not request["tagKeys"]:
            continue  # an empty query counts as absent
        code, message = outcome(getattr(client, xform_name(operation)), request)
        assert code in (
            None,
            "ResourceNotFoundException",
            "ConflictException",
            "ServiceQuotaExceededException",
            "ValidationException",
        )
        assert "validation error" not in message, request


def test_each_broken_rule_is_refused(control: Control, operation: str) -> None:
    """The error is ValidationException, which the operation declares, and it names the member."""
    model = model_of(operation)
    shape: Any = model.input_shape
    assert "ValidationException" in {error.name for error in model.error_shapes}
    for each in filter(lambda each: can_travel(model, each), breaks(shape)):
        client = SESSION.client("omics", config=Config(parameter_validation=False))
        request = {name: sound(shape.members[name], largest=True) for name in shape.required_members}
        top = str(each.path[0])
        if location_of(model, each) is None:
            if top in shape.members:
                request[top] = sound(shape.members[top], largest=True)

            def damage(params: dict[str, Any], each: Break = each, **_: Any) -> None:
                body = json.loads(params["body"] or b"{}")
                put(body, each.path, each.value)
                params["body"] = json.dumps(body).encode()

            client.meta.events.register("before-call.omics", damage)
        elif each.value is ABSENT:
            del request[top]
        else:
            request[top] = each.value if len(each.path) == 1 else [each.value]
        code, status, message = error_of(getattr(client, xform_name(operation)), **request)
        assert (code, status) == ("ValidationException", 400), (each, message)
        assert name_of(each) in message, each
