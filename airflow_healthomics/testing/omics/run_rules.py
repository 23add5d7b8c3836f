# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Documented rules of StartRun that the model cannot express."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .exceptions import ValidationException
from .workflow import Definition

#: User guide, page "fixed-quotas".
MAX_PARAMETER_BYTES = 50_000
#: API reference of StartRun.
DEFAULT_STATIC_GIB = 1200
MAX_TAGS = 50

_OUTPUT_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")


def check_request(request: Mapping[str, Any]) -> None:
    """
    Refuse a StartRun request with contradictions.

    :raises ValidationException: with all broken rules.
    """
    _refuse(_contradictions(request))


def check_run(request: Mapping[str, Any]) -> None:
    """Refuse invalid combinations, after a rerun has inherited its fields."""
    _refuse(_bad_combinations(request))


def check_parameters(parameters: Mapping[str, Any], definition: Definition) -> None:
    """
    Refuse parameters that do not match the workflow's parameter template.

    "needs all required parameters" and "cannot include any parameters that are not defined in the parameter
    template" (API reference of StartRun). Errors have names, but no values.
    """
    template = definition.template
    if template is None:
        return
    required = {name for name, entry in template.items() if not (entry or {}).get("optional")}
    missing, unknown = sorted(required - parameters.keys()), sorted(parameters.keys() - template.keys())
    _refuse(
        sentence
        for names, sentence in (
            (missing, f"parameters lacks {', '.join(missing)}: required by the workflow"),
            (unknown, f"parameters has {', '.join(unknown)}: not defined by the workflow"),
        )
        if names
    )


def provisioned_gib(capacity: int) -> int:
    """Return the provisioned STATIC storage: "1200 or multiples of 2400" (page "workflows-run-types")."""
    return DEFAULT_STATIC_GIB if capacity <= DEFAULT_STATIC_GIB else -(-capacity // 2400) * 2400


def _contradictions(request: Mapping[str, Any]) -> Iterator[str]:
    if ("workflowId" in request) == ("runId" in request):
        yield "exactly one of workflowId and runId is required"
    # Only in the common settings of a batch it is optional.
    if "outputUri" in request and not _OUTPUT_URI.fullmatch(request["outputUri"]):
        yield "outputUri must be an S3 URI, s3://bucket/prefix"
    if "parameters" in request and "parametersUri" in request:
        yield "parameters and parametersUri exclude each other"
    if "parameters" in request:
        parameters = request["parameters"]
        if not isinstance(parameters, Mapping):
            yield "parameters must be a JSON object"
        elif (
            len(json.dumps(parameters, separators=(",", ":"), ensure_ascii=False).encode())
            > MAX_PARAMETER_BYTES
        ):
            yield f"parameters must have at most {MAX_PARAMETER_BYTES} bytes of JSON"
    if not isinstance(request.get("engineSettings", {}), Mapping):
        yield "engineSettings must be a JSON object"
    if len(request.get("tags", {})) > MAX_TAGS:
        yield f"tags must have at most {MAX_TAGS} entries"


def _bad_combinations(request: Mapping[str, Any]) -> Iterator[str]:
    if "cacheBehavior" in request and "cacheId" not in request:
        yield "cacheBehavior requires cacheId to be set"
    if (request.get("networkingMode") == "VPC") != ("configurationName" in request):
        yield "networkingMode VPC and configurationName require each other"
    if request.get("workflowType") == "READY2RUN":
        if "storageCapacity" in request or request.get("storageType", "DYNAMIC") != "DYNAMIC":
            yield "a READY2RUN workflow does not allow storageCapacity, or a storageType other than DYNAMIC"
        for name in ("cacheId", "runGroupId"):
            if name in request:
                yield f"a READY2RUN workflow does not allow {name}"


def _refuse(sentences: Iterator[str]) -> None:
    if broken := list(sentences):
        raise ValidationException("; ".join(broken))
