# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Requests that the service model allows, and requests that break one of its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.model import OperationModel

from airflow_healthomics.testing.validation import compiled

#: Texts that together match every pattern of the model; their last character can be repeated.
TEXTS = (
    "1",
    "a",
    "123456789012",
    "arn:aws:iam::123456789012:role/r",
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:s",
    "arn:aws:s3:us-east-1:123456789012:accesspoint/a",
    "s3://bucket/key",
    "s3://bucket",
    "sg-1",
    "subnet-1",
)
#: Texts of which at least one breaks any pattern.
WRONG_TEXTS = ("\x00", "!", "_", " ", "x", "-")


@dataclass(frozen=True)
class Break:
    """One broken rule: its place, its name, and the value that breaks it."""

    path: tuple[str | int, ...]
    rule: str
    value: Any


#: Marks a member that is left out.
ABSENT = object()


def requests(operation: OperationModel) -> Iterator[dict[str, Any]]:
    """Yield valid requests: with the required members, with each optional one, and all at their limits."""
    shape = operation.input_shape
    if shape is None:
        yield {}
        return
    required = {name: sound(shape.members[name]) for name in shape.required_members}
    yield required
    for name, member in shape.members.items():
        for largest in (False, True):
            yield {**required, name: sound(member, largest=largest)}
    yield sound(shape, largest=True)


def sound(shape: Any, *, largest: bool = False) -> Any:
    """Return the smallest or the largest valid value of a shape."""
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return {"a": 1}
    if kind == "structure":
        return _structure(shape, largest)
    if kind == "list":
        return [sound(shape.member, largest=largest)] * _size(shape, largest)
    if kind == "map":
        return {key: sound(shape.value, largest=largest) for key in _keys(shape, _size(shape, largest))}
    if kind == "string":
        return _text(shape, largest)
    if kind in ("integer", "long"):
        return shape.metadata.get("max", 10) if largest else shape.metadata.get("min", 0)
    return {"boolean": largest, "blob": b"1", "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}[kind]


def _structure(shape: Any, largest: bool) -> dict[str, Any]:
    names = list(shape.members) if largest else shape.required_members
    if getattr(shape, "is_tagged_union", False):
        names = list(shape.members)[:1]
    return {name: sound(shape.members[name], largest=largest) for name in names}


def _keys(shape: Any, count: int) -> list[str]:
    return [f"{sound(shape.key)}{number}" for number in range(count)]


def _size(shape: Any, largest: bool) -> int:
    least: int = shape.metadata.get("min", 0)
    return min(shape.metadata.get("max", least + 2), 60) if largest else least


def _text(shape: Any, largest: bool) -> str:
    if shape.enum:
        return str(shape.enum[-1 if largest else 0])
    least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 1000)
    pattern = shape.metadata.get("pattern", ".*")
    for text in TEXTS:
        for size in (most, least, len(text)) if largest else (least, len(text)):
            found = text.ljust(size, text[-1])
            if least <= len(found) <= most and compiled(pattern).fullmatch(found):
                return found
    raise NotImplementedError(f"no text for {shape.name}")


def breaks(shape: Any, path: tuple[str | int, ...] = ()) -> Iterator[Break]:
    """Yield a break of each rule of a shape and of those within it."""
    kind, limits = shape.type_name, shape.metadata
    if getattr(shape, "is_document_type", False):
        return
    if path:
        yield Break(path, "type", [[]] if kind not in ("list", "blob") else 1.5)
    if kind in WITHIN:
        yield from WITHIN[kind](shape, path)
    if kind in ("list", "map", "string") and limits.get("min"):
        yield Break(path, "min", {"list": [], "map": {}, "string": ""}[kind])
    if kind in ("integer", "long") and "min" in limits:
        yield Break(path, "min", limits["min"] - 1)
    if "max" in limits:
        yield Break(path, "max", _too_large(shape))


def _too_large(shape: Any) -> Any:
    count = shape.metadata["max"] + 1
    if shape.type_name == "list":
        return [sound(shape.member)] * count
    if shape.type_name == "map":
        return {key: sound(shape.value) for key in _keys(shape, count)}
    return "1" * count if shape.type_name == "string" else count


def _within_structure(shape: Any, path: tuple[str | int, ...]) -> Iterator[Break]:
    for name in shape.required_members:
        yield Break((*path, name), "required", ABSENT)
    if path:
        yield Break((*path, "unknown"), "unknown", 1)
    if getattr(shape, "is_tagged_union", False):
        yield Break(path, "union", {})
        yield Break(path, "union", {name: sound(member) for name, member in shape.members.items()})
    for name, member in shape.members.items():
        yield from breaks(member, (*path, name))


def _within_list(shape: Any, path: tuple[str | int, ...]) -> Iterator[Break]:
    yield from breaks(shape.member, (*path, 0))


def _within_map(shape: Any, path: tuple[str | int, ...]) -> Iterator[Break]:
    (key,) = _keys(shape, 1)
    for each in breaks(shape.key, (*path, key)):
        if each.rule != "type":  # keys of JSON are strings
            yield Break(path, f"key {each.rule}", {each.value: sound(shape.value)})
    yield from breaks(shape.value, (*path, key))


def _within_string(shape: Any, path: tuple[str | int, ...]) -> Iterator[Break]:
    if shape.enum:
        yield Break(path, "enum", "BOGUS")
    elif pattern := shape.metadata.get("pattern"):
        least, most = shape.metadata.get("min", 0), shape.metadata.get("max", 1000)
        wrong = (text.ljust(least, text[-1]) for text in WRONG_TEXTS)
        yield Break(
            path,
            "pattern",
            next(text for text in wrong if len(text) <= most and not compiled(pattern).fullmatch(text)),
        )


WITHIN: dict[str, Callable[[Any, tuple[str | int, ...]], Iterator[Break]]] = {
    "structure": _within_structure,
    "list": _within_list,
    "map": _within_map,
    "string": _within_string,
}


def put(body: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Replace a value within JSON, or remove it."""
    *parents, last = path
    for step in parents:
        body = body[step]
    if value is ABSENT:
        body.pop(last, None)
    else:
        body[last] = value
