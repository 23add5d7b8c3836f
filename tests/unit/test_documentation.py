# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation keeps up with the code where no directive does; ``make docs`` checks the rest."""

from __future__ import annotations

import ast
import inspect
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_healthomics
from airflow_healthomics import exceptions
from benchmarks.overhead import overhead_table
from benchmarks.quotas import quota_table
from benchmarks.report import further_run_line, markdown_table, outcomes_table
from benchmarks.starting import starting_table

# Behind links, where the installed package is tested.
ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
INCLUDE = re.compile(r"^```\{literalinclude\} (\S+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def includes() -> Iterator[tuple[Path, str]]:
    """Yield each included file with the options of its directive."""
    for page in PAGES:
        for path, options in INCLUDE.findall(page.read_text()):
            yield (page.parent / path).resolve(), options


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_code_of_dags_is_included(page: Path) -> None:
    """No page contains Python code that no test keeps true."""
    assert "```python" not in page.read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "example_dags").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_shown(path: Path) -> None:
    """Each example is in the documentation, and each of its marked parts."""
    shown = [options for included, options in includes() if included == path]
    assert shown
    for name in re.findall(r"\[START (\w+)\]", path.read_text()):
        assert any(f"[START {name}]" in options for options in shown)


def test_all_errors_are_explained() -> None:
    """The page Troubleshooting has a cause and a next step for each error, and knows no other."""
    text = (DOCS / "how-to" / "troubleshooting.md").read_text()
    explained = set(re.findall(r"^`(HealthOmics\w+)`\n: ", text, flags=re.MULTILINE))
    defined = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, exceptions.HealthOmicsError)
    }
    assert explained == defined


def test_the_measured_numbers_are_those_of_the_benchmark() -> None:
    """The table of the page Waiting is that of the committed results, and these meet every target."""
    results = json.loads((ROOT / "benchmarks" / "results" / "waiting.json").read_text())
    text = (DOCS / "explanation" / "waiting.md").read_text()
    assert markdown_table(results) in text
    assert further_run_line(results) in text
    assert all(target["met"] for target in results["targets"])


def test_the_simulated_numbers_are_those_of_the_benchmark() -> None:
    """The second table, too. With a run group, a poller makes few calls, and none that is throttled."""
    results = json.loads((ROOT / "benchmarks" / "results" / "quotas.json").read_text())
    assert quota_table(results) in (DOCS / "explanation" / "waiting.md").read_text()
    alone = [result["after"] for result in results if result["has_group"] and result["triggerers"] == 1]
    assert alone
    assert all(max(figures["calls_per_interval"]) <= 60 for figures in alone)
    assert not any(max(figures["throttled"]) for figures in alone)


def test_the_costs_of_outcomes_are_those_of_the_benchmark() -> None:
    """The third table, too, and the results meet every target."""
    results = json.loads((ROOT / "benchmarks" / "results" / "outcomes.json").read_text())
    assert outcomes_table(results) in (DOCS / "explanation" / "waiting.md").read_text()
    assert all(target["met"] for target in results["targets"])


def test_the_costs_of_a_task_are_those_of_the_benchmark() -> None:
    """The table of the page What a task costs is that of the committed results."""
    results = json.loads((ROOT / "benchmarks" / "results" / "overhead.json").read_text())
    assert overhead_table(results) in (DOCS / "explanation" / "cost-of-a-task.md").read_text()


def test_the_costs_of_many_starts_are_those_of_the_benchmark() -> None:
    """The second table, too, and the results meet every target."""
    results = json.loads((ROOT / "benchmarks" / "results" / "starting.json").read_text())
    assert starting_table(results) in (DOCS / "explanation" / "cost-of-a-task.md").read_text()
    limits: dict[str, dict[int, float]] = {
        "time": {200: 1.12, 1000: 1.06},
        "launches": {200: 2, 1000: 2},
        "calls": {200: 2.8, 1000: 2.8},
    }
    for result in results:
        for key, limit in limits.items():
            figures = [each[key] for each in result["dispatched"]]
            assert statistics.median(figures) <= limit[result["starts"]], key


def test_the_documented_arguments_exist() -> None:
    """Each argument that a page sets in running text is one of the package's or Airflow's, or an option."""
    known = {"do_xcom_push", "execution_timeout", "mode", "outlets", "schedule", "soft_fail"}
    for path in Path(airflow_healthomics.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known.add(node.target.id)
    written = {
        name
        for page in PAGES
        for code in re.findall(r"`([^`\n]+)`", page.read_text())
        for name in re.findall(r"^([a-z_0-9]+)=", code)
    }
    assert written <= known
