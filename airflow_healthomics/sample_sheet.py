# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
From a sample sheet to the settings of a batch's runs.

A person keeps a sheet, with one sample to a row and columns of their own naming; ``columns`` says which
column goes where:

.. code-block:: python

    columns = {
        "run_setting_id": "sample",
        "parameters.fastq_1": "fastq_1",
        "parameters.min_depth": "depth",
        "run_tags.cohort": "cohort",
    }
    types = {"parameters.min_depth": "integer"}

Everything behind the first dot is the key as it is, so ``parameters.Main.fastq`` is the parameter
``Main.fastq`` of a WDL workflow. A column may go to several places; one that is not named goes nowhere.

A cell of a CSV or TSV sheet is text and stays what it is ("0042"), unless ``types`` declares its target:

- ``string``: text, as without a declaration.
- ``integer``, ``number``: as JSON writes them, so neither "0042" nor "+1", "1,000" or " 1".
- ``boolean``: ``true`` or ``false``, or as spreadsheets and scripts spell them, ``TRUE`` and ``True``.
- ``json``: any JSON, so that a cell may hold a list, or all parameters at once.

In a JSON sheet, an array of flat objects, values keep their types. A declared type is only compared there,
and a column without one must have the same type in all objects; the numbers are one type. Only ``json`` lets
lists, objects and different types in.

An empty cell, a null and a key that an object lacks leave their target out of the settings; a null that is
declared ``json`` stays. Rows of a CSV or TSV sheet that are empty as a whole are passed over.

Errors name the row and the column, and never what is in a cell: that identifies a patient. For the same
reason they do not quote the header either, since a sheet may have none.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.common.compat.sdk import ObjectStoragePath
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from airflow_healthomics.aws_errors import error_code, is_transient
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.json_values import json_problems

#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_ROWS: Final = 100_000
#: Ours, as a worker holds the sheet in memory: 1,000 bytes for each row of the largest batch.
MAX_SHEET_BYTES: Final = 100_000_000
#: How many problems an error tells one by one.
MAX_PROBLEMS: Final = 20

FORMATS: Final = ("csv", "tsv", "json")
TYPES: Final = ("string", "integer", "number", "boolean", "json")

#: Every field of the API's InlineSetting, as an argument. A test holds them against the installed botocore.
VALUE_TARGETS: Final = ("run_setting_id", "name", "output_uri", "priority", "output_bucket_owner_id")
#: Those that are mappings, so that a target is one key of theirs.
MAPPING_TARGETS: Final = ("parameters", "run_tags", "engine_settings")

_OPERATION: Final = "StartRunBatch"
_ID: Final = "run_setting_id"

#: Where a row has nothing for a target.
_EMPTY: Final = object()
#: Where it has something that a problem was told of.
_REFUSED: Final = object()

_S3: Final = re.compile(r"s3[an]?://(?:(?P<conn_id>[^/@]*)@)?(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL)

#: What opening a file or an object answers when another try cannot help: it is not there, or not for us.
_FOR_GOOD: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
#: What Airflow's object storage raises for a URI that it does not know.
_UNKNOWN_SCHEME: Final = (ImportError, TypeError, ValueError)

#: https://www.rfc-editor.org/rfc/rfc8259#section-6
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEANS: Final = {"true": True, "TRUE": True, "True": True, "false": False, "FALSE": False, "False": False}
_JSON_SPACE: Final = re.compile(r"[ \t\r\n]*")

_A_TYPE: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "json": "JSON",
}


class _Target(NamedTuple):
    """Where a column goes: ``parameters.depth`` is the key ``depth`` of the field ``parameters``."""

    path: str
    field: str
    key: str | None
    column: str
    type: str | None


class _Place(NamedTuple):
    """A row of the sheet, counted as a spreadsheet counts it, and the line of the file that it begins at."""

    row: int
    line: int


