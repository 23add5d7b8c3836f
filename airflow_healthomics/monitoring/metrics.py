# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The metrics of the package: their names, kinds and tags. Only this module knows them.

They are sent by Airflow's Stats, so StatsD, DogStatsD and OpenTelemetry receive them alike. Tags have few
values: none contains an id, a name of a run or anything else of a sample. A failing backend never affects a
start or a wait. docs/reference/metrics.md explains each metric.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, Final, Literal, NamedTuple

from airflow_healthomics.compat import airflow_stats
from airflow_healthomics.service.errors import bounded_code
from airflow_healthomics.service.times import as_time, seconds_between

log = logging.getLogger(__name__)

#: Airflow puts the prefix of its configuration before it.
PREFIX: Final = "healthomics."

#: Airflow's StatsD client drops metrics whose tags have other characters.
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_./-]")

#: The time at which a run, batch or job ended, in its summary.
_END_TIMES: Final = ("stopTime", "processedTime", "failedTime", "completionTime")


#: The kind of a metric. Counters and gauges have plain numbers, timers have milliseconds in StatsD.
Kind = Literal["counter", "gauge", "timer"]


class Metric(NamedTuple):
    """
    A metric.

    :param name: name after :data:`PREFIX`
    :param kind: counter, gauge or timer
    :param tags: names of its tags
    """

    name: str
    kind: Kind
    tags: tuple[str, ...]


class Place(NamedTuple):
    """
    The connection and region of a wait or start.

    :param connection: Airflow's connection id; None for boto3's default credentials
    :param region: region, if it is known
    """

    connection: str | None = None
    region: str | None = None


UNKNOWN_PLACE: Final = Place()

_PLACE: Final = ("connection", "region")

#: Gauges have the host, since each triggerer sends its own value.
_OF_TRIGGERER: Final = ("kind", *_PLACE, "hostname")

STARTS: Final = Metric("starts", "counter", ("kind", "outcome"))
START_DELAYS: Final = Metric("start.delays", "counter", ("kind", "reason"))
DELAYED_STARTS: Final = Metric("delayed_starts", "gauge", _OF_TRIGGERER)
DELAYED_STARTS_AGE: Final = Metric("delayed_starts.age", "gauge", _OF_TRIGGERER)
WAITS: Final = Metric("waits", "gauge", _OF_TRIGGERER)
POLL_DURATION: Final = Metric("poll.duration", "timer", ("operation",))
AWS_CALLS: Final = Metric("aws.calls", "counter", ("connection", "service", "operation", "code"))
BACKOFF: Final = Metric("backoff", "timer", ("activity", "reason"))
CREDENTIALS_REFUSED: Final = Metric("credentials.refused", "counter", _PLACE)
EVENT_LAG: Final = Metric("event.lag", "timer", ("kind",))
ENDED: Final = Metric("ended", "counter", ("kind", "status", "reason"))
RUN_QUEUED: Final = Metric("run.queued", "timer", ("status",))
RUN_DURATION: Final = Metric("run.duration", "timer", ("status",))
PAGE_ANSWERS: Final = Metric("page.answers", "counter", ("status",))

#: All of them.
METRICS: Final = tuple(value for value in list(vars().values()) if isinstance(value, Metric))


# --- starts ---


def start_made(kind: str, outcome: str) -> None:
    """
    Count the outcome of an attempt's start.

    :param kind: run, batch or a kind of job
    :param outcome: started, repeated, reattached or refused
    """
    _send(STARTS, 1, kind, outcome)


def start_delayed(kind: str, code: str) -> None:
    """
    Count a start that is repeated later.

    :param kind: run, batch or a kind of job
    :param code: AWS error code, or class name of the connection error
    """
    _send(START_DELAYS, 1, kind, bounded_code(code))


def starts_waiting(kind: str, place: Place, count: int, age: float) -> None:
    """
    Report the delayed starts of this triggerer.

    :param kind: run, batch or a kind of job
    :param place: their connection
    :param count: number of delayed starts
    :param age: seconds since the oldest one was delayed first
    """
    _send(DELAYED_STARTS, count, kind, *place, _hostname())
    _send(DELAYED_STARTS_AGE, age, kind, *place, _hostname())


# --- waits ---


