# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A HealthOmics whose past and future states are all known, as a botocore client shows them.

It exists beside the local HealthOmics because the properties of the poller need thousands of runs over hours
of virtual time, whose true status at each moment the test can look up, without HTTP. The simulated histories
of starts need thousands of attempts in seconds.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from tests.unit.conftest import Clock

ACTIVE = ("PENDING", "STARTING", "RUNNING", "STOPPING")
TERMINAL = ("COMPLETED", "FAILED", "CANCELLED", "DELETED")
BIRTH = datetime(2026, 11, 22, 3, 4, 5, 123456, tzinfo=UTC)


def timestamp(seconds: float) -> str:
    """Return a moment of the clock as the service writes it."""
    return (BIRTH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Life:
    """
    All that happens to a run.

    :ivar changes: times and statuses in order; the first is its creation
    :ivar deleted: when it is gone
    :ivar visible: when GetRun and ListRuns begin to know it
    :ivar listed: when ListRuns does, if it lags further behind
    :ivar group: id of its run group
    """

    id: str
    uuid: str
    changes: tuple[tuple[float, str], ...]
    deleted: float | None = None
    visible: float = 0.0
    listed: float = 0.0
    group: str | None = None

    @property
    def created(self) -> float:
        """The time of its start."""
        return self.changes[0][0]

    @property
    def creation_time(self) -> str:
        """The time of its start, as the service writes it."""
        return timestamp(self.created)

    def status(self, now: float) -> str | None:
        """Return its status, or None if GetRun does not find it."""
        if now < max(self.created, self.visible) or (self.deleted is not None and now >= self.deleted):
            return None
        return [status for when, status in self.changes if when <= now][-1]

    def listed_status(self, now: float) -> str | None:
        """Return its status in lists, or None if they omit it."""
        return None if now < self.listed else self.status(now)

    def moments(self) -> Iterator[float]:
        """All moments at which a response may change."""
        yield from (when for when, _ in self.changes)
        yield from (self.visible, self.listed)
        if self.deleted is not None:
            yield self.deleted


@dataclass(frozen=True)
class Fault:
    """
    A period in which calls fail.

    :ivar operations: which calls
    :ivar share: which part of them
    :ivar filtered: whether only lists with a filter beside the status fail
    """

    begin: float
    end: float
    error: Callable[[str], Exception]
    operations: tuple[str, ...] = ("GetRun", "ListRuns")
    share: float = 1.0
    ids: frozenset[str] | None = None
    filtered: bool = False


def refusal(code: str, status: int) -> Callable[[str], Exception]:
    """Return a function that makes botocore's error for a code."""

    def error(operation: str) -> Exception:
        answer: Any = {
            "Error": {"Code": code, "Message": "planned"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }
        return ClientError(answer, operation)

    return error


def unreachable(operation: str) -> Exception:
    """Return botocore's error for an unreachable AWS."""
    return EndpointConnectionError(endpoint_url="https://omics.us-east-1.amazonaws.com")


def silent(operation: str) -> Exception:
    """Return botocore's error for an AWS that does not respond."""
    return ReadTimeoutError(endpoint_url="https://omics.us-east-1.amazonaws.com")


THROTTLED = refusal("ThrottlingException", 429)
BROKEN = refusal("InternalServerException", 500)
UNAVAILABLE = refusal("ServiceUnavailableException", 503)
DENIED = refusal("AccessDeniedException", 403)
INVALID = refusal("ValidationException", 400)
EXPIRED = refusal("ExpiredTokenException", 403)


@dataclass
class Call:
    """
    A recorded call.

    :ivar subject: the run of GetRun, the status of ListRuns
    :ivar is_filtered: whether ListRuns had a filter beside the status
    :ivar looked: when the service looked
    :ivar answer: what it answered, None if it failed
    """

    operation: str
    subject: str
    began: float
    looked: float = 0.0
    ended: float = 0.0
    answer: dict[str, Any] | None = None
    error: Exception | None = None
    is_filtered: bool = False

    @property
    def took(self) -> float:
        """Its duration."""
        return self.ended - self.began

    @property
    def code(self) -> str:
        """Its error code."""
        if isinstance(self.error, ClientError):
            return str(self.error.response["Error"]["Code"])
        return "" if self.error is None else type(self.error).__name__


class SimulatedOmics:
    """
    The histories of runs are fixed in advance, so a test knows the correct response of any call.

    It refuses two calls at once and calls on the thread of the event loop, and each call takes a while, so
    that runs change between two pages of a list and between two lists.

    :param clock: the test's clock, which the calls advance
    :param lives: the runs; several may have one id, one after another
    :param page_size: items on a page, even if more are asked for
    :param latency: seconds that a call takes, at least and at most
    """

    def __init__(
        self,
        clock: Clock,
        lives: Iterable[Life],
        *,
        faults: Sequence[Fault] = (),
        page_size: int = 100,
        latency: tuple[float, float] = (0.01, 0.3),
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.faults = list(faults)
        self.page_size = page_size
        self.latency = latency
        self.calls: list[Call] = []
        self.misuse: list[str] = []
        self.loop_thread = threading.get_ident()
        self._random = random.Random(seed)
        self._busy = threading.Lock()
        self._lives: dict[str, list[Life]] = {}
        self._order: list[Life] = []
        for life in lives:
            self.add(life)

    def add(self, life: Life) -> None:
        """Add a run, anywhere in the order of the lists."""
        self._lives.setdefault(life.id, []).append(life)
        self._lives[life.id].sort(key=lambda each: each.created)
        self._order.insert(self._random.randint(0, len(self._order)), life)

    # --- the client ---

    def get_run(self, **arguments: Any) -> dict[str, Any]:
        """Stand in for the client's method."""
        assert arguments.keys() == {"id"}
        with self._call("GetRun", arguments["id"]) as call:
            life, status = self.look(arguments["id"], call.looked)
            if life is None:
                raise refusal("ResourceNotFoundException", 404)("GetRun")
            call.answer = description_of(life, status) | {"statusMessage": f"it is {status}"}
        return dict(call.answer)

    def list_runs(self, **arguments: Any) -> dict[str, Any]:
        """Stand in for the client's method; a token is an offset into a list that keeps changing."""
        filters = arguments.keys() - {"startingToken", "status", "maxResults"}
        assert filters <= {"runGroupId"} or filters == {"name"}
        assert arguments.keys() >= {"status", "maxResults"}
        assert 1 <= arguments["maxResults"] <= 100
        assert arguments["status"] in ACTIVE, "only active runs are of interest"
        with self._call("ListRuns", arguments["status"], is_filtered=bool(filters)) as call:
            offset = int(arguments.get("startingToken", 0))
            group, name = arguments.get("runGroupId"), arguments.get("name")
            found = [
                life
                for life in self._order
                if group in (None, life.group)
                and name in (None, name_of(life))
                and life.listed_status(call.looked) == arguments["status"]
            ]
            page = found[offset : offset + min(self.page_size, arguments["maxResults"])]
            call.answer = {"items": [item_of(life, arguments["status"]) for life in page]}
            if offset + len(page) < len(found):
                call.answer["nextToken"] = str(offset + len(page))
        return dict(call.answer)

    @contextmanager
    def _call(self, operation: str, subject: str, *, is_filtered: bool = False) -> Iterator[Call]:
        if threading.get_ident() == self.loop_thread:
            self.misuse.append(f"{operation} blocked the event loop")
        if not self._busy.acquire(blocking=False):
            self.misuse.append(f"{operation} was called during another call")
            raise AssertionError(self.misuse[-1])
        call = Call(operation, subject, self.clock.elapsed, is_filtered=is_filtered)
        try:
            self._pass_time()
            call.looked = self.clock.elapsed
            for fault in self.faults:
                if (
                    operation in fault.operations
                    and (fault.ids is None or subject in fault.ids)
                    and (is_filtered or not fault.filtered)
                    and fault.begin <= call.looked < fault.end
                    and self._random.random() < fault.share
                ):
                    raise fault.error(operation)
            yield call
        except Exception as error:
            call.error = error
            raise
        finally:
            self._pass_time()
            call.ended = self.clock.elapsed
            self.calls.append(call)
            self._busy.release()

    def _pass_time(self) -> None:
        self.clock.advance(self._random.uniform(*self.latency) / 2)

    # --- the truth ---

    def look(self, run_id: str, now: float) -> tuple[Life | None, str]:
        """Return the run that has an id at some time, and its status."""
        for life in self.of_id(run_id):
            if (status := life.status(now)) is not None:
                return life, status
        return None, ""

    def of_id(self, run_id: str) -> list[Life]:
        """Return the runs that had, have or will have an id."""
        return self._lives.get(run_id, [])

    def decided(self, run_id: str, uuid: str | None, since: float, new_until: float) -> float:
        """Return the time at which a call first shows that a run has ended or that its id has another one."""
        moments = {since, new_until, *(when for life in self.of_id(run_id) for when in life.moments())}
        for when in sorted(when for when in moments if when >= since):
            life, status = self.look(run_id, when)
            if life is None:
                if when >= new_until:
                    return when
            elif status in TERMINAL or (uuid is not None and life.uuid != uuid):
                return when
        raise AssertionError("this run never ends")

    # --- the record ---

    def count(self, operation: str = "", *, since: float = 0.0, until: float = float("inf")) -> int:
        """Return the number of calls that began in a period."""
        return sum(
            call.operation == (operation or call.operation) and since <= call.began < until
            for call in self.calls
        )


def name_of(life: Life) -> str:
    """Return the name of a run, which no other run has."""
    return f"name of {life.id}"


def description_of(life: Life, status: str) -> dict[str, Any]:
    """Return GetRun's fields of a run."""
    group = {"runGroupId": life.group} if life.group else {}
    return {**item_of(life, status), **group, "uuid": life.uuid}


def item_of(life: Life, status: str) -> dict[str, Any]:
    """Return ListRuns' fields of a run, which do not include its run group."""
    return {
        "arn": f"arn:aws:omics:us-east-1:123456789012:run/{life.id}",
        "id": life.id,
        "status": status,
        "workflowId": "1234567",
        "name": name_of(life),
        "priority": 100,
        "creationTime": life.creation_time,
        "storageType": "DYNAMIC",
    }


@dataclass
class Records:
    """A log that keeps its messages."""

    infos: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def info(self, message: str, *args: Any) -> None:
        self.infos.append(message % args)

    def warning(self, message: str, *args: Any) -> None:
        self.warnings.append(message % args)


@contextmanager
def moving_clock() -> Iterator[Clock]:
    """Replace the fixture, for each example of a property."""
    clock = Clock()
    # A poller polls at multiples of an interval, and an example must be reproducible.
    clock._start = 1_000_000.0
    wall = float(int(time.time()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", clock.monotonic)
        patch.setattr(time, "time", lambda: wall + clock.elapsed)
        patch.setattr(time, "sleep", clock.sleep)
        yield clock


def threads_of_others() -> set[threading.Thread]:
    """Return the threads, without those of an event loop's default executor."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")}


async def assert_nothing_is_left(threads: set[threading.Thread]) -> None:
    """
    Check that a poller that nobody waits on has stopped.

    :param threads: those from before the test
    """
    await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    for thread in threads_of_others() - threads:
        thread.join(30)
        assert not thread.is_alive(), f"{thread.name} is left"
