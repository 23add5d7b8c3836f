# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The clients of the tasks' connections, and what else is remembered between two requests."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from threading import Lock
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException, AirflowNotFoundException
from airflow_healthomics.hooks.omics import CONNECTION_MISTAKES
from airflow_healthomics.run_page.answers import PageError
from airflow_healthomics.run_page.lookup import DEFAULT_CONNECTION, TaskConnection
from airflow_healthomics.waiting.poller import PollingHook

#: Seconds for which the client of a connection is used, so that an edited one is noticed, and how many.
_CLIENT_SECONDS: Final = 300.0
_MAX_CLIENTS: Final = 32

#: What looking a connection up and making its client may raise.
_CONNECTION_ERRORS: Final = (*CONNECTION_MISTAKES, AirflowException, BotoCoreError, ClientError, OSError)

log = logging.getLogger(__name__)


class Memory:
    """The latest values by key, a bounded number of them, each for its time."""

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


class Hooks:
    """Hooks by connection and region, each for some minutes: a client takes a tenth of a second to make."""

    def __init__(self) -> None:
        self._memory = Memory(_MAX_CLIENTS)

    def get(self, connection: TaskConnection, region: str) -> PollingHook:
        key = (connection, region)
        hook: PollingHook | None = self._memory.get(key)
        if hook is None:
            hook = self._make(connection, region)
            self._memory.put(key, hook, _CLIENT_SECONDS)
        return hook

    def drop(self, connection: TaskConnection, region: str) -> None:
        self._memory.drop((connection, region))

    def clear(self) -> None:
        self._memory.clear()

    @staticmethod
    def _make(connection: TaskConnection, region: str) -> PollingHook:
        conn_id = connection.aws_conn_id
        hook = PollingHook(aws_conn_id=conn_id, region_name=region, verify=connection.verify)
        try:
            if conn_id and conn_id != DEFAULT_CONNECTION:
                # The amazon provider would go on with the API server's own credentials.
                hook.get_connection(conn_id)
            _ = hook.conn
        except AirflowNotFoundException:
            raise PageError(502, f"The API server does not find the Airflow connection {conn_id}.") from None
        except _CONNECTION_ERRORS as error:
            log.warning("The run page cannot use the connection %s: %s", conn_id, type(error).__name__)
            raise PageError(
                502,
                f"The API server cannot use the Airflow connection {conn_id}: {type(error).__name__}.",
            ) from None
        return hook
