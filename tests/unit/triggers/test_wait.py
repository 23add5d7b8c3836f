# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The common behaviour of the triggers of runs and batches: when they fire, and their event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.waiting.events import summary_from_event
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks, calls_of
from tests.unit.kinds import BATCH, KINDS, RUN, Kind

ENDS = pytest.mark.parametrize(
    ("kind", "status"),
    [(kind, status) for kind in (RUN, BATCH) for status in (kind.succeeded, *kind.failures)],
    ids=str,
)


@ENDS
def test_it_does_not_fire_before_the_scheduler_has_seen_the_deferral(
    omics: Control, tasks: Tasks, clock: Clock, kind: Kind, status: str
) -> None:
    """Not in the first ten seconds, even if the resource has ended before. The event has the summary."""
    resource_id = kind.start(omics)
    kind.end(omics, status)
    began = clock.elapsed
    summary = summary_from_event(tasks.fire(kind.trigger(**kind.by_id(resource_id))))
    assert (summary["id"], summary["status"]) == (resource_id, status)
    assert 10 <= clock.elapsed - began < 20


@KINDS
def test_a_refusal_is_an_event(omics: Control, tasks: Tasks, clock: Clock, kind: Kind) -> None:
    """After an hour. The resumed task raises it like a task on a worker; a retry continues the wait."""
    resource_id = kind.start(omics)
    omics.inject_error(kind.get, "AccessDeniedException", times=None)
    event = tasks.fire(kind.trigger(**kind.by_id(resource_id), botocore_config=ONE_ATTEMPT))
    assert 3600 <= clock.elapsed <= 3700
    with pytest.raises(HealthOmicsOutcomeUnknownError, match=f"omics:{kind.get}") as caught:
        summary_from_event(event)
    assert caught.value.code == "AccessDeniedException"


@KINDS
def test_it_polls_at_once(omics: Control, tasks: Tasks, clock: Clock, kind: Kind) -> None:
    """The first poll does not wait for ``waiter_delay``."""
    resource_id = kind.start(omics)
    polls: list[int] = []
    clock.at(0.001, lambda: polls.append(calls_of(omics, kind.get)))
    clock.at(60, lambda: omics.advance("COMPLETED"))
    tasks.fire(kind.trigger(**kind.by_id(resource_id), waiter_delay=60))
    assert polls == [1]


@KINDS
def test_the_end_is_noticed_by_the_next_poll(omics: Control, tasks: Tasks, clock: Clock, kind: Kind) -> None:
    """The event is not delayed any further."""
    resource_id = kind.start(omics)
    clock.at(600, lambda: omics.advance("COMPLETED"))
    tasks.fire(kind.trigger(**kind.by_id(resource_id), waiter_delay=60))
    assert 600 <= clock.elapsed <= 600 + 60 + 1


@KINDS
def test_it_fires_once(omics: Control, clock: Clock, kind: Kind) -> None:
    """Then it ends."""
    trigger = kind.trigger(**kind.by_id(kind.start(omics)))
    kind.end(omics, kind.succeeded)

    async def events() -> list[Any]:
        return [event async for event in trigger.run()]

    assert len(virtual_time.run(clock, events())) == 1


@KINDS
def test_a_trigger_that_cannot_make_a_client_fires_no_earlier(
    omics: Control, connection: Callable[..., None], tasks: Tasks, clock: Clock, kind: Kind
) -> None:
    """An exception ends the deferral as an event does, with the same race in the scheduler."""
    connection(profile_name="there_is_no_such_profile")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the resumed task or the trigger raises
        summary_from_event(tasks.fire(kind.trigger(**kind.by_id("1"))))
    assert clock.elapsed >= 10


@pytest.mark.parametrize("event", [None, {}], ids=str)
def test_no_event_is_an_error(event: Any) -> None:
    """Without an event, a resumed task cannot know that its run succeeded; it raises no KeyError."""
    with pytest.raises(HealthOmicsOutcomeUnknownError):
        summary_from_event(event)
