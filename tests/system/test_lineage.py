# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The OpenLineage events of real DAG runs, by its file transport."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attr
import boto3
import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

from .conftest import BUCKET
from .dags_lineage.lineage import CANARY

pytest.importorskip("airflow.providers.openlineage")

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent

from airflow_healthomics.lineage.facets import FACETS

pytestmark = pytest.mark.slow

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
RUNNING_SECONDS = 12

INPUTS = {
    ("s3://reads", "a_1.fastq.gz"),
    ("omics://123456789012.storage.us-east-1.amazonaws.com", "1234567890/readSet/5678901234"),
}


@pytest.fixture(scope="module")
def events_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the events, a file for each."""
    return tmp_path_factory.mktemp("openlineage")


@pytest.fixture(scope="module")
def airflow_settings(events_folder: Path) -> dict[str, str]:
    """Turn OpenLineage on."""
    transport = {"type": "file", "log_file_path": str(events_folder / "event"), "append": False}
    return {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        # The machine may be slow, and an interrupted event would be missing.
        "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "60",
    }


@pytest.fixture(scope="module")
def dag_runs(airflow: LocalAirflow, server: HealthOmicsServer) -> dict[str, str]:
    """Run all DAGs to their ends, and return the ids of the DAG runs."""
    control = server.control
    control.set_options(running_seconds=RUNNING_SECONDS, batch_runs_per_second=100)
    control.plan_run(name="failing", status="FAILED", failure_reason="OUT_OF_MEMORY_ERROR")
    sheet = "sample,reads\n" + "".join(f"{CANARY}-{number},s3://reads/{number}\n" for number in range(3))
    boto3.Session().client("s3").put_object(Bucket=BUCKET, Key="sheet.csv", Body=sheet.encode())
    dag_ids = ("lineage_new", "lineage_apart", "lineage_failed", "lineage_batch")
    runs = {dag_id: airflow.trigger_dag(dag_id) for dag_id in dag_ids}
    states = {dag_id: airflow.wait_for_dag_run(dag_id, run_id) for dag_id, run_id in runs.items()}
    run_id = str(airflow.xcom("lineage_new", runs["lineage_new"], "run"))
    runs["lineage_duplicate"] = airflow.trigger_dag("lineage_duplicate", {"healthomics_run_id": run_id})
    states["lineage_duplicate"] = airflow.wait_for_dag_run("lineage_duplicate", runs["lineage_duplicate"])
    expected = {dag_id: "failed" if dag_id == "lineage_failed" else "success" for dag_id in states}
    assert states == expected, airflow.log_tails()
    return runs


def read_event(text: str) -> dict[str, Any]:
    """
    Return an event, rebuilt from the client's own classes.

    They refuse an unknown or a missing field, a run id that is no UUID and a time that is none.
    """
    event: dict[str, Any] = json.loads(text)
    known = {name: value for name, value in event.items() if name != "schemaURL"}
    known["run"] = Run(**known["run"])
    known["job"] = Job(**known["job"])
    known["inputs"] = [InputDataset(**each) for each in known.get("inputs", [])]
    known["outputs"] = [OutputDataset(**each) for each in known.get("outputs", [])]
    rebuilt = RunEvent(**known)
    assert event["schemaURL"] == rebuilt.schemaURL
    for key, facet in FACETS.values():
        if told := event["run"]["facets"].get(key):
            fields = {name: value for name, value in told.items() if not name.startswith("_")}
            made = facet(**fields)
            assert told["_schemaURL"] == made._schemaURL
            assert attr.asdict(made).keys() >= fields.keys()
    return event


@pytest.fixture(scope="module")
def event_of(airflow: LocalAirflow, dag_runs: dict[str, str], events_folder: Path) -> Any:
    """Return the last event of a task, once it exists."""

    def find(job: str, kind: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            try:
                all_events = [read_event(path.read_text()) for path in events_folder.iterdir()]
            except json.JSONDecodeError:
                # It is being written.
                return None
            found = (event for event in all_events if event["job"]["name"] == job)
            return next((event for event in found if event["eventType"] == kind), None)

        return airflow.wait_until(look, f"{kind} of {job} is told")

    return find


def names(datasets: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return data sets by namespace and name."""
    return {(each["namespace"], each["name"]) for each in datasets}


