# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The way of events to EventBridge, on which they can be lost, doubled, delayed and reordered."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from heapq import heappop, heappush
from itertools import count

#: Maximum seconds, by the local clock, that a reordered event waits for a later one.
REORDERING_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class EventFaults:
    """
    What happens to events. AWS documents only that delivery is best effort.

    ``loss``, ``duplication`` and ``reordering`` are probabilities. A reordered event arrives after the next
    one. Each event, and each duplicate, is late by up to ``delay_seconds`` of the local clock.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay_seconds: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value < 0 or (value > 1 and each.name != "delay_seconds"):
                raise ValueError(f"{each.name} must be between 0 and 1, or a positive delay_seconds")


class Outbox:
    """Events on their way. The caller of any method holds the lock of ``LOCAL``."""

    def __init__(self, seed: int | None = None) -> None:
        self.faults = EventFaults()
        self._random = random.Random(seed)
        self._tickets = count()
        self._late: list[tuple[float, int]] = []
        self._waiting: dict[int, Callable[[], None]] = {}
        #: Tickets of the events that wait for the next one.
        self._overtaken: list[int] = []

    def new_id(self) -> str:
        """Return the id of a new event."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def send(self, deliver: Callable[[], None], now: float) -> None:
        """Deliver an event as the faults have it: not at all, once or twice, now or later."""
        faults, chance = self.faults, self._random
        if chance.random() < faults.loss:
            return
        overtaken, self._overtaken = self._overtaken, []
        for _ in range(2 if chance.random() < faults.duplication else 1):
            if faults.delay_seconds:
                self._postpone(deliver, now + chance.uniform(0, faults.delay_seconds))
            elif chance.random() < faults.reordering:
                self._overtaken.append(self._postpone(deliver, now + REORDERING_SECONDS))
            else:
                deliver()
        for ticket in overtaken:
            self._deliver(ticket)

    def deliver_due(self, now: float) -> None:
        """Deliver the late events that are due."""
        while self._late and self._late[0][0] <= now:
            self._deliver(heappop(self._late)[1])

    def _postpone(self, deliver: Callable[[], None], due: float) -> int:
        ticket = next(self._tickets)
        self._waiting[ticket] = deliver
        heappush(self._late, (due, ticket))
        return ticket

    def _deliver(self, ticket: int) -> None:
        """Deliver a late event, unless it was delivered earlier."""
        if deliver := self._waiting.pop(ticket, None):
            deliver()
