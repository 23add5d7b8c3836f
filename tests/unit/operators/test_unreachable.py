# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A start that cannot reach HealthOmics ends, costs few worker launches, and reports where it has called."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    SSLError,
)

from airflow_healthomics.compat import AirflowFailException
from airflow_healthomics.exceptions import HealthOmicsUnreachableError
from airflow_healthomics.publishing.resource import DELAY_KEY
from airflow_healthomics.publishing.resource_xcom import parse_delay
from tests.healthomics import Control
from tests.sdk import TaskDeferred
from tests.unit.batch_attempts import crashing
from tests.unit.conftest import (
    Clock,
    FakeTaskInstance,
    Store,
    Tasks,
    calls_of,
    intercepting,
    needs_store,
    try_of,
)
from tests.unit.histories import STORES, start_of

URL = "https://omics.us-esat-1.amazonaws.com"

ERRORS = [
    EndpointConnectionError(endpoint_url=URL),
    ConnectTimeoutError(endpoint_url=URL),
    SSLError(endpoint_url=URL, error=Exception("no certificate")),
    ProxyConnectionError(proxy_url="http://127.0.0.1:3128"),
]


def unreachable(error: Exception = ERRORS[0]) -> AbstractContextManager[None]:
    """Make StartRun fail to reach HealthOmics."""
    return crashing("StartRun", error=error)


class Attempt:
    """
    One attempt, deferral after deferral.

    :ivar launches: times at which a worker was launched for it, in seconds
    """

    def __init__(self, clock: Clock, tasks: Tasks, store: Store | None = None, **fields: Any) -> None:
        self._clock = clock
        self._tasks = tasks
        self._fields = fields
        self._event: Any = None
        self.ti = FakeTaskInstance()
        self.context = try_of(self.ti, store)
        self.launches: list[float] = []

    def run_once(self) -> Any:
        """Run the task on a worker once; return None after it has deferred and its trigger has fired."""
        self.launches.append(self._clock.elapsed)
        operator = start_of(**self._fields)
        try:
            if self._event is None:
                return operator.execute(self.context)
            return operator.resume_execution("resume_start", {"event": self._event}, self.context)
        except TaskDeferred as deferral:
            self._event = self._tasks.fire(deferral.trigger, deferral.timeout)
            return None

    def run_to_the_end(self) -> Any:
        """Run the task on a worker until it returns."""
        while (answer := self.run_once()) is None:
            pass
        return answer


@pytest.mark.usefixtures("without_key")
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_it_is_repeated_at_growing_intervals(
    omics: Control, clock: Clock, tasks: Tasks, error: Exception
) -> None:
    """At most twelve times an hour, whatever the error."""
    attempt = Attempt(clock, tasks)
    with unreachable(error):
        while clock.elapsed < 3600:
            assert attempt.run_once() is None
    assert 4 <= len(attempt.launches) <= 12
    assert calls_of(omics, "StartRun") == 0


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_triggerer_repeats_it_at_growing_intervals(
    omics: Control,
    tasks: Tasks,
    clock: Clock,
    logged: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """A dozen times an hour, besides the two processes on a worker, with the endpoint in a warning."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__START_PATIENCE", "3600")
    attempt = Attempt(clock, tasks)
    times = set()

    def respond(operation: str, call: Callable[[], Any]) -> Any:
        if operation == "StartRun":
            times.add(clock.elapsed)
            raise error
        return call()

    with intercepting(respond), pytest.raises(HealthOmicsUnreachableError):
        attempt.run_to_the_end()
    assert len(attempt.launches) == 2
    assert 4 <= len(times) <= 16
    text = logged()
    assert "The start did not reach HealthOmics" in text
    assert "; region us-east-1, endpoint http" in text


@pytest.mark.parametrize("with_store", STORES)
def test_the_triggerer_starts_once_after_the_outage(
    omics: Control, clock: Clock, tasks: Tasks, with_store: bool
) -> None:
    """In the same attempt, and with the same request."""
    attempt = Attempt(clock, tasks, Store() if with_store else None)
    with ExitStack() as stack:
        stack.enter_context(unreachable())
        clock.at(400, stack.close)
        run_id = attempt.run_to_the_end()
    assert [run["id"] for run in omics.runs()] == [run_id]
    assert len(attempt.launches) == 2


@pytest.mark.usefixtures("without_key")
@pytest.mark.parametrize("with_store", STORES)
def test_it_starts_once_after_the_outage(
    omics: Control, clock: Clock, tasks: Tasks, with_store: bool
) -> None:
    """In the same attempt, and with the same request."""
    attempt = Attempt(clock, tasks, Store() if with_store else None)
    with unreachable():
        attempt.run_once()
        attempt.run_once()
    run_id = attempt.run_once()
    assert [run["id"] for run in omics.runs()] == [run_id]


@pytest.mark.usefixtures("without_key")
def test_it_warns_from_the_second_time_on(
    omics: Control, clock: Clock, tasks: Tasks, logged: Callable[[], str]
) -> None:
    """The warning has region and endpoint, since one of them is wrong in most cases."""
    attempt = Attempt(clock, tasks)
    with unreachable():
        attempt.run_once()
        assert "has not reached HealthOmics" not in logged()
        attempt.run_once()
    text = logged()
    assert "has not reached HealthOmics" in text
    assert "EndpointConnectionError; region us-east-1, endpoint http" in text


@needs_store
def test_it_ends_retryably(
    omics: Control, clock: Clock, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``[healthomics] start_patience``; the next attempt starts the run."""
    monkeypatch.setenv("AIRFLOW__HEALTHOMICS__START_PATIENCE", "1800")
    store = Store()
    attempt = Attempt(clock, tasks, store)
    with unreachable(), pytest.raises(HealthOmicsUnreachableError, match="us-east-1") as caught:
        attempt.run_to_the_end()
    assert not isinstance(caught.value, AirflowFailException)
    assert 1800 <= clock.elapsed <= 1800 + 400
    attempt.ti.try_number = 2
    again = Attempt(clock, tasks, store)
    assert again.run_once() == omics.runs()[0]["id"]


@pytest.mark.usefixtures("without_key")
def test_the_run_page_shows_the_delay(omics: Control, clock: Clock, tasks: Tasks) -> None:
    """Its beginning and reason, and the next attempt; the beginning does not change."""
    attempt = Attempt(clock, tasks)
    with unreachable():
        attempt.run_once()
        first = parse_delay(attempt.ti.xcoms[DELAY_KEY])
        attempt.run_once()
    second = parse_delay(attempt.ti.xcoms[DELAY_KEY])
    assert first is not None
    assert second is not None
    assert (second["since"], second["reason"], second["region"]) == (
        first["since"],
        "EndpointConnectionError",
        "us-east-1",
    )
    assert first["since"] < first["nextAttempt"] < second["nextAttempt"]


def test_a_throttled_start_is_not_unreachable(
    omics: Control, clock: Clock, tasks: Tasks, logged: Callable[[], str]
) -> None:
    """It waits its turn, which comes soon, without a warning."""
    omics.inject_error("StartRun", "ThrottlingException", times=20)
    attempt = Attempt(clock, tasks)
    while attempt.run_once() is None:
        assert clock.elapsed < 120
    assert "has not reached" not in logged()
