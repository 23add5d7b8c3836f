# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The layers of the package, as in CONTRIBUTING."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_healthomics

PACKAGE = Path(airflow_healthomics.__file__).parent
ROOT = Path(__file__).parents[2]
NAME = PACKAGE.name

#: The package's modules that the local HealthOmics may import, as two readings of the AWS model must agree.
OF_TESTING = frozenset({"testing", "api_model"})

#: Modules that a task uses only after its run or batch has ended, or to report a failure.
ENDS = (
    "hooks.best_effort",
    "hooks.place",
    "reports",
    "resources.run_end",
    "batches.outcomes",
    "batches.output_uris",
    "batches.report",
    "batches.result",
    "batches.start_report",
)

#: Modules that a task uses only while it waits.
WAITS = (
    "resources.watch",
    "resources.run_watch",
    "resources.batch_watch",
    "resources.job_watch",
    "waiting.clients",
    "waiting.events",
)

#: Modules for a delayed start, a sample sheet, a file in S3, or outlets.
SPECIAL = (
    "hooks.connection",
    "starting.sealed_request",
    "triggers",
    "batches.sample_sheet",
    "batches.s3_folder",
    "starting.request_folder",
    "publishing.asset_events",
)

#: The modules that a task does not use in the process that begins it.
UNUSED = {
    "operators.HealthOmicsStartRunOperator": {*ENDS, *WAITS, *SPECIAL, "batches"},
    # The connection of a sample sheet is that of the task.
    "operators.HealthOmicsStartRunBatchOperator": {*ENDS, *WAITS, *SPECIAL, "resources.run"}
    - {"hooks.connection"},
    "operators.HealthOmicsImportReadSetsOperator": {*ENDS, *WAITS, *SPECIAL, "batches"},
    "sensors.HealthOmicsRunSensor": {*ENDS, *SPECIAL, "waiting.events", "batches", "operators", "starting"},
}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def rooms() -> list[str]:
    """Return the rooms from the top of CONTRIBUTING's table to its bottom."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## Where a line of code goes")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z_]+)(?:/|\.py)` \|", section, re.MULTILINE)


def room_of(module: str) -> str:
    """Return the folder or root module of a module; an empty text for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imports_of(module: str) -> Iterator[str]:
    """Yield each module of the package that a module imports, anywhere in its text."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == NAME:
                while name not in MODULES:
                    name = name.rpartition(".")[0]
                yield name


def test_the_table_has_every_room() -> None:
    """It has no others, so it is correct."""
    found = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(rooms()) == sorted(found - {"__init__"})


def test_few_modules_are_at_the_root() -> None:
    """A folder shows the purpose of a module."""
    assert len(list(PACKAGE.glob("*.py"))) - 1 <= 5


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    """From a room to itself or to one further down."""
    order = rooms()
    room = room_of(module)
    if not room:
        return
    for imported in imports_of(module):
        other = room_of(imported)
        if room == "testing":
            assert other in OF_TESTING, imported
        elif other:
            assert order.index(other) >= order.index(room), imported
            assert other != "testing" or room == "pytest_plugin"


def test_no_import_goes_in_a_circle() -> None:
    """Not even for types."""
    edges = {module: set(imports_of(module)) - {module} for module in MODULES}
    while True:
        leaves = {module for module, targets in edges.items() if not targets}
        if not leaves:
            break
        edges = {module: targets - leaves for module, targets in edges.items() if module not in leaves}
    assert edges == {}


@pytest.mark.parametrize("task", UNUSED)
def test_a_task_begins_with_few_imports(task: str) -> None:
    """Some executors start an interpreter for each task, which pays for each import."""
    package, _, name = task.rpartition(".")
    loaded, dataclasses = imported_by(f"from {NAME}.{package} import {name}")
    unused = {f"{NAME}.{module}" for module in UNUSED[task]}
    assert not {module for module in loaded if module in unused or module.rpartition(".")[0] in unused}
    # Their creation takes a millisecond each.
    assert dataclasses == []


def imported_by(statement: str) -> tuple[list[str], list[str]]:
    """Return the package's modules that a statement imports in a new process, and their dataclasses."""
    code = f"""
import json, sys
{statement}
modules = [name for name in sys.modules if name.startswith("{NAME}.")]
owned = [each for name in modules for each in vars(sys.modules[name]).values() if isinstance(each, type)]
own = [each for each in owned if each.__module__ in modules and "__dataclass_fields__" in vars(each)]
print(json.dumps([modules, [each.__name__ for each in own]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, dataclasses = json.loads(done.stdout.splitlines()[-1])
    return loaded, dataclasses
