# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parse the rows of a sample sheet in CSV, TSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from airflow_healthomics.batches.sheet_columns import A_TYPE, Target
from airflow_healthomics.requests.fields import Problems

#: Value of a target without content in a row.
EMPTY: Final = object()
#: Value of a target whose content was reported as a problem.
REFUSED: Final = object()

#: https://www.rfc-editor.org/rfc/rfc8259#section-6
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEANS: Final = {"true": True, "TRUE": True, "True": True, "false": False, "FALSE": False, "False": False}
_JSON_SPACE: Final = re.compile(r"[ \t\r\n]*")


class Place(NamedTuple):
    """The number of a row, as in a spreadsheet, and the line of the file where it starts."""

    row: int
    line: int


Rows = Iterator[tuple[Place, list[Any]]]


def name_of_row(place: Place) -> str:
    """Return the name of a row of a CSV or TSV sheet."""
    return f"row {place.row}" + (f" (line {place.line})" if place.line != place.row else "")


def name_of_item(place: Place) -> str:
    """Return the name of an object of a JSON sheet."""
    return f"item {place.row} (line {place.line})"


def read_rows(sheet: bytes, format: str, targets: list[Target], problems: Problems) -> Rows:
    """
    Return all rows with content. The values of a row are in the order of the targets.

    :param sheet: content of the sheet
    :param format: ``csv``, ``tsv`` or ``json``
    :param targets: of the columns
    :param problems: collects problems
    """
    if format == "json":
        return _json_rows(_decoded(sheet, problems), targets, problems)
    return _csv_rows(sheet, "\t" if format == "tsv" else ",", targets, problems)


def _csv_rows(sheet: bytes, delimiter: str, targets: list[Target], problems: Problems) -> Rows:
    """Yield all rows with content. The values of a row are in the order of the targets."""
    records = _csv_records(sheet, delimiter, problems)
    place, header = next(records, (Place(1, 1), None))
    if header is None or not any(header):
        if not problems:
            problems.add("the sample sheet is empty" if header is None else "row 1, the header, is empty")
        return
    indexes = _csv_columns(header, targets, problems)
    if indexes is None:
        return
    plan = [
        (index, target, _CONVERTERS[target.type or "string"])
        for index, target in zip(indexes, targets, strict=True)
    ]
    for place, cells in records:
        if not any(cells):
            continue
        if len(cells) != len(header):
            problems.add(f"{name_of_row(place)} has {_cells(len(cells))}, but the header has {len(header):,}")
            continue
        values = []
        for index, target, convert in plan:
            value: Any = cells[index] or EMPTY
            if convert is not None and value is not EMPTY:
                try:
                    value = convert(value)
                except (ValueError, RecursionError):
                    problems.add(_type_problem(name_of_row(place), target))
                    value = REFUSED
            values.append(value)
        yield place, values


def _csv_records(sheet: bytes, delimiter: str, problems: Problems) -> Iterator[tuple[Place, list[str]]]:
    """Yield all records of the file, including empty ones, since a spreadsheet counts them."""
    # Lines keep their ends, as csv requires, and are decoded one by one to save memory.
    lines = io.TextIOWrapper(io.BytesIO(sheet), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    row = 0
    while True:
        place = Place(row + 1, reader.line_num + 1)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError:
            _decoded(sheet, problems)
            return
        except csv.Error:
            problems.add_first(
                f"{name_of_row(place)} is broken: it has an unclosed quote, text after a closing quote, or a "
                f"cell of more than {csv.field_size_limit():,} characters"
            )
            return
        row += 1
        yield place, cells


def _csv_columns(header: list[str], targets: list[Target], problems: Problems) -> list[int] | None:
    """Return the index of the column of each target, or None if a column is missing or ambiguous."""
    found: dict[str, int] = {}
    mapped = {target.column for target in targets}
    is_clear = True
    for index, name in enumerate(header):
        if name in found:
            # Only names in the mapping are quoted: without a header, this row holds the data of a sample.
            same = f" {name!r}" if name in mapped else ""
            problems.add(f"row 1: columns {found[name] + 1} and {index + 1} have the same name{same}")
            is_clear = False
        elif name:
            found[name] = index
    for column in dict.fromkeys(target.column for target in targets):
        if column not in found:
            problems.add(f"row 1, the header with {_cells(len(header))}, has no column {column!r}")
            is_clear = False
    return [found[target.column] for target in targets] if is_clear else None


def _cells(count: int) -> str:
    return f"{count:,} cell{'' if count == 1 else 's'}"


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError
    return int(text)


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise ValueError
    return int(text) if _INTEGER.fullmatch(text) else _finite(text)


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text]


