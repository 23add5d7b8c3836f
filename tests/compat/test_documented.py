# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The test that the documentation shows."""

from __future__ import annotations

# [START test]
import json
import os
import subprocess
import sys
from pathlib import Path

from airflow_healthomics.testing import HealthOmicsServer


def test_the_dag_reports_why_a_run_failed(tmp_path: Path) -> None:
    """A run without memory fails the task, and no second run is started."""
    with HealthOmicsServer(any_workflow=True, create_buckets=True) as server:
        server.control.plan_run(status="FAILED", failure_reason="OUT_OF_MEMORY_ERROR")
        defaults = {"role_arn": "arn:aws:iam::123456789012:role/runs", "output_uri": "s3://outputs/runs"}
        connection = {"conn_type": "aws", "extra": {"service_config": {"omics": defaults}}}
        environment = {
            **os.environ,
            **server.environ,  # any AWS client, in any process
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__DAGS_FOLDER": str(Path("example_dags").absolute()),
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        }
        airflow = [sys.executable, "-m", "airflow"]
        subprocess.run([*airflow, "db", "migrate"], env=environment, check=True)

        command = [*airflow, "dags", "test", "example_healthomics_repair"]
        tested = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        assert "OUT_OF_MEMORY_ERROR" in tested.stdout + tested.stderr
        assert server.control.call_counts()["StartRun"] == 1
        # [END test]
