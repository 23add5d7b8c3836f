# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for many runs with few calls."""

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
from airflow_healthomics.resources.watch import Watch, may_pass
from airflow_healthomics.service.errors import (
    AIRFLOW_API_ERRORS,
    error_code,
    is_access_denied,
    is_credentials_error,
    is_throttling,
    is_transient,
)
from airflow_healthomics.waiting.listing import FEW, ListCosts, Sweep, items_of
from airflow_healthomics.waiting.pace import QUIET, Pace
from airflow_healthomics.waiting.timetable import Subscription, Timetable

_LIST_RUNS: Final = "ListRuns"

#: What is left of the interval if runs are listed. A look at many takes a while, as each end is confirmed by
#: a call of its own; if half of them end in one interval, this makes up for it.
_HASTE: Final = 0.78

#: Seconds from the beginning of a pass over the lists to that of the next while ListRuns is throttled, at
#: least, and for each page of a pass: other pollers and people need the quota, too.
_CALM_PERIOD: Final = 22.0
_CALM_PERIOD_OF_A_PAGE: Final = 0.75

#: By what share such a period varies, so that pollers do not meet again and again.
_CALM_JITTER: Final = 0.1

#: Items of a page that are processed before other callbacks of the event loop have their turn.
_ITEMS_AT_ONCE: Final = 10

#: Seconds without lists after they were refused, and after as many failures in a row.
_REFUSAL_MEMORY: Final = 3600.0
_FAILURE_MEMORY: Final = 60.0
_LIST_TRIES: Final = 3

#: As many runs are polled one by one while ListRuns is throttled, rather than wait for a list.
_SOME: Final = 50

#: Seconds between two looks at whether the connection has been changed.
_CONNECTION_LIFE: Final = 300.0

#: Seconds for which the poller waits after a failing call, at first and at most, before jitter.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

#: Seconds between two polls of a run, at least.
_SHORTEST_INTERVAL: Final = 1.0

#: Seconds from one new client to the next while credentials are refused, before the waits are informed.
_RENEWAL_PAUSE: Final = 60.0

#: Seconds between two searches for polls that throttling has delayed, and the delay that is worth a warning.
_WARNING_PAUSE: Final = 10.0
_LONG_DELAY: Final = 60.0

#: Seconds for which the poller sleeps at most. Whatever changes meanwhile wakes it.
_LONGEST_SLEEP: Final = 3600.0

#: What looking a connection up and making its client may raise.
_CONNECTION_ERRORS: Final = (*AIRFLOW_API_ERRORS, AirflowException, BotoCoreError, ClientError)


