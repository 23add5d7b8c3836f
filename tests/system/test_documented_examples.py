# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The example DAGs of the how-to guides, in a real Airflow; other tests cover the rest of the examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

pytestmark = pytest.mark.slow

ACCOUNT, REGION = "210987654321", "eu-west-1"
ORIGINAL, UNWANTED = "original", "unwanted"
READY2RUN = "2222222"

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
RUNNING_SECONDS = 12


@pytest.fixture(scope="module")
def dags_folder() -> Path:
    """The examples themselves."""
    return Path(__file__).parents[2] / "example_dags"


@pytest.fixture(scope="module")
def airflow_settings() -> dict[str, str]:
    """The connection to another account."""
    defaults = {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/HealthOmicsRun", "output_uri": "s3://research/runs"}
    extra = {
        "role_arn": f"arn:aws:iam::{ACCOUNT}:role/AirflowHealthOmics",
        "service_config": {"omics": defaults},
    }
    return {"AIRFLOW_CONN_HEALTHOMICS_RESEARCH": json.dumps({"conn_type": "aws", "extra": extra})}


@pytest.fixture(scope="module")
def earlier_runs(server: HealthOmicsServer, omics: Any) -> dict[str, str]:
    """Start the runs that the examples repeat and cancel, and return their ids by name."""
    server.control.set_options(running_seconds=RUNNING_SECONDS, create_buckets=True)
    server.control.add_workflow(READY2RUN, type="READY2RUN")
    server.control.plan_run(name=UNWANTED, seconds={"RUNNING": None})
    request = {
        "workflowId": "1234567",
        "roleArn": "arn:aws:iam::123456789012:role/omics",
        "outputUri": "s3://outputs/runs",
    }
    runs = {name: omics.start_run(**request, name=name)["id"] for name in (ORIGINAL, UNWANTED)}
    server.control.wait_for_run("COMPLETED", run_id=runs[ORIGINAL], timeout=60)
    server.control.wait_for_run("RUNNING", run_id=runs[UNWANTED], timeout=60)
    return runs


@pytest.fixture(scope="module")
def dag_runs(airflow: LocalAirflow, earlier_runs: dict[str, str]) -> dict[str, str]:
    """Trigger every example at once, and return their DAG-run IDs, which are the ends of the DAGs' names."""
    confs: dict[str, dict[str, str]] = {
        "parameters": {},
        "repair": {},
        "vpc": {},
        "cross_account": {},
        "other_workflows": {"ready2run_workflow_id": READY2RUN},
        "duplicate_run": {"healthomics_run_id": earlier_runs[ORIGINAL]},
        "cancel": {"healthomics_run_id": earlier_runs[UNWANTED]},
    }
    return {
        name: airflow.trigger_dag(f"example_healthomics_{name}", conf, run_id=name)
        for name, conf in confs.items()
    }


@pytest.fixture
def finished_runs(airflow: LocalAirflow, dag_runs: dict[str, str], server: HealthOmicsServer) -> Any:
    """Return a function that waits for an example's end, and returns the runs that it has started."""

    def finish(name: str) -> list[dict[str, Any]]:
        dag_id = f"example_healthomics_{name}"
        state = airflow.wait_for_dag_run(dag_id, dag_runs[name])
        assert state == "success", airflow.task_instances(dag_id, dag_runs[name])
        return [run for run in server.control.runs() if str(run["name"]).startswith(f"{name}.")]

    return finish


@pytest.mark.parametrize("name", ["repair", "vpc"])
def test_an_example_completes_one_run(name: str, finished_runs: Any) -> None:
    """The example starts one run and waits for it."""
    assert [run["status"] for run in finished_runs(name)] == ["COMPLETED"]


def test_parameters_keep_their_types(omics: Any, finished_runs: Any) -> None:
    """The run has the values in the comments of the example."""
    (run,) = finished_runs("parameters")
    parameters = omics.get_run(id=run["id"])["parameters"]
    assert (parameters["cpus"], parameters["label"], parameters["barcode"]) == (4, "4 cores", "0042")
    assert [each["lane"] for each in parameters["reads"]] == [1, 2, 3, 4]


def test_workflows_of_others_run(omics: Any, finished_runs: Any) -> None:
    """The example starts a READY2RUN workflow and a shared one."""
    runs = [omics.get_run(id=run["id"]) for run in finished_runs("other_workflows")]
    assert {(run["workflowType"], run["status"]) for run in runs} == {
        ("READY2RUN", "COMPLETED"),
        ("PRIVATE", "COMPLETED"),
    }


def test_a_run_in_another_account_is_waited_for(server: HealthOmicsServer, finished_runs: Any) -> None:
    """The run is in the account and the region of the connection and the tasks."""
    (run,) = finished_runs("cross_account")
    sts = boto3.client("sts", endpoint_url=server.endpoint_url)
    role = f"arn:aws:iam::{ACCOUNT}:role/AirflowHealthOmics"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    there = boto3.client(
        "omics",
        region_name=REGION,
        endpoint_url=server.endpoint_url,
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
        config=Config(inject_host_prefix=False),
    )
    assert f":{REGION}:{ACCOUNT}:" in there.get_run(id=run["id"])["arn"]


def test_a_cancelled_run_is_deleted(
    server: HealthOmicsServer, omics: Any, earlier_runs: dict[str, str], finished_runs: Any
) -> None:
    """The run is cancelled, and its record is deleted when the DAG has ended."""
    assert finished_runs("cancel") == []
    assert server.control.call_counts()["CancelRun"] == 1
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        omics.get_run(id=earlier_runs[UNWANTED])


def test_a_duplicate_repeats_its_original(
    omics: Any, earlier_runs: dict[str, str], finished_runs: Any
) -> None:
    """The duplicate is another run with the id of the original."""
    (run,) = finished_runs("duplicate_run")
    duplicate = omics.get_run(id=run["id"])
    assert (duplicate["runId"], duplicate["status"]) == (earlier_runs[ORIGINAL], "COMPLETED")
