# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Watchers that share a queue, with Airflow's own acknowledgement (Airflow 3.3 and later)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.unit.conftest import HAS_STORE

if not HAS_STORE:
    pytest.skip("Airflow has no shared streams before 3.3", allow_module_level=True)

from airflow_healthomics.triggers import HealthOmicsRunBatchEventTrigger, HealthOmicsRunEventTrigger
from tests.healthomics import Control
from tests.unit.conftest import Clock
from tests.unit.kinds import BATCH, RUN

from .conftest import Queue
from .triggerer import Triggerer, Watched

#: No reconciliation after the first one, so that an end comes from the queue.
NEVER = 10 * 24 * 3600


@pytest.fixture
def triggerer(clock: Clock) -> Triggerer:
    """A triggerer."""
    return Triggerer(clock)


@pytest.fixture
def watcher(queue: Queue) -> Callable[..., Watched]:
    """Make a watcher of the queue; each has its own asset."""

    def make(trigger: Any = HealthOmicsRunEventTrigger, **arguments: Any) -> Watched:
        return Watched(trigger(**{"queue_url": queue.url, "reconcile_interval": NEVER, **arguments}))

    return make


@pytest.fixture
def ends_later(omics: Control, clock: Clock) -> Callable[..., str]:
    """Let a run end in N seconds, after the first reconciliation."""

    def end(seconds: float = 30, status: str = "COMPLETED") -> str:
        run_id = RUN.start(omics)
        clock.at(clock.elapsed + seconds, lambda: omics.advance(status, run_id=run_id))
        return run_id

    return end


def test_an_end_is_reported_within_seconds_and_its_message_deleted(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue
) -> None:
    """The messages of a run's other states are deleted, too."""
    watched = watcher()
    run_id = ends_later()
    triggerer.run(60, watched)
    assert watched.ids == [run_id]
    assert queue.is_empty


def test_many_watchers_share_a_queue(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue, omics: Control
) -> None:
    """Each gets what matches, at one GetRun for all of them, and then the message is deleted."""
    every = [watcher(), watcher(statuses=["FAILED"]), watcher(statuses=["COMPLETED"]), watcher()]
    completed, failed = ends_later(30), ends_later(45, "FAILED")
    triggerer.run(90, *every)
    assert [watched.ids for watched in every] == [
        [completed, failed],
        [failed],
        [completed],
        [completed, failed],
    ]
    assert omics.call_counts()["GetRun"] == 2
    assert queue.is_empty


def test_runs_and_batches_share_a_queue(
    triggerer: Triggerer, watcher: Any, queue: Queue, omics: Control, clock: Clock, visible: None
) -> None:
    """Whichever watcher was first."""
    batches, runs = watcher(HealthOmicsRunBatchEventTrigger), watcher()
    batch_id = BATCH.start(omics)
    clock.at(clock.elapsed + 20, lambda: omics.advance("COMPLETED"))
    triggerer.run(400, batches, runs)
    assert batches.ids == [batch_id]
    assert batches.events[0]["status"] == "PROCESSED"
    assert sorted(runs.ids) == sorted(run["id"] for run in omics.runs())
    assert queue.is_empty


def test_an_event_that_comes_twice_is_reported_once(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue, omics: Control, visible: None
) -> None:
    """And both messages are deleted."""
    omics.disturb_events(duplication=1.0)
    watched = watcher()
    run_id = ends_later()
    triggerer.run(60, watched)
    assert watched.ids == [run_id]
    assert queue.is_empty


def test_an_event_that_is_lost_is_found(
    triggerer: Triggerer, watcher: Any, ends_later: Any, omics: Control
) -> None:
    """By the next reconciliation."""
    omics.disturb_events(loss=1.0)
    watched = watcher(reconcile_interval=900)
    run_id = ends_later()
    triggerer.run(600, watched)
    assert watched.ids == []
    triggerer.run(1200, watched)
    assert watched.ids == [run_id]


def test_a_kill_before_the_event_is_stored_loses_nothing(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue, visible: None
) -> None:
    """The message is still there, also if its run is no longer listed."""
    watched = watcher()
    run_id = ends_later()
    triggerer.dies_before_store = True
    triggerer.run(60, watched)
    assert watched.ids == []
    assert queue.count == 1
    triggerer.dies_before_store = False
    again = watcher()
    again.store = watched.store
    again.store.values = {key: value for key, value in watched.store.values.items() if "end" in key}
    triggerer.run(60, again)
    assert again.ids == [run_id]
    assert queue.is_empty


