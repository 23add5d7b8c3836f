# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A StatsD server receives the outcome of each start, its delays and its pauses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsError
from airflow_healthomics.monitoring.metrics import Place
from airflow_healthomics.starting.delayed import DelayedStarts
from airflow_healthomics.starting.dispatcher import Dispatcher
from tests.healthomics import Control
from tests.unit import virtual_time
from tests.unit.conftest import Clock, FakeTaskInstance, Store, Tasks, intercepting, needs_store, try_of
from tests.unit.histories import STORES, History, start_of
from tests.unit.kinds import KINDS, Kind
from tests.unit.statsd import StatsD

# --- outcomes ---


@KINDS
def test_a_start_is_counted(
    statsd: StatsD, omics: Control, tasks: Tasks, context: Context, kind: Kind
) -> None:
    """By kind and outcome."""
    tasks.run(lambda: kind.task(wait_for_completion=False), context)
    assert statsd.counts("starts", "kind", "outcome") == {(kind.name, "started"): 1}


@pytest.mark.parametrize("with_store", STORES)
def test_a_delayed_start_is_counted_once(
    statsd: StatsD, omics: Control, tasks: Tasks, with_store: bool
) -> None:
    """It is still the start of this attempt, although the triggerer made it."""
    omics.inject_error("StartRun", "ThrottlingException", times=3)
    tasks.run(start_of, try_of(FakeTaskInstance(), Store() if with_store else None))
    assert statsd.counts("starts", "outcome") == {("started",): 1}


def test_a_retry_is_a_reattachment(statsd: StatsD, omics: Control) -> None:
    """It starts nothing."""
    history = History(omics, with_store=False)
    history.try_again()
    history.try_again()
    assert statsd.counts("starts", "outcome") == {("started",): 1, ("reattached",): 1}


@pytest.mark.parametrize("with_store", STORES)
def test_a_retry_after_a_failed_run_is_a_start(statsd: StatsD, omics: Control, with_store: bool) -> None:
    """It belongs to the next generation."""
    history = History(omics, with_store=with_store)
    omics.advance("FAILED", run_id=history.try_again())
    history.try_again()
    assert statsd.counts("starts", "outcome") == {("started",): 2}


@needs_store
@pytest.mark.parametrize(
    ("crash", "fields", "outcome"),
    [
        ("before-call", {}, "repeated"),
        ("after-call", {"name": "custom"}, "repeated"),
        ("after-call", {}, "reattached"),
    ],
    ids=["lost", "unnamed", "found"],
)
def test_a_retry_after_a_crash_sends_the_request_again_or_finds_its_run(
    statsd: StatsD, omics: Control, crash: str, fields: dict[str, Any], outcome: str
) -> None:
    """HealthOmics returns the started run for a repeated request."""
    history = History(omics, with_store=True, **fields)
    history.try_again(crash)
    history.try_again()
    assert statsd.counts("starts", "outcome") == {(outcome,): 1}


@KINDS
def test_a_refusal_is_counted(statsd: StatsD, omics: Control, context: Context, kind: Kind) -> None:
    """Once, with the code of the call."""
    start = kind.operation("Start")
    omics.inject_error(start, "AccessDeniedException")
    with pytest.raises(HealthOmicsApiError):
        kind.task().execute(context)
    assert statsd.counts("starts", "kind", "outcome") == {(kind.name, "refused"): 1}
    assert statsd.counts("aws.calls", "operation", "code") == {(start, "AccessDeniedException"): 1}


@pytest.mark.parametrize("with_store", STORES)
def test_refused_credentials_are_counted(statsd: StatsD, omics: Control, with_store: bool) -> None:
    """By connection and region."""
    history = History(omics, with_store=with_store)
    omics.inject_error("StartRun", "ExpiredTokenException", status=403)
    with pytest.raises(HealthOmicsError):
        history.try_again()
    assert statsd.counts("credentials.refused", "connection", "region") == {("aws_default", "us-east-1"): 1}


def test_a_kill_before_the_start_is_no_refusal(statsd: StatsD, omics: Control, context: Context) -> None:
    """HealthOmics did not refuse anything."""
    operator = start_of()

    def respond(operation: str, call: Any) -> Any:
        operator.on_kill()
        return call()

    omics.inject_error("StartRun", "InternalServerException")
    with intercepting(respond), pytest.raises(HealthOmicsError, match="killed before its run was started"):
        operator.execute(context)
    assert statsd.counts("starts", "outcome") == {}


# --- delays ---


@KINDS
def test_a_delayed_start_is_visible_while_it_waits(
    statsd: StatsD, omics: Control, tasks: Tasks, context: Context, kind: Kind
) -> None:
    """With its reason, its age and the pauses; afterwards none remains."""
    omics.inject_error(kind.operation("Start"), "ThrottlingException", times=4)
    tasks.run(lambda: kind.task(wait_for_completion=False), context)
    assert statsd.counts("start.delays", "kind", "reason") == {(kind.name, "ThrottlingException"): 1}
    assert statsd.counts("starts", "outcome") == {("started",): 1}
    numbers = statsd.received("delayed_starts")
    assert (numbers[0].value, numbers[-1].value) == (1, 0)
    assert {each.tags["connection"] for each in numbers} == {"aws_default"}
    ages = [each.value for each in statsd.received("delayed_starts.age")]
    assert max(ages) > 0
    assert ages[-1] == 0
    pauses = statsd.received("backoff")
    assert {(each.tags["activity"], each.tags["reason"]) for each in pauses} == {("start", "throttled")}


def test_the_age_is_that_of_the_oldest_delayed_start(statsd: StatsD, clock: Clock) -> None:
    """A start with unknown first delay counts from now, and a clock that was set back gives no age."""
    starts = DelayedStarts("batch", Place("lab", "eu-west-1"))
    now = clock.time()
    with starts.added(0), starts.added(now - 70):
        clock.advance(30)
        starts.report()
    with starts.added(now + 1000):
        pass
    numbers, ages = statsd.received("delayed_starts"), statsd.received("delayed_starts.age")
    assert [each.value for each in numbers] == [1, 2, 2, 1, 0, 1, 0]
    assert [each.value for each in ages] == [0, 70, 100, 30, 0, 0, 0]
    for each in (*numbers, *ages):
        assert (each.tags["kind"], each.tags["connection"], each.tags["region"]) == (
            "batch",
            "lab",
            "eu-west-1",
        )


@pytest.mark.parametrize(
    ("error", "reason", "least", "most"),
    [
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "StartRun"), "throttled", 100, 100),
        (ClientError({"Error": {"Code": "InternalServerException"}}, "StartRun"), "failing", 100, 100),
        (EndpointConnectionError(endpoint_url="https://omics"), "unreachable", 132_000, 156_000),
    ],
    ids=["throttled", "failing", "unreachable"],
)
def test_the_pause_after_a_failed_call_is_recorded(
    statsd: StatsD, clock: Clock, error: Exception, reason: str, least: float, most: float
) -> None:
    """In milliseconds: a twentieth of the interval of two seconds, or minutes without a connection."""
    errors = [error]

    async def look_up() -> None:
        await asyncio.sleep(0)

    async def call() -> str:
        if errors:
            raise errors.pop()
        return "started"

    assert virtual_time.run(clock, Dispatcher(0.5).dispatch(look_up, call)) == "started"
    (pause,) = statsd.received("backoff")
    assert (pause.tags["activity"], pause.tags["reason"]) == ("start", reason)
    assert least <= pause.value <= most
