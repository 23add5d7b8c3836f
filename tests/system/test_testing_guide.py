# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The test that the guide "How to test your DAGs" shows."""

from __future__ import annotations

# [START test]
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_healthomics.testing import HealthOmicsServer

DEFAULTS = {"role_arn": "arn:aws:iam::123456789012:role/runs", "output_uri": "s3://outputs/runs"}


@pytest.fixture
def server() -> Iterator[HealthOmicsServer]:
    """Serve the local HealthOmics."""
    with HealthOmicsServer(any_workflow=True, create_buckets=True) as server:
        yield server


@pytest.fixture
def airflow(server: HealthOmicsServer, tmp_path: Path) -> Callable[..., str]:
    """Return the command of an empty Airflow whose AWS is the server."""
    connection = {"conn_type": "aws", "extra": {"service_config": {"omics": DEFAULTS}}}
    environment = {
        **os.environ,
        **server.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path("example_dags").absolute()),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    run("db", "migrate")
    return run


def test_a_run_out_of_memory_is_not_repeated(server: HealthOmicsServer, airflow: Callable[..., str]) -> None:
    """The log has the reason, and no second run is started."""
    server.control.plan_run(status="FAILED", failure_reason="OUT_OF_MEMORY_ERROR")

    log = airflow("dags", "test", "example_healthomics_repair")

    assert "OUT_OF_MEMORY_ERROR" in log
    assert server.control.call_counts()["StartRun"] == 1
    # [END test]


pytestmark = pytest.mark.slow
