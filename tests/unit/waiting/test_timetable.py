# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Poll intervals that waits share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.waiting.timetable import shared_interval


@pytest.mark.parametrize(
    ("interval", "shared"), [(60, 60), (69, 60), (30, 30), (35, 30), (15, 15), (120, 120)]
)
def test_similar_intervals_are_the_same(interval: float, shared: float) -> None:
    """The defaults do not change."""
    assert shared_interval(interval) == pytest.approx(shared)


@given(st.floats(min_value=1, max_value=86_400))
def test_no_interval_becomes_longer_or_much_shorter(interval: float) -> None:
    """A quarter of a doubling at most."""
    assert interval / 1.2 < shared_interval(interval) <= interval * 1.001
