# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Conversion and validation of the fields of a request, for runs and run batches.

A problem is a sentence with the argument and the rule, but never the value.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from botocore import __version__ as botocore_version
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.requests.json_values import (
    BrokenTemplate,
    as_json,
    is_text,
    json_problems,
    json_size,
    type_name,
)

#: https://docs.aws.amazon.com/omics/latest/dev/fixed-quotas.html
MAX_PARAMETERS_BYTES: Final = 50_000
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_TAGS: Final = 50

#: Problems per error, to keep it short: each of the 100,000 run settings of a batch may have one.
MAX_PROBLEMS: Final = 20

#: A regular expression, and its rule in words.
_Rule = tuple[str, str]

#: Ids of stores, their contents and jobs: botocore model, shapes SequenceStoreId, ReadSetId and the like.
_STORAGE_ID: Final = r"[0-9]{10,36}"

_NUMERIC_ID: Final[_Rule] = (r"[0-9]{1,18}", "must be 1 to 18 digits")
_NAME: Final[_Rule] = (
    r"[A-Za-z0-9][A-Za-z0-9._-]*",
    "must begin with a letter or digit, followed by letters, digits, '.', '_' and '-'",
)
_S3_OBJECT: Final[_Rule] = (
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+",
    "must be the S3 URI of an object, like s3://bucket/key",
)
_S3_PREFIX: Final[_Rule] = (
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?",
    "must be an S3 URI, like s3://bucket/prefix",
)
_ACCOUNT_ID: Final[_Rule] = (r"[0-9]{12}", "must be an AWS account id of 12 digits")
_PATTERNS: Final[Mapping[str, _Rule]] = {
    "workflow_id": _NUMERIC_ID,
    "run_id": (_NUMERIC_ID[0], "must be a HealthOmics run id (1 to 18 digits), not the DAG-run ID"),
    "batch_id": (_NUMERIC_ID[0], "must be the id of a HealthOmics run batch (1 to 18 digits)"),
    "cache_id": _NUMERIC_ID,
    "run_group_id": _NUMERIC_ID,
    "workflow_owner_id": _ACCOUNT_ID,
    "output_bucket_owner_id": _ACCOUNT_ID,
    "role_arn": (
        r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+",
        "must be the ARN of an IAM role, like arn:aws:iam::123456789012:role/NAME",
    ),
    "output_uri": _S3_PREFIX,
    "destination": _S3_PREFIX,
    "source_file": _S3_OBJECT,
    "source1": _S3_OBJECT,
    "source2": _S3_OBJECT,
    "sequence_store_id": (_STORAGE_ID, "must be the id of a sequence store (10 to 36 digits)"),
    "reference_store_id": (_STORAGE_ID, "must be the id of a reference store (10 to 36 digits)"),
    "read_set_id": (_STORAGE_ID, "must be the id of a read set (10 to 36 digits)"),
    "job_id": (_STORAGE_ID, "must be the id of a job (10 to 36 digits)"),
    "reference_arn": (r"arn:.+", "must be the ARN of a reference"),
    "s3_uri_settings": _S3_OBJECT,
    "parameters_uri": _S3_OBJECT,
    "configuration_name": _NAME,
    "workflow_version_name": _NAME,
    "cache_bucket_owner_id": _ACCOUNT_ID,
    "vpc_owner_account_id": _ACCOUNT_ID,
    "workflow_bucket_owner_id": _ACCOUNT_ID,
    "cache_s3_location": _S3_PREFIX,
    "security_group_ids": (r"sg-[0-9a-f]+", "must be the id of a security group, like sg-0123456789abcdef0"),
    "subnet_ids": (r"subnet-[0-9a-f]+", "must be the id of a subnet, like subnet-0123456789abcdef0"),
}


