# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Build and validate the requests that create run groups, run caches and configurations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.model import StructureShape

from airflow_healthomics.requests.fields import Problems, checked_fields, convert_field
from airflow_healthomics.requests.run import without_none

#: Seconds during which equal requests have the same request ID, so that tasks that run at the same time
#: create one resource. It is short, because HealthOmics may answer with a resource that was deleted since.
REQUEST_ID_WINDOW: Final = 600

#: Arguments of CreateConfiguration that are fields of its ``vpcConfig``.
_VPC_ARGUMENTS: Final = ("security_group_ids", "subnet_ids", "vpc_owner_account_id")


def build_create_request(
    operation: str, arguments: Mapping[str, Any], shape: StructureShape, required: Sequence[str] = ()
) -> dict[str, Any]:
    """
    Build and validate a request whose fields are all arguments.

    :param operation: API operation, such as ``CreateRunGroup``
    :param arguments: arguments of the DAG author, by name; None means not set
    :param shape: the operation's input shape in botocore, the source of lengths, ranges and enums
    :param required: names of required arguments
    :raises HealthOmicsRequestError: with all problems
    """
    given, problems = without_none(arguments), Problems(operation)
    _require(given, required, problems)
    request = checked_fields(given, shape, problems)
    problems.refuse()
    return request


def build_configuration_request(arguments: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    """
    Build and validate the request of CreateConfiguration.

    :param arguments: arguments of the DAG author, by name; None means not set
    :param shape: input shape of CreateConfiguration in botocore
    :raises HealthOmicsRequestError: with all problems
    """
    given, problems = without_none(arguments), Problems("CreateConfiguration")
    _require(given, ("name", "subnet_ids"), problems)
    vpc_shape = shape.members["runConfigurations"].members["vpcConfig"]
    vpc: dict[str, Any] = {name: given.pop(name) for name in _VPC_ARGUMENTS if name in given}
    name = given.pop("name", None)
    request = checked_fields(given, shape, problems)
    if name is not None:
        request["name"], complaints = convert_field("configuration_name", name, shape.members["name"], "name")
        problems.add(*complaints)
    request["runConfigurations"] = {"vpcConfig": checked_fields(vpc, vpc_shape, problems)}
    problems.refuse()
    return request


def creation_request_id(operation: str, fields: Mapping[str, Any], now: float, repetition: int = 0) -> str:
    """
    Return a request ID that is equal for equal requests within :data:`REQUEST_ID_WINDOW`.

    :param operation: API operation
    :param fields: fields of the request
    :param now: Unix time in seconds
    :param repetition: number of earlier request IDs whose resource no longer exists
    """
    parts = [operation, fields, now // REQUEST_ID_WINDOW, repetition]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _require(given: Mapping[str, Any], names: Sequence[str], problems: Problems) -> None:
    problems.add(*(f"{name} is required" for name in names if name not in given))
