# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The page "Public API" lists what users may import, and the class paths in their databases."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from airflow_healthomics import triggers

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "public-api.md").read_text()


def section(title: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


#: The listed names by module.
IMPORTS = {
    module: set(re.findall(r"`(\w+)`", names))
    for module, names in re.findall(r"^\| `([\w.]+)` \| (.*) \|$", section("Imports"), flags=re.MULTILINE)
}
CLASS_PATHS = re.findall(r"^\| `([\w.]+)` \|$", section("Trigger class paths"), flags=re.MULTILINE)


def require_extra(module: str) -> None:
    """Skip a test of the local HealthOmics where moto is not installed, or too old."""
    if module.startswith("airflow_healthomics.testing"):
        pytest.importorskip("moto", "5.2.5")


#: Arguments that identify the resource of a trigger.
SUBJECTS = {
    "run_id": "1234567",
    "batch_id": "1234567",
    "kind": "read set import job",
    "store_id": "1234567890",
    "job_id": "1234567890",
    "since": "2026-11-22",
    "statuses": ["FAILED"],
    "resource_id": "1234567",
}


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in IMPORTS for name in sorted(IMPORTS[module])]
)
def test_a_listed_name_can_be_imported(module: str, name: str) -> None:
    """Users can import each name from the module that the page names."""
    require_extra(module)
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", IMPORTS)
def test_a_module_exports_nothing_that_is_not_listed(module: str) -> None:
    """Each name in ``__all__`` is on the page."""
    require_extra(module)
    assert set(getattr(importlib.import_module(module), "__all__", ())) <= IMPORTS[module]


@pytest.mark.parametrize("name", ["hooks", "operators", "params", "sensors", "testing", "triggers"])
def test_a_public_package_is_listed(name: str) -> None:
    """The packages that users import from are on the page."""
    assert f"airflow_healthomics.{name}" in IMPORTS


def test_all_errors_are_listed() -> None:
    """Each class that the module of the errors defines is on the page."""
    module = importlib.import_module("airflow_healthomics.exceptions")
    defined = {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }
    assert defined == IMPORTS[module.__name__]


def test_the_class_paths_of_triggers_do_not_move() -> None:
    """The page has the class paths of triggers in databases, and each leads to its class."""
    stored = []
    for name in triggers.__all__:
        trigger_class = getattr(triggers, name)
        wanted = inspect.signature(trigger_class).parameters
        trigger = trigger_class(**{key: value for key, value in SUBJECTS.items() if key in wanted})
        path, _ = trigger.serialize()
        module, _, attribute = path.rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is trigger_class
        stored.append(path)
    assert sorted(stored) == sorted(CLASS_PATHS)
