# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for a turn to start a run or batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.starting.turnstile import Turnstile
from airflow_healthomics.triggers import base
from airflow_healthomics.triggers.kill import CancelOnKillTrigger
from airflow_healthomics.waiting.kill_guard import Target

#: Seconds until a start that has not reached HealthOmics is repeated, at first and at most, and how much
#: longer it takes at random.
_FIRST_DELAY: Final = 120.0
_LONGEST_DELAY: Final = 300.0
_JITTER: Final = (1.1, 1.3)


_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Turnstile]] = WeakKeyDictionary()


class HealthOmicsStartTrigger(CancelOnKillTrigger):
    """
    Fire when it is this task's turn to repeat a start that was throttled or unavailable.

    The turns of a connection come at ``[healthomics] start_rate`` a second, one by default, as StartRun is
    limited to by default. So no worker slot is held by waiting, and no worker is started in vain. A start
    that did not reach HealthOmics at all waits longer from time to time, up to some five minutes.

    :param targets: what to cancel if the task is killed, each by ``kind``, ``id``, ``uuid`` and ``name``
    :param turns: how many turns this start has waited for, this one included
    :param conflict_turns: how many of them on a ConflictException
    :param failures: how many starts in a row have not reached HealthOmics
    :param since: Unix time of the first start that was delayed
    :param cancel_on_kill: whether they are cancelled when the task is killed (Airflow 3.3 and later)
    :param connection: aws_conn_id, region_name, verify and botocore_config
    """

    def __init__(
        self,
        targets: Sequence[Mapping[str, str | None]] = (),
        turns: int = 1,
        conflict_turns: int = 0,
        failures: int = 0,
        since: float = 0.0,
        cancel_on_kill: bool = True,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        self.targets = list(targets)
        self.turns = turns
        self.conflict_turns = conflict_turns
        self.failures = failures
        self.since = since
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.start.HealthOmicsStartTrigger",
            {
                "targets": [dict(target) for target in self.targets],
                "turns": self.turns,
                "conflict_turns": self.conflict_turns,
                "failures": self.failures,
                "since": self.since,
                "cancel_on_kill": self.cancel_on_kill,
                **self.connection,
            },
        )

    @property
    def delay(self) -> float:
        """Seconds until the turn, at least."""
        if not self.failures:
            return base.EARLIEST_EVENT
        nominal = min(_FIRST_DELAY * 2 ** (min(self.failures, 10) - 1), _LONGEST_DELAY)
        # From its own moment, so that tasks that failed together do not return together, and the same each
        # time.
        spread = random.Random(f"{self.since}.{self.failures}").uniform(*_JITTER)  # noqa: S311 - guards no secret
        return float(nominal * spread)

    async def event(self) -> dict[str, Any]:
        """Wait for the turn."""
        loop = asyncio.get_running_loop()
        turn = self._turnstile(loop).reserve(loop.time() + self.delay)
        await asyncio.sleep(turn - loop.time())
        return {
            "turns": self.turns,
            "conflict_turns": self.conflict_turns,
            "failures": self.failures,
            "since": self.since,
        }

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel what a lost answer may have started, and what a Clear has discarded."""
        for target in self.targets:
            Target(**target).cancel(hook, self.log)  # type: ignore[arg-type]  # as they were serialized

    def _turnstile(self, loop: asyncio.AbstractEventLoop) -> Turnstile:
        of_loop = _turnstiles.setdefault(loop, {})
        rate = conf.getfloat("healthomics", "start_rate", fallback=1.0)
        return of_loop.setdefault(self.connection_key, Turnstile(rate))
