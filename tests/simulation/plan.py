# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The plan of a history: its task, and the actions at its I/O points."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from tests.simulation.service import Fate
from tests.unit.simulated_omics import BROKEN, EXPIRED, THROTTLED, silent, unreachable

ERRORS: Final = {
    "throttled": THROTTLED,
    "broken": BROKEN,
    "unreachable": unreachable,
    "silent": silent,
    "expired": EXPIRED,
}

FATES: Final = {
    "C": Fate(),
    "F": Fate("FAILED", reason="SERVICE_ERROR"),
    "X": Fate("CANCELLED"),
    "L": Fate(seconds=4000.0),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """
    The task of a history and its surroundings.

    :param kind: run or batch
    :param store: whether Airflow has a task state store
    :param deferred: whether the task waits in the triggerer
    :param waits: whether it waits at all
    :param fates: the fates of its runs, in order, as letters of ``FATES``
    :param get_lag: seconds until GetRun finds a new run
    :param list_lag: seconds until ListRuns does
    :param denied: whether ListRuns is denied
    :param cancels: ``cancel_on_kill``
    :param on_failure: argument of the task
    :param on_clear: argument of the task; empty for its default
    :param timeout: ``execution_timeout`` in seconds; 0 for none
    :param retries: argument of the task
    """

    kind: str = "run"
    store: bool = True
    deferred: bool = True
    waits: bool = True
    fates: str = "C"
    get_lag: int = 0
    list_lag: int = 0
    denied: bool = False
    cancels: bool = True
    on_failure: str = "leave"
    on_clear: str = ""
    timeout: int = 0
    retries: int = 6

    def __str__(self) -> str:
        """Return the fields that are not their defaults, as :func:`parse` reads them."""
        changed = [f"{each.name}={getattr(self, each.name)}" for each in fields(self)]
        default = [f"{each.name}={each.default}" for each in fields(self)]
        return ",".join(text for text, plain in zip(changed, default, strict=True) if text != plain) or "-"


@dataclass(frozen=True)
class Action:
    """
    Something that happens at an I/O point.

    :param point: number of the point
    :param name: name of the action
    :param argument: number or word, if it has one
    """

    point: int
    name: str
    argument: str = ""

    def __str__(self) -> str:
        """Return it as :func:`parse` reads it."""
        return f"{self.point}:{self.name}" + (f":{self.argument}" if self.argument else "")


@dataclass(frozen=True)
class Plan:
    """
    All that makes a history.

    :param setting: its task
    :param actions: its actions, by point
    :param switching: seed of the switches between threads; 0 for none but those of the actions
    """

    setting: Setting
    actions: tuple[Action, ...] = ()
    switching: int = 0

    def __str__(self) -> str:
        """Return the text with which it can be replayed."""
        return " ".join([str(self.setting), str(self.switching), *map(str, self.actions)])


def parse(text: str) -> Plan:
    """Return the plan from its text."""
    setting, switching, *actions = text.split()
    values: dict[str, Any] = {}
    for part in setting.split(",") if setting != "-" else ():
        name, _, value = part.partition("=")
        kind = type(getattr(Setting(), name))
        values[name] = value == "True" if kind is bool else kind(value)
    parsed = [each.split(":") for each in actions]
    return Plan(
        Setting(**values),
        tuple(Action(int(point), name, *argument) for point, name, *argument in parsed),
        int(switching),
    )
