# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The values of a trigger form, by parameter of the workflow, when the task is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow_healthomics.requests.json_values import BrokenTemplate

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: The key of :func:`~airflow_healthomics.params.form.run_parameters`.
#: :mod:`~airflow_healthomics.templating.typed` replaces it by the values of the form.
FORM_KEY: Final = "**workflow_params"

#: The key in a Param's schema for the name of the workflow parameter. JSON Schema ignores unknown keys.
PARAMETER_NAME: Final = "x-healthomics-parameter"


def form_values(context: Context, prefix: str) -> dict[str, Any] | BrokenTemplate:
    """
    Return the values of a form, by parameter name of the workflow.

    :param context: of the task
    :param prefix: as for :func:`~airflow_healthomics.params.form.workflow_params`
    """
    given: Mapping[str, Any] = context["params"]
    values: dict[str, Any] = {}
    found = False
    for key, param in context["dag"].params.items():
        name = param.schema.get(PARAMETER_NAME)
        if name is None or key != prefix + name:
            continue
        found = True
        value = _without_empty_lines(given.get(key), param.schema)
        if not _is_left_empty(value, param.schema):
            values[name] = value
    if not found:
        kind = f" with the prefix {prefix!r}" if prefix else ""
        return BrokenTemplate(f"needs params of workflow_params(){kind}, but the DAG has none")
    return values


def _without_empty_lines(value: Any, schema: Mapping[str, Any]) -> Any:
    # In Airflow 3, the form converts an empty line to an item.
    if not isinstance(value, list) or items_schema(schema).get("type") != "string":
        return value
    lines = [item for item in value if item.strip()]
    return None if value and not lines and is_nullable(schema) else lines


def items_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of the items of a list, if it has one."""
    items = schema.get("items")
    return items if isinstance(items, Mapping) else {}  # JSON Schema also allows booleans as schemas


def _is_left_empty(value: Any, schema: Mapping[str, Any]) -> bool:
    return value is None or (value == "" and is_nullable(schema))


def is_nullable(schema: Mapping[str, Any]) -> bool:
    """Whether a form may leave the parameter empty."""
    return "null" in schema["type"]
