# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A few requests of the page at a time, so that the others of an API server are served."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_healthomics.run_page.turns import MAX_TURNS, Turns, end_turn

REQUESTS = 3 * MAX_TURNS


class App:
    """An app whose requests last until the test lets them continue."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = asyncio.Event()
        self.may_wait = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.append(scope["path"])
        if scope["path"].endswith("/waiting"):
            await self.may_wait.wait()
            end_turn()
        if scope["path"].endswith("/failing"):
            raise ValueError("a defect")
        await self.may_end.wait()


async def settle() -> None:
    """Let all tasks run until they wait."""
    for _ in range(100):
        await asyncio.sleep(0)


def requests_of(turns: Turns, *paths: str, method: str = "GET") -> list[asyncio.Task[None]]:
    """Send requests at once."""
    return [
        asyncio.ensure_future(turns({"type": "http", "method": method, "path": path}, None, None))  # type: ignore[arg-type]
        for path in paths
    ]


async def begun_at_once(turns: Turns, app: App, path: str, method: str = "GET") -> int:
    """Send many requests at once, return how many begin before one has ended, and let all end."""
    app.begun.clear()
    app.may_end.clear()
    tasks = requests_of(turns, *[path] * REQUESTS, method=method)
    await settle()
    begun = len(app.begun)
    app.may_end.set()
    await asyncio.gather(*tasks)
    return begun


def test_the_others_wait_in_order() -> None:
    """The first in the queue has the next turn."""

    async def main() -> None:
        app = App()
        paths = [f"/api/{number}" for number in range(REQUESTS)]
        tasks = requests_of(Turns(app, "/api"), *paths)
        await settle()
        assert app.begun == paths[:MAX_TURNS]
        app.may_end.set()
        await asyncio.gather(*tasks)
        assert app.begun == paths

    asyncio.run(main())


def test_a_request_that_waits_for_aws_has_no_turn() -> None:
    """Any number of them may wait, and none ends the turn of another request."""

    async def main() -> None:
        app = App()
        turns = Turns(app, "/api")
        app.may_wait.set()
        assert await begun_at_once(turns, app, "/api/waiting") == REQUESTS
        assert await begun_at_once(turns, app, "/api") == MAX_TURNS

    asyncio.run(main())


def test_a_failed_request_ends_its_turn() -> None:
    """The next request begins."""

    async def main() -> None:
        app = App()
        outcomes = await asyncio.gather(
            *requests_of(Turns(app, "/api"), *["/api/failing"] * REQUESTS), return_exceptions=True
        )
        assert len(app.begun) == REQUESTS
        assert all(isinstance(outcome, ValueError) for outcome in outcomes)

    asyncio.run(main())


def test_a_cancelled_request_ends_its_turn() -> None:
    """Whether it had begun or still waited."""

    async def main() -> None:
        app = App()
        turns = Turns(app, "/api")
        tasks = requests_of(turns, *["/api"] * REQUESTS)
        await settle()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await begun_at_once(turns, app, "/api") == MAX_TURNS

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/static/page.js", id="a file requires no look-up"),
        pytest.param("POST", "/api", id="a client that never sends the body would keep the turn"),
    ],
)
def test_other_requests_need_no_turn(method: str, path: str) -> None:
    """All of them begin."""

    async def main() -> None:
        app = App()
        assert await begun_at_once(Turns(app, "/api"), app, path, method) == REQUESTS

    asyncio.run(main())
