# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The AWS CLI works against the server unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer

from .conftest import ROLE

AWS = Path(sys.executable).with_name("aws")

pytestmark = pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside this Python")


def environment(server: HealthOmicsServer, home: Path) -> dict[str, str]:
    """Return the environment of the AWS CLI. An empty home hides the user's AWS configuration."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), **server.environ}


def cli(server: HealthOmicsServer, home: Path) -> Callable[..., Any]:
    """Return a function that runs the AWS CLI against a server."""
    environ = environment(server, home)

    def aws(*arguments: str, expect: int = 0) -> Any:
        done = subprocess.run(
            [AWS, "omics", *arguments, "--output", "json"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode == 0) == (expect == 0), done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    return aws


def test_the_life_of_a_run(tmp_path: Path) -> None:
    """Start, repeat the start, get, list and cancel; and a wrong enum, which the CLI does not check."""
    with HealthOmicsServer(any_workflow=True, manual=True) as server:
        aws = cli(server, tmp_path)
        request = ["--workflow-id", "1234567", "--role-arn", ROLE, "--output-uri", "s3://outputs"]
        request += ["--parameters", '{"reads": "s3://inputs/reads"}', "--request-id", "one"]
        run = aws("start-run", *request)
        assert aws("start-run", *request)["id"] == run["id"]
        assert aws("get-run", "--id", run["id"])["parameters"] == {"reads": "s3://inputs/reads"}
        assert [item["id"] for item in aws("list-runs")["items"]] == [run["id"]]
        aws("cancel-run", "--id", run["id"])
        assert aws("get-run", "--id", run["id"])["status"] == "STOPPING"
        refused = aws("start-run", *request[:6], "--storage-type", "BOGUS", expect=254)
        assert "ValidationException" in refused
        assert "storageType must be one of STATIC, DYNAMIC" in refused


def test_the_life_of_a_batch(tmp_path: Path) -> None:
    """Start a batch as the user guide does, get it, page through its runs and cancel it."""
    with HealthOmicsServer(any_workflow=True, manual=True) as server:
        aws = cli(server, tmp_path)
        defaults = {"workflowId": "1234567", "roleArn": ROLE, "outputUri": "s3://outputs"}
        settings = [{"runSettingId": f"sample-{name}", "parameters": {"sample": name}} for name in "ABC"]
        started = aws(
            "start-run-batch",
            "--batch-name=my-first-batch",
            f"--default-run-setting={json.dumps(defaults)}",
            f"--batch-run-settings={json.dumps({'inlineSettings': settings})}",
        )
        assert started["status"] == "CREATING"
        server.control.advance_batch("INPROGRESS")
        batch = aws("get-batch", "--batch-id", started["id"])
        assert (batch["name"], batch["totalRuns"]) == ("my-first-batch", 3)
        runs = aws("list-runs-in-batch", "--batch-id", started["id"], "--page-size", "2")["runs"]
        assert [run["runSettingId"] for run in runs] == ["sample-A", "sample-B", "sample-C"]
        aws("cancel-run-batch", "--batch-id", started["id"])
        assert aws("list-batch", "--status", "STOPPING")["items"][0]["id"] == started["id"]
