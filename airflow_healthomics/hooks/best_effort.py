# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Calls that tell more of a run that has ended: they may fail, and must not hold up the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from time import monotonic
from typing import Any, Final

from airflow.providers.amazon.aws.hooks.base_aws import SessionFactory
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.api_model import extend_session
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code, is_not_found

#: Seconds that one attempt of a call may take, at most twice (botocore's own: 60, 60 and three attempts).
CONNECT_TIMEOUT: Final = 2.0
READ_TIMEOUT: Final = 5.0
MAX_ATTEMPTS: Final = 2

#: Seconds that the last call may take on top of an inquiry's own, and the pause before its second attempt.
LAST_CALL: Final = MAX_ATTEMPTS * (CONNECT_TIMEOUT + READ_TIMEOUT) + 1

#: Seconds before a task times out in which no inquiry is under way any more.
MARGIN: Final = 1.0

#: OSError is what a connection's identity provider or token file ends with, outside botocore.
_AWS_ERRORS: Final = (ClientError, BotoCoreError, OSError)


class Inquiry:
    """
    Calls that may fail: an error costs a line in the log, and what failed is not asked again.

    :param hook: its connection, region, endpoints and settings are used, with shorter timeouts
    :param subject: what the calls are for, as the log calls it
    :param seconds: no call begins later than so many seconds from now; the last one may take
        :data:`LAST_CALL` more
    :param say: logs what is left out, and why
    :param note: logs what is not there
    """

    def __init__(
        self,
        hook: HealthOmicsHook,
        subject: str,
        *,
        seconds: float,
        say: Callable[..., Any],
        note: Callable[..., Any],
    ) -> None:
        self._hook, self._subject, self._seconds = hook, subject, seconds
        self._say, self._say_missing = say, note
        self._clients: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._deadline = monotonic() + seconds
        self._late = False

    @staticmethod
    def seconds_within(limit: float, time_left: timedelta | None) -> float:
        """
        Return the seconds for an inquiry that must end before the task times out; 0 or less leaves none.

        :param limit: seconds that it may take in any case
        :param time_left: until the task times out, if it does
        """
        return limit if time_left is None else min(limit, time_left.total_seconds() - LAST_CALL - MARGIN)

    def ask(self, permission: str, **request: Any) -> Mapping[str, Any]:
        """Return the answer, or an empty one; the permission, such as omics:GetRunTask, names the call."""
        if permission in self._failed or self._is_late():
            return {}
        service, operation = permission.split(":")
        try:
            answer: dict[str, Any] = getattr(self._client(service), xform_name(operation))(**request)
        except _AWS_ERRORS as error:
            self._note(permission, error)
            return {}
        return answer

    def endpoint_url(self, service: str) -> str:
        """Return the URL that calls to a service, such as ``sts``, go to."""
        return str(self._client(service).meta.endpoint_url)

    @cached_property
    def _config(self) -> Config:
        """The hook's settings, with little patience."""
        ours = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
            # The hook has decided that by its endpoint.
            inject_host_prefix=self._hook.conn_client_meta.config.inject_host_prefix,
        )
        return self._hook.config.merge(ours)

    @cached_property
    def _session(self) -> Any:
        """
        A session of the hook's connection.

        A second hook would look the connection up again, which can fail in ways that are not AWS's.
        """
        hook = self._hook
        session = SessionFactory(hook.conn_config, hook.region_name, self._config).create_session()
        extend_session(session)
        return session

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            url = self._hook.conn_config.get_service_endpoint_url(service)
            self._clients[service] = self._session.client(
                service, endpoint_url=url, config=self._config, verify=self._hook.verify
            )
        return self._clients[service]

    def _is_late(self) -> bool:
        if not self._late and monotonic() >= self._deadline:
            self._late = True
            self._say("%s ends early, after %s s", self._subject, self._seconds)
        return self._late

    def _note(self, permission: str, error: BaseException) -> None:
        if is_not_found(error):
            # A task that printed nothing has no log, while the engine may have one.
            self._say_missing("%s: %s finds nothing", self._subject, permission)
            return
        self._failed.add(permission)
        code = error_code(error)
        advice = "; the IAM policy must allow it" if code.startswith("AccessDenied") else ""
        self._say("%s goes without %s, which failed with %s%s", self._subject, permission, code, advice)
