# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The command that registers workflows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics import workflows
from airflow_healthomics.workflows.__main__ import main
from tests.healthomics import Control, HealthOmicsServer

WDL = "version 1.0\nworkflow germline { input { String sample } }\n"
REPOSITORY = {
    "connectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/1",
    "fullRepositoryId": "owner/name",
}


@pytest.fixture
def source(omics: Control, tmp_path: Path) -> str:
    """A folder with a definition."""
    (tmp_path / "main.wdl").write_text(WDL)
    return str(tmp_path)


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection of Airflow is needed."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def test_it_prints_what_it_registers(
    source: str, region: None, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON, and nothing else. A second call registers nothing."""
    assert main(["register", source, "--name", "germline"]) == 0
    out, err = capsys.readouterr()
    first = json.loads(out)
    assert (first["isNew"], err) == (True, "")
    assert client.get_workflow_version(workflowId=first["workflowId"], versionName=first["versionName"])
    assert main(["register", source, "--workflow-id", first["workflowId"]]) == 0
    assert json.loads(capsys.readouterr().out) == {**first, "isNew": False}


@pytest.mark.parametrize("healthomics_options", [{"workflow_creating_seconds": 100}], ids=["slow"])
def test_it_waits(source: str, region: None, client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Until the version is ACTIVE."""
    assert main(["register", source, "--name", "germline"]) == 0
    registered = json.loads(capsys.readouterr().out)
    version = client.get_workflow_version(
        workflowId=registered["workflowId"], versionName=registered["versionName"]
    )
    assert version["status"] == "ACTIVE"


def test_each_argument_is_sent(
    source: str, region: None, client: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By the names of the operator's arguments."""
    template, registries = tmp_path / ".template.json", tmp_path / ".map.json"
    template.write_text(json.dumps({"sample": {"description": "A sample"}}))
    mapping = {"imageMappings": [{"sourceImage": "a", "destinationImage": "b"}]}
    registries.write_text(json.dumps(mapping))
    arguments = {
        "--version-name": "1.2.0",
        "--engine": "WDL_LENIENT",
        "--main": "main.wdl",
        "--parameter-template": str(template),
        "--accelerators": "GPU",
        "--storage-type": "STATIC",
        "--storage-capacity": "2400",
        "--container-registry-map": str(registries),
        "--description": "of ours",
        "--tag": "team=genomics=x",
        "--region": "eu-west-1",
    }
    flat = [text for item in arguments.items() for text in item]
    assert main(["register", source, "--name", "germline", *flat]) == 0
    workflow_id = json.loads(capsys.readouterr().out)["workflowId"]
    (version,) = _versions(workflow_id)
    assert version["engine"] == "WDL_LENIENT"
    assert (version["storageType"], version["storageCapacity"]) == ("STATIC", 2400)
    assert (version["accelerators"], version["description"]) == ("GPU", "of ours")
    assert version["parameterTemplate"] == {"sample": {"description": "A sample"}}
    assert version["containerRegistryMap"] == mapping
    assert version["tags"]["team"] == "genomics=x"


def _versions(workflow_id: str) -> list[Any]:
    from tests.healthomics import omics_client

    client = omics_client("eu-west-1")
    listed = client.list_workflow_versions(workflowId=workflow_id)["items"]
    return [
        client.get_workflow_version(workflowId=workflow_id, versionName=each["versionName"])
        for each in listed
    ]


def test_a_warning_is_printed(
    source: str, region: None, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the result."""
    for _ in range(2):
        client.create_workflow(name="germline", definitionRepository=REPOSITORY)
    assert main(["register", source, "--name", "germline"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["isNew"]
    assert err.startswith("warning: There are 2 workflows with the same name")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "germline", "--engine", "SNAKEMAKE"], "engine must be one of"),
        (["--name", "germline", "--parameter-template", "nowhere.json"], "nowhere.json cannot be read"),
        (["--name", "germline", "--aws-conn-id", "nowhere"], "nowhere"),
        (["--workflow-id", "7654321"], "ResourceNotFoundException"),
    ],
)
def test_an_error_is_one_line(
    source: str, region: None, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """And the exit code is 1."""
    assert main(["register", source, *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("healthomics_options", [{"workflow_creating_seconds": 100}], ids=["slow"])
def test_a_refused_definition_is_an_error(
    source: str, region: None, client: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the message of HealthOmics. A workflow that has failed gets no version."""
    (tmp_path / "main.wdl").write_text("workflow germline { }")
    assert main(["register", source, "--name", "germline"]) == 1
    assert "no version statement" in capsys.readouterr().err
    (workflow,) = client.list_workflows()["items"]
    assert client.list_workflow_versions(workflowId=workflow["id"])["items"] == []


@pytest.mark.parametrize(
    "arguments", [[], ["register"], ["register", "x"], ["register", "x", "--name", "a", "--tag", "b"]]
)
def test_a_wrong_call_shows_the_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """As usual."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m airflow_healthomics.workflows" in capsys.readouterr().err


def test_two_processes_at_once_register_one_version(tmp_path: Path) -> None:
    """One of them creates it, and both print the same ids and nothing else."""
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "main.wdl").write_text(WDL)
    source = str(tmp_path / "workflow")
    command = [
        sys.executable,
        "-m",
        "airflow_healthomics.workflows",
        "register",
        source,
        "--name",
        "germline",
    ]
    with HealthOmicsServer(workflow_creating_seconds=1.0) as server:
        environment = {
            **server.environ,
            "AIRFLOW_HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(workflows.__file__).parents[2]),
        }
        processes = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        first, second = (json.loads(process.communicate(timeout=120)[0]) for process in processes)
    assert {first.pop("isNew"), second.pop("isNew")} == {True, False}
    assert first == second
