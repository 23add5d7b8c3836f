# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Values that go to the API as JSON documents: what is allowed, and where a value breaks the rule."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from airflow_healthomics.exceptions import HealthOmicsTemplateError

#: Deeper than any parameters of a workflow, and safely within Python's own limit. A mapping may hold itself.
MAX_DEPTH: Final = 100

#: The largest number that JSON parsers agree on, a double's: https://www.rfc-editor.org/rfc/rfc8259#section-6
_MAX_INTEGER: Final = int(sys.float_info.max)

_SHORTEST: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class BrokenTemplate:
    """
    Stands where a template could not be rendered, so that the request is refused by path.

    Raising while the template is rendered would make Airflow log the whole field, and with it the values of
    the other parameters.

    :param reason: what went wrong, without any value
    :param may_pass: whether it may go well at another time, as when an XCom could not be fetched
    """

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        self.reason = reason
        self.may_pass = may_pass

    def __repr__(self) -> str:
        """Return what the Rendered Template view of the Airflow UI shows."""
        return f"<template {self.reason}>"


def type_name(value: Any) -> str:
    """
    Return what to call the type of a value that should have another one.

    :param value: anything
    """
    if isinstance(value, Markup):
        return "text from the filter tojson: leave tojson out, and the template keeps the type"
    return type(value).__name__


def as_json(value: Any, path: str) -> tuple[Any, list[str]]:
    """
    Return a value as plain JSON, and what of it is no JSON; what is plain already is not copied.

    :param value: anything
    :param path: name of the argument, such as ``parameters``
    :raises HealthOmicsTemplateError: if a template could not be rendered for a reason that may pass
    """
    if _is_plain(value):
        return value, []
    if problems := list(json_problems(value, path)):
        return value, problems
    return to_json(value), []


def json_bytes(value: Any) -> bytes:
    """Return a value as the shortest JSON, in UTF-8."""
    return _SHORTEST.encode(value).encode()


def json_size(value: Any) -> int:
    """Return the bytes of a value as the shortest JSON in UTF-8."""
    return len(json_bytes(value))


def to_json(value: Any) -> Any:
    """Return mappings as ``dict`` and sequences, such as the XComs of a mapped task, as ``list``."""
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if _is_list(value):
        return [to_json(item) for item in value]
    return value


def json_problems(value: Any, path: str, depth: int = 0) -> Iterator[str]:
    """
    Yield one sentence for each place that is no JSON, by its path and never with its content.

    :param value: anything
    :param path: name of the argument, such as ``parameters``
    :param depth: how many mappings and lists the value is inside of
    :raises HealthOmicsTemplateError: if a template could not be rendered for a reason that may pass
    """
    if value is None or isinstance(value, bool):
        return
    if depth > MAX_DEPTH:
        yield f"{path} is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, str):
        if not is_text(value):
            yield f"{path} has half of a surrogate pair, which is not text"
    elif isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            yield f"{path} is a whole number of too many digits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is NaN or infinite, which JSON does not have"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and is_text(key):
                yield from json_problems(item, f"{path}.{key}", depth + 1)
            else:
                yield f"{path} has a key that is not text, of type {type(key).__name__}"
    elif _is_list(value):
        for index, item in enumerate(value):
            yield from json_problems(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, BrokenTemplate):
        if value.may_pass:
            raise HealthOmicsTemplateError(path, value.reason)
        yield f"{path} is a template that {value.reason}"
    else:
        yield f"{path} is of type {type(value).__name__}, which is not JSON"


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON of Python's own types, which is quicker to see than what is wrong with it."""
    if depth > MAX_DEPTH:
        return False
    kind = type(value)
    if kind is str:
        return is_text(value)
    if value is None or kind is bool:
        return True
    if kind is int:
        return bool(abs(value) <= _MAX_INTEGER)
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return all(
            type(key) is str and is_text(key) and _is_plain(item, depth + 1) for key, item in value.items()
        )
    return kind is list and all(_is_plain(item, depth + 1) for item in value)


def is_text(value: str) -> bool:
    """Whether UTF-8 has it all, which is everything but surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_list(value: Any) -> bool:
    # A tuple is refused: Jinja makes one of "1, 2", where a list was hardly meant.
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, tuple))
