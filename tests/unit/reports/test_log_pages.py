# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments about logs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.reports.log_pages import line_count
from airflow_healthomics.requests.json_values import BrokenTemplate


@pytest.mark.parametrize(
    ("value", "lines"),
    [(20, 20), (0, 0), ("20", 20), ("", 0), ("{{ 20 }}", 0), ("-1", 0), ("1.5", 0), (1.5, 0), (None, 0)],
)
def test_a_number_of_lines(value: Any, lines: int) -> None:
    """Any value that is not a whole number counts as 0."""
    assert line_count(value) == lines


def test_a_broken_template() -> None:
    """It counts as no number."""
    assert line_count(BrokenTemplate("failed")) == 0
