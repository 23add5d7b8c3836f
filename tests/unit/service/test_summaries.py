# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The summary of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.service.summaries import summarize_run
from tests.healthomics import Control

SECRET = "canary-patient-7"


@pytest.fixture
def finished(omics: Control, client: Any, started: Callable[..., Any]) -> dict[str, Any]:
    """GetRun's response for a run with values of the user in every field."""
    run = started(
        parameters={"sample": SECRET},
        tags={"patient": SECRET},
        engineSettings={"profile": SECRET},
        sessionPolicy=json.dumps({"Sid": SECRET}),
    )
    omics.advance("COMPLETED", run_id=run["id"])
    answer: dict[str, Any] = client.get_run(id=run["id"])
    return answer


def test_a_summary_is_json(finished: dict[str, Any]) -> None:
    """It passes through XCom and through a trigger's event unchanged."""
    summary = summarize_run(finished)
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("field", ["creationTime", "startTime", "stopTime"])
def test_times_are_iso_8601(finished: dict[str, Any], field: str) -> None:
    """The text has the time zone."""
    assert summarize_run(finished)[field] == finished[field].isoformat()
    assert finished[field].tzinfo is not None


@pytest.mark.parametrize(
    "field", ["id", "arn", "uuid", "status", "runOutputUri", "workflowId", "storageType"]
)
def test_a_summary_has_the_fields_for_the_next_task(finished: dict[str, Any], field: str) -> None:
    """By GetRun's own names."""
    assert summarize_run(finished)[field] == finished[field]


def test_a_summary_has_no_values_of_the_users(finished: dict[str, Any]) -> None:
    """Parameters, tags, engine settings and the session policy stay out of XCom."""
    assert SECRET in repr(finished)
    assert SECRET not in repr(summarize_run(finished))


def test_absent_fields_stay_absent() -> None:
    """A run that has not started has no start time, instead of a null."""
    assert summarize_run({"id": "1", "status": "PENDING"}) == {"id": "1", "status": "PENDING"}
