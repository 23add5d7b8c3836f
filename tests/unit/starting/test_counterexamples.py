# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Counterexamples of the page "The protocol, checked", and similar histories that hold, in the real code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dev.protocol.page import PAGE
from dev.protocol.world import Event
from tests.healthomics import Control
from tests.unit.conftest import HAS_STORE, try_of
from tests.unit.histories import History, start_of

LIVE = {"PENDING", "STARTING", "RUNNING"}


class RefusedError(Exception):
    """Airflow refuses the store."""


def forget(history: History) -> None:
    history.omics.set_options(request_id_lifetime=60)
    history.omics.advance_clock(600)


def wait_and_forget(history: History) -> None:
    """Events: polls refused, request ID forgotten."""
    history.try_again()
    forget(history)
    history.try_again()


def crash_and_forget(history: History) -> None:
    """Events: crash, request ID forgotten."""
    history.try_again("after-call")
    forget(history)
    history.try_again()


def clear_during_start(history: History) -> None:
    """Event: Clear."""
    assert history.store is not None

    def refuse(value: dict[str, Any]) -> None:
        if value["resource_id"]:
            history.clear()
            raise RefusedError

    history.store.before_set = refuse
    history.ti.try_number += 1
    operator = start_of(**history.fields)
    with pytest.raises(RefusedError):
        operator.execute(try_of(history.ti, history.store))
    history.store.before_set = lambda value: None
    history.try_again()


def crash_and_clear(history: History) -> None:
    """Events: Clear, crash."""
    history.try_again("after-call")
    history.clear()
    history.try_again()


@pytest.mark.parametrize(
    ("happens", "events", "with_store", "by_name", "live"),
    [
        (wait_and_forget, (Event.REFUSAL, Event.FORGET), False, False, 2),
        (wait_and_forget, (Event.REFUSAL, Event.FORGET), False, True, 1),
        (wait_and_forget, (Event.REFUSAL, Event.FORGET), True, False, 1),
        (crash_and_forget, (Event.CRASH, Event.FORGET), True, False, 2),
        (crash_and_forget, (Event.CRASH, Event.FORGET), True, True, 1),
        (crash_and_forget, (Event.CRASH, Event.FORGET), False, False, 2),
        (crash_and_forget, (Event.CRASH, Event.FORGET), False, True, 1),
        (clear_during_start, (Event.CLEAR,), True, False, 2),
        (clear_during_start, (Event.CLEAR,), True, True, 1),
        (crash_and_clear, (Event.CLEAR, Event.CRASH), True, True, 1),
        (crash_and_clear, (Event.CLEAR, Event.CRASH), False, True, 2),
    ],
)
def test_the_code_agrees_with_the_model(
    omics: Control,
    happens: Callable[[History], None],
    events: tuple[str, ...],
    with_store: bool,
    by_name: bool,
    live: int,
) -> None:
    """A history leaves two live runs exactly where the model has a counterexample for its events."""
    if with_store and not HAS_STORE:
        pytest.skip("Airflow has no task state store before 3.3")
    setting = f"### With{'' if with_store else 'out'} the store, {'' if by_name else 'not '}found by name\n"
    found = PAGE.read_text().partition(setting)[2].partition("\n#")[0]
    assert (f"| {' + '.join(sorted(events))} |" in found) is (live == 2)
    history = History(omics, with_store=with_store, **({} if by_name else {"name": "a custom name"}))
    happens(history)
    assert [run["status"] in LIVE for run in omics.runs()].count(True) == live
