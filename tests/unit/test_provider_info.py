# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The provider metadata that Airflow reads, and rules for the source."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_healthomics
from airflow_healthomics import operators, sensors
from airflow_healthomics.compat import BaseOperator
from airflow_healthomics.provider_info import get_provider_info
from airflow_healthomics.resources.refusals import DEFAULT_PATIENCE
from airflow_healthomics.run_page.budget import DEFAULT_RATE
from airflow_healthomics.run_page.outputs import outputs_are_on
from airflow_healthomics.run_page.run_use import prices_are_on
from airflow_healthomics.starting.outcome import start_patience

PACKAGE = Path(airflow_healthomics.__file__).parent
#: The package without the local HealthOmics.
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "testing" not in path.relative_to(PACKAGE).parts)
INFO = get_provider_info()


def test_it_passes_airflows_schema() -> None:
    """The schema is that of the installed Airflow."""
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_the_documented_patience_is_that_of_the_code() -> None:
    """A default is the same in both, since provider info can import nothing."""
    options = INFO["config"]["healthomics"]["options"]
    assert float(options["start_patience"]["default"]) == start_patience()
    assert float(options["refusal_patience"]["default"]) == DEFAULT_PATIENCE
    assert float(options["page_rate"]["default"]) == DEFAULT_RATE
    assert options["page_outputs"]["default"] == str(outputs_are_on())
    assert options["page_prices"]["default"] == str(prices_are_on())


def test_it_has_an_entry_point() -> None:
    """Airflow finds the provider by it."""
    found = {entry.value for entry in entry_points(group="apache_airflow_provider")}
    assert "airflow_healthomics.provider_info:get_provider_info" in found


def test_airflow_knows_the_provider() -> None:
    """Its manager lists it, with the links."""
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert INFO["package-name"] in manager.providers
    assert set(INFO["extra-links"]) <= set(manager.extra_links_class_names)


def modules() -> list[str]:
    kinds = ("operators", "sensors", "hooks", "triggers")
    return [module for kind in kinds for entry in INFO[kind] for module in entry["python-modules"]]


@pytest.mark.parametrize("module", modules())
def test_each_module_exists(module: str) -> None:
    """Only users would notice a misspelt path."""
    importlib.import_module(module)


@pytest.mark.parametrize("path", INFO["extra-links"])
def test_each_link_exists(path: str) -> None:
    """It has a name."""
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name).name


def test_it_imports_nothing() -> None:
    """Every Airflow process calls it, so it must be fast."""
    code = (
        "import sys, airflow_healthomics.provider_info as p; p.get_provider_info();"
        "print([m for m in ('airflow', 'boto3', 'botocore', 'moto') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "names"),
    [
        (
            "operators",
            [
                "HealthOmicsStartRunOperator",
                "HealthOmicsCancelRunOperator",
                "HealthOmicsDeleteRunOperator",
                "HealthOmicsDeleteRunsOperator",
            ],
        ),
        (
            "operators",
            [
                "HealthOmicsStartRunBatchOperator",
                "HealthOmicsCancelRunBatchOperator",
                "HealthOmicsDeleteRunBatchOperator",
            ],
        ),
        (
            "operators",
            [
                "HealthOmicsCreateRunGroupOperator",
                "HealthOmicsDeleteRunGroupOperator",
                "HealthOmicsCreateRunCacheOperator",
                "HealthOmicsDeleteRunCacheOperator",
                "HealthOmicsCreateConfigurationOperator",
                "HealthOmicsDeleteConfigurationOperator",
                "HealthOmicsRegisterWorkflowOperator",
            ],
        ),
        (
            "operators",
            [
                "HealthOmicsImportReadSetsOperator",
                "HealthOmicsImportReferenceOperator",
                "HealthOmicsExportReadSetsOperator",
                "HealthOmicsActivateReadSetsOperator",
            ],
        ),
        ("sensors", ["HealthOmicsRunSensor", "HealthOmicsRunBatchSensor", "HealthOmicsRunEventSensor"]),
        (
            "sensors",
            [
                "HealthOmicsReadSetImportJobSensor",
                "HealthOmicsReferenceImportJobSensor",
                "HealthOmicsReadSetExportJobSensor",
                "HealthOmicsReadSetActivationJobSensor",
            ],
        ),
        ("triggers", ["HealthOmicsRunTrigger", "HealthOmicsRunBatchTrigger", "HealthOmicsStartTrigger"]),
        ("triggers", ["HealthOmicsJobTrigger"]),
        ("triggers", ["HealthOmicsRunEventTrigger", "HealthOmicsRunBatchEventTrigger"]),
        ("triggers", ["HealthOmicsRunEndTrigger"]),
        ("triggers", ["HealthOmicsStatusTrigger"]),
        ("hooks", ["HealthOmicsHook"]),
    ],
)
def test_public_classes_come_from_the_package_of_their_kind(package: str, names: list[str]) -> None:
    """As documented."""
    module: Any = importlib.import_module(f"airflow_healthomics.{package}")
    assert all(isinstance(getattr(module, name), type) for name in names)


# --- the source ---


def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_assert(path: Path) -> None:
    """``python -O`` would remove it."""
    assert [node.lineno for node in nodes_of(path) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_except_exception_has_a_reason(path: Path) -> None:
    """The comment is on the same line, since all other code catches specific errors."""
    lines = [line for line in path.read_text().splitlines() if re.search(r"except (Base)?Exception\b", line)]
    assert [line for line in lines if not re.search(r"except Exception\b.*#.*[a-z]{3} [a-z]", line)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_bare_airflow_exception(path: Path) -> None:
    """Errors have specific types."""
    raised = [ast.unparse(node.exc) for node in nodes_of(path) if isinstance(node, ast.Raise) and node.exc]
    assert [text for text in raised if text.startswith(("AirflowException", "Exception("))] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_license_is_named(path: Path) -> None:
    """In two lines at the top of each file."""
    assert path.read_text().splitlines()[1] == "# SPDX-License-Identifier: Apache-2.0"


@pytest.mark.parametrize("path", sorted((PACKAGE / "testing").rglob("*.py")), ids=lambda path: path.name)
def test_the_local_healthomics_imports_nothing_of_the_rest(path: Path) -> None:
    """Two separate readings of the AWS model must agree; the model itself is one."""
    imported = [
        name
        for node in nodes_of(path)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    ]
    ours = [name for name in imported if name.startswith("airflow_healthomics")]
    shared = ("airflow_healthomics.testing", "airflow_healthomics.api_model")
    assert [name for name in ours if not name.startswith(shared)] == []


def test_execute_is_defined_by_each_operator() -> None:
    """It is not a mixin's, as Airflow 2 passes it an argument that the metaclass of operators removes."""
    metaclass = type(BaseOperator)
    for kind in (operators, sensors):
        for name in kind.__all__:
            owner = next(each for each in getattr(kind, name).__mro__ if "execute" in vars(each))
            assert isinstance(owner, metaclass), name


def test_each_setting_that_is_read_is_documented() -> None:
    """And no other one."""
    pattern = re.compile(r'conf\.get\w*\(\s*"healthomics",\s*"(\w+)"')
    read = {name for path in SOURCES for name in pattern.findall(path.read_text())}
    assert read == INFO["config"]["healthomics"]["options"].keys()
