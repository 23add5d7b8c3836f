# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""From arguments and defaults to a StartRun request that HealthOmics can accept, or to one clear error."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from botocore import __version__ as botocore_version
from botocore.model import MapShape, Shape, StructureShape

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.json_values import BrokenTemplate, json_problems, to_json

#: https://docs.aws.amazon.com/omics/latest/dev/fixed-quotas.html
MAX_PARAMETERS_BYTES: Final = 50_000
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_TAGS: Final = 50

#: What is sent for a new run if neither the argument nor the connection says otherwise. REMOVE, because a
#: schedule with RETAIN stops for good at the account's limit of stored runs; DYNAMIC, because it cannot run
#: out of space. Both are always sent: AWS documents the service's own defaults in two ways.
BUILT_IN_DEFAULTS: Final[Mapping[str, str]] = {"retention_mode": "REMOVE", "storage_type": "DYNAMIC"}

#: Every field of StartRun, as an argument. A test holds them against the installed botocore.
ARGUMENTS: Final = (
    "workflow_id",
    "workflow_type",
    "workflow_version_name",
    "workflow_owner_id",
    "run_id",
    "role_arn",
    "output_uri",
    "output_uri_prefix_mode",
    "parameters",
    "name",
    "request_id",
    "retention_mode",
    "storage_type",
    "storage_capacity",
    "scratch_storage_mode",
    "run_group_id",
    "priority",
    "cache_id",
    "cache_behavior",
    "networking_mode",
    "configuration_name",
    "engine_settings",
    "session_policy",
    "log_level",
    "tags",
)

#: What tells one run from another; a default for it would be a mistake.
_NO_DEFAULT: Final = frozenset({"workflow_id", "run_id", "name", "request_id", "parameters"})

#: The arguments that the connection may hold a default for.
DEFAULTABLE: Final = frozenset(ARGUMENTS) - _NO_DEFAULT

#: All that a duplicate takes from the connection: StartRun requires them. It inherits the rest from its
#: original.
_DUPLICATE_DEFAULTS: Final = frozenset({"role_arn", "output_uri"})

#: What HealthOmics does not offer for READY2RUN workflows, so defaults for it are left out.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows.html
_PRIVATE_ONLY: Final = frozenset(
    {"storage_type", "storage_capacity", "cache_id", "cache_behavior", "run_group_id"}
)

#: A default that is for one value of another argument only, and left out if the DAG author gives that another
#: one.
_ONLY_WITH: Final[Mapping[str, tuple[str, str]]] = {
    "storage_capacity": ("storage_type", "STATIC"),
    "configuration_name": ("networking_mode", "VPC"),
}

_Rule = tuple[re.Pattern[str], str]

_NUMERIC_ID: Final[_Rule] = (re.compile(r"[0-9]{1,18}"), "must be 1 to 18 digits")
_NAME: Final[_Rule] = (
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "must begin with a letter or digit and go on with those, '.', '_' and '-'",
)
_PATTERNS: Final[Mapping[str, _Rule]] = {
    "workflow_id": _NUMERIC_ID,
    "run_id": (_NUMERIC_ID[0], "must be a HealthOmics run id (1 to 18 digits), not the DAG-run ID"),
    "cache_id": _NUMERIC_ID,
    "run_group_id": _NUMERIC_ID,
    "workflow_owner_id": (re.compile(r"[0-9]{12}"), "must be an AWS account id of 12 digits"),
    "role_arn": (
        re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+"),
        "must be the ARN of an IAM role, like arn:aws:iam::123456789012:role/NAME",
    ),
    "output_uri": (
        re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?"),
        "must be an S3 URI, like s3://bucket/prefix",
    ),
    "configuration_name": _NAME,
    "workflow_version_name": _NAME,
}


def api_field(argument: str) -> str:
    """Return the API's name of an argument: ``workflow_id`` is ``workflowId``."""
    first, *others = argument.split("_")
    return first + "".join(map(str.capitalize, others))


def checked_run_id(operation: str, run_id: Any) -> str:
    """
    Return the id of a run as the API wants it.

    :param operation: API operation that it is for
    :param run_id: the argument after rendering
    :raises HealthOmicsRequestError: if it cannot be the id of a run
    """
    pattern, rule = _PATTERNS["run_id"]
    if not pattern.fullmatch(_text(run_id)):
        raise HealthOmicsRequestError(operation, [f"run_id {rule}"])
    return _text(run_id)