def test_a_kill_before_the_message_is_deleted_repeats_nothing(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue, visible: None
) -> None:
    """The record knows the end, and the message is deleted later."""
    watched = watcher()
    run_id = ends_later()
    triggerer.dies_after_store = True
    triggerer.run(60, watched)
    assert watched.ids == [run_id]
    assert queue.count == 1
    triggerer.dies_after_store = False
    again = watcher()
    again.store = watched.store
    triggerer.run(60, again)
    assert again.ids == []
    assert queue.is_empty


def test_a_watcher_that_is_stopped_in_between_loses_nothing(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue
) -> None:
    """Airflow acknowledges for a watcher that has received an end and is cancelled before it reports it."""
    watched = watcher()
    ends_later()
    watched.store.is_stuck = True
    triggerer.stops_gracefully = True
    triggerer.run(60, watched)
    assert watched.ids == []
    assert queue.count == 1


def test_an_end_that_was_deleted_by_healthomics_is_reported(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue, omics: Control, clock: Clock
) -> None:
    """Its events are all that is left of it."""
    watched = watcher()
    run_id = ends_later(30)
    clock.at(clock.elapsed + 60, lambda: omics.advance("DELETED", run_id=run_id))
    triggerer.run(120, watched)
    assert [payload["status"] for payload in watched.events] == ["COMPLETED", "DELETED"]
    assert watched.ids == [run_id, run_id]


def test_a_message_that_cannot_be_read_is_left(
    triggerer: Triggerer, watcher: Any, queue: Queue, logged: Callable[[], str]
) -> None:
    """A warning names it, and not its content."""
    message_id = queue.send("Jane Doe")
    triggerer.run(30, watcher())
    text = logged()
    assert f"Message {message_id}, received 1 times, cannot be read: it is not JSON" in text
    assert "Jane" not in text
    assert queue.count == 1


@pytest.mark.parametrize("owns_queue", [True, False])
def test_foreign_messages_are_deleted_only_from_our_queue(
    triggerer: Triggerer, watcher: Any, queue: Queue, owns_queue: bool
) -> None:
    """Another reader may want them."""
    queue.send(json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": {}}))
    triggerer.run(30, watcher(owns_queue=owns_queue))
    assert queue.count == (0 if owns_queue else 1)


def test_a_message_that_is_not_confirmed_yet_is_left(
    triggerer: Triggerer, watcher: Any, queue: Queue, omics: Control
) -> None:
    """GetRun may lag behind the event."""
    watched = watcher()
    run_id = RUN.start(omics)
    detail = {"runId": run_id, "status": "COMPLETED", "uuid": "u"}
    detail["uuid"] = boto3.client("omics").get_run(id=run_id)["uuid"]
    event = {"source": "aws.omics", "detail-type": "Run Status Change", "time": "2026-11-22T03:04:05Z"}
    queue.send(json.dumps({**event, "detail": detail}))
    triggerer.run(30, watched)
    assert watched.ids == []
    assert queue.count == 1


def test_an_outage_ends_no_watcher(
    triggerer: Triggerer, watcher: Any, ends_later: Any, queue: Queue, omics: Control, logged: Any
) -> None:
    """An exception would end all watchers of the queue."""
    watched = watcher(reconcile_interval=300)
    omics.inject_error("GetRun", "AccessDeniedException", times=1)
    run_id = ends_later()
    triggerer.run(600, watched)
    assert watched.ids == [run_id]
    assert "GetRun: AccessDeniedException" in logged()


def test_a_queue_that_is_missing_leaves_reconciliation(
    triggerer: Triggerer, ends_later: Any, queue: Queue, logged: Any
) -> None:
    """With a warning that names the call."""
    arguments: dict[str, Any] = {"queue_url": f"{queue.url}-no", "reconcile_interval": 300}
    watched = Watched(HealthOmicsRunEventTrigger(**arguments))
    run_id = ends_later()
    triggerer.run(600, watched)
    assert watched.ids == [run_id]
    assert "The queue cannot be read: ReceiveMessage" in logged()
