# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Values that are JSON, and the paths of values that are not."""

from __future__ import annotations

import json
import math
from collections import UserList
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.requests.json_values import (
    BrokenTemplate,
    as_json,
    json_problems,
    json_size,
    to_json,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Plain:
    """A class of the user."""

    def __repr__(self) -> str:
        return "canary"


NO_JSON = [
    pytest.param(math.nan, id="nan"),
    pytest.param(math.inf, id="infinity"),
    pytest.param(-math.inf, id="minus-infinity"),
    pytest.param(("canary",), id="tuple"),
    pytest.param(b"canary", id="bytes"),
    pytest.param(bytearray(b"canary"), id="bytearray"),
    pytest.param({"canary"}, id="set"),
    pytest.param(datetime(2026, 1, 2, tzinfo=UTC), id="datetime"),
    pytest.param(date(2026, 1, 2), id="date"),
    pytest.param(Decimal("1.5"), id="decimal"),
    pytest.param(Path("canary"), id="path"),
    pytest.param(1j, id="complex"),
    pytest.param(Plain(), id="object"),
    pytest.param({1: "canary"}, id="number-as-key"),
    pytest.param({None: "canary"}, id="null-as-key"),
    pytest.param({("canary",): 1}, id="tuple-as-key"),
    pytest.param(BrokenTemplate("is undefined"), id="undefined"),
]


@settings(deadline=None, max_examples=200)
@given(json_values)
def test_json_has_no_problem_and_is_unchanged(value: Any) -> None:
    """Every value that json can read back passes."""
    assert list(json_problems(value, "parameters")) == []
    assert to_json(value) == value


@pytest.mark.parametrize("value", NO_JSON)
def test_other_values_are_refused_by_path(value: Any) -> None:
    """The message has the path of the value, and nothing of the value."""
    problems = list(json_problems({"a": [0, {"b": value}]}, "parameters"))
    assert len(problems) == 1
    assert problems[0].startswith("parameters.a[1].b")
    assert "canary" not in problems[0]


def test_every_place_is_named() -> None:
    """One error lists everything to correct."""
    problems = list(json_problems({"a": math.nan, "b": [b"", "fine"], "c": {"d": {1}}}, "parameters"))
    assert [problem.split()[0] for problem in problems] == [
        "parameters.a",
        "parameters.b[0]",
        "parameters.c.d",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MappingProxyType({"a": UserList([1])}), {"a": [1]}),
        (UserList([MappingProxyType({})]), [{}]),
    ],
    ids=["mapping", "sequence"],
)
def test_other_mappings_and_sequences_become_json(value: Any, expected: Any) -> None:
    """The lazy list of a mapped task's XComs is a list for the API."""
    assert list(json_problems(value, "parameters")) == []
    assert to_json(value) == expected
    assert json.loads(json.dumps(to_json(value))) == expected


def test_an_undefined_value_is_shown_as_undefined() -> None:
    """The Rendered Template view shows that there was no value."""
    assert repr(BrokenTemplate("is undefined")) == "<template is undefined>"


# --- conversion to JSON ---


@settings(deadline=None, max_examples=200)
@given(json_values)
def test_plain_json_is_returned_as_it_is(value: Any) -> None:
    """Nothing is copied without need."""
    converted, problems = as_json(value, "parameters")
    assert converted is value
    assert problems == []


@settings(deadline=None, max_examples=200)
@given(json_values)
def test_the_size_is_that_of_the_shortest_json(value: Any) -> None:
    """As UTF-8."""
    assert json_size(value) == len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "value",
    [
        UserList([1]),
        MappingProxyType({"a": 1}),
        {"a": UserList([{"b": UserList()}])},
        [MappingProxyType({})],
    ],
    ids=repr,
)
def test_other_sequences_and_mappings_become_plain(value: Any) -> None:
    """JSON and botocore know lists and dicts only."""
    converted, problems = as_json(value, "parameters")
    assert (converted, problems) == (to_json(value), [])
    assert json.dumps(converted)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [-math.inf],
        {"a": (1,)},
        {"a": [b"x"]},
        {1: 2},
        {"\ud800": 1},
        ["\udfff"],
        10**400,
        [-(10**400)],
        BrokenTemplate("fails"),
        {"a": Plain()},
        [Decimal(1)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_as_json_finds_other_values(value: Any) -> None:
    """The quick check accepts nothing else."""
    _, problems = as_json(value, "parameters")
    assert problems == list(json_problems(value, "parameters"))
    assert len(problems) == 1


@pytest.mark.parametrize("leaf", [[], {}, 1, "a", 1.5, None, True], ids=repr)
@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}], ids=["list", "dict"])
@pytest.mark.parametrize("depth", [99, 100, 101, 102])
def test_as_json_has_the_same_depth_limit(leaf: Any, wrap: Any, depth: int) -> None:
    """Both checks refuse the same depth."""
    value = leaf
    for _ in range(depth):
        value = wrap(value)
    assert as_json(value, "parameters")[1] == list(json_problems(value, "parameters"))
