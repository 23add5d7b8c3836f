# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The account and region of a connection, for not-found errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowTaskTimeout
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.service.log import Log

#: No call starts later than this many seconds after the first.
MAX_SECONDS: Final = 5.0

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def describe_place(hook: HealthOmicsHook, log: Log, *, time_left: timedelta | None = None) -> str:
    """
    Return the account and region of a connection, such as ``account 123456789012, region us-east-1``.

    Needs seconds at most, for a GetCallerIdentity call. It requires no permission.

    :param hook: hook of the connection
    :param log: the task's log
    :param time_left: until the task times out, if it does
    """
    region = f"region {hook.conn_region_name}"
    account = _account(hook, log, BestEffortClient.seconds_within(MAX_SECONDS, time_left))
    return f"account {account}, {region}" if account else f"{region} (the account could not be looked up)"


def _account(hook: HealthOmicsHook, log: Log, seconds: float) -> str | None:
    if seconds <= 0:
        return None
    subject = "The account of the connection"
    aws = BestEffortClient(hook, subject, seconds=seconds, on_error=log.info, on_missing=log.info)
    try:
        # A local HealthOmics belongs to no AWS account.
        if _is_loopback(hook.conn.meta.endpoint_url) and not _is_loopback(aws.endpoint_url("sts")):
            return None
        return aws.call("sts:GetCallerIdentity").get("Account")
    except (BotoCoreError, ClientError, OSError) as error:
        log.info("%s could not be looked up: %s", subject, error_code(error))
    except AirflowTaskTimeout:
        # Airflow would retry a timeout, but the error that needs this account may be permanent.
        log.warning("%s could not be looked up: the task timed out", subject)
    return None


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "").lower().endswith(_LOOPBACK)
