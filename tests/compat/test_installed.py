# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The installed package, as Airflow finds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def airflow_json(tmp_path: Path, airflow_python: Path) -> Callable[..., Any]:
    """Run a command of ``airflow``, and return its output as JSON."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }

    def run(*arguments: str) -> Any:
        command: list[str | Path] = [airflow_python, "-m", "airflow", *arguments, "--output", "json"]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "healthomics" not in done.stderr.lower(), done.stderr
        # Airflow 3.0 logs to stdout, too.
        return json.loads(done.stdout[done.stdout.index("[{") :])

    return run


def test_the_package_is_that_of_the_environment(airflow_python: Path, tmp_path: Path) -> None:
    """It is not this checkout's, unless the environment has it."""
    code = "import airflow_healthomics; print(airflow_healthomics.__file__)"
    done = subprocess.run(
        [airflow_python, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    is_own = Path(done.stdout.strip()).is_relative_to(airflow_python.parents[1])
    assert is_own or airflow_python == Path(sys.executable)


def test_the_provider_is_listed(airflow_json: Callable[..., Any]) -> None:
    """By its name and version."""
    providers = {each["package_name"]: each for each in airflow_json("providers", "list")}
    assert providers["airflow-provider-healthomics"]["version"]


def test_its_links_are_listed(airflow_json: Callable[..., Any]) -> None:
    """Airflow shows only links of registered classes."""
    links = {link["extra_link_class_name"] for link in airflow_json("providers", "links")}
    assert {
        "airflow_healthomics.links.HealthOmicsRunLink",
        "airflow_healthomics.links.HealthOmicsRunLogLink",
        "airflow_healthomics.links.HealthOmicsEngineLogLink",
        "airflow_healthomics.links.HealthOmicsOutputsLink",
    } <= links


def test_the_plugin_loads(airflow_json: Callable[..., Any]) -> None:
    """Without a warning."""
    plugins = {plugin["name"]: plugin for plugin in airflow_json("plugins")}
    assert "healthomics_run_page" in plugins
