# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The example DAGs, in each supported version of Airflow."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer

EXAMPLES = sorted((Path(__file__).parents[2] / "example_dags").glob("*.py"))

#: Airflow 3.3 prints five of its own, and Airflow 2.11 three.
MAX_FRAMES = 6

GERMLINE_PARAMETERS = ("sample_name", "fastq_pairs", "ecr_registry", "aws_region")

PIPELINE_VCF = """##fileformat=VCFv4.2
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tsample
chr1\t7\t.\tA\tT\t90\tPASS\tDP=9\tGT:AD\t0/1:4,5
chr1\t9\t.\tC\tG\t90\tPASS\tDP=9\tGT:AD\t1/1:0,9
"""


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def without_debug_lines(log: str) -> str:
    """Return the log without the messages between Airflow's processes, which Airflow 3.0 prints in a test."""
    return "\n".join(line for line in log.splitlines() if "[debug" not in line)


@pytest.fixture
def airflow(
    tmp_path: Path, server: HealthOmicsServer, airflow_python: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return the command of a separate Airflow, which has the examples and polls every second."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "airflow_local_settings.py").write_text(
        "def task_policy(task):\n"
        "    for name in ('poke_interval', 'waiter_delay'):\n"
        "        if hasattr(task, name):\n"
        "            setattr(task, name, 1)\n"
    )
    defaults = {
        "role_arn": "arn:aws:iam::123456789012:role/HealthOmicsRun",
        "output_uri": "s3://outputs/germline",
    }
    extra = {"service_config": {"omics": defaults}}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        **server.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES[0].parent),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws", "extra": extra}),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [airflow_python, "-m", "airflow", *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    assert run("db", "migrate").returncode == 0
    return run


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_a_dag_of_its_name(path: Path) -> None:
    """Each example loads without an AWS account, and its DAG has the name of its file."""
    assert load(path).dag.dag_id == path.stem


def test_germline_example_runs_to_its_end(server: HealthOmicsServer, airflow: Callable[..., Any]) -> None:
    """The example starts one run with typed parameters, waits for it in a trigger, and uses its outputs."""
    omics = boto3.client("omics")
    server.control.set_options(check_definitions=False)
    workflow = omics.create_workflow(
        name="germline-fastqs-to-vcf",
        definitionUri="s3://outputs/workflow.zip",
        parameterTemplate={name: {"description": name} for name in GERMLINE_PARAMETERS},
    )

    conf = json.dumps({"workflow_id": workflow["id"]})
    tested = airflow("dags", "test", "example_healthomics_germline", "--conf", conf)

    assert tested.returncode == 0, tested.stdout + tested.stderr
    (started,) = server.control.runs()
    assert started["status"] == "COMPLETED"
    assert f"s3://outputs/germline/{started['id']}/out" in tested.stdout + tested.stderr
    run = omics.get_run(id=started["id"])
    assert len(run["parameters"]["fastq_pairs"]) == 4
    assert run["name"].startswith("manual__")
    assert (run["retentionMode"], run["storageType"]) == ("REMOVE", "DYNAMIC")


def test_trigger_form_example_sends_what_was_entered(
    server: HealthOmicsServer, airflow: Callable[..., Any]
) -> None:
    """The defaults of the form, the changed values, and the parameters that the DAG derives from the rest."""
    server.control.add_workflow(
        "1234567", parameter_template={name: {"description": name} for name in GERMLINE_PARAMETERS}
    )
    boto3.client("s3").create_bucket(Bucket="example-healthomics-outputs")

    conf = json.dumps({"sample_name": "0042", "fastq_1": "s3://reads/1.fastq.gz"})
    tested = airflow("dags", "test", "example_healthomics_trigger_form", "--conf", conf)

    assert tested.returncode == 0, tested.stdout + tested.stderr
    (started,) = server.control.runs()
    parameters = boto3.client("omics").get_run(id=started["id"])["parameters"]
    assert parameters.keys() == set(GERMLINE_PARAMETERS)
    assert (parameters["sample_name"], parameters["aws_region"]) == ("0042", "us-east-1")
    assert [pair["fastq_1"] for pair in parameters["fastq_pairs"]] == ["s3://reads/1.fastq.gz"]


