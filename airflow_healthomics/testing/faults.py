# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Planned faults: errors, dropped connections, delayed answers and held calls."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .omics.exceptions import HealthOmicsError

When = Literal["before", "after"]


class DroppedConnectionError(Exception):
    """The connection must be closed without an answer."""


@dataclass(kw_only=True, eq=False)
class Fault:
    """One planned fault, and the calls it affects."""

    operation: str
    when: When = "before"
    times: int | None = 1
    probability: float = 1.0
    match: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ValueError("when must be 'before' or 'after'")

    def meets(self, operation: str, fields: Mapping[str, Any]) -> bool:
        """Whether the fault affects a call."""
        return self.operation in ("*", operation) and all(
            fields.get(name) == value for name, value in self.match.items()
        )


@dataclass(kw_only=True, eq=False)
class ErrorFault(Fault):
    """Answer with an error."""

    error: HealthOmicsError


@dataclass(kw_only=True, eq=False)
class DropFault(Fault):
    """Close the connection without an answer."""


@dataclass(kw_only=True, eq=False)
class DelayFault(Fault):
    """Answer late."""

    seconds: float


@dataclass(kw_only=True, eq=False)
class HoldFault(Fault):
    """Block the call until it is released by name."""

    name: str


class Faults:
    """
    The planned faults, and the currently held calls.

    Held and delayed calls wait here under a separate lock, so that they do not block other calls.
    """

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._held: list[HoldFault] = []
        self._changed = threading.Condition()
        self._random = random.Random()
        self._generation = 0

    def plan(self, fault: Fault) -> None:
        """Add a fault. Several faults of one call apply in the order of their addition."""
        with self._changed:
            self._planned.append(fault)

    def clear(self, seed: int | None = None) -> None:
        """Remove all faults, and release held and delayed calls."""
        with self._changed:
            self._planned.clear()
            self._held.clear()
            self._generation += 1
            self._random.seed(seed)
            self._changed.notify_all()

    def meet(self, when: When, operation: str, fields: Mapping[str, Any]) -> None:
        """
        Apply the faults that are planned for this call.

        :raises HealthOmicsError: for an error.
        :raises DroppedConnectionError: for a dropped connection.
        """
        for fault in self._take(when, operation, fields):
            if isinstance(fault, ErrorFault):
                raise fault.error
            if isinstance(fault, DropFault):
                raise DroppedConnectionError
            if isinstance(fault, DelayFault):
                self._delay(fault)
            if isinstance(fault, HoldFault):
                self._hold(fault)

    def release(self, name: str) -> int:
        """Release the calls held under a name, hold no further ones, and return their number."""
        with self._changed:
            count = len([fault for fault in self._held if fault.name == name])
            self._held = [fault for fault in self._held if fault.name != name]
            self._planned = [
                fault for fault in self._planned if not (isinstance(fault, HoldFault) and fault.name == name)
            ]
            self._changed.notify_all()
            return count

    def wait_until_held(self, name: str, count: int, timeout: float) -> None:
        """
        Wait until ``count`` calls are held under a name.

        :raises TimeoutError: after ``timeout`` seconds.
        """

        def held() -> int:
            return len([fault for fault in self._held if fault.name == name])

        with self._changed:
            if not self._changed.wait_for(lambda: held() >= count, timeout):
                raise TimeoutError(f"{held()} of {count} calls are held as {name!r} after {timeout} seconds")

    def _take(self, when: When, operation: str, fields: Mapping[str, Any]) -> list[Fault]:
        """Consume the faults of this call, up to the first one that ends it."""
        taken: list[Fault] = []
        with self._changed:
            for fault in list(self._planned):
                if fault.when != when or not fault.meets(operation, fields):
                    continue
                if fault.probability < 1 and self._random.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._planned.remove(fault)
                if isinstance(fault, HoldFault):
                    fault = replace(fault)  # held calls are compared by identity
                    self._held.append(fault)
                    self._changed.notify_all()
                taken.append(fault)
                if isinstance(fault, ErrorFault | DropFault):
                    break
        return taken

    def _delay(self, fault: DelayFault) -> None:
        with self._changed:
            generation = self._generation
            self._changed.wait_for(lambda: self._generation != generation, fault.seconds)

    def _hold(self, fault: HoldFault) -> None:
        with self._changed:
            self._changed.wait_for(lambda: all(held is not fault for held in self._held))
