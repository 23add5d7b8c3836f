# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A real Airflow and the local HealthOmics, for one module of tests each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

BUCKET = "system-tests"

AIRFLOW = pytest.StashKey[LocalAirflow]()

CONNECTION: dict[str, Any] = {
    "conn_type": "aws",
    "extra": {
        "service_config": {
            "omics": {
                "role_arn": "arn:aws:iam::123456789012:role/omics",
                "output_uri": f"s3://{BUCKET}/outputs",
            }
        }
    },
}


# Not for the session: a process has one local HealthOmics, and other tests have their own.
@pytest.fixture(scope="module")
def server() -> Iterator[HealthOmicsServer]:
    """Serve the local HealthOmics, and set this process's own variables to it."""
    with pytest.MonkeyPatch.context() as patch, HealthOmicsServer(any_workflow=True) as server:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environ.items():
            patch.setenv(name, value)
        boto3.Session().client("s3").create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture(scope="module")
def omics(server: HealthOmicsServer) -> Any:
    """A HealthOmics client."""
    return boto3.Session().client("omics")


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """Variables of Airflow's processes; a module can override it."""
    return {}


@pytest.fixture(scope="module")
def other_users() -> dict[str, str]:
    """Roles of Airflow's users besides the admin; a module can override it."""
    return {}


@pytest.fixture(scope="module")
def dags_folder(request: pytest.FixtureRequest) -> Path:
    """The DAGs in the folder ``dags``, or in dags_x for a test_x.py that needs many."""
    folder = request.path.parent / request.path.stem.replace("test_", "dags_", 1)
    return folder if folder.exists() else request.path.parent / "dags"


@pytest.fixture(scope="module")
def airflow(
    server: HealthOmicsServer,
    airflow_settings: dict[str, str],
    other_users: dict[str, str],
    dags_folder: Path,
    request: pytest.FixtureRequest,
) -> Iterator[LocalAirflow]:
    """Run Airflow."""
    airflow = LocalAirflow(
        dags_folder,
        environment={**server.environ, **airflow_settings},
        separate_execution_api=request.node.get_closest_marker("slow") is not None,
        connections={"aws_default": CONNECTION},
        other_users=other_users,
    )
    with airflow:
        request.config.stash[AIRFLOW] = airflow
        yield airflow
        del request.config.stash[AIRFLOW]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add the tails of Airflow's logs to a failure."""
    report = yield
    if report.failed and (airflow := item.config.stash.get(AIRFLOW, None)):
        report.sections.append(("Airflow", airflow.log_tails()))
    return report