class Problems:
    """
    The problems of a request: the text of the first ones, and the number of further ones.

    :param operation: API operation of the request
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.shown: list[str] = []
        self.more = 0

    def add(self, *problems: str) -> None:
        """Add problems, one sentence each."""
        room = MAX_PROBLEMS - len(self.shown)
        self.shown += problems[:room]
        self.more += len(problems[room:])

    def add_first(self, problem: str) -> None:
        """Add a problem before all others."""
        self.shown.insert(0, problem)
        self.more += len(self.shown[MAX_PROBLEMS:])
        del self.shown[MAX_PROBLEMS:]

    def __bool__(self) -> bool:
        """Whether there is a problem."""
        return bool(self.shown)

    def refuse(self) -> None:
        """
        Raise an error if there is a problem.

        :raises HealthOmicsRequestError: with the problems
        """
        if self:
            rest = [f"... and {self.more:,} more"] if self.more else []
            raise HealthOmicsRequestError(self.operation, self.shown + rest)


@lru_cache(maxsize=256)
def api_field(argument: str) -> str:
    """Return the API name of an argument: ``workflow_id`` is ``workflowId``."""
    first, *others = argument.split("_")
    return first + "".join(map(str.capitalize, others))


def refuse_broken_templates(operation: str, values: Mapping[str, Any]) -> None:
    """
    Raise an error if the template of an argument could not be rendered.

    :param operation: API operation to name in errors
    :param values: the arguments after rendering, by name
    :raises HealthOmicsRequestError: with all such arguments
    :raises HealthOmicsTemplateError: if one could not be rendered for a temporary reason
    """
    problems = Problems(operation)
    for name, value in values.items():
        if isinstance(value, BrokenTemplate):
            problems.add(*json_problems(value, name))
    problems.refuse()


def checked_id(operation: str, name: str, value: Any, rule_of: str | None = None) -> str:
    """
    Validate an id, and return it as text.

    :param operation: API operation to name in errors
    :param name: of the argument, such as ``run_id`` or ``batch_id``
    :param value: the argument after rendering
    :param rule_of: the argument whose rule applies, if it has another name
    :raises HealthOmicsRequestError: if it is not such an id
    """
    refuse_broken_templates(operation, {name: value})
    # Jinja and f-strings render None as text.
    if value is None or value == "None":
        raise HealthOmicsRequestError(
            operation,
            [
                f"{name} is None: an XCom is missing. Check the task id in the template, and that this task "
                "returned an id"
            ],
        )
    pattern, rule = _PATTERNS[rule_of or name]
    if not re.fullmatch(pattern, _text(value)):
        raise HealthOmicsRequestError(operation, [f"{name} {rule}"])
    return _text(value)


def checked_fields(
    values: Mapping[str, Any], shape: StructureShape, problems: Problems, prefix: str = ""
) -> dict[str, Any]:
    """
    Return the valid members of a structure by API name. The others become problems.

    :param values: by argument name
    :param shape: of the structure, in botocore
    :param problems: collects problems
    :param prefix: path of the arguments, such as ``run_settings[3].``
    """
    fields = {}
    for name, value in values.items():
        field = api_field(name)
        member = shape.members.get(field)
        if member is None:
            problems.add(
                f"{prefix}{name} is newer than the installed botocore {botocore_version}: upgrade boto3"
            )
            continue
        converted, complaints = convert_field(name, value, member, prefix + name)
        if complaints:
            problems.add(*complaints)
        else:
            fields[field] = converted
    return fields


def further_fields(
    values: Any, arguments: Sequence[str], shape: StructureShape, problems: Problems, path: str
) -> dict[str, Any]:
    """
    Return fields without an argument, if they fit botocore's model of the API.

    :param values: the mapping after rendering, by API name
    :param arguments: names of all arguments
    :param shape: of the request, in botocore
    :param problems: collects problems
    :param path: name of the argument with the mapping
    """
    fields: dict[str, Any]
    fields, complaints = _json_mapping(values, path)
    if complaints:
        problems.add(*complaints)
        return {}
    names = {api_field(argument): argument for argument in arguments}
    for field, value in fields.items():
        if field in names or field in arguments:
            problems.add(f"{path}.{field} has an argument: use {names.get(field, field)}")
        elif field not in shape.members:
            problems.add(
                f"{path}.{field} is unknown to the installed botocore {botocore_version}: check its name, or "
                "upgrade boto3"
            )
        elif ParamValidator().validate(value, shape.members[field]).has_errors():
            kind = shape.members[field].type_name
            problems.add(f"{path}.{field} must be a {kind} of the form that the API requires")
    return fields


def convert_field(name: str, value: Any, shape: Shape, path: str) -> tuple[Any, list[str]]:
    """
    Return a value converted for the API, and its problems.

    :param name: of the argument
    :param value: the argument after rendering
    :param shape: of the field in botocore, the source of lengths, ranges and enums
    :param path: of the argument, to name in problems
    """
    if isinstance(value, BrokenTemplate):
        return value, list(json_problems(value, path))
    if convert := _CONVERTERS.get(name):
        return convert(value, shape, path)
    if shape.type_name == "integer":
        return _whole_number(value, shape, path)
    if shape.type_name == "boolean":
        return _boolean(value, path)
    if isinstance(shape, ListShape):
        return _strings(name, value, shape, path)
    return _string(value, shape, path, _PATTERNS.get(name))


def _string(value: Any, shape: Shape, path: str, rule: _Rule | None) -> tuple[Any, list[str]]:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return value, list(json_problems(value, path)) or [
            f"{path} must be a string, not {type(value).__name__}"
        ]
    text = _text(value)
    enum = getattr(shape, "enum", None)
    if enum and text not in enum:
        return text, [f"{path} must be one of {', '.join(enum)}"]
    if rule and not re.fullmatch(rule[0], text):
        return text, [f"{path} {rule[1]}"]
    # The API's patterns for free text allow every category of characters except C. Printable text has none of
    # it, and isprintable() is faster.
    if not text.isprintable() and any(unicodedata.category(character).startswith("C") for character in text):
        return text, [f"{path} must not contain control characters"]
    return text, _length_problem(path, text, shape)


def _strings(name: str, value: Any, shape: ListShape, path: str) -> tuple[Any, list[str]]:
    """Accept a list of strings. Each must satisfy the rule of the argument."""
    items, problems = as_json(value, path)
    if problems or not isinstance(items, list):
        return value, problems or [f"{path} must be a list, not {type_name(value)}"]
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(items))
    if not low <= len(items) <= high:
        problems.append(f"{path} must have {low} to {high} elements, not {len(items)}")
    converted = []
    for index, item in enumerate(items):
        text, complaints = _string(item, shape.member, f"{path}[{index}]", _PATTERNS.get(name))
        converted.append(text)
        problems += complaints
    return converted, problems


def _whole_number(value: Any, shape: Shape, path: str) -> tuple[Any, list[str]]:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return value, [f"{path} must be a whole number"]
    low, high = shape.metadata.get("min", value), shape.metadata.get("max", value)
    return value, [] if low <= value <= high else [f"{path} must be from {low} to {high}"]


def _boolean(value: Any, path: str) -> tuple[Any, list[str]]:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    return value, [] if isinstance(value, bool) else [f"{path} must be true or false"]


def _document(value: Any, shape: Shape, path: str) -> tuple[Any, list[str]]:
    return _json_mapping(value, path)


def _json_mapping(value: Any, path: str) -> tuple[Any, list[str]]:
    document, problems = as_json(value, path)
    if not problems and not isinstance(value, Mapping):
        problems.append(f"{path} must be a mapping, not {type_name(value)}")
    return document, problems


def _parameters(value: Any, shape: Shape, path: str) -> tuple[Any, list[str]]:
    document, problems = _json_mapping(value, path)
    if not problems and (size := json_size(document)) > MAX_PARAMETERS_BYTES:
        advice = ": set parameters_s3_uri for larger ones" if path == "parameters" else ""
        problems.append(
            f"{path} must be at most {MAX_PARAMETERS_BYTES:,} bytes of JSON, not {size:,}{advice}"
        )
    return document, problems


def _tags(value: Any, shape: MapShape, path: str) -> tuple[Any, list[str]]:
    if not isinstance(value, Mapping):
        return value, [f"{path} must be a mapping of strings to strings, not {type_name(value)}"]
    problems = [f"{path} must be at most {MAX_TAGS}, not {len(value)}"] if len(value) > MAX_TAGS else []
    tags = {}
    for key, item in value.items():
        if not isinstance(key, str):
            problems.append(f"{path} has a key that is not a string")
            continue
        if not is_text(key):
            problems.append(f"{path} has a key that is not valid text: it has half of a surrogate pair")
            continue
        tags[key], complaints = _tag_value(f"{path}.{key}", item, shape.value)
        problems += _length_problem(f"the key of {path}.{key}", key, shape.key) + complaints
    return tags, problems


def _tag_value(path: str, value: Any, shape: Shape) -> tuple[Any, list[str]]:
    if problems := list(json_problems(value, path)):
        return value, problems
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return value, [f"{path} must be a string, not {type(value).__name__}"]
    return _text(value), _length_problem(path, _text(value), shape)


def _session_policy(value: Any, shape: Shape, path: str) -> tuple[Any, list[str]]:
    """Accept the policy as JSON text or as a mapping."""
    if isinstance(value, Mapping):
        document, problems = as_json(value, path)
        if problems:
            return value, problems
        value = json.dumps(document, separators=(",", ":"))
    if not isinstance(value, str):
        return value, [f"{path} must be an IAM policy as JSON text or a mapping"]
    try:
        json.loads(value)
    except ValueError:
        return value, [f"{path} is not JSON"]
    return value, _length_problem(path, value, shape)


def _length_problem(path: str, text: str, shape: Shape) -> list[str]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", len(text))
    if low <= len(text) <= high:
        return []
    return [f"{path} must be {low} to {high} characters long, not {len(text)}"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


_CONVERTERS: Final[Mapping[str, Callable[[Any, Any, str], tuple[Any, list[str]]]]] = {
    "parameters": _parameters,
    "engine_settings": _document,
    "session_policy": _session_policy,
    "tags": _tags,
    "run_tags": _tags,
}
