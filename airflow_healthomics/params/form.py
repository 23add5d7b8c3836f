# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Trigger forms: convert a workflow's parameter template to DAG params, and these to the parameters of a run.

.. code-block:: python

    with DAG("germline", params=workflow_params(PARAMETER_TEMPLATE, types={"cpus": "integer"})):
        HealthOmicsStartRunOperator(task_id="run", ..., parameters=run_parameters())

``python -m airflow_healthomics.params <workflow id>`` prints the template as Python code, so that parsing a
DAG needs no AWS call.

A template has names and descriptions and marks optional parameters, but has no types. A parameter is text
unless it has a type:

=================================== ==================================================================
``string``                          a line of text; no type is guessed, so "0042" stays "0042"
``s3_uri``                          text with the URI of an input, ``s3://...`` or ``omics://...``
``integer``, ``number``             a number
``boolean``                         a switch; a required one is off by default
``strings``, ``s3_uris``            a list, one item per line; empty lines are skipped
``array``, ``object``               JSON
a mapping                           a JSON schema, including Airflow's keys such as ``title``,
                                    ``section``, ``enum`` and ``values_display``
=================================== ==================================================================

The default type is that of the parameter in ``defaults``, or ``s3_uri`` if the description mentions an "S3
URI".
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from airflow_healthomics.compat import IS_AIRFLOW_2, Param
from airflow_healthomics.params.template import (
    ParameterTemplate,
    description_of,
    is_required,
    read_template,
    required_first,
    template_problems,
    unknown_names,
)
from airflow_healthomics.params.values import FORM_KEY, PARAMETER_NAME, is_nullable, items_schema
from airflow_healthomics.requests.json_values import json_problems

#: URIs that a run accepts as inputs: S3 objects and prefixes, and read sets and references of HealthOmics
#: stores. The pattern is lenient, because the form must accept everything that HealthOmics accepts.
#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-inputs.html
INPUT_URI_PATTERN: Final = r"^(s3|omics)://[^/\s]+(/(.*\S)?)?$(?!\n)"

#: The section of optional parameters. Airflow collapses it.
_OPTIONAL_SECTION: Final = "Optional"

#: Item schema that makes Airflow show a list as JSON: with a type other than string or, in Airflow 2, without
#: any type. Otherwise Airflow shows text with one item per line.
_ANY_ITEM: Final[Mapping[str, Any]] = (
    {"description": "any JSON"}
    if IS_AIRFLOW_2
    else {"type": ["object", "array", "string", "number", "boolean", "null"]}
)

#: The schema of each named type.
_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "string": {"type": "string"},
        "s3_uri": {"type": "string", "pattern": INPUT_URI_PATTERN},
        "integer": {"type": "integer"},
        "number": {"type": "number"},
        "boolean": {"type": "boolean"},
        "strings": {"type": "array", "items": {"type": "string"}},
        "s3_uris": {"type": "array", "items": {"type": "string", "pattern": rf"^\s*$|{INPUT_URI_PATTERN}"}},
        "array": {"type": "array", "items": _ANY_ITEM},
        "object": {"type": "object"},
    }
)

#: The names of the types.
TYPES: Final = tuple(_SCHEMAS)

#: An unambiguous mention of one URI in a description. "S3 path" is not: it may lack the scheme.
_SAYS_S3_URI: Final = re.compile(r"\bS3[ -](URI|URL)\b", re.IGNORECASE)

#: Label of an empty optional choice in the form.
_NO_CHOICE: Final = "(none)"


