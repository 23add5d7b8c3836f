# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Optional AWS calls for reports: they may fail, but never change or delay the outcome of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from time import monotonic
from typing import Any, Final

from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code, is_not_found

#: Seconds per attempt, of two at most (botocore: 60, 60 and three attempts).
CONNECT_TIMEOUT: Final = 2.0
READ_TIMEOUT: Final = 5.0
MAX_ATTEMPTS: Final = 2

#: Longest duration of one call: all attempts and a pause of a second.
LONGEST_CALL_SECONDS: Final = MAX_ATTEMPTS * (CONNECT_TIMEOUT + READ_TIMEOUT) + 1

#: Seconds between the end of the last call and the timeout of the task.
MARGIN_SECONDS: Final = 1.0

#: The identity provider or token file of a connection can raise OSError, outside botocore.
_AWS_ERRORS: Final = (ClientError, BotoCoreError, OSError)


class BestEffortClient:
    """
    A client for optional calls.

    A failed call is logged and never repeated. The caller gets an empty answer.

    :param hook: provides connection, region, endpoints and settings; the timeouts are shorter
    :param subject: purpose of the calls, for the log
    :param seconds: no call starts later than this; the last one may last :data:`LONGEST_CALL_SECONDS` more
    :param on_error: logs a call that fails, or that is skipped for lack of time
    :param on_missing: logs a resource that AWS does not find
    """

    def __init__(
        self,
        hook: HealthOmicsHook,
        subject: str,
        *,
        seconds: float,
        on_error: Callable[..., Any],
        on_missing: Callable[..., Any],
    ) -> None:
        self._hook, self._subject, self._seconds = hook, subject, seconds
        self._on_error, self._on_missing = on_error, on_missing
        self._clients: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._deadline = monotonic() + seconds
        self._is_expired = False

    @staticmethod
    def seconds_within(limit: float, time_left: timedelta | None) -> float:
        """
        Return how long calls may start, so that the last one ends before the task times out.

        :param limit: maximum in seconds
        :param time_left: until the task times out, if it does
        :returns: seconds; 0 or less means that no call fits
        """
        if time_left is None:
            return limit
        return min(limit, time_left.total_seconds() - LONGEST_CALL_SECONDS - MARGIN_SECONDS)

    def call(self, permission: str, **request: Any) -> Mapping[str, Any]:
        """Return AWS's answer, or an empty mapping on failure; name the call by its IAM permission."""
        if permission in self._failed or self._is_late():
            return {}
        service, operation = permission.split(":")
        try:
            answer: dict[str, Any] = getattr(self._client(service), xform_name(operation))(**request)
        except _AWS_ERRORS as error:
            self._log_error(permission, error)
            return {}
        return answer

    def endpoint_url(self, service: str) -> str:
        """Return the endpoint URL of a service, such as ``sts``."""
        return str(self._client(service).meta.endpoint_url)

    @cached_property
    def _config(self) -> Config:
        """The hook's settings with shorter timeouts and fewer attempts."""
        impatient = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
            # The hook derives it from its endpoint.
            inject_host_prefix=self._hook.conn_client_meta.config.inject_host_prefix,
        )
        return self._hook.config.merge(impatient)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._hook.client_for(service, self._config)
        return self._clients[service]

    def _is_late(self) -> bool:
        if not self._is_expired and monotonic() >= self._deadline:
            self._is_expired = True
            self._on_error(
                "%s is incomplete: it reached its time limit of %s s", self._subject, self._seconds
            )
        return self._is_expired

    def _log_error(self, permission: str, error: BaseException) -> None:
        if is_not_found(error):
            # A task without output has no log stream, though the engine may have one.
            self._on_missing("%s: %s found nothing", self._subject, permission)
            return
        self._failed.add(permission)
        code = error_code(error)
        advice = f". The IAM policy must allow {permission}" if code.startswith("AccessDenied") else ""
        self._on_error("%s is incomplete: %s failed with %s%s", self._subject, permission, code, advice)
