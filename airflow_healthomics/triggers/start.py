# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that waits until a delayed start can be retried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.starting.turnstile import Turnstile
from airflow_healthomics.triggers.kill import CancelOnKillTrigger
from airflow_healthomics.waiting import deadlines
from airflow_healthomics.waiting.kill_guard import Target

#: Seconds until a start that did not reach HealthOmics is repeated: the first and the longest delay, and the
#: range of the random factor.
_FIRST_DELAY: Final = 120.0
_LONGEST_DELAY: Final = 300.0
_JITTER: Final = (1.1, 1.3)


_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Turnstile]] = WeakKeyDictionary()


class HealthOmicsStartTrigger(CancelOnKillTrigger):
    """
    Fire when the task may repeat a start that was throttled or did not reach HealthOmics.

    The triggers of a connection fire at most ``[healthomics] start_rate`` times a second. The default is 1,
    the default quota of StartRun. Waiting holds no worker slot, and workers do not resume only to be
    throttled again. After a start that did not reach HealthOmics, the delay grows to about five minutes.

    :param targets: runs and batches to cancel if the task is killed, with ``kind``, ``id``, ``uuid`` and
        ``name``
    :param turns: number of turns that this start has waited for, including this one
    :param conflict_turns: number of those turns that followed a ConflictException
    :param failures: number of consecutive starts that did not reach HealthOmics
    :param since: Unix time of the first delayed start
    :param cancel_on_kill: whether to cancel the targets when the task is killed (Airflow 3.3 and later)
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
        """Minimum seconds until the turn."""
        if not self.failures:
            return deadlines.SHORTEST_PAUSE
        nominal = min(_FIRST_DELAY * 2 ** (min(self.failures, 10) - 1), _LONGEST_DELAY)
        # Seeded, so that the delay is the same at each call but differs between tasks that failed together.
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
        """Cancel the run of a start whose response was lost, and the run that a Clear discarded."""
        for target in self.targets:
            Target(**target).cancel(hook, self.log)  # type: ignore[arg-type]  # the keys are those of Target.as_json

    def _turnstile(self, loop: asyncio.AbstractEventLoop) -> Turnstile:
        of_loop = _turnstiles.setdefault(loop, {})
        rate = conf.getfloat("healthomics", "start_rate", fallback=1.0)
        return of_loop.setdefault(self.connection_key, Turnstile(rate))
