# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The plans of histories: each point of a fault-free history with each fault, then random ones by seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Final

from tests.simulation.history import play
from tests.simulation.plan import ERRORS, Action, Plan, Setting

#: Actions with their arguments, for one point.
SINGLE: Final = (
    ("crash", ""),
    ("kill", ""),
    ("kill", "first"),
    ("clear", ""),
    ("clear", "first"),
    ("evict", ""),
    ("losing", ""),
    ("timeout", ""),
    *(("outage", name) for name in ERRORS),
)

#: The weight of each action in a random history.
WEIGHTS: Final = {
    "crash": 6,
    "overlap": 4,
    "kill": 2,
    "clear": 3,
    "evict": 1,
    "losing": 2,
    "timeout": 1,
    "outage": 2,
    "forget": 1,
    "give_away": 1,
}


@cache
def points_of(setting: Setting) -> int:
    """Return the number of I/O points of the history without any fault."""
    return len(play(Plan(setting)).scheduler.trace)


@cache
def points_of_first_attempt(setting: Setting) -> int:
    """Return the number of I/O points of the first worker process in that history."""
    return sum(point.process == "worker-0" for point in play(Plan(setting)).scheduler.trace)


def single(setting: Setting) -> Iterator[Plan]:
    """Yield a plan for each point and each fault."""
    for number, (name, argument) in product(range(points_of(setting)), SINGLE):
        yield Plan(setting, (Action(number, name, argument),))


def overlapping(setting: Setting) -> Iterator[Plan]:
    """Yield a plan for each pair of context switches between an attempt and its successor."""
    points = points_of_first_attempt(setting)
    for first, second in product(range(points), range(1, points + 2)):
        yield Plan(setting, (Action(first, "overlap", str(second)),))


def ended_after_crash(setting: Setting) -> Iterator[Plan]:
    """Yield a plan for each crash of the first attempt and each end of the next one by a person."""
    crashes = range(points_of_first_attempt(setting))
    for crash, later, name in product(crashes, range(1, 13), ("kill", "clear")):
        yield Plan(setting, (Action(crash, "crash"), Action(crash + later, name, "first")))


def ended_after_two_losses(setting: Setting) -> Iterator[Plan]:
    """Yield plans in which a lost attempt ends itself, the next one crashes, and a person ends the task."""
    for plan in overlapping(setting):
        trace = play(plan).scheduler.trace
        end = max((point.number for point in trace if point.process == "worker-0"), default=0)
        later = [point.number for point in trace if point.process == "worker-1" and point.number > end]
        if later:
            crash = Action(later[0], "crash")
            yield Plan(setting, (*plan.actions, crash, Action(later[0] + 1, "kill")))


#: A run of an hour shows which runs are left active; an attempt repeats a failed one.
_LONG: Final = (Setting(fates="L"), Setting(kind="batch", fates="L"))
_NAMES: Final = Setting(store=False, fates="L")
_FAILING: Final = Setting(fates="FC", deferred=False)

#: Families of exhaustive plans, with their settings in ``make test`` and further ones in ``make soak``.
FAMILIES: Final[
    Mapping[str, tuple[Callable[[Setting], Iterator[Plan]], Sequence[Setting], Sequence[Setting]]]
] = {
    "single": (
        single,
        (*_LONG, _NAMES, _FAILING),
        (
            Setting(),
            Setting(store=False, fates="L", kind="batch", deferred=False),
            Setting(kind="batch", fates="FC"),
            Setting(get_lag=20, list_lag=50),
            Setting(waits=False, fates="L"),
        ),
    ),
    "overlapping": (
        overlapping,
        (_LONG[0], _NAMES),
        (_LONG[1], _FAILING, Setting(store=False, fates="L", kind="batch", deferred=False)),
    ),
    "ended after crash": (ended_after_crash, (_LONG[0],), (_LONG[1], _NAMES)),
    "ended after two losses": (
        ended_after_two_losses,
        (Setting(waits=False, fates="L"),),
        (Setting(waits=False, fates="L", kind="batch"),),
    ),
}


def random_plan(seed: int) -> Plan:
    """Return a random plan, always the same for a seed."""
    chance = random.Random(seed)
    setting = Setting(
        kind=chance.choice(["run", "run", "batch"]),
        store=chance.random() < 0.7,
        deferred=chance.random() < 0.6,
        waits=chance.random() < 0.85,
        fates=chance.choice(["C", "C", "L", "FC", "FL", "FFC"]),
        get_lag=chance.choice([0, 0, 0, 20]),
        list_lag=chance.choice([0, 0, 20, 50]),
        denied=chance.random() < 0.05,
        cancels=chance.random() < 0.9,
        on_failure=chance.choice(["leave", "cancel"]),
        on_clear=chance.choice(["", "", "", "new", "reattach"]),
        timeout=chance.choice([0, 0, 0, 0, 90]),
    )
    points = points_of(setting)
    actions = []
    for _ in range(chance.choice([1, 2, 2, 3, 3, 4])):
        (name,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        argument = {
            "kill": chance.choice(["", "first"]),
            "clear": chance.choice(["", "first"]),
            "outage": chance.choice(list(ERRORS)),
            "overlap": str(chance.randrange(1, points)),
        }.get(name, "")
        # Faults make a history longer.
        actions.append(Action(chance.randrange(int(points * 1.6)), name, argument))
    actions.sort(key=lambda action: action.point)
    return Plan(setting, tuple(actions), chance.choice([0, chance.randrange(1, 10**6)]))
