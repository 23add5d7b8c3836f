# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A few requests of the page at a time, so that the others of an API server are served."""

from __future__ import annotations

import asyncio
from typing import Any

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


def requests_of(turns: Turns, *paths: str) -> list[asyncio.Task[None]]:
    """Send requests at once."""
    return [
        asyncio.ensure_future(turns({"type": "http", "method": "GET", "path": path}, None, None))  # type: ignore[arg-type]
        for path in paths
    ]


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
    """Any number of them may wait."""

    async def main() -> None:
        app = App()
        app.may_wait.set()
        tasks = requests_of(Turns(app, "/api"), *["/api/waiting"] * REQUESTS)
        await settle()
        assert len(app.begun) == REQUESTS
        app.may_end.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_turn_ends_once() -> None:
    """A request that waited for AWS does not end the turn of another one."""

    async def main() -> None:
        app = App()
        turns = Turns(app, "/api")
        app.may_wait.set()
        app.may_end.set()
        await asyncio.gather(*requests_of(turns, *["/api/waiting"] * REQUESTS))
        app.may_end.clear()
        app.begun.clear()
        tasks = requests_of(turns, *["/api"] * REQUESTS)
        await settle()
        assert len(app.begun) == MAX_TURNS
        app.may_end.set()
        await asyncio.gather(*tasks)

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


def test_files_need_no_turn() -> None:
    """They require neither authorization nor a look-up."""

    async def main() -> None:
        app = App()
        tasks = requests_of(Turns(app, "/api"), *["/static/page.js"] * REQUESTS)
        await settle()
        assert len(app.begun) == REQUESTS
        app.may_end.set()
        await asyncio.gather(*tasks)

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
        app.begun.clear()
        tasks = requests_of(turns, *["/api"] * REQUESTS)
        await settle()
        assert len(app.begun) == MAX_TURNS
        app.may_end.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_a_request_with_a_body_needs_no_turn() -> None:
    """A client that never sends it would keep the turn."""

    async def main() -> None:
        app = App()
        turns = Turns(app, "/api")
        scope = {"type": "http", "method": "POST", "path": "/api"}
        tasks = [asyncio.ensure_future(turns(scope, None, None)) for _ in range(REQUESTS)]  # type: ignore[arg-type]
        await settle()
        assert len(app.begun) == REQUESTS
        app.may_end.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
