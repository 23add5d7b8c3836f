# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The example DAGs, beside each supported version of Airflow."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer

EXAMPLES = sorted((Path(__file__).parents[2] / "example_dags").glob("*.py"))
GERMLINE_PARAMETERS = ("sample_name", "fastq_pairs", "ecr_registry", "aws_region")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def _database() -> None:
    """Make the metadata database of this test session's AIRFLOW_HOME."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsServer]:
    defaults = {
        "role_arn": "arn:aws:iam::123456789012:role/HealthOmicsRun",
        "output_uri": "s3://outputs/germline",
    }
    extra = {"service_config": {"omics": defaults}}
    with HealthOmicsServer() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", "extra": extra}))
        boto3.client("s3").create_bucket(Bucket="outputs")
        yield server


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_a_dag_of_its_name(path: Path) -> None:
    """Each example loads without an AWS account, and its DAG is called as its file."""
    assert load(path).dag.dag_id == path.stem


@pytest.mark.usefixtures("_database")
def test_germline_example_runs_to_its_end(server: HealthOmicsServer) -> None:
    """The example starts one run with typed parameters, waits for it in a trigger, and uses its outputs."""
    omics = boto3.client("omics")
    workflow = omics.create_workflow(
        name="germline-fastqs-to-vcf",
        definitionUri="s3://outputs/workflow.zip",
        parameterTemplate={name: {"description": name} for name in GERMLINE_PARAMETERS},
    )
    dag = load(EXAMPLES[0].with_name("example_healthomics_germline.py")).dag
    dag.get_task("wait").poke_interval = 1

    dag_run = dag.test(run_conf={"workflow_id": workflow["id"]})

    assert dag_run.state == "success"
    (started,) = server.control.runs()
    assert started["status"] == "COMPLETED"
    run = omics.get_run(id=started["id"])
    assert len(run["parameters"]["fastq_pairs"]) == 4
    assert run["name"].startswith(dag_run.run_id)
    assert (run["retentionMode"], run["storageType"]) == ("REMOVE", "DYNAMIC")
