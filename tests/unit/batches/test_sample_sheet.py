# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""From a sample sheet to the settings of a batch's runs."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow
import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.model import StructureShape
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.batches import sample_sheet, sheet_columns
from airflow_healthomics.batches.sample_sheet import read_sample_sheet, settings_of
from airflow_healthomics.exceptions import HealthOmicsRequestError, HealthOmicsTemplateError
from airflow_healthomics.requests.fields import api_field
from airflow_healthomics.requests.json_values import BrokenTemplate
from tests.healthomics import mock_healthomics, service_model
from tests.unit.conftest import ONE_ATTEMPT

ID: dict[Any, str] = {"run_setting_id": "id"}
COLUMNS = {**ID, "parameters.value": "value"}


def problems_of(sheet: str | bytes, columns: Any = None, types: Any = None, format: str = "csv") -> list[str]:
    """Return the problems of a sheet, or of the other arguments."""
    data = sheet.encode() if isinstance(sheet, str) else sheet
    with pytest.raises(HealthOmicsRequestError) as caught:
        settings_of(data, format, COLUMNS if columns is None else columns, types)
    assert caught.value.operation == "StartRunBatch"
    # Neither shown as the cause nor kept beside the error: its origin knows the sheet.
    assert caught.value.__context__ is None
    return list(caught.value.problems)


def assert_begin(problems: Sequence[str], beginnings: Sequence[str]) -> None:
    """Check the beginning of each problem."""
    assert len(problems) == len(beginnings), problems
    for problem, beginning in zip(problems, beginnings, strict=True):
        assert problem.startswith(beginning)


def settings_from(text: str, columns: Any = None, types: Any = None, format: str = "csv") -> list[Any]:
    """Return the settings of a sheet in UTF-8."""
    return settings_of(text.encode(), format, COLUMNS if columns is None else columns, types)


def written(rows: list[list[str]], **dialect: Any) -> str:
    """Return a sheet as Python's csv module writes it."""
    file = io.StringIO()
    csv.writer(file, **dialect).writerows(rows)
    return file.getvalue()


# Reading a sheet


def test_a_sheet_becomes_settings_by_argument_name() -> None:
    """Each column is written to its target, and a column without a target is ignored."""
    columns = {
        "run_setting_id": "sample",
        "name": "sample",
        "output_uri": "out",
        "priority": "prio",
        "output_bucket_owner_id": "owner",
        "parameters.fastq_1": "fastq_1",
        "parameters.Main.depth": "depth",
        "run_tags.cohort": "cohort",
        "engine_settings.engine": "engine",
    }
    types = {"parameters.Main.depth": "integer", "priority": "integer"}
    sheet = (
        "cohort,sample,fastq_1,depth,secret,prio,owner,out,engine\n"
        "c1,0042,s3://b/1.fq,30,x,7,000000000042,s3://o/1,v1\n"
    )
    assert settings_from(sheet, columns, types) == [
        {
            "run_setting_id": "0042",
            "name": "0042",
            "output_uri": "s3://o/1",
            "priority": 7,
            "output_bucket_owner_id": "000000000042",
            "parameters": {"fastq_1": "s3://b/1.fq", "Main.depth": 30},
            "run_tags": {"cohort": "c1"},
            "engine_settings": {"engine": "v1"},
        }
    ]


def test_the_targets_are_the_fields_of_the_api() -> None:
    """A field that AWS adds to the settings of a run fails here."""
    shape = service_model().shape_for("InlineSetting")
    assert isinstance(shape, StructureShape)
    members = shape.members
    values = {api_field(name) for name in sheet_columns.VALUE_TARGETS}
    mappings = {api_field(name) for name in sheet_columns.MAPPING_TARGETS}
    assert values | mappings == set(members)
    assert mappings == {name for name, shape in members.items() if shape.type_name in ("map", "structure")}


