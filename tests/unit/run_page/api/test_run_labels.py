# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The labels that distinguish the page of a run or batch from others of the same workflow."""

from __future__ import annotations

from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import update

from tests.healthomics import Control
from tests.unit.conftest import WORKFLOW, calls_of
from tests.unit.run_page.api.api_server import get


def test_the_default_name_is_no_label(page: TestClient, start: Any) -> None:
    """It is the request ID, which is a detail."""
    path, _ = start()
    answer = get(page, path)
    assert answer["run"]["name"]
    assert "label" not in answer


def test_a_name_of_the_dag_author(page: TestClient, start: Any) -> None:
    """It is a label."""
    path, _ = start(name="trio 7")
    assert get(page, path)["label"] == "trio 7"


def test_a_mapped_task_with_a_label(page: TestClient, start: Any) -> None:
    """The page shows Airflow's label; a plain map index is none, and a change is noticed at once."""
    path, _ = start(name="trio 7")
    for column, label in (("NA12878", "NA12878"), ("-1", "trio 7"), (None, "trio 7")):
        with create_session() as session:
            table: Any = TaskInstance.__table__
            session.execute(update(table).values(rendered_map_index=column))
        assert get(page, path)["label"] == label


def test_a_run_of_a_batch(page: TestClient, omics: Control, start_batch: Any, clock: Any) -> None:
    """It has the id of its run setting, which is looked up once."""
    path, _ = start_batch()
    omics.advance_batch("PROCESSED")
    run_id = omics.runs()[0]["id"]
    assert get(page, f"{path}/runs/{run_id}")["label"] in ("s0", "s1", "s2")
    calls = calls_of(omics, "ListRunsInBatch")
    clock.advance(301)
    assert get(page, f"{path}/runs/{run_id}")["label"]
    assert calls_of(omics, "ListRunsInBatch") == calls


def test_a_batch(page: TestClient, omics: Control, start_batch: Any) -> None:
    """It has the name of its workflow, and its own if the DAG author has set one."""
    omics.add_workflow(WORKFLOW, name="germline")
    path, _ = start_batch(batch_name="november")
    answer = get(page, path)
    assert (answer["batch"]["workflowName"], answer["label"]) == ("germline", "november")


def test_a_batch_with_the_default_name(page: TestClient, start_batch: Any) -> None:
    """It is the request ID, which is a detail."""
    path, _ = start_batch()
    answer = get(page, path)
    assert answer["batch"]["name"]
    assert "label" not in answer
