# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A watcher that has a queue for itself, as before Airflow 3.3."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_healthomics.triggers import HealthOmicsRunEventTrigger
from tests.healthomics import Control
from tests.unit.conftest import Clock
from tests.unit.kinds import RUN

from .conftest import Queue, Watch

NEVER = 10 * 24 * 3600


@pytest.fixture
def ends_later(omics: Control, clock: Clock) -> Callable[[], str]:
    """Let a run end in 30 seconds, after the first reconciliation."""

    def end() -> str:
        run_id = RUN.start(omics)
        clock.at(clock.elapsed + 30, lambda: omics.advance("COMPLETED", run_id=run_id))
        return run_id

    return end


def test_an_end_of_the_queue_is_reported(watch: Watch, queue: Queue, ends_later: Callable[[], str]) -> None:
    """Its message stays until Airflow may have stored the event."""
    run_id = ends_later()
    trigger = HealthOmicsRunEventTrigger(queue_url=queue.url, reconcile_interval=NEVER)
    assert [payload["runId"] for payload in watch(trigger, 60)] == [run_id]
    assert queue.count == 1


def test_its_message_is_deleted_when_the_event_is_stored(
    watch: Watch, queue: Queue, ends_later: Callable[[], str]
) -> None:
    """Airflow does not say when that is."""
    ends_later()
    watch(HealthOmicsRunEventTrigger(queue_url=queue.url, reconcile_interval=NEVER), 120)
    assert queue.is_empty


def test_an_event_that_is_lost_is_found(
    omics: Control, watch: Watch, queue: Queue, ends_later: Callable[[], str]
) -> None:
    """By reconciliation."""
    omics.disturb_events(loss=1.0)
    run_id = ends_later()
    trigger = HealthOmicsRunEventTrigger(queue_url=queue.url, reconcile_interval=300)
    assert [payload["runId"] for payload in watch(trigger, 600)] == [run_id]
