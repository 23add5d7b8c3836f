# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Poller that waits for many runs and batches with few calls."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.resources.watch import Watch, may_pass
from airflow_healthomics.service.errors import (
    AIRFLOW_API_ERRORS,
    error_code,
    is_access_denied,
    is_credentials_error,
    is_throttling,
    is_transient,
)
from airflow_healthomics.waiting.list_choice import MAX_DIRECT_POLLS, ListCosts
from airflow_healthomics.waiting.listing import Sweep, items_of
from airflow_healthomics.waiting.pace import DEFAULT_RATE, QUIET, Pace
from airflow_healthomics.waiting.rhythm import Rhythm
from airflow_healthomics.waiting.timetable import Subscription, Timetable

_LIST_RUNS: Final = "ListRuns"

#: Items of a page that are processed before other callbacks of the event loop can run.
_ITEMS_AT_ONCE: Final = 10

#: Seconds without lists after a refusal, and after _LIST_TRIES consecutive failures.
_REFUSAL_MEMORY: Final = 3600.0
_FAILURE_MEMORY: Final = 60.0
_LIST_TRIES: Final = 3

#: Up to this number of due runs, runs are polled individually while ListRuns is throttled.
_MAX_DIRECT_POLLS_WHEN_THROTTLED: Final = 50

#: Seconds between two checks whether the connection has changed.
_CONNECTION_LIFE: Final = 300.0

#: First and longest pause in seconds after a failed call, before jitter.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

#: Minimum poll interval in seconds.
_SHORTEST_INTERVAL: Final = 1.0

#: While credentials are refused, the poller silently makes a new client at most once in this many seconds.
#: Otherwise it reports the refusal to the waits.
_RENEWAL_PAUSE: Final = 60.0

#: Seconds between two searches for polls that throttling has delayed, and the delay that causes a warning.
_WARNING_PAUSE: Final = 10.0
_LONG_DELAY: Final = 60.0

#: Maximum seconds that the poller sleeps. Any change wakes it.
_LONGEST_SLEEP: Final = 3600.0

#: Errors of the connection look-up and of the creation of a client.
_CONNECTION_ERRORS: Final = (*AIRFLOW_API_ERRORS, AirflowException, BotoCoreError, ClientError)


