# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Which column of a sample sheet goes where, and as which type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from airflow_healthomics.requests.fields import Problems
from airflow_healthomics.requests.json_values import json_problems, type_name

#: What a sheet is read for.
OPERATION: Final = "StartRunBatch"

TYPES: Final = ("string", "integer", "number", "boolean", "json")

#: A type in a sentence.
A_TYPE: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "json": "JSON",
}

#: Every field of the API's InlineSetting, as an argument. A test holds them against the installed botocore.
VALUE_TARGETS: Final = ("run_setting_id", "name", "output_uri", "priority", "output_bucket_owner_id")
#: Those that are mappings, so that a target is one key of theirs.
MAPPING_TARGETS: Final = ("parameters", "run_tags", "engine_settings")

ID_TARGET: Final = "run_setting_id"


class Target(NamedTuple):
    """Where a column goes: ``parameters.depth`` is the key ``depth`` of the field ``parameters``."""

    path: str
    field: str
    key: str | None
    column: str
    type: str | None


def read_targets(columns: Any, types: Any) -> list[Target]:
    """
    Return where each column goes.

    :param columns: the column for each target; see :mod:`airflow_healthomics.batches.sample_sheet`
    :param types: the type for a target, where it is not plain text
    :raises HealthOmicsRequestError: if one of them cannot be followed
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
                f"columns has the target {path!r}, which is none: give {', '.join(VALUE_TARGETS)}, or "
                f"{', '.join(f'{name}.KEY' for name in MAPPING_TARGETS)}"
            )
        elif not isinstance(column, str) or not column:
            problems.add(f"columns.{path} must be the name of a column")
        elif path in MAPPING_TARGETS and types.get(path) != "json":
            problems.add(f"columns.{path} must name a key, as {path}.KEY, or be declared json in types")
        elif dot and field in columns:
            problems.add(f"columns.{path} is part of {field}, which has a column of its own")
        targets.append(Target(path, field, key if dot else None, column, types.get(path)))
    if ID_TARGET not in columns:
        problems.add(f"columns must have the target {ID_TARGET}, which tells one run from another")
    for path, type_ in types.items():
        if path not in columns:
            problems.add(f"types has the target {path!r}, which columns has not")
        if type_ not in TYPES:
            problems.add(f"types.{path} must be one of {', '.join(TYPES)}")
    problems.refuse()
    return targets
