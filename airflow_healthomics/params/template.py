# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A workflow's parameter template: what it may look like, what fits it, and how it reads in a DAG file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

#: Each parameter by name: ``{"description": str, "optional": bool}``, where ``optional`` omitted means that
#: it is required.
#: https://docs.aws.amazon.com/omics/latest/api/API_WorkflowParameter.html
ParameterTemplate = Mapping[str, Any]

#: The longest line of :func:`template_source`; the default of ruff and black.
_LINE: Final = 88

#: What a description may give away about the JSON type of its parameter, surest first.
_TYPE_HINTS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), type_)
    for pattern, type_ in (
        (r"\bS3[ -](URI|URL|path|location)s\b", "s3_uris"),
        (r"\bArray\[|\b(list|array)s? of\b", "array"),
        (r"\bS3[ -](URI|URL|path|location)\b|\bs3://", "s3_uri"),
        (r"\b(boolean|whether)\b|\btrue or false\b", "boolean"),
        (r"\binteger\b|\b(number|count) of\b", "integer"),
    )
)


def read_template(path: Path) -> Any:
    """
    Return what a JSON file holds.

    :param path: of the file
    :raises ValueError: if there is no such file, or it is not JSON
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"template: {path} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise ValueError(f"template: {path} is nested too deeply") from None
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"template: {path} is not JSON{where}") from None


def template_problems(template: Any) -> Iterator[str]:
    """
    Yield one sentence for each place where a value is no parameter template.

    :param template: anything
    """
    if not isinstance(template, Mapping):
        yield (
            "template must be a mapping, such as the parameterTemplate of GetWorkflow, or the path of a JSON "
            f"file, not {type(template).__name__}"
        )
    elif not template:
        yield "template has no parameters"
    else:
        for name, entry in template.items():
            yield from _entry_problems(name, entry)


def _entry_problems(name: Any, entry: Any) -> Iterator[str]:
    if not isinstance(name, str) or not name:
        yield f"template has the name {name!r}, but names are text"
    elif not isinstance(entry, (Mapping, type(None))):
        yield f"template.{name} must be a mapping with description and optional, not {type(entry).__name__}"
    elif entry:
        if not isinstance(entry.get("description"), (str, type(None))):
            yield f"template.{name}.description must be text"
        if not isinstance(entry.get("optional"), (bool, type(None))):
            yield f"template.{name}.optional must be true or false"


def is_required(entry: Mapping[str, Any] | None) -> bool:
    """Whether a run must have the parameter of an entry; an entry may be null."""
    return not (entry or {}).get("optional")


def description_of(entry: Mapping[str, Any] | None) -> str:
    """Return what an entry says about its parameter."""
    return (entry or {}).get("description") or ""


def required_first(template: ParameterTemplate) -> dict[str, Any]:
    """Return the template with the required parameters before the optional ones."""
    return dict(sorted(template.items(), key=lambda item: not is_required(item[1])))


def workflow_parameter_problems(
    names: Iterable[str], template: ParameterTemplate, *, may_inherit: bool = False
) -> list[str]:
    """
    Say which parameters are missing and which are unknown, by name.

    :param names: names of the parameters that a run would get
    :param template: the workflow's ``parameterTemplate``. Empty means that HealthOmics knows none, and
        nothing is compared.
    :param may_inherit: whether missing parameters come from elsewhere, as for a duplicate run
    """
    return list(_problems(set(names), template, may_inherit)) if template else []


def _problems(names: set[str], template: ParameterTemplate, may_inherit: bool) -> Iterator[str]:
    required = {name for name, entry in template.items() if is_required(entry)}
    missing = sorted(required - names)
    if missing and not may_inherit:
        yield f"parameters lacks what the workflow requires: {', '.join(missing)}"
    yield from unknown_names("parameters", names, template)


def unknown_names(argument: str, names: Iterable[str], template: ParameterTemplate) -> Iterator[str]:
    """
    Yield a sentence if an argument has names that the workflow does not know.

    :param argument: name of the argument
    :param names: of parameters
    :param template: the workflow's ``parameterTemplate``
    """
    if unknown := sorted(map(str, set(names) - template.keys())):
        known = sorted(template)
        yield f"{argument} has what the workflow does not know: {', '.join(_hinted(unknown, known))}"


def _hinted(unknown: list[str], known: list[str]) -> Iterator[str]:
    for name in unknown:
        nearest = get_close_matches(name, known, n=1)
        yield f"{name} (did you mean {nearest[0]}?)" if nearest else name


def guessed_types(template: ParameterTemplate) -> dict[str, str]:
    """
    Return what the descriptions give away about types, for a person to check.

    :param template: the workflow's ``parameterTemplate``
    """
    guesses = {}
    for name, entry in template.items():
        for hint, type_ in _TYPE_HINTS:
            if hint.search(description_of(entry)):
                guesses[name] = type_
                break
    return guesses


def plain_template(template: ParameterTemplate) -> dict[str, dict[str, Any]]:
    """Return just what a form needs, required before optional and else by name, so always the same."""
    return {
        name: {
            **({"description": text} if (text := description_of(entry)) else {}),
            **({} if is_required(entry) else {"optional": True}),
        }
        for name, entry in required_first(dict(sorted(template.items()))).items()
    }


def template_source(template: ParameterTemplate, workflow: str, types: Iterable[str]) -> str:
    """
    Return a template as Python to paste into a DAG file, formatted as ruff and black do it.

    :param template: the workflow's ``parameterTemplate``
    :param workflow: what to call the workflow
    :param types: the words that a type may be
    """
    shown = plain_template(template)
    return "\n".join(
        [
            "from airflow_healthomics.params.form import run_parameters, workflow_params",
            "",
            f"# Parameters of the HealthOmics workflow {_one_line(workflow)}",
            *_assignment("PARAMETER_TEMPLATE", shown),
            "",
            "# What is not plain text, guessed from the descriptions: check it. One of",
            f"# {', '.join(types)},",
            "# or a JSON schema.",
            *_assignment("TYPES", guessed_types(shown)),
            "",
            "# with DAG(..., params=workflow_params(PARAMETER_TEMPLATE, types=TYPES)):",
            "#     HealthOmicsStartRunOperator(..., parameters=run_parameters())",
            "",
        ]
    )


def _assignment(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    if not values:
        yield f"{name} = {{}}"
        return
    yield f"{name} = {{"
    for key, value in values.items():
        line = f"    {_literal(key)}: {_literal(value)},"
        if len(line) <= _LINE or not isinstance(value, Mapping):
            yield line
        else:
            yield f"    {_literal(key)}: {{"
            yield from (f"        {_literal(field)}: {_literal(item)}," for field, item in value.items())
            yield "    },"
    yield "}"


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str):
        return repr(value)
    # Single quotes where they spare backslashes, as formatters do.
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(_escaped(character, quote) for character in value) + quote


def _escaped(character: str, quote: str) -> str:
    if character in (quote, "\\"):
        return "\\" + character
    # What is not printable includes the characters that turn the direction of text, which hide code.
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
