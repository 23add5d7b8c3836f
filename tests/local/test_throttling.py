# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Throttling at the documented rates, per account, region and operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control
from airflow_healthomics.testing.throttling import Throttle

from .conftest import aws, error_of


def test_it_is_off_by_default(start: Callable[..., Any]) -> None:
    """Tests start runs as fast as they can."""
    for _ in range(5):
        start()


def test_start_run_is_limited_to_one_a_second(control: Control, start: Callable[..., Any]) -> None:
    """The second call in a second gets 429, and a second later there is a token again."""
    control.stop_clock()
    control.set_throttling()
    start()
    assert error_of(start)[:2] == ("ThrottlingException", 429)
    control.advance_clock(0.5)
    assert error_of(start)[0] == "ThrottlingException"
    control.advance_clock(0.5)
    start()


def test_each_operation_has_its_own_rate(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """GetRun has ten calls a second, whatever StartRun used up."""
    run_id = start()["id"]
    control.stop_clock()
    control.set_throttling()
    for _ in range(10):
        omics.get_run(id=run_id)
    assert error_of(omics.get_run, id=run_id)[0] == "ThrottlingException"
    assert omics.list_runs()["items"]


def test_rates_are_per_region(control: Control, omics: Any) -> None:
    """Each region has its own tokens."""
    control.stop_clock()
    control.set_throttling(rates={"ListRuns": 1})
    omics.list_runs()
    assert error_of(omics.list_runs)[0] == "ThrottlingException"
    assert aws("omics", region_name="eu-west-1").list_runs()["items"] == []


def test_rates_can_be_replaced_and_disabled(control: Control, omics: Any) -> None:
    """A custom rate replaces the documented ones."""
    control.stop_clock()
    control.set_throttling(rates={"ListRuns": 3})
    for _ in range(3):
        omics.list_runs()
    assert error_of(omics.list_runs)[0] == "ThrottlingException"
    control.set_throttling(False)
    omics.list_runs()


@pytest.mark.parametrize(
    ("rate", "times", "allowed"),
    [
        (1.0, [0, 0, 1, 1.5, 2], [True, False, True, False, True]),
        (0.5, [0, 1, 2, 4], [True, False, True, True]),
        (2.0, [0, 0, 0, 0.5, 100, 100, 100], [True, True, False, True, True, True, False]),
    ],
)
def test_a_bucket_fills_at_its_rate_and_no_higher(
    rate: float, times: list[float], allowed: list[bool]
) -> None:
    """A long pause saves up one second's worth of calls, no more."""
    throttle = Throttle()
    assert [throttle.allows("key", rate, now) for now in times] == allowed