def workflow_params(
    template: ParameterTemplate | str | os.PathLike[str],
    *,
    types: Mapping[str, str | Mapping[str, Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    prefix: str = "",
    section: str | None = None,
) -> dict[str, Param]:
    """
    Return DAG params for the parameters of a workflow.

    Required parameters come first and must be filled in, unless they have a default. A scheduled DAG needs a
    default for each of them; otherwise Airflow reports an error when it parses the DAG. Optional parameters
    are in a separate section. Empty ones are not sent.

    :param template: the workflow's ``parameterTemplate``, or the path of a JSON file with it. A relative path
        starts at the folder of the DAG file.
    :param types: type of each parameter other than plain text: one of :data:`TYPES`, or a JSON schema with a
        ``type``. The schema may include Airflow's keys such as ``title``.
    :param defaults: initial value of parameters in the form
    :param without: parameters to omit from the form
    :param prefix: prefix of the param names, so that a DAG can have forms for several workflows
    :param section: section of the form; by default required parameters are in no section
    :raises ValueError: with the argument and the rule
    """
    if isinstance(template, (str, os.PathLike)):
        folder = Path(sys._getframe(1).f_globals.get("__file__") or "").parent
        known = read_template(folder / template)
    else:
        known = template
    types, defaults = {} if types is None else types, {} if defaults is None else defaults
    problems = [*template_problems(known), *_argument_problems(types, defaults, without, prefix, section)]
    _refuse(problems)
    for argument, names in (("types", types), ("defaults", defaults), ("without", without)):
        problems += unknown_names(argument, names, known)
    wanted = {name: entry for name, entry in required_first(known).items() if name not in without}
    has_required = any(map(is_required, wanted.values()))
    params = {}
    for name, entry in wanted.items():
        required = is_required(entry)
        schema = _schema_of(name, entry, types, defaults)
        problems += _schema_problems(name, schema, defaults)
        if problems:
            continue
        description = schema.pop("description", _with_hint(description_of(entry), schema))
        place = section
        if not required and has_required:
            place = _OPTIONAL_SECTION if section is None else f"{section}: {_OPTIONAL_SECTION.lower()}"
        if place is not None:
            schema.setdefault("section", place)
        if prefix:
            schema.setdefault("title", name)
        schema[PARAMETER_NAME] = name
        if not required:
            _make_nullable(schema, has_default=name in defaults)
        params[prefix + name] = Param(
            **_default_of(name, schema, defaults), description=description or None, schema=schema
        )
    _refuse(problems)
    # Airflow expands params without a section; sections keep insertion order.
    return dict(sorted(params.items(), key=lambda item: "section" in item[1].schema))


def run_parameters(*, prefix: str = "") -> dict[str, Any]:
    """
    Return a placeholder for the values of the form, for an operator's ``parameters``.

    The values keep their types. Empty optional parameters and other params of the DAG are not included. The
    placeholder is a mapping: ``{**run_parameters(), "reference": "GRCh38"}`` adds a parameter or overrides
    it.

    :param prefix: as for :func:`workflow_params`
    """
    return {FORM_KEY: prefix}


def _argument_problems(types: Any, defaults: Any, without: Any, prefix: Any, section: Any) -> Iterator[str]:
    for name, value in (("types", types), ("defaults", defaults)):
        if not isinstance(value, Mapping):
            yield f"{name} must be a mapping by parameter, not {type(value).__name__}"
    if isinstance(without, str) or not isinstance(without, Collection):
        yield "without must be a list of parameters"
    if not isinstance(prefix, str):
        yield "prefix must be text"
    if section is not None and not (isinstance(section, str) and section):
        yield "section must be text and not empty"


def _schema_of(
    name: str, entry: Mapping[str, Any] | None, types: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the schema from the DAG author, which is not validated yet."""
    if name not in types:
        return dict(_SCHEMAS[_type_of_default(defaults[name]) if name in defaults else _type_of_text(entry)])
    given = types[name]
    if isinstance(given, Mapping):
        return dict(given)
    return dict(_SCHEMAS.get(given, {})) if isinstance(given, str) else {}


def _type_of_text(entry: Mapping[str, Any] | None) -> str:
    return "s3_uri" if _SAYS_S3_URI.search(description_of(entry)) else "string"


def _type_of_default(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"  # 4 may become 4.5
        case Mapping():
            return "object"
        case list():
            return "strings" if value and all(isinstance(item, str) for item in value) else "array"
    return "s3_uri" if isinstance(value, str) and re.search(INPUT_URI_PATTERN, value) else "string"


def _schema_problems(name: str, schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    if not schema:
        yield f"types.{name} must be one of {', '.join(TYPES)}, or a JSON schema"
        return
    if "type" not in schema:
        yield f"types.{name} must have a type, such as string"
        return
    if "default" in schema:
        yield f"types.{name} must not have a default: move it to defaults"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield f"types.{name} is not a JSON schema, at {error.json_path}"
        return
    if name not in defaults:
        return
    broken = list(json_problems(defaults[name], f"defaults.{name}"))
    yield from broken
    # Not jsonschema's message: it quotes the value, which may identify a patient.
    if not broken and not Draft202012Validator(schema).is_valid(defaults[name]):
        yield f"defaults.{name} does not match its type"


def _default_of(name: str, schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    if name in defaults:
        return {"default": defaults[name]}
    if is_nullable(schema):
        return {"default": None}
    # An untouched switch is off. Without a default, the form would report it as missing.
    return {"default": False} if schema["type"] == "boolean" else {}


def _with_hint(description: str, schema: Mapping[str, Any]) -> str:
    """Add the form of a URI to a description without it."""
    item = schema if schema["type"] == "string" else items_schema(schema)
    if not item.get("pattern", "").endswith(INPUT_URI_PATTERN) or "s3" in description.lower():
        return description
    return f"{description} (s3://... or omics://...)".lstrip()


def _make_nullable(schema: dict[str, Any], *, has_default: bool) -> None:
    """Allow an empty value in the form."""
    types = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    if types == ["boolean"] and has_default:
        return  # a switch is always on or off
    schema["type"] = [*types, *({"null"} - set(types))]
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
        # Airflow uses either name for None.
        none = dict.fromkeys(("null", "None"), _NO_CHOICE)
        schema["values_display"] = {**none, **schema.get("values_display", {})}


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ValueError(f"workflow_params: {'; '.join(problems)}")
