# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Each end of a run that Airflow did not start has one asset event, while triggerers are killed. Before Airflow
3.3, there is one triggerer, which is killed once.

Events are lost, doubled and reordered. The DAG of one of the two watchers has one DAG run at a time.
``RUN_EVENTS`` sets the number of runs, and ``RUN_EVENTS_SEED`` the seed of the random choices, which is
printed.
"""

from __future__ import annotations

import json
import os
import random
import statistics
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow import __version__ as airflow_version

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import LocalAirflow

from .conftest import BUCKET

pytestmark = pytest.mark.slow

#: How many runs end.
RUNS = int(os.environ.get("RUN_EVENTS") or 40)
#: Whether an asset has a state store. Without one, triggerers cannot share what was reported.
HAS_STORE = tuple(int(part) for part in airflow_version.split(".")[:2]) >= (3, 3)
TRIGGERERS = ("triggerer", "triggerer-2") if HAS_STORE else ("triggerer",)
KILLS = 4 if HAS_STORE else 1

SEED = int(os.environ.get("RUN_EVENTS_SEED") or random.randrange(1, 1_000_000))
NAMES = ("queue", "lists")

#: Seconds; the machine may be slow.
LIMIT = 1200


@pytest.fixture(scope="module")
def queue_url(server: HealthOmicsServer) -> str:
    """The stack of the package's template."""
    from airflow_healthomics.events.templates import cloudformation_template

    formation: Any = boto3.Session().client("cloudformation")
    formation.create_stack(StackName="ends", TemplateBody=cloudformation_template())
    (stack,) = formation.describe_stacks(StackName="ends")["Stacks"]
    (url,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "QueueUrl"]
    # moto answers with a URL of AWS, which botocore would call.
    return f"{server.endpoint_url}/{'/'.join(str(url).split('/')[-2:])}"


@pytest.fixture(scope="module")
def sqs(server: HealthOmicsServer) -> Any:
    """A client of SQS."""
    return boto3.Session().client("sqs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the handled ends, in a folder for each DAG."""
    folder = tmp_path_factory.mktemp("ends")
    for name in NAMES:
        (folder / f"run_events_{name}").mkdir()
    return folder


@pytest.fixture(scope="module")
def airflow_settings(queue_url: str, folder: Path) -> dict[str, str]:
    """Shorten the time after which another triggerer takes over."""
    return {
        "RUN_EVENTS_QUEUE": queue_url,
        "RUN_EVENTS_FOLDER": str(folder),
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    }


def test_each_end_has_one_event(
    airflow: LocalAirflow, server: HealthOmicsServer, omics: Any, sqs: Any, queue_url: str, folder: Path
) -> None:
    """With a queue and without one, and a task instance handles each."""
    print(f"RUN_EVENTS_SEED={SEED}")
    chance = random.Random(SEED)
    server.control.set_options(running_seconds=5)
    server.control.disturb_events(loss=0.1, duplication=0.1, reordering=0.1)
    for name in TRIGGERERS[1:]:
        airflow.start_process(name, component="triggerer")
    airflow.wait_until(lambda: _watched(airflow), "both assets are watched")

    kills = sorted(chance.sample(range(RUNS // 10, RUNS), KILLS))
    stored = 0
    for number in range(RUNS):
        run = omics.start_run(
            workflowId="1234567",
            roleArn="arn:aws:iam::123456789012:role/omics",
            outputUri=f"s3://{BUCKET}/outputs",
            name=f"lab-{number}",
        )
        if chance.random() < 0.1:
            omics.cancel_run(id=run["id"])
        if number in kills:
            # In the midst of its work.
            stored = _await_further(airflow, stored)
            killed = chance.choice(TRIGGERERS)
            airflow.stop_process(killed, gracefully=False)
            airflow.start_process(killed, component="triggerer")

    airflow.wait_until(lambda: _all_ended(server), "all runs have ended", LIMIT)
    expected = {f"{run['uuid']}.{run['status']}" for run in server.control.runs()}
    airflow.wait_until(
        lambda: all(len(_handled(folder, name)) >= RUNS for name in NAMES), "all ends are handled", LIMIT
    )
    airflow.wait_until(lambda: _is_empty(sqs, queue_url), "the queue is empty", LIMIT)

    for name in NAMES:
        events = _events(airflow, name)
        counts = Counter(f"{event['payload']['uuid']}.{event['payload']['status']}" for event in events)
        assert counts == dict.fromkeys(expected, 1), name
        assert _handled(folder, name) == dict.fromkeys(expected, 1), name
        for step in ("event", "dag_run"):
            delays = [event["delays"][step] for event in events]
            print(f"{name}: {step} after {statistics.median(delays):.1f} s, {max(delays):.1f} s at most")


def _await_further(airflow: LocalAirflow, stored: int) -> int:
    """Wait until more ends are stored than before, and return how many."""

    def count() -> int:
        return int(airflow.get("assets/events", limit=1)["total_entries"])

    airflow.wait_until(lambda: count() > stored, "further ends are stored", LIMIT)
    return count()


def _watched(airflow: LocalAirflow) -> bool:
    assets = {asset["name"] for asset in airflow.get("assets", limit=100)["assets"]}
    return {f"ends_{name}" for name in NAMES} <= assets


def _all_ended(server: HealthOmicsServer) -> bool:
    return all(run["status"] in ("COMPLETED", "CANCELLED", "FAILED") for run in server.control.runs())


def _handled(folder: Path, name: str) -> Counter[str]:
    return Counter(path.name.rpartition(".")[0] for path in (folder / f"run_events_{name}").iterdir())


def _is_empty(sqs: Any, queue_url: str) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return all(int(value) == 0 for value in answer["Attributes"].values())


def _events(airflow: LocalAirflow, name: str) -> list[dict[str, Any]]:
    """Return the payload of each asset event, and the seconds from the end of its run to later steps."""
    # Airflow 3.0 ignores a filter by name.
    assets = airflow.get("assets", limit=100)["assets"]
    (asset_id,) = [asset["id"] for asset in assets if asset["name"] == f"ends_{name}"]
    found: list[dict[str, Any]] = []
    while True:
        page = airflow.get("assets/events", limit=100, offset=len(found), asset_id=asset_id)
        for event in page["asset_events"]:
            extra = event["extra"]
            payload = json.loads(extra["payload"]) if isinstance(extra["payload"], str) else extra["payload"]
            ended = datetime.fromisoformat(payload["stopTime"])
            steps = {
                "event": event["timestamp"],
                "dag_run": min(dag_run["start_date"] for dag_run in event["created_dagruns"]),
            }
            delays = {
                step: (datetime.fromisoformat(time) - ended).total_seconds() for step, time in steps.items()
            }
            found.append({"payload": payload, "delays": delays})
        if len(found) >= page["total_entries"] or not page["asset_events"]:
            return found
