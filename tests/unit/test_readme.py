# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The README is short, works on the package index, and cannot drift from the example DAGs."""

from __future__ import annotations

import re
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
EXAMPLES = [path.read_text() for path in (ROOT / "example_dags").glob("*.py")]
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
#: URLs of links in Markdown, and of images in HTML.
TARGETS = re.findall(r"\]\(([^)]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", README)
LINKS = sorted({markdown or html for markdown, html in TARGETS})


def test_readme_shows_a_dag() -> None:
    """The README has the code of a DAG, so the next test has something to compare."""
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("(")[0])
def test_code_of_the_readme_is_in_an_example(block: str) -> None:
    """Each code block of the README is part of an example, except for its indentation."""
    indented = textwrap.indent(block.strip(), "    ")
    assert any(indented in example for example in EXAMPLES)


def test_readme_is_short() -> None:
    """The README has at most 150 lines; the rest is in the documentation."""
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("link", LINKS)
def test_links_of_the_readme_work_everywhere(link: str) -> None:
    """Each link is absolute, and one into the repository names an existing file."""
    assert link.startswith("https://")
    raw = SOURCE.replace("https://github.com/", "https://raw.githubusercontent.com/")
    if link.startswith((SOURCE, raw)):
        path = re.sub(rf"^({SOURCE}/(blob|tree)|{raw})/main/", "", link).partition("#")[0]
        assert (ROOT / path).exists()
