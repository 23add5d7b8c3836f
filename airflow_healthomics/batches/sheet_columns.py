# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The columns of a sample sheet: the field or parameter that each fills, and its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from airflow_healthomics.requests.fields import Problems
from airflow_healthomics.requests.json_values import json_problems, type_name

#: API operation to name in errors.
OPERATION: Final = "StartRunBatch"

TYPES: Final = ("string", "integer", "number", "boolean", "json")

#: Words for a type in a sentence.
A_TYPE: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "json": "JSON",
}

#: The fields of the API's InlineSetting by argument name, except mappings. A test compares them with
#: botocore.
VALUE_TARGETS: Final = ("run_setting_id", "name", "output_uri", "priority", "output_bucket_owner_id")
#: Its mappings. A target is one of their keys.
MAPPING_TARGETS: Final = ("parameters", "run_tags", "engine_settings")

ID_TARGET: Final = "run_setting_id"


class Target(NamedTuple):
    """The target of a column: ``parameters.depth`` is the key ``depth`` of the field ``parameters``."""

    path: str
    field: str
    key: str | None
    column: str
    type: str | None


def read_targets(columns: Any, types: Any) -> list[Target]:
    """
    Return the targets of a sample sheet.

    :param columns: column of each target; see :mod:`airflow_healthomics.batches.sample_sheet`
    :param types: type of a target other than plain text
    :raises HealthOmicsRequestError: if a target, a column or a type is invalid
    """
    problems = Problems(OPERATION)
    types = {} if types is None else types
    for name, value in (("columns", columns), ("types", types)):
        broken = list(json_problems(value, name))
        if not broken and not isinstance(value, Mapping):
            broken = [f"{name} must be a mapping, not {type_name(value)}"]
        problems.add(*broken)
    problems.refuse()

    targets = []
    for path, column in columns.items():
        field, dot, key = path.partition(".")
        if not (field in MAPPING_TARGETS and (key or not dot)) and path not in VALUE_TARGETS:
            problems.add(
                f"columns has the unknown target {path!r}: use {', '.join(VALUE_TARGETS)}, or "
                f"{', '.join(f'{name}.KEY' for name in MAPPING_TARGETS)}"
            )
        elif not isinstance(column, str) or not column:
            problems.add(f"columns.{path} must be the name of a column")
        elif path in MAPPING_TARGETS and types.get(path) != "json":
            problems.add(f"columns.{path} needs a key, as in {path}.KEY, or the type json in types")
        elif dot and field in columns:
            problems.add(f"columns.{path} is part of {field}, which has another column")
        targets.append(Target(path, field, key if dot else None, column, types.get(path)))
    if ID_TARGET not in columns:
        problems.add(f"columns must have the target {ID_TARGET}, which identifies a run")
    for path, type_ in types.items():
        if path not in columns:
            problems.add(f"types has the target {path!r}, but columns does not")
        if type_ not in TYPES:
            problems.add(f"types.{path} must be one of {', '.join(TYPES)}")
    problems.refuse()
    return targets
