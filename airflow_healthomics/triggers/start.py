# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that makes a delayed start, or waits until it can be retried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import conf
from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.resources.base import Resource, StartRequest
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.service.errors import (
    AIRFLOW_API_ERRORS,
    checked_answer,
    error_code,
    is_throttling,
    is_unreachable,
)
from airflow_healthomics.starting.delayed import DelayedStarts
from airflow_healthomics.starting.dispatcher import Dispatcher, delay_of_unreachable
from airflow_healthomics.starting.outcome import start_patience
from airflow_healthomics.starting.sealed_request import unseal
from airflow_healthomics.starting.turnstile import Turnstile
from airflow_healthomics.triggers.kill import CancelOnKillTrigger
from airflow_healthomics.waiting import deadlines
from airflow_healthomics.waiting.kill_guard import Target

#: Fields of an answer that the resumed task requires.
_ANSWER: Final = ("id", "arn", "uuid", "runOutputUri", "destination")

#: Separate from the event loop's threads, which Airflow needs for log lines and look-ups of connections.
_threads: Final = ThreadPoolExecutor(max_workers=8, thread_name_prefix="healthomics-start")

_delayed: Final[dict[str, DelayedStarts]] = {}
_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Turnstile]] = WeakKeyDictionary()
_dispatchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Dispatcher]] = WeakKeyDictionary()