def test_read_sets_example_runs_to_its_end(server: HealthOmicsServer, airflow: Callable[..., Any]) -> None:
    """The example imports a reference and reads, runs a workflow on them, and exports them."""
    server.control.set_options(any_workflow=True, create_buckets=True)
    omics = boto3.client("omics")
    conf = {
        "sequence_store_id": omics.create_sequence_store(name="reads")["id"],
        "reference_store_id": omics.create_reference_store(name="genomes")["id"],
    }

    tested = airflow("dags", "test", "example_healthomics_read_sets", "--conf", json.dumps(conf))

    assert tested.returncode == 0, tested.stdout + tested.stderr
    jobs = server.control.jobs()
    assert [job["status"] for job in jobs] == ["COMPLETED"] * 5
    imported = next(job for job in jobs if len(job["sources"]) == 2)
    (run,) = server.control.runs()
    reads = omics.get_run(id=run["id"])["parameters"]["reads"]
    assert reads.endswith(f"/readSet/{imported['sources'][0]['result']}/source1")


@pytest.mark.parametrize("dag_id", ["nightly_batch", "nightly_mapped"])
def test_nightly_example_runs_to_its_end(
    dag_id: str, server: HealthOmicsServer, airflow: Callable[..., Any]
) -> None:
    """The example starts a run for each row of the sheet, and uses its outputs. No log has a parameter."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="example-bucket")
    sheet = "sample,fastq_1,fastq_2,depth\n" + "".join(
        f"patient-{n},s3://r/1,s3://r/2,{n}\n" for n in range(2)
    )
    # Airflow 2 ends the interval of a test with the night before.
    for date in ("2026-01-01", "2026-01-02"):
        s3.put_object(Bucket="example-bucket", Key=f"sheets/{date}.csv", Body=sheet.encode())
    server.control.add_workflow("1234567")

    tested = airflow("dags", "test", dag_id, "2026-01-02T02:00:00+00:00")

    assert tested.returncode == 0, tested.stdout + tested.stderr
    runs = server.control.runs()
    assert [run["status"] for run in runs] == ["COMPLETED"] * 2
    # Airflow determines the order of mapped tasks.
    parameters = [boto3.client("omics").get_run(id=run["id"])["parameters"] for run in runs]
    sent = {(each["sample_name"], each["min_depth"]) for each in parameters}
    assert sent == {("patient-0", 0), ("patient-1", 1)}
    for run in runs:
        assert f"s3://outputs/germline/{run['id']}/out" in tested.stdout + tested.stderr
    assert "patient" not in without_debug_lines(tested.stdout + tested.stderr)


def test_a_mistake_is_printed_without_frames_of_the_package(airflow: Callable[..., Any]) -> None:
    """Airflow prints its own few frames, one of the package and the message, and no refused call as cause."""
    printed = airflow(
        "dags", "test", "example_healthomics_germline", "--conf", json.dumps({"workflow_id": "7654321"})
    )

    log = printed.stdout + printed.stderr
    before, message, _ = log.partition("HealthOmicsApiError: StartRun for request")
    assert message, log
    traceback = before[before.rindex("Traceback (most recent call last)") :]
    assert traceback.count('  File "') <= MAX_FRAMES, traceback
    assert traceback.count('task.py", line') == 1, traceback
    assert "botocore" not in traceback
    assert "The above exception was the direct cause" not in log
    assert "During handling of the above exception" not in log


def test_register_workflow_example_registers_once(
    tmp_path: Path, server: HealthOmicsServer, airflow: Callable[..., Any]
) -> None:
    """Two DAG runs have one version of the workflow, and a run of it each."""
    source = tmp_path / "germline"
    source.mkdir()
    (source / "main.wdl").write_text("version 1.0\nworkflow germline { input { String sample_name } }\n")

    for date in ("2026-01-01", "2026-01-02"):
        conf = json.dumps({"source": str(source)})
        tested = airflow("dags", "test", "example_healthomics_register_workflow", date, "--conf", conf)
        assert tested.returncode == 0, tested.stdout + tested.stderr

    omics = boto3.client("omics")
    (workflow,) = omics.list_workflows()["items"]
    (version,) = omics.list_workflow_versions(workflowId=workflow["id"])["items"]
    runs = [omics.get_run(id=run["id"]) for run in server.control.runs()]
    assert [run["status"] for run in runs] == ["COMPLETED"] * 2
    assert {run["workflowVersionName"] for run in runs} == {version["versionName"]}


def test_pipeline_example_runs_to_its_report(server: HealthOmicsServer, airflow: Callable[..., Any]) -> None:
    """It registers the workflow beside it, and reports on each sample. No log has the name of a sample."""
    s3, omics = boto3.client("s3"), boto3.client("omics")
    s3.create_bucket(Bucket="example-bucket")
    names = ("patient-1", "patient-2")
    sheet = "sample,fastq_1,fastq_2\n" + "".join(f"{name},s3://r/1,s3://r/2\n" for name in names)
    s3.put_object(Bucket="example-bucket", Key="sheets/samples.csv", Body=sheet.encode())
    for name in names:
        server.control.plan_run(run_setting_id=name, outputs={f"vcf/{name}.vcf": PIPELINE_VCF})

    tested = airflow("dags", "test", "example_healthomics_pipeline")

    log = tested.stdout + tested.stderr
    assert tested.returncode == 0, log
    (batch,) = omics.list_batch()["items"]
    started = omics.list_runs_in_batch(batchId=batch["id"])["runs"]
    report = s3.get_object(Bucket="example-bucket", Key=f"germline/reports/{batch['id']}.csv")
    header, *rows = report["Body"].read().decode().splitlines()
    assert header == "sample,run,variants,heterozygous"
    assert sorted(rows) == sorted(f"{each['runSettingId']},{each['runId']},2,1" for each in started)
    (group,), (cache,) = omics.list_run_groups()["items"], omics.list_run_caches()["items"]
    runs = [omics.get_run(id=each["runId"]) for each in started]
    assert {(run["runGroupId"], run["cacheId"]) for run in runs} == {(group["id"], cache["id"])}
    assert "patient" not in without_debug_lines(log)


def test_run_resources_example_creates_and_deletes(
    server: HealthOmicsServer, airflow: Callable[..., Any]
) -> None:
    """The run is in the group and uses the cache; at the end both are deleted."""
    server.control.add_workflow("1234567")

    tested = airflow("dags", "test", "example_healthomics_run_resources")

    assert tested.returncode == 0, tested.stdout + tested.stderr
    (started,) = server.control.runs()
    omics = boto3.client("omics")
    run = omics.get_run(id=started["id"])
    assert run["status"] == "COMPLETED"
    assert {"runGroupId", "cacheId"} <= run.keys()
    assert (omics.list_run_groups()["items"], omics.list_run_caches()["items"]) == ([], [])


def test_vpc_example_creates_its_configuration(
    server: HealthOmicsServer, airflow: Callable[..., Any]
) -> None:
    """In the triggerer, it waits until the configuration is ACTIVE."""
    server.control.set_options(configuration_creating_seconds=3)
    server.control.add_workflow("1234567")

    tested = airflow("dags", "test", "example_healthomics_vpc")

    assert tested.returncode == 0, tested.stdout + tested.stderr
    (started,) = server.control.runs()
    run = boto3.client("omics").get_run(id=started["id"])
    assert run["configuration"]["name"] == "research-vpc"


def test_run_event_sensor_example_ends_with_the_next_run(
    server: HealthOmicsServer, airflow: Callable[..., Any]
) -> None:
    """A run whose name does not match, and one that ended before, are no ends for it."""
    server.control.add_workflow("1234567")
    server.control.set_options(manual=True)
    omics = boto3.client("omics")

    def start(name: str) -> str:
        role = "arn:aws:iam::123456789012:role/HealthOmicsRun"
        return str(
            omics.start_run(
                workflowId="1234567", roleArn=role, outputUri="s3://outputs", name=name, requestId=name
            )["id"]
        )

    earlier, others, expected = start("lab-1"), start("nightly-1"), start("lab-2")
    server.control.advance("COMPLETED", run_id=earlier)
    with ThreadPoolExecutor(1) as pool:
        tested = pool.submit(airflow, "dags", "test", "example_healthomics_run_event_sensor")
        server.control.wait_for_call("ListRuns", count=3, timeout=240)
        server.control.advance("COMPLETED", run_id=others)
        server.control.advance("COMPLETED", run_id=expected)

    log = tested.result().stdout + tested.result().stderr
    assert tested.result().returncode == 0, log
    assert f"HealthOmics run {expected} has ended: COMPLETED" in log
