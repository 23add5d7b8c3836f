# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Properties of the protocol, and the check of a scenario."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from dev.protocol.search import explore
from dev.protocol.surroundings import steps_of
from dev.protocol.world import Rules, World

ONE_RUN: Final = "one run"
OWN_SUCCESS: Final = "own success"
OWN_CANCEL: Final = "own cancellation"
NOTHING_LEFT: Final = "nothing left"
ALWAYS_ENDS: Final = "always ends"

#: The properties in words.
PROPERTIES: Final = {
    ONE_RUN: "Between two Clears, a task never has two runs that are live or COMPLETED.",
    OWN_SUCCESS: "A task never succeeds for a run of another task, or for one that a Clear has discarded.",
    OWN_CANCEL: "A task never cancels a run of another task.",
    NOTHING_LEFT: "Once a task and all its processes have ended, none of its runs is live, except those that "
    "the error of the task names.",
    ALWAYS_ENDS: "Every history is finite and ends with the task's success or failure.",
}


def broken_property(world: World) -> str | None:
    """Return the property that a state breaks, if any."""
    own = [(uuid, run) for uuid, run in enumerate(world.runs) if run.request_id is not None]
    epochs = [run.request_id.epoch for _, run in own if run.request_id and _counts(run.status)]
    if len(epochs) != len(set(epochs)):
        return ONE_RUN
    if world.result is not None:
        is_own = world.runs[world.result].request_id is not None
        if not is_own or world.result in world.discarded:
            return OWN_SUCCESS
    if world.is_wrong_cancelled:
        return OWN_CANCEL
    if world.is_over and any(run.is_live and uuid not in world.reported for uuid, run in own):
        return NOTHING_LEFT
    return None


def _counts(status: str) -> bool:
    return status in ("RUNNING", "COMPLETED")


@dataclass(frozen=True)
class Counterexample:
    """
    A shortest history that breaks a property.

    :param events: the events in it; no smaller combination breaks the property
    """

    broken: str
    events: tuple[str, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """
    Result of the check of a scenario.

    :param states: number of states explored
    :param always_ends: whether every history ends
    """

    states: int
    always_ends: bool
    counterexamples: tuple[Counterexample, ...]


@cache
def check(rules: Rules) -> Report:
    """Explore all histories of a scenario."""
    result = explore(World(), lambda world: steps_of(world, rules), broken_property)
    shortest: dict[tuple[str, tuple[str, ...]], int] = {}
    for number, broken in result.violations.items():
        shortest.setdefault((broken, result.states[number].events), number)
    counterexamples = [
        Counterexample(broken, events, tuple(result.trace(shortest[broken, events])))
        for broken in PROPERTIES
        for events in smallest(events for each, events in shortest if each == broken)
    ]
    return Report(
        len(result.states),
        result.always_ends(lambda world: world.is_over),
        tuple(counterexamples),
    )


def smallest(combinations: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the combinations of events that contain no other one."""
    kept: list[tuple[str, ...]] = []
    for events in sorted(set(combinations), key=lambda each: (len(each), each)):
        if not any(contains(events, less) for less in kept):
            kept.append(events)
    return kept


def contains(events: tuple[str, ...], less: tuple[str, ...]) -> bool:
    """Whether a combination of events contains another one."""
    return all(events.count(each) >= less.count(each) for each in less)
