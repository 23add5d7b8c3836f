# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""AWS calls of watchers, in threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import is_transient

#: Separate from the event loop's threads, which Airflow needs for log lines and look-ups of connections.
_threads: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="healthomics-events")


class Calls:
    """
    Makes calls with the hook of a connection.

    :param connect: returns the hook
    :param renew: returns a new hook, with the current connection
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[HealthOmicsHook]],
        renew: Callable[[], Awaitable[HealthOmicsHook]],
    ) -> None:
        self._connect = connect
        self._renew = renew
        self._is_stale = False

    async def __call__(
        self, function: Callable[..., Any], *arguments: Any, executor: Executor | None = None
    ) -> Any:
        """
        Return what the function returns, called with the hook and the arguments.

        After a refused call, the next one uses a new client: somebody may have corrected the connection.

        :param function: the function
        :param arguments: arguments after the hook
        :param executor: its thread; by default one that all watchers share
        """
        hook = await (self._renew() if self._is_stale else self._connect())
        self._is_stale = False
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor or _threads, partial(function, hook, *arguments))
        except (ClientError, BotoCoreError) as error:
            self._is_stale = not is_transient(error)
            raise
