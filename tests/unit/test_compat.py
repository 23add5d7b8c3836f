# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Names of Airflow, from the module where the installed releases have them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from airflow_healthomics import compat


@pytest.mark.parametrize("name", compat._HOMES)
def test_each_name_is_found(name: str) -> None:
    """With the installed common-compat."""
    assert getattr(compat, name) is not None


@pytest.mark.parametrize("name", compat._HOMES)
def test_each_name_has_a_home_without_common_compats_sdk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that module, Airflow's own one has the same object, unless it was moved later."""

    def without_sdk(module: str) -> object:
        if module == "airflow.providers.common.compat.sdk":
            raise ModuleNotFoundError(module)
        return import_module(module)

    monkeypatch.setattr(compat, "import_module", without_sdk)
    assert compat._find(name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        compat.nonsense  # noqa: B018


def test_importing_it_imports_no_airflow() -> None:
    """Every Airflow process imports it, by the plugin."""
    code = "import sys, airflow_healthomics.compat; print('airflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
