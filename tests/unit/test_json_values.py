# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What is JSON, and where a value is none."""

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

from airflow_healthomics.json_values import BrokenTemplate, json_problems, to_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Plain:
    """Something of the user's."""

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
def test_json_has_no_problem_and_stays_as_it_is(value: Any) -> None:
    """Whatever json can read back passes."""
    assert list(json_problems(value, "parameters")) == []
    assert to_json(value) == value


@pytest.mark.parametrize("value", NO_JSON)
def test_what_is_no_json_is_refused_by_its_path(value: Any) -> None:
    """The sentence has the path down to the value, and nothing of the value."""
    problems = list(json_problems({"a": [0, {"b": value}]}, "parameters"))
    assert len(problems) == 1
    assert problems[0].startswith("parameters.a[1].b")
    assert "canary" not in problems[0]


def test_every_place_is_named() -> None:
    """One error shows all that is to be repaired."""
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


def test_undefined_shows_as_such() -> None:
    """The Rendered Template view says that there was nothing."""
    assert repr(BrokenTemplate("is undefined")) == "<template is undefined>"
