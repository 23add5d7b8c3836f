# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Parameter names against a workflow's parameter template."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_healthomics.params.template import workflow_parameter_problems

TEMPLATE: dict[str, Any] = {
    "reference": {"description": "FASTA"},
    "sample_name": {"description": "", "optional": False},
    "threads": {"optional": True},
}


@pytest.mark.parametrize(
    "names",
    [["reference", "sample_name"], ["reference", "sample_name", "threads"]],
    ids=["required", "with-optional"],
)
def test_valid_parameters_have_no_problem(names: list[str]) -> None:
    """They are all required and any optional parameters."""
    assert workflow_parameter_problems(names, TEMPLATE) == []


def test_every_missing_name_is_reported() -> None:
    """A parameter whose ``optional`` is omitted is required."""
    text = " ".join(workflow_parameter_problems([], TEMPLATE))
    assert "reference" in text
    assert "sample_name" in text
    assert "threads" not in text


def test_every_unknown_name_is_reported_with_the_nearest_one() -> None:
    """The error for a typo has the intended name."""
    names = ["reference", "sample_name", "thread", "zzz_nothing_like_it"]
    text = " ".join(workflow_parameter_problems(names, TEMPLATE))
    assert "threads" in text
    assert "zzz_nothing_like_it" in text


def test_missing_and_unknown_names_are_reported_together() -> None:
    """One error lists everything to correct."""
    text = " ".join(workflow_parameter_problems(["referense", "sample_name"], TEMPLATE))
    assert "referense (did you mean reference?)" in text
    assert "required parameters of the workflow: reference" in text


def test_a_duplicate_may_inherit_missing_parameters() -> None:
    """But parameters that the workflow does not know are refused."""
    assert workflow_parameter_problems([], TEMPLATE, may_inherit=True) == []
    assert workflow_parameter_problems(["nope"], TEMPLATE, may_inherit=True)


def test_a_null_entry_is_a_required_parameter() -> None:
    """An entry without fields has the name only."""
    assert workflow_parameter_problems([], {"reference": None})


names = st.sets(st.text("abcdef", min_size=1, max_size=4), max_size=6)


@settings(deadline=None, max_examples=200)
@given(names, names, names)
def test_problems_are_exactly_the_differences(
    given_names: set[str], required: set[str], optional: set[str]
) -> None:
    """There is a problem if, and only if, a required name is missing or a name is unknown."""
    template = {name: {"optional": True} for name in optional} | {name: {} for name in required}
    problems = workflow_parameter_problems(given_names, template)
    fits = required <= given_names <= template.keys()
    assert (problems == []) == (fits or not template)
