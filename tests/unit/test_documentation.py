# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The documentation matches the code where no directive checks it; ``make docs`` checks the rest."""

from __future__ import annotations

import ast
import inspect
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import airflow_healthomics
from airflow_healthomics import exceptions

# Behind links, in sections about the installed package.
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
    """No page contains Python code that is not tested."""
    assert "```python" not in page.read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "example_dags").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_shown(path: Path) -> None:
    """Each example is in the documentation, and each of its marked parts."""
    shown = [options for included, options in includes() if included == path]
    assert shown
    for name in re.findall(r"\[START (\w+)\]", path.read_text()):
        assert any(f"[START {name}]" in options for options in shown)


def test_all_errors_are_explained() -> None:
    """The page Troubleshooting has a cause and a next step for each error, and has no others."""
    text = (DOCS / "how-to" / "troubleshooting.md").read_text()
    explained = set(re.findall(r"^`(HealthOmics\w+)`\n: ", text, flags=re.MULTILINE))
    defined = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, exceptions.HealthOmicsError)
    }
    assert explained == defined


def results_of(benchmark: str) -> Any:
    """Return the committed results, which the documentation shows."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{benchmark}.json").read_text())


@pytest.mark.parametrize("benchmark", ["waiting", "outcomes", "local"])
def test_the_measured_numbers_meet_every_target(benchmark: str) -> None:
    """The benchmark checks them."""
    assert all(target["met"] for target in results_of(benchmark)["targets"])


def test_the_simulated_waits_stay_below_the_quota() -> None:
    """With a run group, a poller makes few calls, and none is throttled."""
    results = results_of("quotas")
    alone = [result["after"] for result in results if result["has_group"] and result["triggerers"] == 1]
    assert alone
    assert all(max(figures["calls_per_interval"]) <= 60 for figures in alone)
    assert not any(max(figures["throttled"]) for figures in alone)


def test_the_simulated_starts_meet_every_target() -> None:
    """Times as multiples of the minimum that the quota allows, and launches and calls for each start."""
    limits: dict[str, dict[int, float]] = {
        "time": {200: 1.12, 1000: 1.06},
        "launches": {200: 2, 1000: 2},
        "calls": {200: 2.8, 1000: 2.8},
    }
    for result in results_of("starting"):
        for key, limit in limits.items():
            figures = [each[key] for each in result["dispatched"]]
            assert statistics.median(figures) <= limit[result["starts"]], key


def test_the_run_page_answers_quickly_under_load() -> None:
    """Also while AWS does not answer another connection. Airflow's health does too."""
    results = results_of("run_page")
    for load in ("both_quick", "one_slow"):
        assert results[load]["quick"]["longest"] < 1
        assert results[load]["health"]["longest"] < 0.2


def test_the_documented_arguments_exist() -> None:
    """Each argument that a page sets in running text belongs to the package or Airflow, or is an option."""
    known = {
        "do_xcom_push",
        "execution_timeout",
        "mode",
        "multiple_outputs",
        "outlets",
        "schedule",
        "soft_fail",
    }
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
