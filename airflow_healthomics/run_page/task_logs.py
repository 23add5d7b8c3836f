# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Read the logs of tasks and of the engine, page by page from the end backwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from airflow_healthomics.reports.log_pages import earlier_token, log_lines, log_request
from airflow_healthomics.service.errors import is_not_found

#: Events per page, and their maximum, that of GetLogEvents:
#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
PAGE_EVENTS: Final = 200
MAX_EVENTS: Final = 10_000

#: Maximum number of characters per line.
MAX_LINE: Final = 1_000

#: Calls until a page is not empty. GetLogEvents may return empty pages before the last.
MAX_CALLS: Final = 3


class LogPosition(NamedTuple):
    """
    A page of a log.

    :param task_id: HealthOmics task id; None for the log of the engine
    :param before: token of the page, from the page after it; None for the end of the log
    :param limit: maximum number of events
    """

    task_id: str | None
    before: str | None
    limit: int


def read_log(
    client: Any, stream: str, created: str | datetime, position: LogPosition
) -> tuple[list[str], str | None]:
    """
    Return the lines of a page and the token of the page before; no lines if there is no such log.

    :param client: of CloudWatch Logs
    :param stream: log stream
    :param created: creation time of the run
    :param position: the page
    """
    request = log_request(stream, created, position.limit)
    if position.before:
        request["nextToken"] = position.before
    token = None
    for _ in range(MAX_CALLS):
        try:
            page = client.get_log_events(**request)
        except ClientError as error:
            if not is_not_found(error):
                raise
            # A task without output has no log stream.
            return [], None
        lines, token = log_lines(page, MAX_LINE), earlier_token(page, request)
        if lines or not token:
            return lines, token
        request["nextToken"] = token
    return [], token