def waiting(kind: str, place: Place, count: int) -> None:
    """
    Report the waits of this triggerer.

    :param kind: run, batch or a kind of job
    :param place: their connection
    :param count: number of waiting tasks
    """
    _send(WAITS, count, kind, *place, _hostname())


@contextmanager
def polling(operation: str) -> Iterator[None]:
    """
    Measure a poll, whether it succeeds or not.

    :param operation: its API operation
    """
    began = time.monotonic()
    try:
        yield
    finally:
        _send(POLL_DURATION, time.monotonic() - began, operation)


def backed_off(activity: str, reason: str, seconds: float) -> None:
    """
    Record a pause after a failed call.

    :param activity: poll or start
    :param reason: throttled, failing or unreachable
    :param seconds: duration of the pause
    """
    _send(BACKOFF, seconds, activity, reason)


def credentials_refused(place: Place) -> None:
    """
    Count a start or poll that failed because of the credentials.

    :param place: their connection
    """
    _send(CREDENTIALS_REFUSED, 1, *place)


def event_sent(kind: str, summary: Mapping[str, Any]) -> None:
    """
    Record the time from the end of a run or batch to the event that resumes its task.

    :param kind: run, batch or a kind of job
    :param summary: its summary
    """
    end = next((summary[name] for name in _END_TIMES if name in summary), None)
    lag = seconds_between(as_time(end), datetime.fromtimestamp(time.time(), UTC))
    if lag is not None:
        _send(EVENT_LAG, lag, kind)


def ended(kind: str, summary: Mapping[str, Any], reason: str) -> None:
    """
    Count a run or batch whose end a task has seen. For a run, record its times, too.

    :param kind: run, batch or a kind of job
    :param summary: its summary
    :param reason: documented failure reason, other or none
    """
    status = summary["status"]
    _send(ENDED, 1, kind, status, reason)
    if kind != "run":
        return
    created, started, stopped = (
        as_time(summary.get(f"{name}Time")) for name in ("creation", "start", "stop")
    )
    for metric, seconds in (
        (RUN_QUEUED, seconds_between(created, started)),
        (RUN_DURATION, seconds_between(started, stopped)),
    ):
        if seconds is not None:
            _send(metric, seconds, status)


# --- AWS and the run page ---


def count_calls(session: Any, connection: str | None) -> None:
    """
    Count the calls of all clients that are made from a session later, each attempt separately.

    :param session: a ``boto3.session.Session``
    :param connection: Airflow's connection id
    """
    session.events.register(
        "response-received", partial(_count_call, connection), unique_id="airflow-healthomics-metrics"
    )


def _count_call(
    connection: str | None,
    event_name: str = "",
    parsed_response: Mapping[str, Any] | None = None,
    exception: BaseException | None = None,
    **_: Any,
) -> None:
    """Receive botocore's event after each attempt of a call."""
    if airflow_stats() is None:
        return
    service, operation = event_name.split(".")[1:3]
    error: Mapping[str, str] = (parsed_response or {}).get("Error", {})
    code = type(exception).__name__ if exception else error.get("Code", "ok")
    _send(AWS_CALLS, 1, connection, service, operation, bounded_code(code))


def page_answered(status: int) -> None:
    """
    Count an answer of the run page's API.

    :param status: its HTTP status
    """
    _send(PAGE_ANSWERS, 1, str(status))


# --- sending ---


def _send(metric: Metric, value: float, *tags: str | None) -> None:
    try:
        stats = airflow_stats()
        if stats is None:
            return
        name = PREFIX + metric.name
        tagged = {
            tag: _FORBIDDEN.sub("_", text or "none") for tag, text in zip(metric.tags, tags, strict=True)
        }
        match metric.kind:
            case "counter":
                stats.incr(name, int(value), tags=tagged)
            case "gauge":
                stats.gauge(name, value, tags=tagged)
            case "timer":
                # Releases and backends disagree on the unit of a number.
                stats.timing(name, timedelta(seconds=value), tags=tagged)
    except Exception as error:  # noqa: BLE001 - Stats raises what its backend raises; a start or wait must continue
        _warn(type(error).__name__)


@cache
def _warn(error: str) -> None:
    """Warn of each class of error once in a process."""
    log.warning(
        "Metrics could not be sent (%s). Check the section [metrics] of Airflow's configuration", error
    )


@cache
def _hostname() -> str:
    return socket.gethostname()