class Poller:
    """
    Waits for many runs with few calls, one at a time, in a thread of its own.

    Belongs to one event loop and one connection. Starts with the first wait and stops with the last.

    The runs that are due are polled by whichever costs less: GetRun for each, or ListRuns for all of them
    that are in the same state. GetRun alone decides how a run has ended: as soon as a list shows that a run
    is not where it was, it is confirmed between two pages, the longest due first.

    Each operation has its own pace (:class:`~airflow_healthomics.waiting.pace.Pace`), which throttled calls
    slow down. A throttled page is repeated, and the pages before it are not.

    More than a few runs of the same interval are due together. With lists, the interval is somewhat shorter,
    and longer while ListRuns is throttled.

    :param connect: makes a client; awaited again when credentials or the connection have changed
    :param is_current: whether the client is still that of the connection
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        is_current: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
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
        self._sweep_began = 0.0
        self._calm_period = 0.0
        self._pages_of_sweep = 0
        self._is_listing = False
        self._has_warned_of_refusal = False
        self._list_failures = 0
        self._lists_again = math.inf
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._last_operation = ""
        self._failures = 0
        self._paused_until = 0.0
        self._episode = 0
        self._throttled_at = -math.inf
        self._searched_at = -math.inf
        # Pollers of several processes must not list at the same moment.
        self._phase = random.random()  # noqa: S311 - spreads the load, guards no secret

    async def wait(self, watch: Watch, interval: float) -> dict[str, Any]:
        """
        Wait until a run has ended, and return its summary.

        :param watch: of the run
        :param interval: seconds between two polls, at least 1; the first one is at once
        :raises HealthOmicsOutcomeUnknownError: if polls, or the connection, are refused for too long
        :raises HealthOmicsApiError: if the request of a poll is not valid
        :raises HealthOmicsRunReplacedError: if the id belongs to another run now
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
        self._table.later.add(subscription)
        self._wake.set()
        if self._task is None or self._task.done():
            # In a context of its own, or its lines would go to the log of the task that came first.
            self._task = loop.create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(self._give_up)
        try:
            return await subscription.ended
        finally:
            self._table.withdraw(subscription)
            same_run.remove(subscription)
            if not same_run:
                del self._subscriptions[watch.key]
            self._wake.set()

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
                    # Waits that were answered or cancelled leave first.
                    await asyncio.sleep(0)
                    await self._step()
        finally:
            self._executor.shutdown(wait=False)

    def _give_up(self, task: asyncio.Task[None]) -> None:
        """Pass an error that nobody has expected on to all who wait, rather than let them wait for ever."""
        if not task.cancelled() and (error := task.exception()):
            for same_run in self._subscriptions.values():
                for subscription in same_run:
                    subscription.end(error)

    # --- what to do next ---

    def _delay(self) -> float:
        """Return the seconds until there is a call to make."""
        now = asyncio.get_running_loop().time()
        self._table.collect(now)
        times = [now + _LONGEST_SLEEP]
        if first := self._table.later.first():
            times.append(first.due)
        if self._table.due and (self._sweep is None or len(self._table.due) <= FEW):
            times.append(now)
        times += [self._paces[operation].ready_at for operation in self._operations(now)]
        return max(min(times), self._paused_until) - now

    def _operations(self, now: float) -> Iterator[str]:
        """Return the operations that there are calls of to make."""
        if self._sweep is not None:
            yield _LIST_RUNS
        yield from (operation for operation, queue in self._table.unsure.items() if queue.first())
        # While ListRuns may not go on, those are confirmed that a further list might still show.
        if self._table.missing and self._paces[_LIST_RUNS].ready_at > now:
            first = next(iter(self._table.missing))
            if not self._table.unsure[first.watch.operation].first():
                yield first.watch.operation

    async def _step(self) -> None:
        """Make the next call, if there is one to make now."""
        self._plan()
        if not (
            self._sweep or self._table.missing or any(queue.first() for queue in self._table.unsure.values())
        ):
            return
        await self._ensure_client()
        now = asyncio.get_running_loop().time()
        if self._client is None or self._paused_until > now:
            return
        ready = [each for each in self._operations(now) if self._paces[each].ready_at <= now]
        if not ready:
            return
        # In turn: a long list must not hold up the ends, nor many ends the lists.
        operation = next((each for each in ready if each != self._last_operation), ready[0])
        self._last_operation = operation
        self._paces[operation].begin(now)
        if operation == _LIST_RUNS:
            await self._list_page()
        else:
            first = self._table.unsure[operation].first() or next(iter(self._table.missing))
            await self._get(first)

    def _plan(self) -> None:
        """Assign each due wait to a list or to a call of its own."""
        now = asyncio.get_running_loop().time()
        if now >= self._lists_again:
            # It may have taken long to poll one by one; now there is a better way again.
            self._lists_again = math.inf
            for queue in self._table.unsure.values():
                self._table.due |= queue.members
                queue.members.clear()
        if self._sweep is not None and not self._table.sought and not self._table.missing:
            self._sweep = None
        if not self._table.due:
            return
        if self._sweep is not None:
            if len(self._table.due) <= FEW:
                self._table.doubt(list(self._table.due))
            return
        calm_until = self._sweep_began + self._calm_period
        is_calm = self._is_listing and self._paces[_LIST_RUNS].is_throttled(now)
        if is_calm and now < calm_until and len(self._table.due) > FEW:
            # Scheduled before ListRuns was throttled.
            for each in [each for each in self._table.due if each.watch.status is not None]:
                self._table.schedule(each, calm_until)
        # Two may wait for one run, which costs one GetRun.
        due = Counter({each.watch.key: each.watch.listed_under for each in self._table.due}.values())
        sweep = Sweep(due, self._costs, now)
        self._is_listing = sweep.open_next(0)
        if self._is_listing:
            self._sweep = sweep
            self._table.sought, self._table.due = self._table.due, {}
            # One period for all of a pass, so that they are due together.
            jitter = random.uniform(1 - _CALM_JITTER, 1 + _CALM_JITTER)  # noqa: S311 - as for _phase
            period = max(_CALM_PERIOD, _CALM_PERIOD_OF_A_PAGE * self._pages_of_sweep)
            self._sweep_began, self._calm_period = now, period * jitter
        else:
            self._table.doubt(list(self._table.due))

    def _next_poll(self, subscription: Subscription) -> float:
        now = asyncio.get_running_loop().time()
        period = subscription.interval
        if len(self._subscriptions) <= FEW:
            return now + period
        if self._is_listing:
            period *= _HASTE
            if self._paces[_LIST_RUNS].is_throttled(now) and self._calm_period > period:
                due = self._sweep_began + self._calm_period
                return due if due > now else now + self._calm_period
        # A poll that comes a thousandth of the interval too early counts as that of its time.
        return ((now / period - self._phase + 0.001) // 1 + 1 + self._phase) * period

    # --- the client ---

    async def _ensure_client(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._client is not None:
            if self._is_current is None or now < self._client_expires:
                return
            self._client_expires = now + _CONNECTION_LIFE
            # A client that works is kept while there is no other.
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
        """Have a new client made, and inform all who are due, unless the new client comes at once."""
        now = asyncio.get_running_loop().time()
        self._client = None
        if may_pass(error):
            self._pause()
        elif self._has_worked and now >= self._renewed_at + _RENEWAL_PAUSE:
            # Credentials have expired, perhaps: with a new client the same call is made again.
            self._renewed_at = now
            self._has_worked = False
            return
        # Those too that are due in a moment: each would have another client made.
        self._table.collect(now + _SHORTEST_INTERVAL)
        self._fail(operation, error, list(self._table.all_due()))

    # --- the lists ---

    async def _list_page(self) -> None:
        """Read a page, and reschedule the runs that it shows to be active."""
        loop = asyncio.get_running_loop()
        sweep = self._sweep
        if sweep is None:
            return
        try:
            page = await self._call(self._client.list_runs, **sweep.request)
            items = items_of(page)
        except (ClientError, BotoCoreError) as error:
            self._fail_list(sweep, error)
            return
        self._list_failures = 0
        self._paces[_LIST_RUNS].succeed(loop.time())
        for index, item in enumerate(items, 1):
            if index % _ITEMS_AT_ONCE == 0:
                # Each may cost a line in a task's log, and other triggers want to go on.
                await asyncio.sleep(0)
            for each in self._subscriptions.get(item["id"], ()):
                if each.context.run(each.watch.recognize, item):
                    self._table.schedule(each, self._next_poll(each))
                elif each in self._table.sought or each in self._table.missing:
                    self._table.doubt([each])
        is_enough = not self._table.sought and not self._table.missing
        if not sweep.turn(page, loop.time(), is_enough=is_enough):
            self._open_next_list(sweep)

    def _open_next_list(self, sweep: Sweep) -> None:
        for each in [each for each in self._table.sought if each.watch.listed_under in sweep.listed]:
            del self._table.sought[each]
            self._table.missing[each] = None
        is_enough = not self._table.sought and not self._table.missing
        if is_enough or not sweep.open_next(len(self._table.missing)):
            self._pages_of_sweep = sweep.pages
            self._end_sweep()

    def _end_sweep(self) -> None:
        self._sweep = None
        self._table.doubt([*self._table.missing, *self._table.sought])

    def _fail_list(self, sweep: Sweep, error: ClientError | BotoCoreError) -> None:
        """Decide whether the same page is read again, or the runs are polled one by one for a while."""
        concerned = [*self._table.missing, *self._table.sought]
        if is_throttling(error):
            pace = self._paces[_LIST_RUNS]
            self._throttle(_LIST_RUNS, error)
            # Where lists are throttled, one call for each of many runs would be no better.
            if pace.streak >= _LIST_TRIES and sweep.total <= _SOME:
                self._forgo_lists(_FAILURE_MEMORY)
        elif is_transient(error):
            self._list_failures += 1
            self._pause()
            if self._list_failures >= _LIST_TRIES:
                self._forgo_lists(_FAILURE_MEMORY)
            self._report(_LIST_RUNS, error, concerned)
        elif is_credentials_error(error):
            self._lose_client(_LIST_RUNS, error)
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
        self._is_listing = False
        self._end_sweep()

    # --- one by one ---

    async def _get(self, first: Subscription) -> None:
        """Poll a run or batch by the call of its kind."""
        same_run = self._subscriptions[first.watch.key]
        operation = first.watch.operation
        try:
            answer = await self._call(first.watch.ask, self._client)
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
                summary = each.context.run(each.watch.answer, answer)
            except (AirflowException, LookupError, TypeError, ValueError) as error:
                # An answer that cannot be understood concerns its own run only.
                self._table.withdraw(each)
                each.end(error)
                continue
            if summary is None:
                self._table.schedule(each, self._next_poll(each))
            else:
                self._table.withdraw(each)
                each.end(summary)

    # --- failures ---

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._executor, partial(function, *args, **kwargs))
        self._failures //= 2
        self._has_worked = True
        return answer

    def _pause(self) -> None:
        """Make no call for a while."""
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads the load, guards no secret
        self._paused_until = asyncio.get_running_loop().time() + pause * jitter

    def _fail(self, operation: str, error: Exception, concerned: list[Subscription]) -> None:
        """Report an error, and schedule the next poll of those that it concerns."""
        now = asyncio.get_running_loop().time()
        for each in self._report(operation, error, concerned):
            # After a pause those come first who have been due for longer.
            due = self._paused_until if self._paused_until > now else now + each.watch.refusals.pause
            self._table.schedule(each, due)

    def _report(self, operation: str, error: Exception, concerned: list[Subscription]) -> list[Subscription]:
        """Report an error to the watches, and return those whose wait continues."""
        waiting = []
        for each in concerned:
            try:
                each.context.run(each.watch.fail, error, operation)
            except AirflowException as refusal:
                self._table.withdraw(each)
                each.end(refusal)
            else:
                waiting.append(each)
        return waiting

    def _throttle(self, operation: str, error: ClientError | BotoCoreError) -> None:
        """Slow down, and log once for each episode and wait that it delays."""
        now = asyncio.get_running_loop().time()
        self._paces[operation].throttle(now)
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