@pytest.mark.parametrize(
    ("type_", "cell", "value"),
    [
        (None, "0042", "0042"),
        (None, "true", "true"),
        (None, " x ", " x "),
        ("string", "1e3", "1e3"),
        ("integer", "0", 0),
        ("integer", "-30", -30),
        ("integer", "1" * 30, int("1" * 30)),
        ("number", "30", 30),
        ("number", "0.1", 0.1),
        ("number", "-1.5e-3", -0.0015),
        ("boolean", "true", True),
        ("boolean", "TRUE", True),
        ("boolean", "False", False),
        ("json", '"0042"', "0042"),
        ("json", '""', ""),
        ("json", "null", None),
        ("json", '[1, {"a": null}]', [1, {"a": None}]),
    ],
)
def test_a_cell_is_text_unless_its_type_is_declared(type_: str | None, cell: str, value: Any) -> None:
    """Nothing is guessed from text; a declared type gives its own Python type."""
    types = {"parameters.value": type_} if type_ else None
    [setting] = settings_from(written([["id", "value"], ["a", cell]]), types=types)
    assert setting == {"run_setting_id": "a", "parameters": {"value": value}}
    assert type(setting["parameters"]["value"]) is type(value)


SAID = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "json": "JSON"}


@pytest.mark.parametrize(
    ("type_", "cells"),
    [
        ("integer", ["0042", "+1", "1.0", "1e3", " 1", "1,000", "1_000", "٣", "x", "-", "9" * 5_000]),
        ("number", ["0042", "+1", ".5", "1.", "NaN", "Infinity", "-inf", "1e999", "0x10", "٣", " 1", "x"]),
        ("boolean", ["1", "0", "yes", "T", "tRUE", "true ", "wahr"]),
        (
            "json",
            [
                "x",
                "[1",
                "NaN",
                "[-Infinity]",
                "1e999",
                '{"a": 1, "a": 2}',
                "'a'",
                "[1] x",
                "[" * 90_000,
                "9" * 5_000,
            ],
        ),
    ],
)
def test_a_cell_that_its_type_does_not_accept_is_refused(type_: str, cells: list[str]) -> None:
    """The error names row, column, target and type."""
    for cell in cells:
        [problem] = problems_of(
            written([["id", "value"], ["a", ""], ["b", cell]]), types={"parameters.value": type_}
        )
        assert problem == f"row 3, column 'value': parameters.value must be {SAID[type_]}", cell


@pytest.mark.parametrize(
    ("format", "sheet"),
    [
        ("csv", "id,value\na,\nb,2\n"),
        ("tsv", "id\tvalue\na\t\nb\t2\n"),
        ("json", '[{"id": "a", "value": null}, {"id": "b", "value": "2"}]'),
        ("json", '[{"id": "a"}, {"value": "2", "id": "b"}]'),
    ],
)
def test_an_empty_cell_leaves_its_target_out(format: str, sheet: str) -> None:
    """A run without a value has that of the whole batch, and so does one whose object lacks the key."""
    assert settings_from(sheet, format=format) == [
        {"run_setting_id": "a"},
        {"run_setting_id": "b", "parameters": {"value": "2"}},
    ]


@pytest.mark.parametrize(
    "sheet",
    [
        b"\xef\xbb\xbfid,value\na,\xc3\xa9\n",
        b"id,value\r\na,\xc3\xa9\r\n",
        b"id,value\ra,\xc3\xa9",
        b'"id","value"\n\n"a","\xc3\xa9"\n\n,\n\n',
    ],
    ids=["byte-order-mark", "windows", "old-mac", "empty-rows"],
)
def test_the_variants_of_programs_are_read_alike(sheet: bytes) -> None:
    """Byte order marks, line ends and empty rows make no difference."""
    assert settings_of(sheet, "csv", COLUMNS) == [{"run_setting_id": "a", "parameters": {"value": "é"}}]


def test_a_column_may_hold_all_parameters() -> None:
    """A mapping as a whole is declared as JSON."""
    columns = {**ID, "parameters": "all"}
    sheet = written([["id", "all"], ["a", '{"Main.fastq": ["x"]}']])
    [setting] = settings_from(sheet, columns, {"parameters": "json"})
    assert setting["parameters"] == {"Main.fastq": ["x"]}


