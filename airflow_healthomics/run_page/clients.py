# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Caches of the run page across requests: clients and lanes by connection, and other values."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException, AirflowNotFoundException, conf
from airflow_healthomics.hooks.base import CONNECTION_MISTAKES
from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.hooks.shared_connection import Settings, connection_settings
from airflow_healthomics.run_page.answers import PageError
from airflow_healthomics.run_page.budget import DEFAULT_RATE, Budget
from airflow_healthomics.run_page.cache import Lane
from airflow_healthomics.run_page.lookup import DEFAULT_CONNECTION, TaskConnection

#: Seconds until a connection is looked up again, so that a change takes effect.
_CLIENT_SECONDS: Final = 300.0
#: Maximum number of cached clients.
_MAX_CLIENTS: Final = 32

#: Concurrent fetches of a connection and region, and running and queued ones.
THREADS: Final = 4
MAX_PENDING: Final = 32

#: Maximum number of cached lanes.
_MAX_LANES: Final = 1024

#: Errors of looking up a connection and creating its client.
_CONNECTION_ERRORS: Final = (*CONNECTION_MISTAKES, AirflowException, BotoCoreError, ClientError, OSError)

log = logging.getLogger(__name__)


class Memory:
    """A bounded cache of values by key. Each value has its own lifetime."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Any, tuple[Any, float]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Any) -> Any:
        with self._lock:
            value, expires = self._values.get(key, (None, -math.inf))
        return value if time.monotonic() < expires else None

    def put(self, key: Any, value: Any, seconds: float = math.inf) -> None:
        with self._lock:
            self._values[key] = (value, time.monotonic() + seconds)
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)

    def drop(self, key: Any) -> None:
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


@dataclass
class _Client:
    """
    A hook with its client.

    :param settings: those of the connection
    :param checked: monotonic time at which the connection had them
    """

    hook: PollingHook
    settings: Settings
    checked: float

    def is_current(self) -> bool:
        """Whether the connection is unchanged, as far as that is known."""
        now = time.monotonic()
        if now < self.checked + _CLIENT_SECONDS:
            return True
        try:
            settings = connection_settings(self.hook)
        except _CONNECTION_ERRORS:
            return False
        self.checked = now
        return settings == self.settings


class Hooks:
    """
    A cache of hooks by connection and region.

    Creating a client costs a tenth of a second, and a call of STS if the connection has a role.
    """

    def __init__(self) -> None:
        self._memory = Memory(_MAX_CLIENTS)

    def get(self, connection: TaskConnection, region: str) -> PollingHook:
        key = (connection, region)
        client: _Client | None = self._memory.get(key)
        if client is None or not client.is_current():
            client = self._make(connection, region)
            self._memory.put(key, client)
        return client.hook

    def drop(self, connection: TaskConnection, region: str) -> None:
        self._memory.drop((connection, region))

    def clear(self) -> None:
        self._memory.clear()

    @staticmethod
    def _make(connection: TaskConnection, region: str) -> _Client:
        conn_id = connection.aws_conn_id
        hook = PollingHook(aws_conn_id=conn_id, region_name=region, verify=connection.verify)
        budget = lanes.get(connection, region).budget
        try:
            settings = connection_settings(hook)
            if settings is None and conn_id != DEFAULT_CONNECTION:
                # The amazon provider would continue with the credentials of the API server.
                raise AirflowNotFoundException
            # botocore emits this for each attempt of a call, by all clients of the session.
            hook.get_session(hook.region_name).events.register("request-created", budget.charge)
            _ = hook.conn
        except AirflowNotFoundException:
            raise PageError(502, f"The API server does not find the Airflow connection {conn_id}.") from None
        except _CONNECTION_ERRORS as error:
            log.warning("The run page cannot use the connection %s: %s", conn_id, type(error).__name__)
            raise PageError(
                502,
                f"The API server cannot use the Airflow connection {conn_id}: {type(error).__name__}.",
            ) from None
        return _Client(hook, settings, time.monotonic())


class Lanes:
    """
    Lanes of fetches by connection and region.

    The processes of an API server share neither memory nor a place that is always writable, so each has an
    equal part of the rate.
    """

    def __init__(self) -> None:
        self._memory = Memory(_MAX_LANES)

    def get(self, connection: TaskConnection, region: str) -> Lane:
        key = (connection.aws_conn_id, region)
        lane: Lane | None = self._memory.get(key)
        if lane is None:
            rate = conf.getfloat("healthomics", "page_rate", fallback=DEFAULT_RATE)
            budget = Budget(rate / max(conf.getint("api", "workers", fallback=1), 1))
            lane = Lane(budget, threads=THREADS, max_pending=MAX_PENDING)
            self._memory.put(key, lane)
        return lane

    def clear(self) -> None:
        self._memory.clear()


lanes: Final = Lanes()
