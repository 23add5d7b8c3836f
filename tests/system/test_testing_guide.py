# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The test of the guide "How to test your DAGs" passes in a separate pytest session."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_guides_test_passes(tmp_path: Path) -> None:
    """It requires an empty Airflow, and none of this repository's fixtures."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    guide = tmp_path / "test_guide.py"  # outside of the scope of this folder's conftest.py
    guide.write_text(Path(__file__).with_name("testing_guide.py").read_text())
    plugins = ["-p", "airflow_healthomics.pytest_plugin", "-p", "no:cacheprovider"]
    options = ["-c", os.devnull, "--import-mode=importlib", *plugins]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(guide)],
        env=environment,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
