# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The ends of batches without a queue, and what confirms them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.events.batch_ends import PAYLOAD, BatchEnds
from airflow_healthomics.events.ends import Candidate
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.triggers import HealthOmicsRunBatchEventTrigger
from tests.healthomics import Control
from tests.unit.conftest import Clock
from tests.unit.kinds import BATCH

from .conftest import Watch


def confirm(batch_id: str, **told: Any) -> Any:
    """Confirm an end by GetBatch."""
    return BatchEnds().confirm(HealthOmicsHook(), Candidate(batch_id, {"status": "PROCESSED", **told}))


@pytest.fixture
def processed(omics: Control) -> str:
    """A batch whose runs have completed."""
    batch_id = BATCH.start(omics)
    omics.advance_batch("PROCESSED", batch_id=batch_id)
    return batch_id


def test_a_processed_batch_is_reported_once(omics: Control, watch: Watch, processed: str) -> None:
    """By ListBatch and GetBatch, with what a DAG needs and no parameters."""
    (payload,) = watch(HealthOmicsRunBatchEventTrigger(), 600)
    assert tuple(payload) == PAYLOAD
    assert (payload["batchId"], payload["status"]) == (processed, "PROCESSED")
    assert payload["totalRuns"] == len(omics.runs())
    assert payload["workflowId"]
    assert payload["stopTime"]
    assert omics.call_counts()["GetBatch"] <= 3


def test_a_batch_that_ended_long_ago_is_not_reported(watch: Watch, clock: Clock, processed: str) -> None:
    """ListBatch does not tell when it ended, but GetBatch does."""
    clock.advance(7200)
    assert watch(HealthOmicsRunBatchEventTrigger(), 600) == []


def test_another_name_does_not_match(watch: Watch, processed: str) -> None:
    """By the name in the list."""
    assert watch(HealthOmicsRunBatchEventTrigger(batch_name_pattern="other-*"), 600) == []


def test_a_batch_that_goes_on_is_not_confirmed(omics: Control) -> None:
    """GetBatch may lag behind an event."""
    assert confirm(BATCH.start(omics)) is None


def test_a_deleted_batch_is_confirmed_by_its_event(omics: Control, client: Any, processed: str) -> None:
    """Its counts are text there."""
    uuid = client.get_batch(batchId=processed)["uuid"]
    client.delete_batch(batchId=processed)
    end = confirm(processed, uuid=uuid, totalRuns="3", failureReason="X", failureMessage="why")
    assert (end.payload["uuid"], end.payload["totalRuns"], end.payload["failureReason"]) == (uuid, 3, "why")
    assert confirm(processed) is None


def test_a_mistake_names_the_argument() -> None:
    """The statuses of runs are not those of batches."""
    with pytest.raises(ValueError, match="statuses"):
        HealthOmicsRunBatchEventTrigger(statuses=["COMPLETED"])
    with pytest.raises(ValueError, match="queue_url"):
        HealthOmicsRunBatchEventTrigger(queue_url="ends")