def test_values_of_a_json_sheet_keep_their_types() -> None:
    """Integers and fractions are one type, and a declared ``json`` accepts everything."""
    sheet = json.dumps(
        [
            {"id": 1, "n": 1, "t": "0042", "b": True, "j": [1], "more": {}},
            {"id": 2, "n": 1.5, "t": "", "b": False, "j": None, "more": []},
        ]
    )
    columns = {**ID, **{f"parameters.{name}": name for name in "ntbj"}}
    found = settings_from(sheet, columns, {"parameters.j": "json", "parameters.n": "number"}, "json")
    assert found == [
        {"run_setting_id": "1", "parameters": {"n": 1, "t": "0042", "b": True, "j": [1]}},
        {"run_setting_id": "2", "parameters": {"n": 1.5, "t": "", "b": False, "j": None}},
    ]
    assert type(found[0]["parameters"]["n"]) is int


# Problems


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        ("", ["the sample sheet is empty"]),
        ("\ufeff", ["the sample sheet is empty"]),
        ("\n", ["row 1, the header, is empty"]),
        ("id,value\n", ["the sample sheet has no rows"]),
        ("id,value\n,\n\n", ["the sample sheet has no rows"]),
        ("id\na\n", ["row 1, the header with 1 cell, has no column 'value'"]),
        (
            "x,y\na,1\n",
            [
                "row 1, the header with 2 cells, has no column 'id'",
                "row 1, the header with 2 cells, has no column 'value'",
            ],
        ),
        ("id,value,id\na,1,b\n", ["row 1: columns 1 and 3 have the same name 'id'"]),
        ("x,id,x,value\n1,a,2,3\n", ["row 1: columns 1 and 3 have the same name"]),
        ("id,value\na,1\n,2\n", ["row 3, column 'id': the run_setting_id is empty"]),
        ("id,value\n  ,2\n", ["row 2, column 'id': the run_setting_id is empty"]),
        (
            "id,value\na,1\nb,2\na,3\na,4\n",
            [
                "row 4, column 'id': the run_setting_id is the same as in row 2; it must be unique",
                "row 5, column 'id': the run_setting_id is the same as in row 2; it must be unique",
            ],
        ),
        (
            "id,value\na,1,\nb\nc,3\n",
            ["row 2 has 3 cells, but the header has 2", "row 3 has 1 cell, but the header has 2"],
        ),
        ('id,value\na,"x\ny"\n,2\n', ["row 3 (line 4), column 'id': the run_setting_id is empty"]),
        ('id,value\n\n\na,"x\r\n\r\ny"\n,2\n', ["row 5 (line 7), column 'id': the run_setting_id is empty"]),
        (b"id,value\na,1\nb,\xff\n", ["line 3 is not UTF-8"]),
        (b"\xef\xbb\xbfid,value\r\na,1\r\n\xff", ["line 3 is not UTF-8"]),
        ("id,value\na,1\n".encode("utf-16"), ["line 1 is not UTF-8"]),
        (
            b"id,value\n" + b"".join(b"%d,1\n" % row for row in range(9_000)) + b"\xe9,2\n",
            ["line 9002 is not UTF-8"],
        ),
        ('id,value\na,1\nb,"2\nc,3\n', ["row 3 is broken: it has an unclosed quote"]),
        ('id,value\na,"1"2\n', ["row 2 is broken: it has an unclosed quote, text after"]),
        ("id,value\na," + "x" * 200_000 + "\n", ["row 2 is broken"]),
    ],
)
def test_a_bad_sheet_is_refused_by_row_and_column(sheet: str | bytes, expected: list[str]) -> None:
    """One error lists all faults by the row of a spreadsheet, and by the file's line where that differs."""
    assert_begin(problems_of(sheet), expected)


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        ("", "the sample sheet is empty"),
        (" \n", "the sample sheet is empty"),
        ("[]", "the sample sheet has no rows"),
        ("[ ]\n", "the sample sheet has no rows"),
        ('{"id": "a"}', "the sample sheet must be a JSON array of objects"),
        ("[", "the sample sheet is broken JSON at line 1, character 2"),
        ('[{"id": "a", "value": 1},\n  x]', "the sample sheet is broken JSON at line 2, character 3"),
        ('[{"id": "a", "value": 1}\n{}]', "the sample sheet is broken JSON at line 2, character 1"),
        ('[{"id": "a", "value": 1},]', "the sample sheet is broken JSON at line 1, character 26"),
        ('[{"id": "a", "value": 1}] x', "the sample sheet is broken JSON at line 1, character 27"),
        ('[{"id": "a", "value": 1}', "the sample sheet is broken JSON at line 1, character 25"),
        ('[{"id": "a", "value": 1},\n[]]', "item 2 (line 2) is not an object"),
        ('[\n\n{"id": "a", "value": NaN}]', "item 1 (line 3) is not valid JSON"),
        ('[{"id": "a", "value": 1e999}]', "item 1 (line 1) is not valid JSON"),
        ('[{"id": "a", "value": 1, "value": 2}]', "item 1 (line 1) is not valid JSON"),
        ('[{"id": "a", "value": ' + "9" * 5_000 + "}]", "item 1 (line 1) is not valid JSON"),
        ('[{"id": "a", "value": ' + "[" * 200_000, "item 1 (line 1) is not valid JSON"),
        ('[{"id": "a"}]', "no item has the key 'value'"),
        ('[{"value": 1, "id": ""}]', "item 1 (line 1), column 'id': the run_setting_id is empty"),
        ('[{"value": 1, "id": true}]', "item 1 (line 1), column 'id': the run_setting_id must be text or"),
        (
            '[{"value": 1, "id": "a"},\n{"value": 2, "id": "a"}]',
            "item 2 (line 2), column 'id': the run_setting_id is the same as in item 1 (line 1)",
        ),
        (
            '[{"value": 1, "id": "a"},\n{"value": "2", "id": "b"},{"value": "3", "id": "c"}]',
            "item 2 (line 2), column 'value': parameters.value is text here and a number in item 1 (line 1)",
        ),
        (
            '[{"value": 1, "id": "a"},{"value": true, "id": "b"}]',
            "item 2 (line 1), column 'value': parameters.value is true or false here and a number in item 1",
        ),
        (
            '[{"value": {}, "id": "a"}]',
            "item 1 (line 1), column 'value': parameters.value must not be a list or an object, unless",
        ),
        (b'[{"id": "a",\n"value": "\xff"}]', "line 2 is not UTF-8"),
    ],
)
def test_a_bad_json_sheet_is_refused_by_item_and_line(sheet: str | bytes, expected: str) -> None:
    """One fault is named by the number of the object and the line that it begins at."""
    [problem] = problems_of(sheet, format="json")
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("type_", "value", "is_accepted"),
    [
        ("string", "1", True),
        ("string", 1, False),
        ("integer", 1, True),
        ("integer", 1.5, False),
        ("integer", "1", False),
        ("integer", True, False),
        ("number", 1, True),
        ("number", 1.5, True),
        ("number", True, False),
        ("boolean", True, True),
        ("boolean", 1, False),
        ("boolean", "true", False),
        ("json", {}, True),
    ],
)
def test_a_type_declared_for_a_json_sheet_is_compared(type_: str, value: Any, is_accepted: bool) -> None:
    """JSON has its own types, so nothing is converted."""
    sheet = json.dumps([{"id": "a", "value": value}])
    types = {"parameters.value": type_}
    if is_accepted:
        [setting] = settings_from(sheet, types=types, format="json")
        assert setting["parameters"]["value"] == value
    else:
        [problem] = problems_of(sheet, types=types, format="json")
        assert problem.startswith("item 1 (line 1), column 'value': parameters.value must be ")