def _json(text: str) -> Any:
    return _DECODER.decode(text)


_CONVERTERS: Final[Mapping[str, Callable[[str], Any] | None]] = {
    "string": None,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "json": _json,
}


def _type_problem(place: str, target: Target) -> str:
    return f"{place}, column {target.column!r}: {target.path} must be {A_TYPE[target.type or 'string']}"


def _decoded(sheet: bytes, problems: Problems) -> str:
    """Return the text. If it is not UTF-8, add a problem and return an empty text."""
    try:
        return str(sheet, "utf-8-sig")
    except UnicodeDecodeError as error:
        # Both positions and content in the error exclude a byte order mark.
        line = len(re.findall(rb"\r\n|\r|\n", error.object[: error.start])) + 1
        problems.add_first(f"line {line} is not UTF-8: save the sample sheet with that encoding")
        return ""


class _NotJsonError(ValueError):
    """The text is invalid JSON that Python accepts, or whose value Python's error would quote."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotJsonError
    return value


def _no_constant(text: str) -> Any:
    raise _NotJsonError


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _NotJsonError
    return mapping


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)


def _json_rows(text: str, targets: list[Target], problems: Problems) -> Rows:
    """Yield each object with its values in the order of the targets."""
    first: dict[Target, tuple[str, Place]] = {}
    mixed: set[Target] = set()
    missing = {target.column for target in targets}
    place = None
    for place, item in _json_items(text, problems):
        if not isinstance(item, dict):
            problems.add(f"{name_of_item(place)} is not an object")
            continue
        missing -= item.keys()
        values = []
        for target in targets:
            value = item.get(target.column, EMPTY)
            if target.type != "json" and value is not EMPTY:
                if value is None:
                    value = EMPTY
                elif problem := _json_type_problem(target, value, place, first, mixed):
                    problems.add(problem)
                    value = REFUSED
            values.append(value)
        yield place, values
    if place is not None:
        for column in sorted(missing):
            problems.add_first(f"no item has the key {column!r}")


def _json_type_problem(
    target: Target,
    value: Any,
    place: Place,
    first: dict[Target, tuple[str, Place]],
    mixed: set[Target],
) -> str | None:
    name = _type_of(value)
    if name == "json":
        return (
            f"{name_of_item(place)}, column {target.column!r}: {target.path} must not be a list or an "
            "object, unless types declares it as json"
        )
    if target.type is not None:
        is_as_declared = target.type in (name, "number" if name == "integer" else name)
        return None if is_as_declared else _type_problem(name_of_item(place), target)
    name = "number" if name == "integer" else name
    expected, where = first.setdefault(target, (name, place))
    if name == expected or target in mixed:
        return None
    mixed.add(target)
    return (
        f"{name_of_item(place)}, column {target.column!r}: {target.path} is {A_TYPE[name]} here and "
        f"{A_TYPE[expected]} in {name_of_item(where)}; a column must have one type"
    )


def _type_of(value: Any) -> str:
    match value:
        case str():
            return "string"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
    return "json"


def _json_items(text: str, problems: Problems) -> Iterator[tuple[Place, Any]]:
    """Yield the elements of the array one by one, to save memory."""
    position = _after_space(text, 0)
    if position == len(text):
        if not problems:
            problems.add("the sample sheet is empty")
        return
    if text[position] != "[":
        problems.add("the sample sheet must be a JSON array of objects")
        return
    row, line, counted = 0, 1, 0
    position = _after_space(text, position + 1)
    is_over = text.startswith("]", position)
    while not is_over:
        line += text.count("\n", counted, position)
        counted = position
        row += 1
        place = Place(row, line)
        try:
            item, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            problems.add_first(_syntax_problem(text, error.pos))
            return
        except (ValueError, RecursionError):
            problems.add_first(
                f"{name_of_item(place)} is not valid JSON: it has NaN, an infinite number, a number with too "
                "many digits, a repeated key, or too many levels"
            )
            return
        yield place, item
        position = _after_space(text, position)
        if not text.startswith((",", "]"), position):
            problems.add_first(_syntax_problem(text, position))
            return
        is_over = text[position] == "]"
        position = position if is_over else _after_space(text, position + 1)
    position = _after_space(text, position + 1)
    if position != len(text):
        problems.add_first(_syntax_problem(text, position))


def _syntax_problem(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    character = position - text.rfind("\n", 0, position)
    return f"the sample sheet is broken JSON at line {line}, character {character}"


def _after_space(text: str, position: int) -> int:
    match = _JSON_SPACE.match(text, position)
    return match.end() if match else position
