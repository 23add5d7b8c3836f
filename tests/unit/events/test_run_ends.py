# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What confirms the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.events.ends import Candidate
from airflow_healthomics.events.run_ends import PAYLOAD, RunEnds
from airflow_healthomics.hooks.omics import HealthOmicsHook
from tests.healthomics import Control


def confirm(run_id: str, **told: Any) -> Any:
    """Confirm an end by GetRun."""
    return RunEnds().confirm(HealthOmicsHook(), Candidate(run_id, {"status": "COMPLETED", **told}))


def test_the_payload_has_what_a_dag_needs(client: Any, ended: Callable[..., str]) -> None:
    """By the names of GetRun, as JSON, without parameters and tags."""
    run_id = ended(name="sample-1", parameters={"patient": "Jane"}, tags={"patient": "Jane"})
    run = client.get_run(id=run_id)
    payload = confirm(run_id, workflowName="germline").payload
    assert tuple(payload) == PAYLOAD
    assert payload == {
        "runId": run_id,
        "uuid": run["uuid"],
        "name": "sample-1",
        "status": "COMPLETED",
        "workflowId": run["workflowId"],
        "workflowName": "germline",
        "runOutputUri": run["runOutputUri"],
        "failureReason": None,
        "startTime": run["startTime"].isoformat(),
        "stopTime": run["stopTime"].isoformat(),
    }
    assert "Jane" not in str(payload)


def test_the_reason_of_a_failure_is_in_the_payload(omics: Control, started: Callable[..., Any]) -> None:
    """AWS's events do not have it."""
    run_id = started()["id"]
    omics.advance("FAILED", run_id=run_id, failure_reason="EXPORT_FAILED")
    assert confirm(run_id, status="FAILED").payload["failureReason"] == "EXPORT_FAILED"


def test_a_run_that_goes_on_is_not_confirmed(omics: Control, started: Callable[..., Any]) -> None:
    """GetRun may lag behind an event, which then waits."""
    assert confirm(started()["id"]) is None


def test_another_end_is_not_confirmed(ended: Callable[..., str]) -> None:
    """GetRun decides."""
    assert confirm(ended("FAILED")) is None


@pytest.mark.parametrize("status", ["COMPLETED", "DELETED"])
def test_a_deleted_run_is_confirmed_by_what_was_told(
    client: Any, ended: Callable[..., str], status: str
) -> None:
    """Retention mode REMOVE may delete a run before its event arrives."""
    run_id = ended()
    uuid = client.get_run(id=run_id)["uuid"]
    client.delete_run(id=run_id)
    end = confirm(run_id, status=status, uuid=uuid, name="sample-1")
    assert (end.payload["uuid"], end.payload["status"], end.payload["name"]) == (uuid, status, "sample-1")


def test_a_deleted_run_without_a_uuid_is_not_confirmed(client: Any, ended: Callable[..., str]) -> None:
    """It could not be told from another run with its id."""
    run_id = ended()
    client.delete_run(id=run_id)
    assert confirm(run_id) is None


def test_an_id_that_was_given_away_is_not_taken_for_the_run(
    omics: Control, client: Any, ended: Callable[..., str], started: Callable[..., Any]
) -> None:
    """The payload is that of the run that ended."""
    omics.set_options(reuse_run_ids=True)
    run_id = ended(name="old")
    uuid = client.get_run(id=run_id)["uuid"]
    omics.advance("DELETED", run_id=run_id)
    assert started(name="new")["id"] == run_id
    payload = confirm(run_id, uuid=uuid, name="old").payload
    assert (payload["uuid"], payload["name"]) == (uuid, "old")
    assert payload["runOutputUri"] is None
