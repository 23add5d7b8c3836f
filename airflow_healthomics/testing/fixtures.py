# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""pytest fixtures, for ``pytest_plugins = ["airflow_healthomics.testing.fixtures"]`` in ``conftest.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from . import Control, HealthOmicsServer, mock_healthomics


@pytest.fixture
def healthomics_options() -> dict[str, Any]:
    """Fields of :class:`Options` for both fixtures below. Override this fixture to set them."""
    return {}


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Replace all AWS variables by false credentials and a region."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def healthomics(
    aws_environment: pytest.MonkeyPatch, healthomics_options: dict[str, Any]
) -> Iterator[Control]:
    """Mock the AWS calls of this process, and return the control."""
    with mock_healthomics(**healthomics_options) as control:
        yield control


@pytest.fixture
def healthomics_server(
    aws_environment: pytest.MonkeyPatch, healthomics_options: dict[str, Any]
) -> Iterator[HealthOmicsServer]:
    """Start a server, and point the AWS variables of this process at it."""
    with HealthOmicsServer(**healthomics_options) as server:
        for name, value in server.environ.items():
            aws_environment.setenv(name, value)
        yield server
