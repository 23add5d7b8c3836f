# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The run page as an Airflow plugin."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from airflow_healthomics.run_page import plugin as plugin_module
from airflow_healthomics.run_page.plugin import HAS_VIEWS, HealthOmicsRunPagePlugin, views

ROOT = Path(__file__).parents[3]


def test_the_entry_point() -> None:
    """It names the plugin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (path,) = project["entry-points"]["airflow.plugins"].values()
    point = importlib.metadata.EntryPoint("healthomics_run_page", path, "airflow.plugins")
    assert point.load() is HealthOmicsRunPagePlugin


def test_before_airflow_3_1_there_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither app nor tab."""
    monkeypatch.setattr(plugin_module, "HAS_VIEWS", False)
    assert HealthOmicsRunPagePlugin().fastapi_apps == []
    if not HAS_VIEWS:
        assert HealthOmicsRunPagePlugin.external_views == []


@pytest.mark.parametrize("error", [ImportError, AttributeError])
def test_an_unknown_airflow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    """There is no page, but the API server runs."""

    class Broken(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise error(name)

    monkeypatch.setattr(plugin_module, "HAS_VIEWS", True)
    monkeypatch.setitem(sys.modules, "airflow_healthomics.run_page.app", Broken("app"))
    monkeypatch.setattr(plugin_module.log, "propagate", True)
    assert HealthOmicsRunPagePlugin().fastapi_apps == []
    assert "The run page is disabled" in caplog.text


@pytest.mark.skipif(not HAS_VIEWS, reason="Airflow has no views of plugins before 3.1")
def test_the_tabs() -> None:
    """On the task instance and on the DAG run, with their own routes."""
    page = "/healthomics/page?dag_id={DAG_ID}&run_id={RUN_ID}"
    tabs = HealthOmicsRunPagePlugin.external_views
    assert {tab["destination"]: tab["href"] for tab in tabs} == {
        "task_instance": page + "&task_id={TASK_ID}&map_index={MAP_INDEX}",
        "dag_run": page,
    }
    assert len({tab["url_route"] for tab in tabs}) == len(tabs)


@pytest.mark.parametrize("base_url", ["https://host/team/airflow", "https://host/team/airflow/"])
def test_the_tabs_below_a_base_path(base_url: str) -> None:
    """A browser does not put the base path before a URL that begins with a slash."""
    assert all(tab["href"].startswith("/team/airflow/healthomics/page?") for tab in views(base_url))


def test_other_processes_import_next_to_nothing() -> None:
    """All Airflow processes import the plugin."""
    code = (
        "import sys, airflow_healthomics.run_page.plugin as p; p.HealthOmicsRunPagePlugin();"
        "print([x for x in ('fastapi', 'botocore', 'airflow_healthomics.hooks.omics') if x in sys.modules])"
    )
    if not HAS_VIEWS:
        pytest.skip("Airflow itself imports them")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
