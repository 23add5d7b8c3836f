# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
pytest fixtures with a local HealthOmics.

pytest loads this module in every session of an environment with this package. So it imports the local
HealthOmics, and moto with it, only for a test that uses one of the fixtures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from airflow_healthomics.testing import Control, HealthOmicsServer

#: Options of :func:`healthomics_airflow`: nothing needs to be created before a run, and it ends at once, so
#: that the first poll of a task finds its end.
FOR_DAGS: Final[dict[str, Any]] = {
    "any_workflow": True,
    "create_buckets": True,
    **dict.fromkeys(("pending_seconds", "starting_seconds", "running_seconds", "stopping_seconds"), 0.0),
    **dict.fromkeys(("job_submitted_seconds", "job_in_progress_seconds"), 0.0),
    "batch_creating_seconds": 0.0,
    "batch_pending_seconds": 0.0,
    "batch_runs_per_second": None,
}

#: The connection of :func:`healthomics_airflow`.
CONNECTION: Final = {
    "conn_type": "aws",
    "extra": {
        "service_config": {
            "omics": {"role_arn": "arn:aws:iam::123456789012:role/runs", "output_uri": "s3://outputs/runs"}
        }
    },
}


@pytest.fixture
def healthomics_options() -> dict[str, Any]:
    """Fields of ``Options`` for the fixtures below. Override this fixture to set them."""
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
    from airflow_healthomics.testing import mock_healthomics

    with mock_healthomics(**healthomics_options) as control:
        yield control


@pytest.fixture
def healthomics_server(
    aws_environment: pytest.MonkeyPatch, healthomics_options: dict[str, Any]
) -> Iterator[HealthOmicsServer]:
    """Start a server, and point the AWS variables of this process at it."""
    yield from _serve(aws_environment, healthomics_options)


@pytest.fixture
def healthomics_airflow(
    aws_environment: pytest.MonkeyPatch, healthomics_options: dict[str, Any]
) -> Iterator[HealthOmicsServer]:
    """
    Start a server whose runs end at once, and point the connection ``aws_default`` at it.

    It accepts any workflow and creates output buckets. So ``dag.test()`` takes as long as Airflow needs.
    """
    aws_environment.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(CONNECTION))
    yield from _serve(aws_environment, FOR_DAGS | healthomics_options)


def _serve(environment: pytest.MonkeyPatch, options: dict[str, Any]) -> Iterator[HealthOmicsServer]:
    from airflow_healthomics.testing import HealthOmicsServer

    with HealthOmicsServer(**options) as server:
        for name, value in server.environ.items():
            environment.setenv(name, value)
        yield server
