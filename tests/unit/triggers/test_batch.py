# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The behaviour that only the trigger of batches has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger
from airflow_healthomics.waiting.events import summary_from_event
from tests.healthomics import Control
from tests.unit.batch_attempts import CANARY, batch_of, hold_runs, some_settings
from tests.unit.conftest import Clock, FakeTaskInstance, Tasks, calls_of, try_of


@pytest.fixture
def batch_id(omics: Control) -> str:
    """A batch whose runs stay RUNNING until the test advances them."""
    hold_runs(omics)
    settings = some_settings(3, parameters={"sample": CANARY})
    return str(batch_of(run_settings=settings).execute(try_of(FakeTaskInstance())))


def test_the_event_has_everything_that_the_task_needs(
    omics: Control, tasks: Tasks, clock: Clock, batch_id: str
) -> None:
    """It has no parameter."""
    clock.at(300, lambda: omics.advance("COMPLETED"))
    event = tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id))
    summary = summary_from_event(event)
    assert (summary["id"], summary["status"], summary["totalRuns"]) == (batch_id, "PROCESSED", 3)
    assert summary["runSummary"]["completedRunCount"] == 3
    assert summary["creationTime"].startswith("20")
    assert CANARY not in json.dumps(event)
    assert len(json.dumps(event)) < 2000


def test_a_poll_is_one_get_batch(omics: Control, tasks: Tasks, clock: Clock, batch_id: str) -> None:
    """However many runs the batch has."""
    clock.at(3600, lambda: omics.advance("COMPLETED"))
    tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id, waiter_delay=60))
    assert 60 <= calls_of(omics, "GetBatch") <= 63
    assert not {"ListRuns", "ListRunsInBatch", "GetRun"} & omics.call_counts().keys()


@pytest.mark.parametrize(("is_deletion", "status"), [(True, "RUNS_DELETED"), (False, "PROCESSED")])
def test_a_deletion_is_waited_for_from_processed_on(
    omics: Control, tasks: Tasks, clock: Clock, client: Any, batch_id: str, is_deletion: bool, status: str
) -> None:
    """The status may be visible for a moment after DeleteRunBatch."""
    omics.advance_batch("PROCESSED")
    clock.at(300, lambda: client.delete_run_batch(batchId=batch_id))
    event = tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id, is_deletion=is_deletion))
    assert event["summary"]["status"] == status
