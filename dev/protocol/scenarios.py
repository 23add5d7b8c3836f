# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Scenarios on the page of the documentation."""

from __future__ import annotations

from typing import Final

from dev.protocol.world import Event, Part, Rules

#: The four settings, each with every combination of two events.
SETTINGS: Final = {
    "with the store, found by name": Rules(max_events=2),
    "with the store, not found by name": Rules(max_events=2, finds_by_name=False),
    "without the store, found by name": Rules(max_events=2, has_store=False),
    "without the store, not found by name": Rules(max_events=2, has_store=False, finds_by_name=False),
}

_ENDS_OF_RUNS: Final = {Event.FAILURE, Event.REMOVAL, Event.REUSE}
_STALLS: Final = _ENDS_OF_RUNS | {Event.CRASH, Event.STALL, Event.LAG, Event.LATE, Event.REFUSAL}
_KILLS: Final = _ENDS_OF_RUNS | {Event.CRASH, Event.KILL, Event.LAG, Event.LATE, Event.REFUSAL, Event.FORGET}
_CLEARS: Final = _ENDS_OF_RUNS | {Event.CRASH, Event.CLEAR, Event.REFUSAL, Event.FORGET, Event.EDIT}

#: Larger combinations of events that break nothing.
GUARANTEES: Final = {
    "with the store, found by name; with kills": Rules(events=frozenset(_KILLS), max_events=4),
    "with the store, found by name; with Clears": Rules(events=frozenset(_CLEARS)),
    "with the store, found by name; with stalled workers": Rules(events=frozenset(_STALLS)),
    "with the store, not found by name; with stalled workers": Rules(
        events=frozenset(_STALLS), finds_by_name=False
    ),
}

#: What each part is for: leaving it out breaks a property.
SABOTAGES: Final = {
    Part.WRITE_AHEAD: Rules(
        events=frozenset({Event.CRASH, Event.FORGET}), max_events=2, without=frozenset({Part.WRITE_AHEAD})
    ),
    Part.UUID: Rules(
        events=frozenset({Event.REMOVAL, Event.REUSE}), max_events=2, without=frozenset({Part.UUID})
    ),
    Part.EPOCH: Rules(events=frozenset({Event.CLEAR}), without=frozenset({Part.EPOCH})),
    Part.GRACE: Rules(events=frozenset({Event.LAG}), without=frozenset({Part.GRACE})),
    Part.GUARD_AFTER_START: Rules(
        events=frozenset({Event.KILL}), has_store=False, without=frozenset({Part.GUARD_AFTER_START})
    ),
}

#: Counterexamples shown step by step: title, setting, events.
SHOWN: Final = (
    (
        "No store, no name, and a forgotten request ID",
        "without the store, not found by name",
        (Event.REFUSAL, Event.FORGET),
    ),
    (
        "With the store: a crash before the run's id is saved, no name, and a forgotten request ID",
        "with the store, not found by name",
        (Event.CRASH, Event.FORGET),
    ),
    (
        "A Clear while StartRun is on its way, and no name",
        "with the store, not found by name",
        (Event.CLEAR,),
    ),
    (
        "A Clear while StartRun takes longer than the process may live",
        "with the store, found by name",
        (Event.CLEAR, Event.LATE),
    ),
    (
        "The last attempt crashes",
        "with the store, found by name",
        (Event.LAST_CRASH,),
    ),
    (
        "A stalled worker continues after the task was marked as failed",
        "with the store, found by name",
        (Event.KILL, Event.STALL),
    ),
)
