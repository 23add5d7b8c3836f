# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The trigger of batches: its way through the database, its timing, its event."""

from __future__ import annotations

import importlib
import inspect
import json
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.triggers import HealthOmicsRunBatchTrigger
from airflow_healthomics.triggers.wait import ended_summary
from tests.healthomics import Control
from tests.unit.batch_attempts import CANARY, batch_of, hold_runs, some_settings
from tests.unit.conftest import ONE_ATTEMPT, Clock, FakeTaskInstance, Tasks, calls_of, try_of

ARGUMENTS: dict[str, Any] = {
    "batch_id": "1234567",
    "uuid": "96c57683-74bf-9d6d-ae7e-f09b097db14a",
    "grace": 60.0,
    "is_deletion": True,
    "waiter_delay": 30,
    "cancel_on_kill": True,
    "aws_conn_id": "my_aws",
    "region_name": "eu-west-1",
    "verify": "/etc/ca.pem",
    "botocore_config": {"connect_timeout": 5},
}


def test_its_class_path_never_moves() -> None:
    """Users' databases hold it."""
    path, _ = HealthOmicsRunBatchTrigger(batch_id="1").serialize()
    assert path == "airflow_healthomics.triggers.batch.HealthOmicsRunBatchTrigger"


@pytest.mark.parametrize(
    "arguments", [ARGUMENTS, {"batch_id": "1"}, ARGUMENTS | {"verify": False, "uuid": None}]
)
def test_it_survives_the_database(arguments: dict[str, Any]) -> None:
    """By its class path and as JSON, every argument."""
    path, kwargs = HealthOmicsRunBatchTrigger(**arguments).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))
    assert again.serialize() == (path, kwargs)
    assert arguments.items() <= kwargs.items()


def test_every_argument_is_serialized() -> None:
    """An argument that is forgotten is lost in the triggerer."""
    names = {
        name
        for trigger in HealthOmicsRunBatchTrigger.__mro__
        if trigger.__module__.startswith("airflow_healthomics")
        for name in inspect.signature(trigger).parameters
    } - {"connection"}
    assert set(HealthOmicsRunBatchTrigger(**ARGUMENTS).serialize()[1]) == names == set(ARGUMENTS)


@pytest.fixture
def batch_id(omics: Control) -> str:
    """A batch whose runs stay RUNNING until they are told."""
    hold_runs(omics)
    settings = some_settings(3, parameters={"sample": CANARY})
    return str(batch_of(run_settings=settings).execute(try_of(FakeTaskInstance())))


@pytest.mark.parametrize("status", ["PROCESSED", "FAILED"])
def test_it_does_not_fire_before_the_scheduler_has_seen_the_deferral(
    omics: Control, tasks: Tasks, clock: Clock, batch_id: str, status: str
) -> None:
    """Not in the first ten seconds, even if the batch has ended already."""
    omics.advance_batch(status)
    event = tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id))
    assert event["summary"]["status"] == status
    assert 10 <= clock.elapsed < 20


def test_the_event_carries_all_that_the_task_needs(
    omics: Control, tasks: Tasks, clock: Clock, batch_id: str
) -> None:
    """And no parameter."""
    clock.at(300, lambda: omics.advance("COMPLETED"))
    event = tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id))
    summary = ended_summary(event)
    assert (summary["id"], summary["status"], summary["totalRuns"]) == (batch_id, "PROCESSED", 3)
    assert summary["runSummary"]["completedRunCount"] == 3
    assert summary["creationTime"].startswith("20")
    assert CANARY not in json.dumps(event)
    assert len(json.dumps(event)) < 2000


def test_no_permission_is_an_event(omics: Control, tasks: Tasks, clock: Clock, batch_id: str) -> None:
    """After an hour; the resumed task raises it, and a retry continues the wait."""
    omics.inject_error("GetBatch", "AccessDeniedException", times=None)
    event = tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id, botocore_config=ONE_ATTEMPT))
    assert 3600 <= clock.elapsed <= 3700
    with pytest.raises(HealthOmicsOutcomeUnknownError, match="omics:GetBatch"):
        ended_summary(event)


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
    """The state may last for a moment after DeleteRunBatch was answered."""
    omics.advance_batch("PROCESSED")
    clock.at(300, lambda: client.delete_run_batch(batchId=batch_id))
    event = tasks.fire(HealthOmicsRunBatchTrigger(batch_id=batch_id, is_deletion=is_deletion))
    assert event["summary"]["status"] == status
