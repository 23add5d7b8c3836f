# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A StatsD server receives the number of waits, each poll, each pause, and the delay of events."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import HealthOmicsApiError
from airflow_healthomics.monitoring import metrics
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, Tasks, calls_of
from tests.unit.histories import start_of
from tests.unit.kinds import KINDS, RUN
from tests.unit.kinds import Kind as Resource
from tests.unit.statsd import Received, StatsD
from tests.unit.waiting.scenes import Scene, running


@KINDS
def test_a_wait_is_visible_until_its_event(
    statsd: StatsD, omics: Control, tasks: Tasks, clock: Clock, kind: Resource
) -> None:
    """With the duration of each poll and the time from the end to the event."""
    resource_id = kind.start(omics)
    clock.at(100, lambda: omics.advance("COMPLETED"))
    tasks.fire(kind.trigger(**kind.by_id(resource_id), waiter_delay=60))
    numbers = statsd.received("waits")
    assert [each.value for each in numbers] == [1, 0]
    assert {each.tags["kind"] for each in numbers} == {kind.name}
    polls = [each.tags["operation"] for each in statsd.received("poll.duration")]
    assert polls == [kind.get] * calls_of(omics, kind.get)
    (lag,) = statsd.received("event.lag")
    assert lag.tags == {"kind": kind.name}


@pytest.mark.parametrize("field", ["stopTime", "processedTime", "failedTime"])
def test_the_lag_is_measured_from_the_end(statsd: StatsD, clock: Clock, field: str) -> None:
    """Runs and batches have different names for it. A summary without it has no lag."""
    end = datetime.fromtimestamp(clock.time() - 42, UTC).isoformat()
    metrics.event_sent("run", {field: end})
    metrics.event_sent("run", {})
    assert [each.value for each in statsd.received("event.lag")] == [42_000]


def test_each_poll_of_many_waits_is_measured(statsd: StatsD, clock: Clock) -> None:
    """By its operation, including lists; and each wait is counted until it ends."""
    scene = Scene(clock, [running(number, 200) for number in range(10)])
    scene.run(scene.wait_for_all())
    polls = Counter(each.tags["operation"] for each in statsd.received("poll.duration"))
    assert polls == Counter(call.operation for call in scene.omics.calls)
    assert polls.keys() == {"GetRun", "ListRuns"}
    numbers = statsd.received("waits")
    assert [each.value for each in numbers] == [*range(1, 11), *reversed(range(10))]
    assert {each.tags["kind"] for each in numbers} == {"run"}


def _within(least: float, most: float) -> Any:
    return pytest.approx((least + most) / 2, rel=0, abs=(most - least) / 2)


def test_throttled_and_failing_polls_pause(
    statsd: StatsD, omics: Control, tasks: Tasks, clock: Clock
) -> None:
    """Each pause has its reason, and each call its error code."""
    run_id = RUN.start(omics)
    omics.inject_error("GetRun", "ThrottlingException", times=2)
    omics.inject_error("GetRun", "InternalServerException")
    clock.at(100, lambda: omics.advance("COMPLETED"))
    tasks.fire(RUN.trigger(run_id=run_id, botocore_config=ONE_ATTEMPT))
    assert statsd.received("backoff") == [
        Received("backoff", "ms", _within(0, 60_000), {"activity": "poll", "reason": "throttled"}),
        Received("backoff", "ms", _within(0, 60_000), {"activity": "poll", "reason": "throttled"}),
        Received("backoff", "ms", _within(500, 1000), {"activity": "poll", "reason": "failing"}),
    ]
    calls = statsd.counts("aws.calls", "service", "operation", "code")
    assert calls["omics", "GetRun", "ThrottlingException"] == 2
    assert calls["omics", "GetRun", "InternalServerException"] == 1
    assert calls["omics", "GetRun", "ok"] == calls_of(omics, "GetRun") - 3


def test_refused_credentials_are_counted(
    statsd: StatsD, omics: Control, tasks: Tasks, context: Context, clock: Clock
) -> None:
    """For waits and for starts, by connection."""
    run_id = RUN.start(omics)
    omics.inject_error("GetRun", "ExpiredTokenException", status=403, times=3)
    clock.at(300, lambda: omics.advance("COMPLETED"))
    tasks.fire(RUN.trigger(run_id=run_id))
    assert statsd.counts("credentials.refused", "connection")["aws_default",] >= 3
    before = statsd.counts("credentials.refused", "connection")["aws_default",]
    omics.inject_error("StartRun", "ExpiredTokenException", status=403)
    with pytest.raises(HealthOmicsApiError):
        start_of().execute(context)
    assert statsd.counts("credentials.refused", "connection")["aws_default",] == before + 1


def test_botocores_own_retries_are_counted(statsd: StatsD, omics: Control, started: Any) -> None:
    """A throttled attempt uses quota even if botocore's next one succeeds."""
    run = started()
    omics.inject_error("GetRun", "ThrottlingException")
    RUN.sensor(task_id="wait", run_id=run["id"]).hook.get_run(run["id"])
    assert statsd.counts("aws.calls", "operation", "code") == {
        ("GetRun", "ThrottlingException"): 1,
        ("GetRun", "ok"): 1,
    }