class _Problems:
    """What is wrong with a sheet: the first few, and how many more there are."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._count = 0

    def add(self, problem: str) -> None:
        """Tell of one more, if there is room."""
        self._count += 1
        if len(self._shown) < MAX_PROBLEMS:
            self._shown.append(problem)

    def add_first(self, problem: str) -> None:
        """Tell of one that concerns the sheet as a whole, before those of its rows."""
        self._count += 1
        self._shown.insert(0, problem)
        del self._shown[MAX_PROBLEMS:]

    def __bool__(self) -> bool:
        return self._count > 0

    def check(self) -> None:
        """Raise them, if there are any."""
        more = self._count - len(self._shown)
        if self:
            raise HealthOmicsRequestError(
                _OPERATION, self._shown + ([f"... and {more:,} more"] if more else [])
            )


_Rows = Iterator[tuple[_Place, list[Any]]]


def read_sample_sheet(
    uri: str,
    *,
    columns: Mapping[str, str],
    types: Mapping[str, str] | None = None,
    format: str | None = None,
    aws_conn_id: str | None = "aws_default",
    region_name: str | None = None,
    verify: bool | str | None = None,
    botocore_config: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """
    Read a sample sheet, and return the settings of one run for each of its rows.

    An object of S3 is read with boto3 and the connection's credentials; s3fs, which Airflow's object storage
    needs for S3, would pin an older botocore. Any other URI is read by Airflow's object storage, with the
    connection that it names, as in ``gs://my_connection@bucket/sheet.csv``.

    :param uri: local path, ``s3://`` URI, or any other URI that Airflow's object storage can read
    :param columns: the column for each target; see the module
    :param types: the type for a target, where it is not plain text; see the module
    :param format: ``csv``, ``tsv`` or ``json``; None goes by how the URI ends
    :param aws_conn_id: connection for S3; one in the URI (``s3://my_connection@bucket/key``) goes before it
    :param region_name: region of the S3 client
    :param verify: TLS verification of the S3 client
    :param botocore_config: configuration of the S3 client
    :raises HealthOmicsRequestError: if the arguments, the object or the sheet's content are at fault. What
        may pass, such as a broken connection, is let through for the next try of the task.
    """
    targets = _targets(columns, types)
    if not isinstance(uri, str) or not uri:
        problems = list(json_problems(uri, "the sample sheet's URI"))
        raise HealthOmicsRequestError(_OPERATION, problems or ["the sample sheet's URI must be text"])
    chosen = _checked_format(format or _format_of(uri))
    hook_arguments = {
        "region_name": region_name,
        "verify": verify,
        "config": Config(**botocore_config) if botocore_config else None,
    }
    return _settings(_read(uri, aws_conn_id, hook_arguments), chosen, targets)


def settings_of(
    sheet: bytes,
    format: str,
    columns: Mapping[str, str],
    types: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """
    Return the settings of one run for each row of a sample sheet, by argument name.

    That each row has a ``run_setting_id`` of its own is checked here, where the rows have numbers. What else
    HealthOmics asks of the settings (lengths, characters, ranges) is checked for all batches alike, when the
    request is built.

    :param sheet: the sheet's content, UTF-8 with or without a byte order mark
    :param format: ``csv``, ``tsv`` or ``json``
    :param columns: the column for each target; see the module
    :param types: the type for a target, where it is not plain text; see the module
    :raises HealthOmicsRequestError: with what is wrong, by row and column
    """
    return _settings(sheet, _checked_format(format), _targets(columns, types))


def _settings(sheet: bytes, format: str, targets: list[_Target]) -> list[dict[str, Any]]:
    problems = _Problems()
    shown = _item if format == "json" else _row
    rows = (
        _json_rows(_decoded(sheet, problems), targets, problems)
        if format == "json"
        else _csv_rows(sheet, "\t" if format == "tsv" else ",", targets, problems)
    )
    del sheet  # A large one need not be held twice, as bytes and as text.
    id_index = [target.path for target in targets].index(_ID)
    places: dict[str, _Place] = {}
    settings: list[dict[str, Any]] = []
    for count, (place, values) in enumerate(rows, 1):
        if count > MAX_ROWS:
            problems.add_first(
                f"the sample sheet has more than {MAX_ROWS:,} rows, the most that a batch may have"
            )
            break
        setting: dict[str, Any] = {}
        for target, value in zip(targets, values, strict=True):
            if value is _EMPTY:
                continue
            if target.key is None:
                setting[target.field] = value
            else:
                setting.setdefault(target.field, {})[target.key] = value
        if values[id_index] is _REFUSED:
            continue
        problem, run_setting_id = _checked_id(setting.get(_ID))
        if not problem and run_setting_id in places:
            problem = f"is that of {shown(places[run_setting_id])}, too; each row needs its own"
        if problem:
            problems.add(f"{shown(place)}, column {targets[id_index].column!r}: the {_ID} {problem}")
        else:
            places[run_setting_id] = place
            setting[_ID] = run_setting_id
            settings.append(setting)
    if not settings and not problems:
        problems.add("the sample sheet has no rows")
    problems.check()
    return settings


def _checked_id(value: Any) -> tuple[str, str]:
    """Return what is wrong, and the id as text: a JSON sheet may number its samples."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is empty", ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "must be text or a whole number", ""
    return "", str(value)


def _targets(columns: Any, types: Any) -> list[_Target]:
    """Return where each column goes, or raise for an argument that cannot be followed."""
    problems = _Problems()
    types = {} if types is None else types
    for name, value in (("columns", columns), ("types", types)):
        broken = list(json_problems(value, name))
        if not broken and not isinstance(value, Mapping):
            broken = [f"{name} must be a mapping, not {type(value).__name__}"]
        for problem in broken:
            problems.add(problem)
    problems.check()

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
        targets.append(_Target(path, field, key if dot else None, column, types.get(path)))
    if _ID not in columns:
        problems.add(f"columns must have the target {_ID}, which tells one run from another")
    for path, type_ in types.items():
        if path not in columns:
            problems.add(f"types has the target {path!r}, which columns has not")
        if type_ not in TYPES:
            problems.add(f"types.{path} must be one of {', '.join(TYPES)}")
    problems.check()
    return targets


def _checked_format(format: Any) -> str:
    if format not in FORMATS:
        raise HealthOmicsRequestError(
            _OPERATION,
            [f"the sample sheet must be {', '.join(FORMATS)}: by the end of its URI, or by its format"],
        )
    return str(format)


def _format_of(uri: str) -> str:
    # Not as a URI, since a key of S3 may have any character; but a link may be signed in its query.
    name = urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri
    return name.rpartition(".")[2].lower()


def _shown_uri(uri: str) -> str:
    """Return the URI without a password or a signature."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _read(uri: str, aws_conn_id: str | None, hook_arguments: Mapping[str, Any]) -> bytes:
    parts = _S3.fullmatch(uri)
    try:
        data = _read_s3(parts, aws_conn_id, hook_arguments) if parts else _read_file(uri)
    except _FOR_GOOD as error:
        reason = type(error).__name__
    except _UNKNOWN_SCHEME as error:
        reason = f"{type(error).__name__}; perhaps nothing is installed that reads such URIs"
    except (ClientError, BotoCoreError) as error:
        if is_transient(error) or isinstance(error, IncompleteReadError):
            raise
        reason = error_code(error)
    else:
        if len(data) <= MAX_SHEET_BYTES:
            return data
        reason = f"it is larger than {MAX_SHEET_BYTES:,} bytes"
    raise HealthOmicsRequestError(
        _OPERATION, [f"the sample sheet {_shown_uri(uri)} could not be read: {reason}"]
    )


def _read_s3(parts: re.Match[str], aws_conn_id: str | None, hook_arguments: Mapping[str, Any]) -> bytes:
    hook = S3Hook(aws_conn_id=parts["conn_id"] or aws_conn_id, **hook_arguments)
    client: Any = hook.get_conn()
    with client.get_object(Bucket=parts["bucket"], Key=parts["key"])["Body"] as body:
        return _bounded(body)


def _read_file(uri: str) -> bytes:
    path = uri.removeprefix("file://")
    # Local files take the short way, which is the same beside every version of fsspec and Airflow.
    with ObjectStoragePath(uri).open("rb") if "://" in path else Path(path).open("rb") as file:
        return _bounded(file)


def _bounded(file: Any) -> bytes:
    """Return the content, or its beginning if that is too large already."""
    chunks = []
    size = 0
    while size <= MAX_SHEET_BYTES and (chunk := file.read(1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _row(place: _Place) -> str:
    return f"row {place.row}" + (f" (line {place.line})" if place.line != place.row else "")


def _csv_rows(sheet: bytes, delimiter: str, targets: list[_Target], problems: _Problems) -> _Rows:
    """Yield each row that has content, with its values in the order of the targets."""
    records = _csv_records(sheet, delimiter, problems)
    place, header = next(records, (_Place(1, 1), None))
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
            problems.add(f"{_row(place)} has {_cells(len(cells))}, the header has {len(header):,}")
            continue
        values = []
        for index, target, convert in plan:
            value: Any = cells[index] or _EMPTY
            if convert is not None and value is not _EMPTY:
                try:
                    value = convert(value)
                except (ValueError, RecursionError):
                    problems.add(_type_problem(_row(place), target))
                    value = _REFUSED
            values.append(value)
        yield place, values


def _csv_records(sheet: bytes, delimiter: str, problems: _Problems) -> Iterator[tuple[_Place, list[str]]]:
    """Yield every record of the file, empty ones too, since a spreadsheet counts them."""
    # Lines end in the file's own way and are decoded one by one, so that no second copy is held.
    lines = io.TextIOWrapper(io.BytesIO(sheet), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    row = 0
    while True:
        place = _Place(row + 1, reader.line_num + 1)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError:
            _decoded(sheet, problems)
            return
        except csv.Error:
            problems.add_first(
                f"{_row(place)} is broken: it has a quote that is not closed, or text behind a closing "
                f"quote, or a cell of more than {csv.field_size_limit():,} characters"
            )
            return
        row += 1
        yield place, cells


def _csv_columns(header: list[str], targets: list[_Target], problems: _Problems) -> list[int] | None:
    """Return where the column of each target stands, or None if some cannot be told."""
    found: dict[str, int] = {}
    mapped = {target.column for target in targets}
    is_clear = True
    for index, name in enumerate(header):
        if name in found:
            # By its number, as a sheet without a header has cells here; names of our own are harmless.
            same = f" {name!r}" if name in mapped else ""
            problems.add(f"row 1: columns {found[name] + 1} and {index + 1} have the same name{same}")
            is_clear = False
        elif name:
            found[name] = index
    for column in dict.fromkeys(target.column for target in targets):
        if column not in found:
            problems.add(f"row 1, the header of {_cells(len(header))}, has no column {column!r}")
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


def _type_problem(place: str, target: _Target) -> str:
    return f"{place}, column {target.column!r}: {target.path} must be {_A_TYPE[target.type or 'string']}"


def _decoded(sheet: bytes, problems: _Problems) -> str:
    """Return the text, or nothing and a problem."""
    try:
        return str(sheet, "utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts behind a byte order mark, and has cut that off what it shows.
        line = len(re.findall(rb"\r\n|\r|\n", error.object[: error.start])) + 1
        problems.add_first(
            f"line {line} has bytes that are not UTF-8: save the sample sheet with that encoding"
        )
        return ""


class _NotJsonError(ValueError):
    """What Python's decoder would accept, or say with the value in it."""


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


def _item(place: _Place) -> str:
    return f"item {place.row} (line {place.line})"


def _json_rows(text: str, targets: list[_Target], problems: _Problems) -> _Rows:
    """Yield each object with its values in the order of the targets."""
    first: dict[_Target, tuple[str, _Place]] = {}
    mixed: set[_Target] = set()
    missing = {target.column for target in targets}
    place = None
    for place, item in _json_items(text, problems):
        if not isinstance(item, dict):
            problems.add(f"{_item(place)} is no object")
            continue
        missing -= item.keys()
        values = []
        for target in targets:
            value = item.get(target.column, _EMPTY)
            if target.type != "json" and value is not _EMPTY:
                if value is None:
                    value = _EMPTY
                elif problem := _json_type_problem(target, value, place, first, mixed):
                    problems.add(problem)
                    value = _REFUSED
            values.append(value)
        yield place, values
    if place is not None:
        for column in sorted(missing):
            problems.add_first(f"no item has the key {column!r}")


def _json_type_problem(
    target: _Target,
    value: Any,
    place: _Place,
    first: dict[_Target, tuple[str, _Place]],
    mixed: set[_Target],
) -> str | None:
    name = _type_of(value)
    if name == "json":
        return (
            f"{_item(place)}, column {target.column!r}: {target.path} must not be a list or an object, "
            "unless it is declared json in types"
        )
    if target.type is not None:
        is_as_declared = target.type in (name, "number" if name == "integer" else name)
        return None if is_as_declared else _type_problem(_item(place), target)
    name = "number" if name == "integer" else name
    expected, where = first.setdefault(target, (name, place))
    if name == expected or target in mixed:
        return None
    mixed.add(target)
    return (
        f"{_item(place)}, column {target.column!r}: {target.path} is {_A_TYPE[name]} here and "
        f"{_A_TYPE[expected]} in {_item(where)}; a column must be of one type"
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


def _json_items(text: str, problems: _Problems) -> Iterator[tuple[_Place, Any]]:
    """Yield the elements of the array one by one, so that they need not be held together."""
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
        place = _Place(row, line)
        try:
            item, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            problems.add_first(_syntax_problem(text, error.pos))
            return
        except (ValueError, RecursionError):
            problems.add_first(
                f"{_item(place)} is no JSON: it has NaN, an infinite number, a number of too many digits, a "
                "repeated key, or too many levels"
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