class HealthOmicsStartTrigger(CancelOnKillTrigger):
    """
    Make a start that was throttled or did not reach HealthOmics, or fire when the task may repeat it.

    With a request, the start is made here and its answer is in the event. Without one, or if HealthOmics
    refuses it, the resumed task makes the start, and so reports the refusal.

    The triggers of a connection start, or fire, at most ``[healthomics] start_rate`` times a second. The
    default is 1, the default quota of StartRun. Waiting holds no worker slot, and workers do not resume only
    to be throttled again. After a start that did not reach HealthOmics, the delay grows to about five
    minutes.

    :param targets: runs and batches to cancel if the task is killed, with ``kind``, ``id``, ``uuid`` and
        ``name``
    :param request: the encrypted request, if the start is to be made here
    :param kind: run, batch or a kind of job, of the request
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
        request: str | None = None,
        kind: str = "run",
        turns: int = 1,
        conflict_turns: int = 0,
        failures: int = 0,
        since: float = 0.0,
        cancel_on_kill: bool = True,
        **connection: Any,
    ) -> None:
        super().__init__(**connection)
        self.targets = list(targets)
        self.request = request
        self.kind = kind
        self.turns = turns
        self.conflict_turns = conflict_turns
        self.failures = failures
        self.since = since
        self.cancel_on_kill = cancel_on_kill
        self._call: asyncio.Future[Any] | None = None
        self._is_over = False
        # An earlier call may have started it although its answer was lost.
        self._may_exist = True

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.start.HealthOmicsStartTrigger",
            {
                "targets": [dict(target) for target in self.targets],
                "request": self.request,
                "kind": self.kind,
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
        return delay_of_unreachable(self.failures, self.since) if self.failures else deadlines.SHORTEST_PAUSE

    async def event(self) -> dict[str, Any]:
        """Make the start, or wait for the turn."""
        with self._delayed.added(self.since):
            return await self._event()

    async def _event(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        earliest = loop.time() + self.delay
        try:
            started = await self._start()
        except asyncio.CancelledError:
            self._is_over = True
            if self._call is not None and not self._call.done():
                # Its run must not outlive a task that a person ended.
                self._kill()
            raise
        turn = earliest if started else self._turnstile(loop).reserve(earliest)
        await asyncio.sleep(turn - loop.time())
        event = {
            "turns": self.turns,
            "conflict_turns": self.conflict_turns,
            "failures": self.failures,
            "since": self.since,
        }
        return {**event, "started": started} if started else event

    def cancel(self, hook: HealthOmicsHook) -> None:
        """Cancel the run of a start whose response was lost, and the run that a Clear discarded."""
        for target in self.targets:
            Target(**target).cancel(hook, self.log)  # type: ignore[arg-type]  # the keys are those of Target.as_json

    async def before_cancel(self) -> None:
        """Wait for the answer of a call that was made before the kill."""
        if self._call is not None:
            await asyncio.wait([self._call])

    # --- the start ---

    async def _start(self) -> dict[str, Any] | None:
        """Return the answer of the start; None if the task must make it."""
        fields = unseal(self.request) if self.request else None
        if fields is None:
            return None
        if self.failures:
            await asyncio.sleep(self.delay)
        try:
            resource = resource_of_kind(self.kind, await self.connect(), self.log)
            return await self._dispatcher().dispatch(
                partial(self._look_up, resource, fields), partial(self._make_call, resource, fields)
            )
        except (ClientError, BotoCoreError, HealthOmicsApiError, *AIRFLOW_API_ERRORS) as error:
            self.log.info(
                "The triggerer could not make the start (%s). The task repeats it", error_code(error)
            )
            return None

    async def _look_up(self, resource: Resource, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the answer of a start that an earlier call has made, found by its name."""
        self._delayed.report()
        name = next((target["name"] for target in self.targets if target.get("name")), None)
        if not self._may_exist or name is None:
            return None
        found = await asyncio.get_running_loop().run_in_executor(_threads, resource.find, name)
        return None if found is None else self._answer(found, fields)

    async def _make_call(self, resource: Resource, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.since and time.time() - self.since >= start_patience():
            return None
        loop = asyncio.get_running_loop()
        self._call = loop.run_in_executor(_threads, self._start_now, resource, fields)
        self._call.add_done_callback(_retrieve)
        try:
            return await asyncio.shield(self._call)
        except (ClientError, BotoCoreError) as error:
            if is_unreachable(error):
                meta = resource.hook.conn.meta
                self.log.warning(
                    "The start did not reach HealthOmics (%s; region %s, endpoint %s). It is repeated later. "
                    "Check the connection and the triggerers' access to the endpoint",
                    error_code(error),
                    meta.region_name,
                    meta.endpoint_url,
                )
            raise

    def _start_now(self, resource: Resource, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make the call; None if the trigger was cancelled before."""
        if self._is_over:
            return None
        self._may_exist = True
        try:
            started = checked_answer(resource.start_operation, resource.start(StartRequest(fields)))
        except ClientError as error:
            self._may_exist = not is_throttling(error)
            raise
        return self._answer(started, fields)

    def _answer(self, started: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the resumed task requires, and cancel this run or batch on a kill."""
        self.targets = [Target(kind=self.kind, id=started["id"], uuid=started.get("uuid")).as_json()]
        answer: dict[str, Any] = {name: started[name] for name in _ANSWER if name in started}
        return {**answer, "requestId": StartRequest(fields).request_id}

    @property
    def _delayed(self) -> DelayedStarts:
        key = f"{self.kind} {self.connection_key}"
        if key not in _delayed:
            _delayed[key] = DelayedStarts(self.kind, self.place)
        return _delayed[key]

    def _dispatcher(self) -> Dispatcher:
        of_loop = _dispatchers.setdefault(asyncio.get_running_loop(), {})
        key = f"{self.kind} {self.connection_key}"
        if key not in of_loop:
            of_loop[key] = Dispatcher(_start_rate())
        return of_loop[key]

    def _turnstile(self, loop: asyncio.AbstractEventLoop) -> Turnstile:
        of_loop = _turnstiles.setdefault(loop, {})
        return of_loop.setdefault(self.connection_key, Turnstile(_start_rate()))


def _start_rate() -> float:
    return float(conf.getfloat("healthomics", "start_rate", fallback=1.0))


def _retrieve(call: asyncio.Future[Any]) -> None:
    """Retrieve the error of a call that nobody awaits any longer, which asyncio would report."""
    if not call.cancelled():
        call.exception()