def test_a_run_setting_id_of_the_wrong_type_is_reported_once() -> None:
    """It is not reported as empty as well."""
    [problem] = problems_of("id,value\na,1\n", types={"run_setting_id": "integer"})
    assert problem == "row 2, column 'id': run_setting_id must be a whole number"


@pytest.mark.parametrize("format", ["csv", "json"])
def test_more_rows_than_a_batch_may_have_are_refused(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maximum passes; one more row is refused before the rest is read."""
    monkeypatch.setattr(sample_sheet, "MAX_ROWS", 3)

    def sheet(count: int) -> str:
        if format == "json":
            return json.dumps([{"id": str(row)} for row in range(count)])
        return written([["id"], *([str(row)] for row in range(count))])

    assert len(settings_from(sheet(3), ID, format=format)) == 3
    broken = sheet(4)[:-1] + ("" if format == "json" else ',"broken')
    [problem] = problems_of(broken, ID, format=format)
    assert problem == "the sample sheet has more than 3 rows, the maximum of a batch"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (b"\xff", "line 4733 is not UTF-8"),
        (b'"', "row 4733 is broken"),
    ],
)
def test_a_fatal_problem_is_reported_first(end: bytes, expected: str) -> None:
    """It is not among the problems that are only counted."""
    problems = problems_of(b"id,value\n" + b",1\n" * 4_731 + end)
    assert problems[0].startswith(expected)
    assert problems[1].startswith("row 2, ")
    assert len(problems) == 21


def test_an_error_stays_short_however_much_is_wrong() -> None:
    """The first problems are listed, and the others are counted."""
    problems = problems_of("id,value\n" + ",1\n" * 4_731)
    assert len(problems) == 21
    assert problems[0].startswith("row 2, ")
    assert problems[-1] == "... and 4,711 more"
    problems = problems_of(json.dumps([{"value": 1}] * 4_731), format="json")
    assert problems[0] == "no item has the key 'id'"
    assert problems[-1] == "... and 4,712 more"


@pytest.mark.parametrize(
    ("columns", "types", "expected"),
    [
        ({"name": "x"}, None, ["columns must have the target run_setting_id"]),
        (["id"], None, ["columns must be a mapping, not list"]),
        (None, None, ["columns must be a mapping, not NoneType"]),
        (ID, "integer", ["types must be a mapping, not str"]),
        ({**ID, 1: "x"}, None, ["columns has a key of type int instead of text"]),
        (
            {**ID, "workflow_id": "x"},
            None,
            ["columns has the unknown target 'workflow_id': use run_"],
        ),
        ({**ID, "name.x": "x"}, None, ["columns has the unknown target 'name.x'"]),
        ({**ID, "parameters.": "x"}, None, ["columns has the unknown target 'parameters.'"]),
        ({**ID, "parameters": "x"}, None, ["columns.parameters needs a key, as in parameters.KEY, or"]),
        (
            {**ID, "parameters": "x", "parameters.y": "y"},
            {"parameters": "json"},
            ["columns.parameters.y is part of parameters, which has another column"],
        ),
        ({**ID, "name": 3}, None, ["columns.name must be the name of a column"]),
        ({**ID, "name": ""}, None, ["columns.name must be the name of a column"]),
        (ID, {"name": "string"}, ["types has the target 'name', but columns does not"]),
        (ID, {"run_setting_id": "int"}, ["types.run_setting_id must be one of string, integer, number"]),
        (ID, {"run_setting_id": ["string"]}, ["types.run_setting_id must be one of string, integer"]),
        (BrokenTemplate("is undefined"), None, ["columns is a template that is undefined"]),
        (
            {**ID, "name": "x", "a": "b"},
            {"c": "d"},
            ["columns has", "types has the target 'c'", "types.c must"],
        ),
    ],
)
def test_an_invalid_mapping_is_refused(columns: Any, types: Any, expected: list[str]) -> None:
    """The error names the argument and the rule before the sheet is read."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        settings_of(b"\xff", "csv", columns, types)
    assert_begin(caught.value.problems, expected)


def test_a_template_that_failed_temporarily_is_retried() -> None:
    """An XCom that could not be fetched is no mistake in the DAG."""
    with pytest.raises(HealthOmicsTemplateError, match=r"columns\.name"):
        settings_of(b"", "csv", {**ID, "name": BrokenTemplate("failed with OSError", is_temporary=True)})  # type: ignore[dict-item]


# Properties

#: Everything that csv, JSON and spreadsheets have to quote, and more.
cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    [
        "0042",
        '"',
        '""',
        "a,b",
        "a\tb",
        "\n",
        "\r\n",
        "\r",
        "x\ny",
        " ",
        "'",
        "\u2028",
        "\x00",
        "é",
        "NULL",
        "=",
    ]
)
ids = st.lists(cells.filter(str.strip), min_size=1, max_size=6, unique=True)


