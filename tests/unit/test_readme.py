# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The README cannot drift from the example DAGs."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

from benchmarks.report import markdown_table

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
DAG_BLOCKS = [block for block in BLOCKS if "task_id=" in block or "@task" in block]


def test_readme_shows_dags() -> None:
    """The README has code of DAGs, so the other test has something to compare."""
    assert len(DAG_BLOCKS) >= 2


@pytest.mark.parametrize("block", DAG_BLOCKS, ids=lambda block: block.split("(")[0])
def test_code_of_the_readme_stands_in_an_example(block: str) -> None:
    """Each DAG block of the README is taken from an example, but for its indentation."""
    indented = textwrap.indent(block.strip(), "    ")
    assert any(indented in example.read_text() for example in (ROOT / "example_dags").glob("*.py"))


def test_the_measured_numbers_are_those_of_the_benchmark() -> None:
    """The table of the README is that of the committed results, and these meet every target."""
    results = json.loads((ROOT / "benchmarks" / "results" / "waiting.json").read_text())
    assert markdown_table(results) in (ROOT / "README.md").read_text()
    assert all(target["met"] for target in results["targets"])
