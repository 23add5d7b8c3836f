# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of a HealthOmics log in CloudWatch, from its end backwards: requests and lines. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_healthomics.links import LOG_GROUP
from airflow_healthomics.service.text import shorten


def line_count(value: Any) -> int:
    """
    Return the argument ``log_tail_lines`` as a number. Any other value is 0, so that it shows no log.

    :param value: the argument after rendering; a template may yield digits
    """
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) else 0


def engine_stream(run: Mapping[str, Any]) -> str:
    """
    Return the log stream of the engine of a run.

    :param run: answer of GetRun, or a summary of it
    """
    return stream_name(run.get("logLocation", {}).get("engineLogStream", f"run/{run['id']}/engine"))


def task_stream(run_id: str, task_id: str) -> str:
    """
    Return the log stream of a task, by the user guide, page "monitoring-cloudwatch-logs".

    :param run_id: HealthOmics run id
    :param task_id: HealthOmics task id
    """
    return f"run/{run_id}/task/{task_id}"


def stream_name(stream: str) -> str:
    """Return the name of a log stream, given its name or its ARN."""
    return stream.rpartition(":log-stream:")[2]


def log_request(stream: str, created: str | datetime, limit: int) -> dict[str, Any]:
    """
    Return the arguments of GetLogEvents for the last events of a log.

    :param stream: log stream
    :param created: creation time of the run. HealthOmics may reuse the id of a deleted run, and with it the
        name of the log stream
    :param limit: number of events
    """
    if isinstance(created, str):
        created = datetime.fromisoformat(created)
    return {
        "logGroupName": LOG_GROUP,
        "logStreamName": stream,
        "startTime": int(created.timestamp() * 1000),
        "startFromHead": False,
        "limit": limit,
    }


def log_lines(page: Mapping[str, Any], max_length: int) -> list[str]:
    """
    Return the lines of a page of events.

    :param page: answer of GetLogEvents
    :param max_length: of a line; a longer one loses words of its middle
    """
    lines = (line for event in page.get("events", ()) for line in event["message"].splitlines())
    return [shorten(line, max_length) for line in lines]


def earlier_token(page: Mapping[str, Any], request: Mapping[str, Any]) -> str | None:
    """
    Return the token of the page before, or None at the beginning of the log.

    :param page: answer of GetLogEvents
    :param request: its request
    """
    # The API reference: "The returned tokens are never null." A repeated token marks the end.
    token: str | None = page.get("nextBackwardToken")
    return None if token == request.get("nextToken") else token