@settings(deadline=None)
@given(ids, st.data(), st.sampled_from(["csv", "tsv"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_values_survive(names: list[str], data: st.DataObject, format: str, quoting: int) -> None:
    """Every text survives quoting, whatever its characters."""
    values = [data.draw(cells) for _ in names]
    sheet = written(
        [["id", "value"], *([name, value] for name, value in zip(names, values, strict=True))],
        delimiter="\t" if format == "tsv" else ",",
        quoting=quoting,
    )
    assert settings_from(sheet, format=format) == [
        {"run_setting_id": name, **({"parameters": {"value": value}} if value else {})}
        for name, value in zip(names, values, strict=True)
    ]


@settings(deadline=None)
@given(ids, st.data(), st.sampled_from([None, 1]), st.booleans())
def test_json_values_survive(
    names: list[str], data: st.DataObject, indent: int | None, is_ascii: bool
) -> None:
    """Every value survives, with its type."""
    kind = data.draw(st.sampled_from([cells, st.booleans(), st.integers(), st.floats(-1e9, 1e9)]))
    values = [data.draw(kind) for _ in names]
    rows = [{"id": name, "value": value} for name, value in zip(names, values, strict=True)]
    found = settings_from(json.dumps(rows, indent=indent, ensure_ascii=is_ascii), format="json")
    assert found == [{"run_setting_id": row["id"], "parameters": {"value": row["value"]}} for row in rows]
    assert [type(setting["parameters"]["value"]) for setting in found] == [type(value) for value in values]


@settings(deadline=None)
@given(st.lists(cells, max_size=6), st.integers(0, 3), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_row_in_an_error_is_the_row_of_the_file(values: list[str], blanks: int, end: str) -> None:
    """However many line ends are quoted, the row counts records, and the line is the record's first."""
    good = [[f"sample-{index}", value] for index, value in enumerate(values)]
    before = written([["id", "value"], *good], quoting=csv.QUOTE_ALL, lineterminator=end) + end * blanks
    row = 2 + len(values) + blanks
    # The parts between line ends, of which \r\n is one, as an editor counts them.
    line = len(before.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    [problem] = problems_of(before + '"","x"' + end)
    place = f"row {row}" + (f" (line {line})" if line != row else "")
    assert problem == f"{place}, column 'id': the run_setting_id is empty"


@settings(deadline=None)
@given(st.lists(cells, max_size=6), st.text(" \n\t", max_size=5), st.sampled_from([None, 0, 2]))
def test_the_item_in_an_error_is_the_item_of_the_file(
    values: list[str], space: str, indent: int | None
) -> None:
    """In any layout of the file, the line is the object's first."""
    good = [
        json.dumps({"id": str(index), "value": value}, indent=indent) for index, value in enumerate(values)
    ]
    before = space + "[" + "".join(f"{item}{space},{space}" for item in good)
    [problem] = problems_of(before + '{"id": "", "value": ""}]', format="json")
    place = f"item {len(values) + 1} (line {before.count(chr(10)) + 1})"
    assert problem == f"{place}, column 'id': the run_setting_id is empty"


MARK = "canary"
marked = cells.map(lambda cell: f"{MARK}{cell}")
values_of_json = st.none() | st.booleans() | st.integers(987_654_321, 987_654_400) | marked


@st.composite
def bad_csv(draw: st.DrawFn) -> bytes:
    """A sheet full of marks, with or without a header, often broken."""
    header = draw(st.sampled_from([["id", "value", f"{MARK}-header"], [MARK, MARK, "id"], [MARK]]))
    rows = draw(st.lists(st.lists(marked | st.just(""), max_size=4), max_size=4))
    text = written([header, *rows, *draw(st.sampled_from([[], rows]))])
    if draw(st.booleans()):
        text = text.replace('"', "", draw(st.integers(0, 3)))
    return text.encode() + draw(st.sampled_from([b"", b"\xff", b'"' + MARK.encode(), b'"x"' + MARK.encode()]))


@st.composite
def bad_json(draw: st.DrawFn) -> bytes:
    """A sheet full of marks, often broken."""
    row = st.dictionaries(
        st.sampled_from(["id", "value", f"{MARK}-key"]), values_of_json | st.lists(marked, max_size=1)
    )
    items = draw(st.lists(row | marked | st.lists(marked, max_size=1), max_size=4))
    text = json.dumps(items, indent=draw(st.sampled_from([None, 1])))
    cut = draw(st.integers(0, len(text)))
    middle = draw(st.sampled_from(["", MARK, '"', "NaN", f'"{MARK}":', "\\", "\n"]))
    return (text[:cut] + middle + text[cut:]).encode() + draw(st.sampled_from([b"", b"\xff", MARK.encode()]))


@settings(deadline=None, max_examples=300)
@given(
    st.tuples(st.just("csv"), bad_csv()) | st.tuples(st.just("json"), bad_json()),
    st.sampled_from([None, *sheet_columns.TYPES]),
    st.sampled_from([None, *sheet_columns.TYPES]),
)
def test_no_error_shows_what_is_in_the_sheet(
    sheet: tuple[str, bytes], id_type: str | None, type_: str | None
) -> None:
    """Whatever is wrong, the error has neither a cell nor an unknown column name."""
    types = {
        path: name for path, name in {"run_setting_id": id_type, "parameters.value": type_}.items() if name
    }
    try:
        settings_of(sheet[1], sheet[0], COLUMNS, types)
    except HealthOmicsRequestError as error:
        told = str(error) + repr(error) + repr(error.__cause__) + repr(error.__context__)
        assert MARK not in told
        assert "9876543" not in told


@pytest.mark.parametrize("format", ["csv", "json"])
def test_reading_needs_little_more_memory_than_its_result(format: str) -> None:
    """Rows become settings one by one, so the largest sheets fit into a worker."""
    names = [f"column-{index}" for index in range(10)]
    rows = [[f"cell {index} of row {row} and more" for index in range(10)] for row in range(3_000)]
    if format == "json":
        sheet = json.dumps([dict(zip(names, row, strict=True)) for row in rows]).encode()
    else:
        sheet = written([names, *rows]).encode()
    columns = {"run_setting_id": names[0], **{f"parameters.{name}": name for name in names[1:]}}
    settings_of(sheet, format, columns)
    tracemalloc.start()
    try:
        found = settings_of(sheet, format, columns)
        result, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == len(rows)
    assert peak - result < 2 * len(sheet)


# Sources

SHEET = "id,value\na,é\n".encode()
EXPECTED = [{"run_setting_id": "a", "parameters": {"value": "é"}}]


@pytest.fixture
def bucket() -> Iterator[Any]:
    """An S3 bucket that lives as long as the test."""
    with mock_healthomics():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="sheets")
        yield s3


def refusal(uri: Any, **arguments: Any) -> str:
    """Return the one problem with a sheet that cannot be read."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        read_sample_sheet(uri, columns=COLUMNS, **arguments)
    [problem] = caught.value.problems
    return problem


def test_a_local_sheet_is_read(tmp_path: Path) -> None:
    """A path and a file URI name the same sheet; its suffix is the format unless that is given."""
    path = tmp_path / "a sheet #1?.CSV"
    path.write_bytes(SHEET)
    assert read_sample_sheet(str(path), columns=COLUMNS) == EXPECTED
    assert read_sample_sheet(f"file://{path}", columns=COLUMNS) == EXPECTED
    path = path.rename(tmp_path / "sheet.txt")
    assert read_sample_sheet(str(path), columns=COLUMNS, format="csv") == EXPECTED
    assert (
        refusal(str(path))
        == "the sample sheet needs a file extension, or the argument format: csv, tsv, json"
    )


@pytest.mark.parametrize("key", ["a/sheet.csv", "a sheet #1?%20.csv", "é//x.csv"])
def test_an_object_of_s3_is_read_with_the_connection(bucket: Any, key: str) -> None:
    """Any key is used unchanged, without s3fs."""
    bucket.put_object(Bucket="sheets", Key=key, Body=SHEET)
    assert read_sample_sheet(f"s3://sheets/{key}", columns=COLUMNS, region_name="us-east-1") == EXPECTED
    assert read_sample_sheet(f"s3a://aws_default@sheets/{key}", columns=COLUMNS, aws_conn_id=None) == EXPECTED


@pytest.mark.skipif(
    airflow.__version__.startswith("3.0."), reason="its object storage refuses every URI beside a newer upath"
)
def test_any_other_uri_is_read_by_the_object_storage_of_airflow() -> None:
    """Any file system of Airflow can hold a sheet, with the connection that the URI names."""
    storage = import_module("airflow.io.store" if airflow.__version__ < "3" else "airflow.sdk.io.store")
    files = MemoryFileSystem()
    files.pipe("/sheets/sheet.csv", SHEET)
    storage.attach("memory", conn_id="a_connection", fs=files)
    assert read_sample_sheet("memory://a_connection@sheets/sheet.csv", columns=COLUMNS) == EXPECTED


def test_the_connection_of_the_uri_takes_precedence(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may belong to another account; the next try handles an endpoint that does not answer."""
    bucket.put_object(Bucket="sheets", Key="x.csv", Body=SHEET)
    extra = {"service_config": {"s3": {"endpoint_url": "http://127.0.0.1:9"}}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps({"conn_type": "aws", "extra": extra}))
    with pytest.raises(EndpointConnectionError):
        read_sample_sheet("s3://away@sheets/x.csv", columns=COLUMNS, botocore_config=ONE_ATTEMPT)


def test_the_error_names_an_unreadable_sheet(bucket: Any, tmp_path: Path) -> None:
    """By its URI and the kind of error."""
    assert refusal("s3://sheets/no.csv") == "the sample sheet s3://sheets/no.csv could not be read: NoSuchKey"
    assert refusal("s3://none/no.csv").endswith("could not be read: NoSuchBucket")
    assert refusal(f"{tmp_path}/no.csv").endswith("/no.csv could not be read: FileNotFoundError")
    (tmp_path / "folder.csv").mkdir()
    assert refusal(f"{tmp_path}/folder.csv").endswith("/folder.csv could not be read: IsADirectoryError")
    assert "a package for such URIs may be missing" in refusal("nowhere://host/sheet.csv")


def test_a_uri_is_shown_without_its_secrets() -> None:
    """Neither a password nor a signature gets into the log."""
    problem = refusal("nowhere://user:canary@host/sheet.csv?signature=canary#canary", format="csv")
    assert problem.startswith("the sample sheet nowhere://host/sheet.csv could not be read: ")
    assert "canary" not in problem


@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_sheet_that_is_too_large_is_refused(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A file that was given by mistake does not fill the worker's memory."""
    bucket.put_object(Bucket="sheets", Key="x.csv", Body=SHEET)
    (tmp_path / "x.csv").write_bytes(SHEET)
    uri = "s3://sheets/x.csv" if place == "s3" else str(tmp_path / "x.csv")
    monkeypatch.setattr(sample_sheet, "MAX_SHEET_BYTES", len(SHEET))
    assert read_sample_sheet(uri, columns=COLUMNS) == EXPECTED
    monkeypatch.setattr(sample_sheet, "MAX_SHEET_BYTES", len(SHEET) - 1)
    assert refusal(uri).endswith(f"could not be read: it is larger than {len(SHEET) - 1} bytes")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (BrokenTemplate("is undefined"), "the sample sheet's URI is a template that is undefined"),
        (None, "the sample sheet's URI must be text"),
        ("", "the sample sheet's URI must be text"),
    ],
)
def test_an_invalid_uri_is_refused(uri: Any, expected: str) -> None:
    """A template may have rendered to something else."""
    assert refusal(uri) == expected
