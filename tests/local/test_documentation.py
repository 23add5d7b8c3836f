# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The page on the local HealthOmics names options and operations that exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from airflow_healthomics.testing import Options
from airflow_healthomics.testing.omics.models import OmicsBackend

from .test_members import operations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "local-healthomics.md"


def test_the_options_of_each_resource_exist() -> None:
    """The last column of the table has names of options, or none."""
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    _, *resources = [row for row in rows if len(row) == 6]
    named = {name for row in resources for name in re.findall(r"`(\w+)`", row[4])}
    assert len(resources) >= 8
    assert named <= {field.name for field in fields(Options)}


def test_each_operation_is_described() -> None:
    """The generated table of operations has the first paragraph of each docstring."""
    backend = OmicsBackend("us-east-1", "123456789012")
    for name in operations():
        action = backend.action(name)
        assert action is not None
        assert (action.__doc__ or "").strip(), name
