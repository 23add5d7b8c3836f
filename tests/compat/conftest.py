# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The Airflow that the compatibility tests run: by default this environment's, or that of ``--airflow-python``.

The local HealthOmics is always in this process, whatever moto the other environment has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--airflow-python", type=Path, default=Path(sys.executable), help="Python of the environment to test"
    )


@pytest.fixture(scope="session")
def airflow_python(request: pytest.FixtureRequest) -> Path:
    """The Python of the tested environment."""
    python: Path = request.config.getoption("--airflow-python")
    return python.absolute()


@pytest.fixture(scope="session")
def airflow_version(airflow_python: Path) -> tuple[int, ...]:
    """The version of the tested Airflow."""
    code = "from importlib.metadata import version; print(version('apache-airflow'))"
    text = subprocess.run([airflow_python, "-c", code], check=True, capture_output=True, text=True).stdout
    return tuple(int(part) for part in text.strip().split(".")[:3])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsServer]:
    """Serve the local HealthOmics, and set this process's own variables to it."""
    with HealthOmicsServer(any_run_group=True) as server:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="outputs")
        yield server
