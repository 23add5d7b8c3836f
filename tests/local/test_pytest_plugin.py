# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The fixtures for users: cheap for a session that does not use them, and sufficient for a first test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from airflow_healthomics.testing import Control, HealthOmicsServer

from .conftest import ROLE, aws, error_of

ROOT = Path(__file__).parents[2]


def test_the_plugin_imports_nothing_heavy() -> None:
    """Every pytest session of the environment loads it."""
    code = "import pytest, sys; before = set(sys.modules); import airflow_healthomics.pytest_plugin; "
    code += "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"airflow", "boto3", "botocore", "moto", "werkzeug"} & set(done.stdout.split())


def test_pytest_finds_the_plugin() -> None:
    """The entry point names the module."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"healthomics": "airflow_healthomics.pytest_plugin"}


def test_a_run_needs_no_setup(healthomics_airflow: HealthOmicsServer) -> None:
    """Any workflow runs, into a bucket that does not exist yet, and has ended at the first poll."""
    omics = aws("omics")
    extra = json.loads(os.environ["AIRFLOW_CONN_AWS_DEFAULT"])["extra"]["service_config"]["omics"]
    run = omics.start_run(workflowId="7", roleArn=extra["role_arn"], outputUri=extra["output_uri"])
    assert omics.get_run(id=run["id"])["status"] == "COMPLETED"


def test_only_started_runs_count(control: Control, omics: object) -> None:
    """A refused StartRun has started no run."""
    client = aws("omics")
    control.add_workflow("5")
    for name, workflow in (("a", "5"), ("b", "6")):
        client.start_run(workflowId=workflow, roleArn=ROLE, outputUri="s3://outputs", name=name)
    control.set_options(any_workflow=False)
    error_of(client.start_run, workflowId="404", roleArn=ROLE, outputUri="s3://outputs", name="a")
    assert [run["name"] for run in control.runs_started()] == ["a", "b"]
    assert [run["workflowId"] for run in control.runs_started(name="a")] == ["5"]
    assert [run["name"] for run in control.runs_started(workflow_id="6")] == ["b"]
    assert control.call_counts()["StartRun"] == 3
    assert control.call_counts(ok=True)["StartRun"] == 2
