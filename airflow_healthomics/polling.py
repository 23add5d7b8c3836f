# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for many runs with few calls."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import combinations, count
from typing import Any, Final, TypeAlias

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics import run_states
from airflow_healthomics.aws_errors import (
    error_code,
    is_access_denied,
    is_credentials_error,
    is_throttling,
    is_transient,
)
from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import HealthOmicsRunReplacedError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.watch import Watch

try:
    from airflow.sdk.exceptions import AirflowRuntimeError
except ImportError:  # Airflow 2
    AirflowRuntimeError = OSError  # type: ignore[assignment,misc]

#: The order in which a run passes through its active states. Listed in this order, a run that moves on
#: between two lists is found in the later one, if not in both.
LIFE: Final = ("PENDING", "STARTING", "RUNNING", run_states.STOPPING)

#: ListRuns answers up to 100: https://docs.aws.amazon.com/omics/latest/api/API_ListRuns.html
PAGE_SIZE: Final = 100

#: As many waiting runs are asked for one by one, each at its own time, and never by a list.
FEW: Final = 4

#: What is left of the interval if lists tell of the runs. A look at many takes a while, as each end is
#: confirmed by a call of its own; if half of them end in one interval, this makes up for it.
_HASTE: Final = 0.78

#: Items of a page that are looked at before other callbacks of the event loop have their turn.
_ITEMS_AT_ONCE: Final = 10

#: Seconds for which it is remembered what a list has cost.
_COST_MEMORY: Final = 600.0

#: Seconds without lists after they were refused, and after so many of them have failed in a row.
_REFUSAL_MEMORY: Final = 3600.0
_FAILURE_MEMORY: Final = 60.0
_LIST_TRIES: Final = 3

#: As many runs are asked for one by one though calls are throttled, rather than wait for a list.
_SOME: Final = 50

#: Seconds between two looks at whether the connection has been changed.
_CONNECTION_LIFE: Final = 300.0

#: Seconds for which the poller waits after a failing call, at first and at most, before jitter.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

#: Seconds between two looks at a run, at least.
_SHORTEST_INTERVAL: Final = 1.0

#: Seconds between two looks at a run that is refused, at most.
_REFUSAL_PAUSE: Final = 60.0

#: What looking a connection up may raise while Airflow itself is in trouble.
_AIRFLOWS_TROUBLE: Final = (AirflowRuntimeError, OSError)

#: What looking a connection up and making its client may raise.
_CONNECTION_ERRORS: Final = (*_AIRFLOWS_TROUBLE, AirflowException, BotoCoreError, ClientError)

#: One hung call holds up every waiter, and the poller repeats a failing one by itself.
_CLIENT_CONFIG: Final = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1})


def choose_lists(due: Mapping[str | None, int], pages: Mapping[str, int]) -> frozenset[str]:
    """
    Choose the calls that tell of all due runs, as few as may be expected.

    A run that is in none of the chosen lists costs a GetRun.

    :param due: number of the due runs by the status that was seen last; None for those never seen
    :param pages: what a list of each status cost last, in pages; 1 if unknown
    :return: the active statuses to list; none where GetRun for each run is no dearer
    """
    if sum(due.values()) <= FEW:
        return frozenset()

    def cost(lists: frozenset[str]) -> int:
        # A run that was never seen may be in any list.
        found = {*lists, None} if len(lists) == len(LIFE) else lists
        asked = sum(number for status, number in due.items() if status not in found)
        return asked + sum(pages.get(status, 1) for status in lists)

    choices = (frozenset(lists) for length in range(len(LIFE) + 1) for lists in combinations(LIFE, length))
    return min(choices, key=cost)


class PollingHook(HealthOmicsHook):
    """
    Hook whose client is cheap to poll with, and not patient.

    Its times are text as the service sends it: botocore spends three quarters of the parsing of a ListRuns
    page on them.
    """

    def get_session(self, region_name: str | None = None, deferrable: bool = False) -> Any:
        """Get the session, whose clients leave times as they are."""
        session = super().get_session(region_name, deferrable)
        factory = session._session.get_component("response_parser_factory")
        factory.set_parser_defaults(timestamp_parser=str)
        return session

    def get_client_type(
        self, region_name: str | None = None, config: Config | None = None, deferrable: bool = False
    ) -> Any:
        """Get the client; timeouts and retries of the user's own go before ours."""
        return super().get_client_type(region_name, _CLIENT_CONFIG.merge(config or self.config), deferrable)


@dataclass(eq=False, slots=True)
class _Subscription:
    """
    One who waits.

    :param watch: what is waited for
    :param interval: seconds between two looks
    :param due: when to look next, by the event loop's clock
    :param ended: gets the summary
    :param context: in which the watch logs, so that the lines go to the task's own log
    """

    watch: Watch
    interval: float
    due: float
    ended: asyncio.Future[dict[str, Any]]
    context: contextvars.Context


