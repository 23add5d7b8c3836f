# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for a turn to start a run or batch."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.resources import KINDS
from airflow_healthomics.triggers import base
from airflow_healthomics.triggers.kill import CancelOnKillTrigger


class Turnstile:
    """
    Let one through at a time, at a steady rate.

    :param rate: turns a second
    """

    def __init__(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"[healthomics] start_rate must be above 0, not {rate}")
        self._interval = 1 / rate
        self._next = 0.0

    def reserve(self, not_before: float) -> float:
        """
        Return the time of the next free turn, which is then taken.

        :param not_before: earliest time, in seconds of the event loop's clock
        """
        turn = max(self._next, not_before)
        self._next = turn + self._interval
        return turn


_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Turnstile]] = WeakKeyDictionary()


class HealthOmicsStartTrigger(CancelOnKillTrigger):
    """
    Fire when it is this task's turn to repeat a start that was throttled or unavailable.

    The turns of a connection come at ``[healthomics] start_rate`` a second, one by default, as StartRun is
    limited to by default. So no worker slot is held by waiting, and no worker is started in vain.

    :param name: name of what is started, to find it by if the task is killed and a lost answer has started it
    :param kind: what is started, ``run`` or ``batch``
    :param turns: how often this start has waited for its turn, this time included
    :param conflict_turns: how often of them on a ConflictException
    :param cancel_on_kill: whether that is cancelled when the task is killed (Airflow 3.3 and later)
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        name: str,
        kind: str = "run",
        turns: int = 1,
        conflict_turns: int = 0,
        cancel_on_kill: bool = True,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        self.name = name
        self.kind = kind
        self.turns = turns
        self.conflict_turns = conflict_turns
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.start.HealthOmicsStartTrigger",
            {
                "name": self.name,
                "kind": self.kind,
                "turns": self.turns,
                "conflict_turns": self.conflict_turns,
                "cancel_on_kill": self.cancel_on_kill,
                **self.connection,
            },
        )

    async def event(self) -> dict[str, Any]:
        """Wait for the turn."""
        loop = asyncio.get_running_loop()
        turn = self._turnstile(loop).reserve(loop.time() + base.EARLIEST_EVENT)
        await asyncio.sleep(turn - loop.time())
        return {"turns": self.turns, "conflict_turns": self.conflict_turns}

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel what a lost answer may have started."""
        resource = KINDS[self.kind](hook, self.log)
        if found := resource.find(self.name):
            resource.cancel(found["id"], found.get("uuid"))

    def _turnstile(self, loop: asyncio.AbstractEventLoop) -> Turnstile:
        of_loop = _turnstiles.setdefault(loop, {})
        rate = conf.getfloat("healthomics", "start_rate", fallback=1.0)
        return of_loop.setdefault(self.connection_key, Turnstile(rate))
