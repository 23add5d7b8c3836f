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
def test_what_fits_has_no_problem(names: list[str]) -> None:
    """Every required and any optional parameter is what the workflow wants."""
    assert workflow_parameter_problems(names, TEMPLATE) == []


def test_every_missing_name_is_said() -> None:
    """A parameter whose ``optional`` is omitted is required."""
    text = " ".join(workflow_parameter_problems([], TEMPLATE))
    assert "reference" in text
    assert "sample_name" in text
    assert "threads" not in text


def test_every_unknown_name_is_said_with_the_nearest_one() -> None:
    """A typo is answered with the name that was meant."""
    names = ["reference", "sample_name", "thread", "zzz_nothing_like_it"]
    text = " ".join(workflow_parameter_problems(names, TEMPLATE))
    assert "threads" in text
    assert "zzz_nothing_like_it" in text


def test_missing_and_unknown_are_said_together() -> None:
    """One look shows all that is to be repaired."""
    text = " ".join(workflow_parameter_problems(["referense", "sample_name"], TEMPLATE))
    assert "referense (did you mean reference?)" in text
    assert "required parameters of the workflow: reference" in text


def test_a_duplicate_may_inherit_what_is_missing() -> None:
    """But it may not have what the workflow does not know."""
    assert workflow_parameter_problems([], TEMPLATE, may_inherit=True) == []
    assert workflow_parameter_problems(["nope"], TEMPLATE, may_inherit=True)


def test_a_null_entry_is_a_required_parameter() -> None:
    """An entry without fields says no more than the name."""
    assert workflow_parameter_problems([], {"reference": None})


names = st.sets(st.text("abcdef", min_size=1, max_size=4), max_size=6)


@settings(deadline=None, max_examples=200)
@given(names, names, names)
def test_problems_are_exactly_what_differs(
    given_names: set[str], required: set[str], optional: set[str]
) -> None:
    """There is a problem if, and only if, a required name is missing or a name is unknown."""
    template = {name: {"optional": True} for name in optional} | {name: {} for name in required}
    problems = workflow_parameter_problems(given_names, template)
    fits = required <= given_names <= template.keys()
    assert (problems == []) == (fits or not template)
