# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Validate a request against the botocore model, as the service does.

botocore's client checks only required members, minimum lengths and minimum values, but no maximums, patterns
and enums.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

#: AWS General Reference, page "aws_tagging": the prefix "aws:" in upper or lower case is reserved for AWS.
RESERVED_TAG_PREFIX = "aws:"


def violations(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """
    Yield a sentence for each broken rule of the model, with the field and the rule, but never the value.

    :param shape: A botocore shape.
    :param value: Parsed JSON; None means absent.
    :param path: Path of the value, to name in the sentences.
    """
    check = _CHECKS.get(shape.type_name)
    if check is None:
        raise NotImplementedError(f"{path}: no check for the type {shape.type_name}")
    yield from check(shape, value, path)


def _structure(shape: Any, value: Any, path: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    if not isinstance(value, Mapping):
        yield _broken(path, "must be an object")
        return
    below = f"{path}." if path else ""
    for name in value:
        if name not in shape.members:
            yield _broken(below + name, "is not a member of the request")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from violations(member, value[name], below + name)
        elif name in shape.required_members:
            yield _broken(below + name, "is required")
    if getattr(shape, "is_tagged_union", False):
        given = [name for name in shape.members if value.get(name) is not None]
        if len(given) != 1:
            yield _broken(path, f"must have exactly one of {', '.join(shape.members)}")


def _list(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _broken(path, "must be a list")
        return
    yield from _range(shape, len(value), path, "must have", "entries")
    for index, item in enumerate(value):
        yield from violations(shape.member, item, f"{path}[{index}]")


def _map(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield _broken(path, "must be an object")
        return
    yield from _range(shape, len(value), path, "must have", "entries")
    if shape.name == "TagMap" and any(key.lower().startswith(RESERVED_TAG_PREFIX) for key in value):
        yield _broken(path, f"must not have keys with the reserved prefix {RESERVED_TAG_PREFIX}")
    for key, item in value.items():
        yield from violations(shape.key, key, f"{path} key")
        yield from violations(shape.value, item, f"{path}.{key}")


def _string(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _broken(path, "must be a string")
        return
    yield from _range(shape, len(value), path, "must have", "characters")
    if shape.enum and value not in shape.enum:
        yield _broken(path, f"must be one of {', '.join(shape.enum)}")
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).fullmatch(value):
        yield _broken(path, f"must match {pattern}")


def _integer(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield _broken(path, "must be an integer")
        return
    yield from _range(shape, value, path, "must be", "")


def _boolean(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield _broken(path, "must be true or false")


def _timestamp(shape: Any, value: Any, path: str) -> Iterator[str]:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        yield _broken(path, "must be a time in ISO 8601")


def _blob(shape: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bytes):  # the body of a request
        return
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        yield _broken(path, "must be base64")


_CHECKS = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _timestamp,
}


def _range(shape: Any, size: int, path: str, verb: str, unit: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _broken(path, f"{verb} at least {least} {unit}")
    if most is not None and size > most:
        yield _broken(path, f"{verb} at most {most} {unit}")


def _broken(path: str, rule: str) -> str:
    return f"{path or 'the request'} {rule}".rstrip()


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    r"""
    Compile a pattern of an AWS model. It may use Java's ``\p{L}`` inside a character class.

    ``re`` has no Unicode categories, so they are replaced by ranges; ``||`` is the same as ``|``.
    """
    spelled = re.sub(r"\\p\{(\w)\}", lambda category: _category_ranges()[category[1]], pattern)
    return re.compile(spelled.replace("||", "|"), re.ASCII)


@cache
def _category_ranges() -> dict[str, str]:
    """Return the content of a character class for each major Unicode category."""
    ranges: dict[str, list[list[int]]] = {}
    for code in range(sys.maxunicode + 1):
        known = ranges.setdefault(unicodedata.category(chr(code))[0], [])
        if known and known[-1][1] == code - 1:
            known[-1][1] = code
        else:
            known.append([code, code])
    return {
        category: "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in known)
        for category, known in ranges.items()
    }