#: Those whose runs are due, the longest first; a set that keeps its order.
_Subscriptions: TypeAlias = dict[_Subscription, None]


class Poller:
    """
    Waits for many runs with few calls, one at a time, in a thread of its own.

    Belongs to one event loop and one connection. Starts with the first who waits, and stops with the last.
    Looks when the first of the runs is due, at all that are due then, by whichever costs less: GetRun for
    each, or ListRuns for all of them that are in the same state. GetRun alone decides how a run has ended.

    More than a few runs of the same interval are due together, at its multiples. With lists, these are of a
    somewhat shorter one.

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
        self._subscriptions: dict[str, list[_Subscription]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._pages: dict[str, tuple[int, float]] = {}
        self._is_listing = False
        self._has_told_of_refusal = False
        self._list_failures = 0
        self._lists_again = math.inf
        self._failures = 0
        self._paused_until = 0.0

    async def wait(self, watch: Watch, interval: float) -> dict[str, Any]:
        """
        Wait until a run has ended, and return its summary.

        :param watch: of the run
        :param interval: seconds between two looks at it, at least 1; the first one is at once, and with lists
            they are somewhat more often
        :raises HealthOmicsApiError: if GetRun, or the connection, is refused again and again
        :raises HealthOmicsRunReplacedError: if the id belongs to another run now
        """
        loop = asyncio.get_running_loop()
        subscription = _Subscription(
            watch,
            max(interval, _SHORTEST_INTERVAL),
            loop.time(),
            loop.create_future(),
            contextvars.copy_context(),
        )
        same_run = self._subscriptions.setdefault(watch.key, [])
        same_run.append(subscription)
        self._wake.set()
        if self._task is None or self._task.done():
            # In a context of its own, or its lines would go to the log of the task that came first.
            self._task = loop.create_task(self._run(), context=contextvars.Context())
            self._task.add_done_callback(self._give_up)
        try:
            return await subscription.ended
        finally:
            same_run.remove(subscription)
            if not same_run:
                del self._subscriptions[watch.key]
            self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="healthomics-poller")
        try:
            while self._subscriptions:
                self._wake.clear()
                first = min(each.due for each in self._waiting())
                delay = max(first, self._paused_until) - loop.time()
                if delay > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(delay):
                            await self._wake.wait()
                else:
                    # Let those go who have got their answer, or have been cancelled.
                    await asyncio.sleep(0)
                    await self._look()
        finally:
            self._executor.shutdown(wait=False)

    def _give_up(self, task: asyncio.Task[None]) -> None:
        """Pass an error that nobody has expected on to all who wait, rather than let them wait for ever."""
        if not task.cancelled() and (error := task.exception()):
            for subscription in self._waiting():
                _end(subscription, error)

    def _waiting(self) -> Iterator[_Subscription]:
        return (each for same_run in self._subscriptions.values() for each in same_run)

    async def _look(self) -> None:
        """Look at all due runs, or at as many of them as there are before a call fails."""
        loop = asyncio.get_running_loop()
        due = sorted((each for each in self._waiting() if each.due <= loop.time()), key=lambda each: each.due)
        left = dict.fromkeys(due)
        await self._ensure_client(left)
        if self._client is not None:
            await self._list_runs(left)
        while left and self._client is not None and self._paused_until <= loop.time():
            await self._get_run(left)
            if loop.time() >= self._lists_again:
                # It may have taken long to ask one by one; now there is a better way again.
                self._lists_again = math.inf
                break

    async def _ensure_client(self, left: _Subscriptions) -> None:
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
                self._fail(getattr(error, "operation_name", "The connection"), error, list(left), left)
            self._client_expires = now + _CONNECTION_LIFE

    async def _list_runs(self, left: _Subscriptions) -> None:
        """Take out of ``left`` the runs that the lists show to be active."""
        now = asyncio.get_running_loop().time()
        pages = {status: count for status, (count, expires) in self._pages.items() if expires > now}
        # Two may wait for one run, which costs one GetRun.
        due = Counter({each.watch.key: each.watch.listed_under for each in left}.values())
        lists = choose_lists(due, pages)
        self._is_listing = bool(lists)
        listed: set[str] = set()
        budget = due.total()
        try:
            for status in LIFE:
                # Those missing in a list may have moved on together, as when a queue begins to flow.
                missing = sum(each.watch.listed_under in listed for each in left)
                is_worth_it = status in lists or missing > max(pages.get(status, 1), FEW)
                if is_worth_it and left and budget > 0:
                    budget -= await self._list_status(status, left, budget)
                    listed.add(status)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error) or is_credentials_error(error):
                self._list_failures += 1
                # Where calls are throttled, one for each of many runs would be no better.
                if self._list_failures >= _LIST_TRIES and not (is_throttling(error) and due.total() > _SOME):
                    self._forgo_lists(_FAILURE_MEMORY)
                self._fail("ListRuns", error, list(left), left)
                return
            self._forgo_lists(_REFUSAL_MEMORY if is_access_denied(error) else _FAILURE_MEMORY)
            if is_access_denied(error) and not self._has_told_of_refusal:
                self._has_told_of_refusal = True
                first = next(iter(left))
                first.context.run(
                    first.watch.log.warning,
                    "ListRuns was refused with %s, so each run is asked for by GetRun, which costs more "
                    "calls. The IAM policy should allow omics:ListRuns.",
                    error_code(error),
                )

    async def _list_status(self, status: str, left: _Subscriptions, budget: int) -> int:
        """List the runs of a status, and return how many pages were read."""
        loop = asyncio.get_running_loop()
        request = {"status": status, "maxResults": PAGE_SIZE}
        for pages in count(1):
            page = await self._call(self._client.list_runs, **request)
            for index, item in enumerate(page["items"], 1):
                if index % _ITEMS_AT_ONCE == 0:
                    # Each may cost a line in a task's log, and other triggers want to go on.
                    await asyncio.sleep(0)
                for each in self._subscriptions.get(item["id"], ()):
                    if each.context.run(each.watch.recognize, item):
                        left.pop(each, None)
                        each.due = self._next_look(each)
            is_last = not page.get("nextToken")
            if is_last or pages >= budget or not left:
                break
            request["startingToken"] = page["nextToken"]
        self._list_failures = 0
        # A list that was given up costs more than it has cost.
        cost = pages if is_last or not left else pages + 1
        self._pages[status] = cost, loop.time() + _COST_MEMORY
        return pages

    def _forgo_lists(self, seconds: float) -> None:
        self._list_failures = 0
        self._lists_again = asyncio.get_running_loop().time() + seconds
        self._pages = dict.fromkeys(LIFE, (sys.maxsize, self._lists_again))

    async def _get_run(self, left: _Subscriptions) -> None:
        """Ask for the first run in ``left``, and take it out."""
        first = next(iter(left))
        if first.ended.done():
            del left[first]
            return
        same_run = self._subscriptions[first.watch.key]
        try:
            run = await self._call(first.watch.ask, self._client)
        except (ClientError, BotoCoreError) as error:
            self._fail(first.watch.operation, error, list(same_run), left)
            left.pop(first, None)
            return
        left.pop(first, None)
        for each in same_run:
            left.pop(each, None)
            try:
                summary = each.context.run(each.watch.answer, run)
            except (HealthOmicsRunReplacedError, LookupError, TypeError, ValueError) as error:
                # An answer without what the API's model requires concerns its own run only.
                _end(each, error)
                continue
            if summary is None:
                each.due = self._next_look(each)
            else:
                _end(each, summary)

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._executor, partial(function, *args, **kwargs))
        self._failures = 0
        return answer

    def _fail(
        self, operation: str, error: Exception, concerned: list[_Subscription], left: _Subscriptions
    ) -> None:
        """Tell those whom an error concerns when to look again, and take them out of ``left``."""
        now = asyncio.get_running_loop().time()
        is_passing = is_transient(error) or (
            isinstance(error, _AIRFLOWS_TROUBLE) and not isinstance(error, PermissionError)
        )
        if is_passing:
            self._pause()
        elif is_credentials_error(error) or not isinstance(error, (BotoCoreError, ClientError)):
            self._client = None
            concerned = list(left)
            if now >= self._renewed_at + _REFUSAL_PAUSE:
                # Credentials have expired, perhaps: with a new client this look begins anew.
                self._renewed_at = now
                left.clear()
                return
        for each in concerned:
            left.pop(each, None)
            try:
                each.context.run(each.watch.fail, error, operation, is_passing=is_passing)
            except AirflowException as refusal:
                _end(each, refusal)
                continue
            # After a pause those come first who have been due for longer.
            each.due = self._paused_until if is_passing else now + min(each.interval, _REFUSAL_PAUSE)

    def _pause(self) -> None:
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures, 10), _LONGEST_PAUSE)
        self._failures += 1
        jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads the load, guards no secret
        self._paused_until = asyncio.get_running_loop().time() + pause * jitter

    def _next_look(self, subscription: _Subscription) -> float:
        now = asyncio.get_running_loop().time()
        if len(self._subscriptions) <= FEW:
            return now + subscription.interval
        interval = subscription.interval * (_HASTE if self._is_listing else 1)
        # A look that comes a thousandth of the interval too early counts as that of its time.
        return (now / interval + 0.001) // 1 * interval + interval


def _end(subscription: _Subscription, result: dict[str, Any] | BaseException) -> None:
    if subscription.ended.done():
        return
    if isinstance(result, BaseException):
        subscription.ended.set_exception(result)
    else:
        subscription.ended.set_result(result)
