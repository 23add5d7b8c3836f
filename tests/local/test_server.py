# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The server, in a thread and as a command, and the fixtures."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from airflow_healthomics.testing import Control, HealthOmicsServer, mock_healthomics

from .conftest import ROLE, aws, error_of


def test_the_variables_are_all_that_a_client_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the server's variables and nothing else, clients of HealthOmics, S3 and logs work."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    with HealthOmicsServer(any_workflow=True, manual=True) as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        session = boto3.Session()
        session.client("s3").create_bucket(Bucket="outputs")
        run = session.client("omics").start_run(workflowId="1", roleArn=ROLE, outputUri="s3://outputs")
        server.control.advance("COMPLETED")
        assert session.client("omics").get_run(id=run["id"])["status"] == "COMPLETED"
        assert session.client("s3").list_objects_v2(Bucket="outputs")["KeyCount"] == 3
        assert session.client("logs").describe_log_groups()["logGroups"]


def test_a_server_prints_nothing() -> None:
    """Starting, serving and stopping are silent."""
    code = (
        "import boto3, os\n"
        "from airflow_healthomics.testing import HealthOmicsServer\n"
        "with HealthOmicsServer() as server:\n"
        "    os.environ.update(server.environ)\n"
        "    boto3.client('omics').list_runs()\n"
    )
    # in a separate process, without logging configuration
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_server_starts_empty_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new server has none of the data of the previous one."""
    for _ in range(2):
        with HealthOmicsServer(any_workflow=True) as server:
            for name, value in server.environ.items():
                monkeypatch.setenv(name, value)
            assert aws("omics").list_runs()["items"] == []
            assert aws("s3").list_buckets()["Buckets"] == []
            aws("s3").create_bucket(Bucket="outputs")
            aws("omics").start_run(workflowId="1", roleArn=ROLE, outputUri="s3://outputs")


def test_a_service_that_moto_does_not_have_is_named(healthomics_server: HealthOmicsServer) -> None:
    """AWS's run analyzer calls the service of prices, for instance."""
    refused = error_of(aws("pricing").describe_services)
    assert refused == ("NotSupportedOperationException", 501, "moto does not have the service pricing")


def test_a_process_has_one_server() -> None:
    """A second server, or a mock beside a server, would silently share its data."""
    with HealthOmicsServer() as server:
        with pytest.raises(RuntimeError, match="already active in this process"):
            HealthOmicsServer().start()
        with pytest.raises(RuntimeError, match="already active in this process"), mock_healthomics():
            pass
        server.stop()
        server.stop()
    with mock_healthomics():
        pass


def test_a_port_can_be_chosen_and_reused() -> None:
    """A stopped server leaves its port free."""
    with HealthOmicsServer() as server:
        port = int(server.endpoint_url.rsplit(":", 1)[1])
    with HealthOmicsServer(port) as again:
        assert again.endpoint_url == f"http://127.0.0.1:{port}"


def test_stopping_releases_held_calls(healthomics_server: HealthOmicsServer) -> None:
    """A call that is held when the server stops is answered."""
    healthomics_server.control.hold("ListRuns", "gate")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(aws("omics").list_runs)
        healthomics_server.control.wait_until_held("gate")
        healthomics_server.stop()
        assert held.result(10)["items"] == []


def test_calls_are_served_concurrently(healthomics_server: HealthOmicsServer) -> None:
    """Fifty clients start runs at the same time; each gets its own run, with a distinct id."""
    healthomics_server.control.set_options(any_workflow=True, manual=True)

    def start(number: int) -> str:
        fields = {"workflowId": "1", "roleArn": ROLE, "outputUri": "s3://outputs", "requestId": str(number)}
        run_id: str = client.start_run(**fields)["id"]
        return run_id

    client = aws("omics")
    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(start, range(200)))) == 200


def test_the_mock_is_a_decorator_too() -> None:
    """A decorated function has the local HealthOmics around it, empty each time."""

    @mock_healthomics(any_workflow=True)
    def start() -> int:
        aws("omics").start_run(workflowId="1", roleArn=ROLE, outputUri="s3://outputs")
        return len(Control().runs())

    assert [start(), start()] == [1, 1]


def test_the_fixture_answers_in_process(healthomics: Control) -> None:
    """``healthomics`` is the control of a mocked AWS."""
    assert aws("omics").list_runs()["items"] == []
    assert healthomics.call_counts() == {"ListRuns": 1}


def test_the_fixture_serves(healthomics_server: HealthOmicsServer) -> None:
    """``healthomics_server`` serves, and the variables of this process have its URL."""
    assert os.environ["AWS_ENDPOINT_URL"] == healthomics_server.endpoint_url
    aws("omics").list_runs()
    assert Control(healthomics_server.endpoint_url).call_counts() == {"ListRuns": 1}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command in a separate process, and adopt the variables that it prints."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_healthomics.testing", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("# AWS SDK for JavaScript"):  # the last one
                return process
            exported = re.fullmatch(r"export (\w+)=(.*)\n", line)
            assert exported, line
            (value,) = shlex.split(exported[2]) or [""]
            monkeypatch.setenv(exported[1], value)
        pytest.fail(process.stderr.read() if process.stderr else "")

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_stopped(
    command: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    """It prints the variables, serves and obeys another process, and exits with 0."""
    process = command("--any-workflow", "--manual")
    aws("s3").create_bucket(Bucket="outputs")
    run = aws("omics").start_run(workflowId="1", roleArn=ROLE, outputUri="s3://outputs")
    control = Control(os.environ["AWS_ENDPOINT_URL"])
    assert control.advance("COMPLETED") == {run["id"]: "COMPLETED"}
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_command_has_a_pace(command: Callable[..., subprocess.Popen[str]]) -> None:
    """Runs move by the clock in the server, at the given pace."""
    pace = [f"--{state}-seconds=0.01" for state in ("pending", "starting", "running", "stopping")]
    command("--any-workflow", "--create-buckets", *pace)
    run = aws("omics").start_run(workflowId="1", roleArn=ROLE, outputUri="s3://outputs")
    Control(os.environ["AWS_ENDPOINT_URL"]).wait_for_run("COMPLETED", run_id=run["id"], timeout=20)


def test_a_host_prefix_is_accepted(healthomics_server: HealthOmicsServer) -> None:
    """A client that adds host prefixes nevertheless reaches the server by a subdomain of localhost."""
    url = urlsplit(healthomics_server.prefixable_endpoint_url)
    scope = "AKIA/20260101/us-east-1/omics/aws4_request"
    connection = http.client.HTTPConnection("127.0.0.1", url.port)
    headers = {
        "Host": f"workflows-{url.netloc}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    connection.request("GET", "/run", headers=headers)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())) == (200, {"items": []})
    connection.close()
