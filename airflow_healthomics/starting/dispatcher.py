# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The delayed starts of a connection in a triggerer, one after the other at the rate of the quota."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.monitoring import metrics
from airflow_healthomics.service.errors import is_throttling, is_transient, is_unreachable

_Answer = TypeVar("_Answer")

#: Failed calls of a start until others come first.
_CALLS_AT_ONCE: Final = 5

#: Intervals until the call after a failed one is repeated: the first pause, which doubles, and the longest.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.3

#: Seconds until a start that did not reach HealthOmics is repeated: the first and the longest delay, and the
#: range of the random factor.
_FIRST_DELAY: Final = 120.0
_LONGEST_DELAY: Final = 300.0
_JITTER: Final = (1.1, 1.3)


def delay_of_unreachable(failures: int, since: float) -> float:
    """
    Return the seconds until a start that did not reach HealthOmics is repeated.

    :param failures: number of consecutive starts that did not reach it, at least 1
    :param since: Unix time of the first of them
    """
    nominal = min(_FIRST_DELAY * 2 ** (min(failures, 10) - 1), _LONGEST_DELAY)
    # Seeded, so that the delay is the same at each call but differs between tasks that failed together.
    spread = random.Random(f"{since}.{failures}").uniform(*_JITTER)  # noqa: S311 - guards no secret
    return float(nominal * spread)


class Dispatcher:
    """
    Starts of one connection, in the order of their arrival.

    A call arrives an interval of the quota after the last success: HealthOmics has granted that one, and
    grants another one an interval later. A failed call may not have counted, so the next one follows sooner.

    :param rate: starts per second
    """

    def __init__(self, rate: float) -> None:
        if rate <= 0:
            raise ValueError(f"[healthomics] start_rate must be above 0, not {rate}")
        self._interval = 1 / rate
        # A call takes a part of a second, so a higher rate requires several at the same time.
        self._turns = asyncio.Semaphore(max(1, math.ceil(rate)))
        self._next = 0.0
        #: Seconds of the shortest call so far.
        self._latency = math.inf
        self._failures = 0
        self._unreachable = 0

    async def dispatch(
        self, look_up: Callable[[], Awaitable[_Answer | None]], call: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """
        Look the start up or make it, again after each transient error, and return the answer.

        :param look_up: returns the answer of a start that an earlier call may have made, or None
        :param call: makes the start
        :raises ClientError: if a call is refused
        :raises BotoCoreError: if it cannot be made
        """
        while True:
            async with self._turns:
                for _ in range(_CALLS_AT_ONCE):
                    try:
                        found = await look_up()
                        return await self._call(call) if found is None else found
                    except (ClientError, BotoCoreError) as error:
                        if not is_transient(error) and not is_unreachable(error):
                            raise
                        self._pause(error)

    async def _call(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Make a start in its turn."""
        began = await self._turn()
        answer = await call()
        self._succeed(began)
        return answer

    async def _turn(self) -> float:
        """Wait until the next call may be made, reserve it, and return its time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        turn = max(self._next, now)
        self._next = turn + self._interval
        await asyncio.sleep(turn - now)
        return turn

    def _succeed(self, began: float) -> None:
        """Let the next call arrive an interval after this one has."""
        now = asyncio.get_running_loop().time()
        self._failures = self._unreachable = 0
        self._latency = min(self._latency, now - began)
        # This one arrived halfway between its beginning and its answer, and the next one takes no less time.
        arrived = (began + now) / 2
        self._next = max(self._next, arrived + self._interval - self._latency / 2)

    def _pause(self, error: Exception) -> None:
        """Let the next call follow as soon as it may succeed."""
        now = asyncio.get_running_loop().time()
        if is_unreachable(error):
            self._unreachable += 1
            delay = delay_of_unreachable(self._unreachable, now)
            self._next = now + delay
            metrics.backed_off("start", "unreachable", delay)
            return
        intervals = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        self._next = now + intervals * self._interval
        reason = "throttled" if is_throttling(error) else "failing"
        metrics.backed_off("start", reason, intervals * self._interval)