def build_start_run_request(
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
    shape: StructureShape,
) -> dict[str, Any]:
    """
    Build and validate the request of a new run (``workflow_id``) or of a duplicate one (``run_id``).

    :param arguments: what the DAG author gave, by argument name; None counts as not given
    :param defaults: the connection's defaults, by argument name
    :param shape: StartRun's input shape of the installed botocore, the home of lengths, ranges and enums
    :raises HealthOmicsRequestError: with everything that breaks a rule
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    chosen = _with_defaults(given, defaults)
    problems: list[str] = []
    request: dict[str, Any] = {}
    for name, value in chosen.items():
        field = api_field(name)
        member = shape.members.get(field)
        if member is None:
            problems.append(f"{name} is newer than the installed botocore {botocore_version}: upgrade boto3")
            continue
        converted, complaints = _convert(name, value, member)
        problems += complaints
        request[field] = converted
    problems += _contradictions(given, chosen)
    if problems:
        raise HealthOmicsRequestError("StartRun", problems)
    return request


def _with_defaults(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: value for name, value in defaults.items() if value is not None}
    if "run_id" in given:
        return {name: defaults[name] for name in _DUPLICATE_DEFAULTS & defaults.keys()} | dict(given)
    for name, (other, value) in _ONLY_WITH.items():
        if given.get(other, value) != value:
            defaults.pop(name, None)
    chosen = {**BUILT_IN_DEFAULTS, **defaults, **given}
    if chosen.get("workflow_type") == "READY2RUN":
        return {name: value for name, value in chosen.items() if name in given or name not in _PRIVATE_ONLY}
    return chosen


def _contradictions(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is missing or contradicts itself. A duplicate may inherit what is missing."""
    is_new = "run_id" not in given
    if ("workflow_id" in given) == ("run_id" in given):
        yield "give either workflow_id (a new run) or run_id (the run to duplicate), and not both"
    for name in ("role_arn", "output_uri"):
        if name not in chosen:
            yield f"{name} is required, as an argument or in the connection's extra, service_config.omics"

    if chosen.get("workflow_type") == "READY2RUN":
        for name in sorted(given.keys() & {"storage_type", "storage_capacity"}):
            yield f"{name} cannot be set for a READY2RUN workflow, which brings its own storage"
    elif is_new and chosen.get("storage_type") == "STATIC" and "storage_capacity" not in chosen:
        yield "storage_capacity (GiB) is required with storage_type STATIC"
    elif chosen.get("storage_type") == "DYNAMIC" and "storage_capacity" in chosen:
        yield "storage_capacity goes with storage_type STATIC; DYNAMIC storage ignores it"

    if is_new and "cache_behavior" in chosen and "cache_id" not in chosen:
        yield "cache_behavior needs a cache_id"
    if is_new and chosen.get("networking_mode") == "VPC" and "configuration_name" not in chosen:
        yield "networking_mode VPC needs a configuration_name"
    if "configuration_name" in chosen and chosen.get("networking_mode", None if is_new else "VPC") != "VPC":
        yield "configuration_name goes with networking_mode VPC"


def _convert(name: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    """Return the value as the API wants it, and what is wrong with it."""
    if isinstance(value, BrokenTemplate):
        return value, list(json_problems(value, name))
    convert = _CONVERTERS.get(name) or (_whole_number if shape.type_name == "integer" else _string)
    converted, problems = convert(name, value, shape)
    return converted, problems


def _string(name: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return value, list(json_problems(value, name)) or [
            f"{name} must be a string, not {type(value).__name__}"
        ]
    text = _text(value)
    enum = getattr(shape, "enum", None)
    if enum and text not in enum:
        return text, [f"{name} must be one of {', '.join(enum)}"]
    if name in _PATTERNS and not _PATTERNS[name][0].fullmatch(text):
        return text, [f"{name} {_PATTERNS[name][1]}"]
    # The API's patterns for free text allow every category of character but this one.
    if any(unicodedata.category(character).startswith("C") for character in text):
        return text, [f"{name} must not contain control characters"]
    return text, _length_problem(name, text, shape)


def _whole_number(name: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return value, [f"{name} must be a whole number"]
    low, high = shape.metadata.get("min", value), shape.metadata.get("max", value)
    return value, [] if low <= value <= high else [f"{name} must be from {low} to {high}"]


def _document(name: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    problems = list(json_problems(value, name))
    if not problems and not isinstance(value, Mapping):
        problems.append(f"{name} must be a mapping, not {type(value).__name__}")
    return (value, problems) if problems else (to_json(value), [])


def _parameters(name: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    document, problems = _document(name, value, shape)
    if not problems:
        size = len(
            json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
        )
        if size > MAX_PARAMETERS_BYTES:
            problems.append(f"{name} must be at most {MAX_PARAMETERS_BYTES:,} bytes of JSON, not {size:,}")
    return document, problems


def _tags(name: str, value: Any, shape: MapShape) -> tuple[Any, list[str]]:
    if not isinstance(value, Mapping):
        return value, [f"{name} must be a mapping of strings to strings"]
    problems = [f"{name} must be at most {MAX_TAGS}, not {len(value)}"] if len(value) > MAX_TAGS else []
    tags = {}
    for key, item in value.items():
        if not isinstance(key, str):
            problems.append(f"{name} has a key that is no string")
            continue
        tags[key], complaints = _tag_value(f"{name}.{key}", item, shape.value)
        problems += _length_problem(f"the key of {name}.{key}", key, shape.key) + complaints
    return tags, problems


def _tag_value(path: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    if problems := list(json_problems(value, path)):
        return value, problems
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return value, [f"{path} must be a string, not {type(value).__name__}"]
    return _text(value), _length_problem(path, _text(value), shape)


def _session_policy(name: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    """Accept the policy as JSON text or as a mapping."""
    if isinstance(value, Mapping):
        problems = list(json_problems(value, name))
        if problems:
            return value, problems
        value = json.dumps(to_json(value), separators=(",", ":"))
    if not isinstance(value, str):
        return value, [f"{name} must be an IAM policy as JSON text or a mapping"]
    try:
        json.loads(value)
    except ValueError:
        return value, [f"{name} is not JSON"]
    return value, _length_problem(name, value, shape)


def _length_problem(path: str, text: str, shape: Shape) -> list[str]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(text))
    if low <= len(text) <= high:
        return []
    return [f"{path} must be {low} to {high} characters long, not {len(text)}"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


_CONVERTERS: Final[Mapping[str, Callable[[str, Any, Any], tuple[Any, list[str]]]]] = {
    "parameters": _parameters,
    "engine_settings": _document,
    "session_policy": _session_policy,
    "tags": _tags,
}
