# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a batch: its counts, its failed runs, and the pages of its runs."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_healthomics.publishing.resource import XCOM_KEY
from airflow_healthomics.sensors import HealthOmicsRunBatchSensor
from tests.healthomics import Control
from tests.unit.conftest import (
    WORKFLOW,
    Clock,
    calls_of,
)
from tests.unit.run_page.api.api_server import (
    Tasks,
    get,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_a_batch(page: TestClient, omics: Control, start_batch: Any, clock: Clock) -> None:
    """It has counts and failed runs; its runs are found by their ids, and no others."""
    omics.plan_run(run_setting_id="s1", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    omics.fail_submission(["s2"])
    path, batch_id = start_batch()
    assert get(page, path)["active"] is True
    omics.advance_batch("PROCESSED")
    clock.advance(11)
    answer = get(page, path)
    assert answer["batch"]["id"] == batch_id
    assert answer["batch"]["status"] == "PROCESSED"
    assert answer["batch"]["workflowId"] == WORKFLOW
    assert answer["active"] is False
    assert answer["counts"] == {"COMPLETED": 1, "FAILED": 1, "NOT_STARTED": 1}
    by_setting = {item["runSettingId"]: item for item in answer["failed"]}
    assert by_setting["s1"]["failureReason"] == "INPUT_URI_NOT_FOUND"
    assert by_setting["s2"]["status"] == "NOT_STARTED"
    assert answer["failedTotal"] == 2
    run = get(page, f"{path}/runs/{by_setting['s1']['id']}")
    assert run["run"]["batchId"] == batch_id


def test_a_run_of_another_batch(page: TestClient, omics: Control, start_batch: Any, started: Any) -> None:
    """It is not found, and neither is a run without a batch; no other call is made for them."""
    path, _ = start_batch()
    other = started()["id"]
    assert page.get(f"{path}/runs/{other}").status_code == 404
    assert page.get(f"{path}/runs/999").status_code == 404
    assert calls_of(omics, "ListRunTasks") == 0


def test_an_id_that_was_given_to_another_batch(
    page: TestClient, omics: Control, tasks_db: Tasks, start_batch: Any, clock: Clock
) -> None:
    """Neither it nor its runs are shown; GetBatch is called for them once."""
    omics.plan_run(run_setting_id="s1", status="FAILED", failure_reason="INPUT_URI_NOT_FOUND")
    with tasks_db.dag:
        other = HealthOmicsRunBatchSensor(task_id="wait", batch_id="1")
    path, batch_id = start_batch()
    omics.advance_batch("PROCESSED")
    (failed,) = get(page, path)["failed"]
    before = calls_of(omics, "GetBatch")
    for _ in range(2):
        get(page, f"{path}/runs/{failed['id']}")
        clock.advance(301)
    assert calls_of(omics, "GetBatch") == before + 2
    told = {"kind": "batch", "id": batch_id, "uuid": "another", "region": "us-east-1"}
    path = tasks_db.add(other, xcoms={XCOM_KEY: told}, rendered={"aws_conn_id": "aws_default"})
    assert page.get(path).status_code == 404
    assert page.get(f"{path}/runs/{failed['id']}").status_code == 404
