# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A workflow's parameter template: validation, comparison with parameters, and formatting as Python code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

#: Each parameter by name: ``{"description": str, "optional": bool}``. Without ``optional`` it is required.
#: https://docs.aws.amazon.com/omics/latest/api/API_WorkflowParameter.html
ParameterTemplate = Mapping[str, Any]

#: The maximum line length of :func:`template_source`; the default of ruff and black.
_LINE: Final = 88

#: Hints in a description at the JSON type of its parameter, most reliable first.
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
    Read a JSON file.

    :param path: of the file
    :raises ValueError: if the file cannot be read, or is not JSON
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
    Yield one sentence for each part of a value that is invalid in a parameter template.

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
        yield f"template has the name {name!r}, but names must be text"
    elif not isinstance(entry, (Mapping, type(None))):
        yield f"template.{name} must be a mapping with description and optional, not {type(entry).__name__}"
    elif entry:
        if not isinstance(entry.get("description"), (str, type(None))):
            yield f"template.{name}.description must be text"
        if not isinstance(entry.get("optional"), (bool, type(None))):
            yield f"template.{name}.optional must be true or false"


def is_required(entry: Mapping[str, Any] | None) -> bool:
    """Whether the parameter of an entry is required. An entry may be None."""
    return not (entry or {}).get("optional")


def description_of(entry: Mapping[str, Any] | None) -> str:
    """Return the description of an entry, or an empty text."""
    return (entry or {}).get("description") or ""


def required_first(template: ParameterTemplate) -> dict[str, Any]:
    """Return the template with the required parameters before the optional ones."""
    return dict(sorted(template.items(), key=lambda item: not is_required(item[1])))


def workflow_parameter_problems(
    names: Iterable[str], template: ParameterTemplate, *, may_inherit: bool = False
) -> list[str]:
    """
    Return the problems with missing and unknown parameters, by name.

    :param names: names of the parameters of a run
    :param template: the workflow's ``parameterTemplate``. If it is empty, there are no problems.
    :param may_inherit: whether missing parameters are inherited, as by a duplicate run
    """
    return list(_problems(set(names), template, may_inherit)) if template else []


def _problems(names: set[str], template: ParameterTemplate, may_inherit: bool) -> Iterator[str]:
    required = {name for name, entry in template.items() if is_required(entry)}
    missing = sorted(required - names)
    if missing and not may_inherit:
        yield f"parameters lacks required parameters of the workflow: {', '.join(missing)}"
    yield from unknown_names("parameters", names, template)


def unknown_names(argument: str, names: Iterable[str], template: ParameterTemplate) -> Iterator[str]:
    """
    Yield a sentence if an argument has unknown parameters.

    :param argument: name of the argument
    :param names: of parameters
    :param template: the workflow's ``parameterTemplate``
    """
    if unknown := sorted(map(str, set(names) - template.keys())):
        known = sorted(template)
        yield f"{argument} has parameters unknown to the workflow: {', '.join(_hinted(unknown, known))}"


def _hinted(unknown: list[str], known: list[str]) -> Iterator[str]:
    for name in unknown:
        nearest = get_close_matches(name, known, n=1)
        yield f"{name} (did you mean {nearest[0]}?)" if nearest else name


def guessed_types(template: ParameterTemplate) -> dict[str, str]:
    """
    Guess types from the descriptions. A person must check them.

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
    """Return only the fields that a form needs, in a stable order: required first, then by name."""
    return {
        name: {
            **({"description": text} if (text := description_of(entry)) else {}),
            **({} if is_required(entry) else {"optional": True}),
        }
        for name, entry in required_first(dict(sorted(template.items()))).items()
    }


def template_source(template: ParameterTemplate, workflow: str, types: Iterable[str]) -> str:
    """
    Return a template as Python code for a DAG file, in the format of ruff and black.

    :param template: the workflow's ``parameterTemplate``
    :param workflow: name of the workflow for a comment
    :param types: names of all types
    """
    shown = plain_template(template)
    return "\n".join(
        [
            "from airflow_healthomics.params.form import run_parameters, workflow_params",
            "",
            f"# Parameters of the HealthOmics workflow {_one_line(workflow)}",
            *_assignment("PARAMETER_TEMPLATE", shown),
            "",
            "# Types other than plain text, guessed from the descriptions. Check them. One of",
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
    # Like formatters, use single quotes if that saves backslashes.
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(_escaped(character, quote) for character in value) + quote


def _escaped(character: str, quote: str) -> str:
    if character in (quote, "\\"):
        return "\\" + character
    # Unprintable characters include bidirectional controls, which can hide code.
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
