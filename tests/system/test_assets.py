# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One DAG starts when the run of another has completed: the example DAGs, in a real Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import HealthOmicsServer
from dev.local_airflow import ENDED_DAG_RUN, LocalAirflow

pytestmark = pytest.mark.slow

PRODUCER = "example_healthomics_asset_producer"
CONSUMER = "example_healthomics_asset_consumer"

#: Airflow 3.3.2 fails a task whose deferral ends before the scheduler has seen it (apache/airflow#67287).
RUNNING_SECONDS = 12


@pytest.fixture(scope="module")
def dags_folder() -> Path:
    """The examples themselves."""
    return Path(__file__).parents[2] / "example_dags"


def as_value(value: Any) -> Any:
    """Return an XCom's value, which the API returns as text or unchanged."""
    return json.loads(value) if isinstance(value, str) else value


def test_a_dag_starts_when_a_run_of_another_has_completed(
    airflow: LocalAirflow, server: HealthOmicsServer, omics: Any
) -> None:
    """The event has the location of the outputs, and the second DAG reads them from S3."""
    server.control.set_options(running_seconds=RUNNING_SECONDS)
    server.control.plan_run(outputs={"NA12878.vcf": "##fileformat=VCFv4.2"})
    airflow.wait_until(lambda: CONSUMER in _dag_ids(airflow), f"{CONSUMER} is parsed")

    dag_run_id = airflow.trigger_dag(PRODUCER, {"sample_name": "NA12878"})
    state = airflow.wait_for_dag_run(PRODUCER, dag_run_id)
    assert state == "success", airflow.task_log(PRODUCER, dag_run_id, "call_variants")

    (run,) = server.control.runs()
    run = omics.get_run(id=run["id"])
    started = airflow.wait_until(lambda: _ended_runs(airflow), f"{CONSUMER} has ended")
    assert [(each["state"], each["run_type"]) for each in started] == [("success", "asset_triggered")]
    of_consumer = (CONSUMER, started[0]["dag_run_id"])

    (event,) = airflow.get("assets/events", source_dag_id=PRODUCER)["asset_events"]
    expected = {
        "runId": run["id"],
        "uuid": run["uuid"],
        "runOutputUri": run["runOutputUri"],
        "workflowId": run["workflowId"],
    }
    assert event["extra"] == expected
    assert as_value(airflow.xcom(*of_consumer, "completed_runs")) == [expected]
    outputs = as_value(airflow.xcom(*of_consumer, "load", map_index=0))
    assert outputs["NA12878.vcf"] == "##fileformat=VCFv4.2"


def _dag_ids(airflow: LocalAirflow) -> set[str]:
    return {dag["dag_id"] for dag in airflow.get("dags", limit=100)["dags"]}


def _ended_runs(airflow: LocalAirflow) -> list[dict[str, Any]] | None:
    runs: list[dict[str, Any]] = airflow.get(f"dags/{CONSUMER}/dagRuns")["dag_runs"]
    return runs if runs and all(run["state"] in ENDED_DAG_RUN for run in runs) else None
