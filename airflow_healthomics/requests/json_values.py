# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Validation of values that the API receives as JSON documents."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from airflow_healthomics.exceptions import HealthOmicsTemplateError

#: Deeper than the parameters of any workflow, and within Python's recursion limit. Mappings can be circular.
MAX_DEPTH: Final = 100

#: The largest double, since JSON parsers disagree on larger numbers:
#: https://www.rfc-editor.org/rfc/rfc8259#section-6
_MAX_INTEGER: Final = int(sys.float_info.max)

_SHORTEST: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class BrokenTemplate:
    """
    Placeholder for a template that could not be rendered. The validation of the request reports its path.

    An exception during rendering would make Airflow log the whole field, including other parameter values.

    :param reason: text without any parameter value
    :param is_temporary: whether a retry may succeed, for example after a failed fetch of an XCom
    """

    def __init__(self, reason: str, *, is_temporary: bool = False) -> None:
        self.reason = reason
        self.is_temporary = is_temporary

    def __repr__(self) -> str:
        """Return the text for the Rendered Template view of the Airflow UI."""
        return f"<template {self.reason}>"


def type_name(value: Any) -> str:
    """
    Return the name of a value's wrong type, for an error message.

    :param value: anything
    """
    if isinstance(value, Markup):
        return "text from the filter tojson: remove tojson, so that the template keeps the type"
    return type(value).__name__


def as_json(value: Any, path: str) -> tuple[Any, list[str]]:
    """
    Return a value as plain JSON, and problems. A value that is already plain is not copied.

    :param value: anything
    :param path: name of the argument, such as ``parameters``
    :raises HealthOmicsTemplateError: if a template could not be rendered for a temporary reason
    """
    if _is_plain(value):
        return value, []
    if problems := list(json_problems(value, path)):
        return value, problems
    return to_json(value), []


def json_bytes(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8."""
    return _SHORTEST.encode(value).encode()


def json_size(value: Any) -> int:
    """Return the number of bytes of a value as compact JSON in UTF-8."""
    return len(json_bytes(value))


def to_json(value: Any) -> Any:
    """Convert mappings to ``dict``, and sequences, such as the XComs of a mapped task, to ``list``."""
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if _is_list(value):
        return [to_json(item) for item in value]
    return value


def json_problems(value: Any, path: str, depth: int = 0) -> Iterator[str]:
    """
    Yield one sentence for each element that is not JSON, with its path but never its content.

    :param value: anything
    :param path: name of the argument, such as ``parameters``
    :param depth: number of mappings and lists around the value
    :raises HealthOmicsTemplateError: if a template could not be rendered for a temporary reason
    """
    if value is None or isinstance(value, bool):
        return
    if depth > MAX_DEPTH:
        yield f"{path} is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, str):
        if not is_text(value):
            yield f"{path} is not valid text: it has half of a surrogate pair"
    elif isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            yield f"{path} is a whole number with too many digits"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is NaN or infinite, but JSON has only finite numbers"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and is_text(key):
                yield from json_problems(item, f"{path}.{key}", depth + 1)
            else:
                yield f"{path} has a key of type {type(key).__name__} instead of text"
    elif _is_list(value):
        for index, item in enumerate(value):
            yield from json_problems(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, BrokenTemplate):
        if value.is_temporary:
            raise HealthOmicsTemplateError(path, value.reason)
        yield f"{path} is a template that {value.reason}"
    else:
        yield f"{path} is of type {type(value).__name__}, which JSON does not have"


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is JSON in built-in types. This is faster than looking for problems."""
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
    """Whether text can be encoded in UTF-8, so has no surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_list(value: Any) -> bool:
    # Tuples are refused: Jinja renders "1, 2" to a tuple, hardly on purpose.
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, tuple))