class Poller:
    """
    Waits for many runs and batches with few calls, made one at a time in a separate thread.

    A poller belongs to one event loop and one connection. It starts with the first wait and stops with the
    last.

    Due runs are polled by the cheapest method: one GetRun call each, or ListRuns calls for runs in the same
    state, of the whole account or of a run group, a batch or a name. Only GetRun decides how a run ended. If
    a run is missing in its list, it is confirmed by GetRun between two pages; the run that has been due
    longest comes first.

    Each operation has a separate pace (:class:`~airflow_healthomics.waiting.pace.Pace`), which throttled
    calls slow down. After a throttled page, only that page is repeated.

    :param connect: makes a client; awaited again after the credentials or the connection have changed
    :param is_current: whether the client still matches the connection
    :param rate: maximum calls a second for each operation
    :param place: the connection and region, for metrics
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        is_current: Callable[[], Awaitable[bool]] | None = None,
        rate: float = DEFAULT_RATE,
        place: metrics.Place = metrics.UNKNOWN_PLACE,
    ) -> None:
        self._place = place
        self._waits: Counter[str] = Counter()
        self._connect = connect
        self._is_current = is_current
        self._client: Any = None
        self._client_expires = 0.0
        self._renewed_at = -math.inf
        self._has_worked = False
        self._subscriptions: dict[str, list[Subscription]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._table = Timetable()
        self._sweep: Sweep | None = None
        self._costs = ListCosts()
        self._rhythm = Rhythm()
        self._has_warned_of_refusal = False
        self._list_failures = 0
        self._lists_again = math.inf
        self._paces: defaultdict[str, Pace] = defaultdict(partial(Pace, rate))
        self._last_operation = ""
        self._failures = 0
        self._paused_until = 0.0
        self._episode = 0
        self._throttled_at = -math.inf
        self._searched_at = -math.inf

    async def wait(self, watch: Watch, interval: float) -> dict[str, Any]:
        """
        Wait until a run or batch has ended, and return its summary.

        :param watch: state of the wait
        :param interval: poll interval in seconds, at least 1; the first poll is immediate
        :raises HealthOmicsOutcomeUnknownError: if polls or the connection are refused for too long
        :raises HealthOmicsApiError: if the request is not valid
        :raises HealthOmicsRunReplacedError: if the id now belongs to another run
        :raises HealthOmicsBatchReplacedError: if the id now belongs to another batch
        """
        loop = asyncio.get_running_loop()
        subscription = Subscription(
            watch,
            max(interval, _SHORTEST_INTERVAL),
            loop.time(),
            loop.create_future(),
            contextvars.copy_context(),
        )
        same_run = self._subscriptions.setdefault(watch.key, [])
        same_run.append(subscription)
        self._count(watch, 1)
        self._table.later.add(subscription)
        self._wake.set()
        if self._task is None or self._task.done():
            # An empty context: otherwise all log lines would go to the log of the first task.
            self._task = loop.create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(self._give_up)
        try:
            return await subscription.ended
        finally:
            self._table.withdraw(subscription)
            same_run.remove(subscription)
            if not same_run:
                del self._subscriptions[watch.key]
            self._count(watch, -1)
            self._wake.set()

    def _count(self, watch: Watch, change: int) -> None:
        self._waits[watch.noun] += change
        metrics.waiting(watch.noun, self._place, self._waits[watch.noun])

    async def _run(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="healthomics-poller")
        try:
            while self._subscriptions:
                self._wake.clear()
                delay = self._delay()
                if delay > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(delay):
                            await self._wake.wait()
                else:
                    # Let waits that have ended or were cancelled leave first.
                    await asyncio.sleep(0)
                    await self._step()
        finally:
            self._executor.shutdown(wait=False)

    def _give_up(self, task: asyncio.Task[None]) -> None:
        """Pass an unexpected error to all waits, which would otherwise never end."""
        if not task.cancelled() and (error := task.exception()):
            for same_run in self._subscriptions.values():
                for subscription in same_run:
                    subscription.end(error)

    # --- what to do next ---

    def _delay(self) -> float:
        """Return the seconds until the next call."""
        now = asyncio.get_running_loop().time()
        self._table.collect(now)
        times = [now + _LONGEST_SLEEP]
        if first := self._table.later.first():
            times.append(first.due)
        if self._table.due and (self._sweep is None or len(self._table.due) <= MAX_DIRECT_POLLS):
            times.append(now)
        times += [self._paces[operation].ready_at for operation in self._operations(now)]
        return max(min(times), self._paused_until) - now

    def _operations(self, now: float) -> Iterator[str]:
        """Return the operations with pending calls."""
        if self._sweep is not None:
            yield _LIST_RUNS
        yield from (operation for operation, queue in self._table.unsure.items() if queue.first())
        # While ListRuns has to pause, use the time to confirm runs that a later list might still show.
        if self._table.missing and self._paces[_LIST_RUNS].ready_at > now:
            first = next(iter(self._table.missing))
            if not self._table.unsure[first.watch.operation].first():
                yield first.watch.operation

    async def _step(self) -> None:
        """Make the next call if one is ready."""
        self._plan()
        if not (
            self._sweep or self._table.missing or any(queue.first() for queue in self._table.unsure.values())
        ):
            return
        await self._ensure_client()
        if self._client is None:
            return
        now = asyncio.get_running_loop().time()
        ready = [each for each in self._operations(now) if self._paces[each].ready_at <= now]
        if not ready:
            return
        # Alternate, so that a long list does not delay confirmations or the other way round.
        operation = next((each for each in ready if each != self._last_operation), ready[0])
        self._last_operation = operation
        self._paces[operation].begin(now)
        if operation == _LIST_RUNS:
            await self._list_page()
        else:
            first = self._table.unsure[operation].first() or next(iter(self._table.missing))
            await self._get(first)

    def _plan(self) -> None:
        """Assign each due wait to a list or to an individual call."""
        now = asyncio.get_running_loop().time()
        if now >= self._lists_again:
            # Lists are allowed again, so stop polling runs individually.
            self._lists_again = math.inf
            for queue in self._table.unsure.values():
                self._table.due |= queue.members
                queue.members.clear()
        if self._sweep is not None and not self._table.sought and not self._table.missing:
            self._sweep = None
        if not self._table.due:
            return
        if self._sweep is not None:
            if len(self._table.due) <= MAX_DIRECT_POLLS:
                self._table.doubt(list(self._table.due))
            return
        is_calm = self._rhythm.is_listing and self._paces[_LIST_RUNS].is_throttled(now)
        if is_calm and now < self._rhythm.calm_until and len(self._table.due) > MAX_DIRECT_POLLS:
            # These were scheduled before ListRuns was throttled.
            for each in [each for each in self._table.due if each.watch.status is not None]:
                self._table.schedule(each, self._rhythm.calm_until)
            if not self._table.due:
                return
        due = self._table.places(self._table.due)
        sweep = Sweep(due, self._costs, now)
        if sweep.open_next(due, {}):
            self._sweep = sweep
            self._table.sought, self._table.due = self._table.due, {}
            self._rhythm.begin_pass(now)
        else:
            self._rhythm.is_listing = False
            self._table.doubt(list(self._table.due))

    def _next_poll(self, subscription: Subscription) -> float:
        now = asyncio.get_running_loop().time()
        is_throttled = self._paces[_LIST_RUNS].is_throttled(now)
        return self._rhythm.next_poll(subscription, len(self._subscriptions), now, is_throttled=is_throttled)

    # --- the client ---

    async def _ensure_client(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._client is not None:
            if self._is_current is None or now < self._client_expires:
                return
            self._client_expires = now + _CONNECTION_LIFE
            # Keep a working client if a new one cannot be made.
            with suppress(*_CONNECTION_ERRORS):
                if not await self._is_current():
                    self._client = await self._connect()
        if self._client is None:
            try:
                self._client = await self._connect()
            except _CONNECTION_ERRORS as error:
                self._lose_client(getattr(error, "operation_name", "The connection"), error)
            self._client_expires = now + _CONNECTION_LIFE

    def _lose_client(self, operation: str, error: Exception) -> None:
        """Drop the client, and report the error to all due waits unless a new client is made first."""
        now = asyncio.get_running_loop().time()
        self._client = None
        if is_credentials_error(error):
            metrics.credentials_refused(self._place)
        if may_pass(error):
            self._pause()
        elif self._has_worked and now >= self._renewed_at + _RENEWAL_PAUSE:
            # The credentials may have expired: repeat the call with a new client.
            self._renewed_at = now
            self._has_worked = False
            return
        # Include waits that are due soon, because each would make another client.
        self._table.collect(now + _SHORTEST_INTERVAL)
        self._fail(operation, error, list(self._table.all_due()))

    # --- the lists ---

    async def _list_page(self) -> None:
        """Read a page, and reschedule the runs that it lists as active."""
        loop = asyncio.get_running_loop()
        sweep = self._sweep
        if sweep is None:
            return
        try:
            page = await self._call(_LIST_RUNS, self._client.list_runs, **sweep.request)
            items = items_of(page)
        except (ClientError, BotoCoreError) as error:
            self._fail_list(sweep, error)
            return
        self._list_failures = 0
        self._paces[_LIST_RUNS].succeed(loop.time())
        for index, item in enumerate(items, 1):
            if index % _ITEMS_AT_ONCE == 0:
                # Each item may write a log line, and other triggers need the event loop.
                await asyncio.sleep(0)
            for each in self._subscriptions.get(item["id"], ()):
                if each.context.run(each.watch.update_from_list, item):
                    self._table.schedule(each, self._next_poll(each))
                elif each in self._table.sought or each in self._table.missing:
                    self._table.doubt([each])
        is_enough = not self._table.sought and not self._table.missing
        if not sweep.turn(page, loop.time(), is_enough=is_enough):
            self._open_next_list(sweep)

    def _open_next_list(self, sweep: Sweep) -> None:
        for each in [each for each in self._table.sought if sweep.has_listed(each.place)]:
            del self._table.sought[each]
            self._table.missing[each] = None
        sought, missing = self._table.places(self._table.sought), self._table.places(self._table.missing)
        if sweep.is_given_up:
            self._plan_again()
        elif not (sought or missing) or not sweep.open_next(sought, missing):
            self._rhythm.end_pass(sweep.pages)
            self._end_sweep()

    def _plan_again(self) -> None:
        """Poll the runs that were not found yet by the way that is the cheapest now."""
        self._table.due |= self._table.sought
        self._table.sought = {}
        self._end_sweep()

    def _end_sweep(self) -> None:
        self._sweep = None
        self._table.doubt([*self._table.missing, *self._table.sought])

    def _fail_list(self, sweep: Sweep, error: ClientError | BotoCoreError) -> None:
        """Decide whether to repeat the page or to poll the runs individually for a while."""
        concerned = [*self._table.missing, *self._table.sought]
        if is_throttling(error):
            pace = self._paces[_LIST_RUNS]
            self._throttle(_LIST_RUNS, error)
            # For more runs, individual calls would cost more than waiting for the lists.
            if pace.streak >= _LIST_TRIES and sweep.total <= _MAX_DIRECT_POLLS_WHEN_THROTTLED:
                self._forgo_lists(_FAILURE_MEMORY)
        elif is_transient(error):
            self._list_failures += 1
            self._pause()
            if self._list_failures >= _LIST_TRIES:
                self._forgo_lists(_FAILURE_MEMORY)
            self._report(_LIST_RUNS, error, concerned)
        elif is_credentials_error(error):
            self._lose_client(_LIST_RUNS, error)
        elif sweep.list and sweep.list.filter and not is_access_denied(error):
            # AWS does not document whether ListRuns accepts a status with another filter. On a further page,
            # only the token may have expired.
            seconds = _FAILURE_MEMORY if "startingToken" in sweep.request else _REFUSAL_MEMORY
            self._costs.forgo_filter(sweep.list.filter, asyncio.get_running_loop().time() + seconds)
            self._plan_again()
        else:
            self._forgo_lists(_REFUSAL_MEMORY if is_access_denied(error) else _FAILURE_MEMORY)
            if is_access_denied(error) and concerned and not self._has_warned_of_refusal:
                self._has_warned_of_refusal = True
                concerned[0].context.run(
                    concerned[0].watch.log.warning,
                    "ListRuns was refused with %s, so each run is polled by GetRun, which costs more "
                    "calls. The IAM policy should allow omics:ListRuns.",
                    error_code(error),
                )

    def _forgo_lists(self, seconds: float) -> None:
        self._list_failures = 0
        self._lists_again = asyncio.get_running_loop().time() + seconds
        self._costs.forgo(self._lists_again)
        self._rhythm.is_listing = False
        self._end_sweep()

    # --- individual polls ---

    async def _get(self, first: Subscription) -> None:
        """Poll a run or batch by an individual call."""
        same_run = self._subscriptions[first.watch.key]
        operation = first.watch.operation
        try:
            answer = await self._call(operation, first.watch.fetch, self._client)
        except (ClientError, BotoCoreError) as error:
            if is_throttling(error):
                self._throttle(operation, error)
            elif is_credentials_error(error):
                self._lose_client(operation, error)
            else:
                if is_transient(error):
                    self._pause()
                self._fail(operation, error, list(same_run))
            return
        self._paces[operation].succeed(asyncio.get_running_loop().time())
        for each in same_run:
            try:
                summary = each.context.run(each.watch.update, answer)
            except (AirflowException, LookupError, TypeError, ValueError) as error:
                # A malformed response must not affect other runs.
                self._table.withdraw(each)
                each.end(error)
            else:
                if summary is None:
                    self._table.schedule(each, self._next_poll(each))
                else:
                    self._table.withdraw(each)
                    each.end(summary)

    # --- failures ---

    async def _call(self, operation: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        with metrics.polling(operation):
            answer = await loop.run_in_executor(self._executor, partial(function, *args, **kwargs))
        self._failures //= 2
        self._has_worked = True
        return answer

    def _pause(self) -> None:
        """Stop all calls for a while."""
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads the load, guards no secret
        self._paused_until = asyncio.get_running_loop().time() + pause * jitter
        metrics.backed_off("poll", "failing", pause * jitter)

    def _fail(self, operation: str, error: Exception, concerned: list[Subscription]) -> None:
        """Report an error to the waits, and schedule their next polls."""
        now = asyncio.get_running_loop().time()
        for each in self._report(operation, error, concerned):
            # After a pause, those that have been due longest come first.
            due = self._paused_until if self._paused_until > now else now + each.watch.refusals.pause
            self._table.schedule(each, due)

    def _report(self, operation: str, error: Exception, concerned: list[Subscription]) -> list[Subscription]:
        """Report an error to the waits, and return those that continue."""
        waiting = []
        for each in concerned:
            try:
                each.context.run(each.watch.record_error, error, operation)
            except AirflowException as refusal:
                self._table.withdraw(each)
                each.end(refusal)
            else:
                waiting.append(each)
        return waiting

    def _throttle(self, operation: str, error: ClientError | BotoCoreError) -> None:
        """Slow down, and warn each delayed wait once per episode of throttling."""
        now = asyncio.get_running_loop().time()
        self._paces[operation].throttle(now)
        metrics.backed_off("poll", "throttled", self._paces[operation].ready_at - now)
        if now - self._throttled_at >= QUIET:
            self._episode += 1
        self._throttled_at = now
        if now - self._searched_at < _WARNING_PAUSE:
            return
        self._searched_at = now
        for each in self._table.all_due():
            if each.warned != self._episode and now - each.due >= min(each.interval, _LONG_DELAY):
                each.warned = self._episode
                each.context.run(
                    each.watch.log.warning,
                    "The next poll of %s is delayed: %s is throttled (%s). The wait continues",
                    each.watch,
                    operation,
                    error_code(error),
                )