def test_a_new_run(airflow: LocalAirflow, event_of: Any, dag_runs: dict[str, str]) -> None:
    """It has inputs, outputs and facts, although the triggerer waited for it."""
    event = event_of("lineage_new.run", "COMPLETE")
    run = airflow.xcom("lineage_new", dag_runs["lineage_new"], "run", "summary")
    run = run if isinstance(run, dict) else json.loads(run)
    assert names(event["inputs"]) == INPUTS
    assert names(event["outputs"]) == {(f"s3://{BUCKET}", f"outputs/{run['id']}")}
    facet = event["run"]["facets"]["healthOmics_run"]
    assert facet.items() >= {
        "runId": run["id"],
        "uuid": run["uuid"],
        "workflowId": "1",
        "status": "COMPLETED",
        "digest": run["digest"],
        "engine": "WDL",
        "storageType": "DYNAMIC",
    }.items()  # fmt: skip
    assert facet["durationSeconds"] >= RUNNING_SECONDS


def test_start_and_sensor_apart(event_of: Any, dag_runs: dict[str, str]) -> None:
    """Both report the inputs, and the sensor also the outputs, since it waits for the end."""
    start, wait = (event_of(f"lineage_apart.{task}", "COMPLETE") for task in ("start", "wait"))
    assert names(start["inputs"]) == names(wait["inputs"]) == INPUTS
    assert not start.get("outputs")
    assert len(wait["outputs"]) == 1
    ids = {event["run"]["facets"]["healthOmics_run"]["runId"] for event in (start, wait)}
    assert len(ids) == 1


def test_a_duplicate(event_of: Any, dag_runs: dict[str, str]) -> None:
    """It has the inputs of its original, and its own outputs."""
    new, duplicate = (event_of(f"lineage_{name}.run", "COMPLETE") for name in ("new", "duplicate"))
    assert names(duplicate["inputs"]) == INPUTS
    assert names(duplicate["outputs"]).isdisjoint(names(new["outputs"]))
    facets = [event["run"]["facets"]["healthOmics_run"] for event in (new, duplicate)]
    assert facets[1]["duplicateOf"] == facets[0]["runId"]


def test_a_failed_run(event_of: Any, dag_runs: dict[str, str]) -> None:
    """It has inputs, and the reason why it has no outputs."""
    event = event_of("lineage_failed.run", "FAIL")
    assert names(event["inputs"]) == INPUTS
    assert not event.get("outputs")
    facet = event["run"]["facets"]["healthOmics_run"]
    assert (facet["status"], facet["failureReason"]) == ("FAILED", "OUT_OF_MEMORY_ERROR")


def test_a_batch(airflow: LocalAirflow, event_of: Any, dag_runs: dict[str, str]) -> None:
    """The sheet and the URIs in it, the folder of all outputs, and the manifest."""
    event = event_of("lineage_batch.run", "COMPLETE")
    manifest = airflow.xcom("lineage_batch", dag_runs["lineage_batch"], "run", "manifest")
    assert names(event["inputs"]) == {
        (f"s3://{BUCKET}", "sheet.csv"),
        ("s3://references", "hg38.fa"),
        *(("s3://reads", str(number)) for number in range(3)),
    }
    assert names(event["outputs"]) == {
        (f"s3://{BUCKET}", "outputs"),
        (f"s3://{BUCKET}", manifest.removeprefix(f"s3://{BUCKET}/")),
    }
    facet = event["run"]["facets"]["healthOmics_batch"]
    assert facet["runSummary"]["completedRunCount"] == facet["totalRuns"] == 3


def test_no_event_has_a_parameter(event_of: Any, dag_runs: dict[str, str], events_folder: Path) -> None:
    """Nor does an event of the DAG, of a start or of a failure."""
    for job, kind in (("lineage_batch.run", "COMPLETE"), ("lineage_failed.run", "FAIL")):
        event_of(job, kind)
    texts = [path.read_text() for path in events_folder.iterdir()]
    assert len(texts) >= 2 * len(dag_runs)
    assert not [text for text in texts if CANARY in text]
