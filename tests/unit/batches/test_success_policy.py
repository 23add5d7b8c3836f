# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The success policy of a batch."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.batches.success_policy import SuccessPolicy, parse_success_policy
from airflow_healthomics.exceptions import HealthOmicsRequestError, HealthOmicsTemplateError
from airflow_healthomics.requests.json_values import BrokenTemplate

totals = st.integers(1, 100_000)
policies = st.one_of(
    st.integers(1, 200_000).map(lambda runs: SuccessPolicy(runs=runs)),
    st.fractions(0, 1).filter(bool).map(lambda share: SuccessPolicy(share=share)),
)


@pytest.mark.parametrize(
    ("value", "total", "required"),
    [
        ("all", 20, 20),
        ("all", 1, 1),
        ("any", 20, 1),
        (" all\n", 20, 20),
        (1, 20, 1),
        ("1", 20, 1),
        ("0007", 20, 7),
        (950, 1_000, 950),
        ("950", 1_000, 950),
        (950, 900, 950),
        (1.0, 20, 20),
        ("1.0", 20, 20),
        ("100%", 20, 20),
        ("100.0%", 20, 20),
        ("95%", 20, 19),
        (0.95, 20, 19),
        ("0.95", 20, 19),
        ("95%", 21, 20),
        ("95%", 1, 1),
        ("0.1%", 1_000, 1),
        ("0.1%", 1_001, 2),
        ("0.1%", 1, 1),
        (0.07, 100, 7),
        (0.29, 100, 29),
        ("29%", 100, 29),
        ("99.999%", 100_000, 99_999),
        (0.1 + 0.2, 10, 4),
        (1e-05, 100_000, 1),
    ],
)
def test_the_required_number_of_each_form(value: Any, total: int, required: int) -> None:
    """A share is computed from its decimal digits, and a fraction of a run counts as a run."""
    policy = parse_success_policy(value)
    assert policy.required(total) == required
    assert policy.is_met(required, total)
    assert not policy.is_met(required - 1, total)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("all", "all runs (1,000 of 1,000)"),
        ("100%", "all runs (1,000 of 1,000)"),
        (1.0, "all runs (1,000 of 1,000)"),
        ("any", "at least 1 run (1 of 1,000)"),
        (2_950, "at least 2,950 runs (2,950 of 1,000)"),
        ("95%", "at least 95% of the runs (950 of 1,000)"),
        (0.95, "at least 95% of the runs (950 of 1,000)"),
        ("99.950%", "at least 99.95% of the runs (1,000 of 1,000)"),
        ("0.1%", "at least 0.1% of the runs (1 of 1,000)"),
        (0.1, "at least 10% of the runs (100 of 1,000)"),
        (1e-05, "at least 0.001% of the runs (1 of 1,000)"),
    ],
)
def test_a_policy_reads_as_a_person_would_say_it(value: Any, text: str) -> None:
    """Messages quote the policy, alone or for a batch."""
    policy = parse_success_policy(value)
    assert policy.describe(1_000) == text
    assert str(policy) == text.partition(" (")[0]


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "-1",
        "+1",
        "1,000",
        "1_000",
        "",
        " ",
        "ALL",
        "most",
        "None",
        "nan",
        "1e-1",
        ".5",
        "1.",
        "1.5",
        "0.0",
        "0%",
        "0.000%",
        "101%",
        "100.1%",
        "-5%",
        "95 %",
        "95%%",
        "%",
        "٩٥%",
        "9" * 10,
        0.0,
        -0.5,
        1.0000001,
        950.0,
        float("nan"),
        float("inf"),
        True,
        False,
        None,
        [],
        ["all"],
        {"share": 0.95},
        b"all",
        Decimal("0.95"),
        Fraction(19, 20),
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    """The error is permanent, and names the argument."""
    with pytest.raises(HealthOmicsRequestError, match="success_policy ") as caught:
        parse_success_policy(value)
    assert isinstance(caught.value, ValueError)
    assert len(caught.value.problems) == 1


def test_the_error_lists_the_accepted_forms_and_names_the_call() -> None:
    """A reader of the log can correct the argument; rendered values are not shown."""
    with pytest.raises(HealthOmicsRequestError) as caught:
        parse_success_policy("canary", operation="GetBatch")
    text = str(caught.value)
    assert text.startswith("GetBatch was not sent: success_policy must be 'all', 'any', a number of runs")
    assert "'95%'" in text
    assert "canary" not in text


def test_a_failed_template_is_reported_as_one() -> None:
    """An undefined name is a permanent error; a temporary failure is left to the next try."""
    with pytest.raises(HealthOmicsRequestError, match="success_policy is a template that is undefined"):
        parse_success_policy(BrokenTemplate("is undefined"))
    with pytest.raises(HealthOmicsTemplateError, match="success_policy"):
        parse_success_policy(BrokenTemplate("failed with OSError", is_temporary=True))


@given(policies, st.integers(0, 5))
def test_a_batch_of_no_runs_is_never_a_success(policy: SuccessPolicy, succeeded: int) -> None:
    """Nothing was done."""
    assert not policy.is_met(succeeded, 0)
    assert policy.required(0) >= 1


@given(policies, totals, st.integers(0, 100_000))
def test_one_more_success_never_fails_a_batch(policy: SuccessPolicy, total: int, succeeded: int) -> None:
    """A successful batch remains one when another of its runs completes."""
    if policy.is_met(succeeded, total):
        assert policy.is_met(succeeded + 1, total)


@given(policies, totals)
def test_required_is_the_least_number_that_is_met(policy: SuccessPolicy, total: int) -> None:
    """The number of required runs in messages is exact."""
    required = policy.required(total)
    assert required >= 1
    assert policy.is_met(required, total)
    assert not policy.is_met(required - 1, total)
    if policy.share is not None:
        assert required <= total


@given(st.fractions(0, 1).filter(bool), totals, st.data())
def test_a_share_agrees_with_exact_arithmetic(share: Fraction, total: int, data: st.DataObject) -> None:
    """The policy is met if and only if the fraction of successes is at least the share."""
    succeeded = data.draw(st.integers(0, total))
    assert SuccessPolicy(share=share).is_met(succeeded, total) == (Fraction(succeeded, total) >= share)


@given(st.decimals("0.0001", "100", places=4))
def test_a_percentage_is_exactly_what_is_written(percentage: Decimal) -> None:
    """It keeps every decimal, from the argument to the message."""
    policy = parse_success_policy(f"{percentage:f}%")
    assert policy.share == Fraction(percentage) / 100
    if policy.share != 1:
        assert Fraction(str(policy).split()[2].rstrip("%")) == Fraction(percentage)


@given(st.floats(0, 1, exclude_min=True, allow_subnormal=False))
def test_a_float_and_its_percentage_are_the_same(share: float) -> None:
    """A share uses the digits that Python shows for it."""
    assert parse_success_policy(share).share == Fraction(Decimal(repr(share)))


@given(policies)
def test_a_policy_is_a_value(policy: SuccessPolicy) -> None:
    """Equal policies are equal after pickling too, and one run is not all runs."""
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert parse_success_policy(1) != parse_success_policy(1.0)
