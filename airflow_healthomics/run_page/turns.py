# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The turns of the requests of the run page.

The event loop and the threads of an API server serve all of Airflow. So only a few requests of the page are
authorized and looked up at a time, and the others wait for their turn without a thread. A request that waits
for AWS has ended its turn.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Final

from anyio.lowlevel import RunVar
from starlette.types import ASGIApp, Receive, Scope, Send

#: Number of requests at a time. With more, the other requests of a process wait longer.
MAX_TURNS: Final = 4


class _Turn:
    """The turn of a request."""

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore
        self._has_ended = False

    def end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._semaphore.release()


_turn: Final[ContextVar[_Turn | None]] = ContextVar("turn", default=None)


def end_turn() -> None:
    """End the turn of the current request before it waits."""
    if turn := _turn.get():
        turn.end()


class Turns:
    """
    ASGI middleware that lets each GET request wait for its turn. Others wait for their body, too.

    :param app: the app
    :param prefix: of the paths that are concerned
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._semaphore = RunVar[asyncio.Semaphore]("healthomics-run-page-turns")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        if not is_read or not path_in_app(scope).startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        semaphore = self._semaphore_of_loop()
        await semaphore.acquire()
        turn = _Turn(semaphore)
        token = _turn.set(turn)
        try:
            await self._app(scope, receive, send)
        finally:
            _turn.reset(token)
            turn.end()

    def _semaphore_of_loop(self) -> asyncio.Semaphore:
        semaphore = self._semaphore.get(None)
        if semaphore is None:
            semaphore = asyncio.Semaphore(MAX_TURNS)
            self._semaphore.set(semaphore)
        return semaphore


def path_in_app(scope: Scope) -> str:
    """Return the path of a request without the prefix of the mounted app."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
