# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The number of calls that the run page makes, for any number of viewers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_healthomics.run_page import (
    clients,
    lookup,
)
from airflow_healthomics.run_page.clients import lanes
from tests.healthomics import Control
from tests.unit.conftest import (
    Clock,
    calls_of,
)
from tests.unit.run_page.api.api_server import (
    Tasks,
    fresh_server,
    get,
    headers,
    pages_of,
    plan_failure,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_too_many_requests_at_once(page: TestClient, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused for a while, and do not wait in an endless queue."""
    monkeypatch.setattr(clients, "MAX_PENDING", 0)
    path, _ = start()
    with TestClient(fresh_server(), headers=headers("VIEWER")) as client:
        answer = client.get(path)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) == 20


def test_fifty_tabs(server: FastAPI, omics: Control, start: Any, clock: Clock) -> None:
    """They cost one request in an interval."""
    path, _ = start()
    sent = headers("VIEWER")
    before = calls_of(omics, "GetRun")

    async def look() -> list[int]:
        transport = httpx.ASGITransport(app=server)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=sent) as client:
            return [each.status_code for each in await asyncio.gather(*[client.get(path) for _ in range(50)])]

    assert asyncio.run(look()) == [200] * 50
    assert calls_of(omics, "GetRun") == before + 1
    assert asyncio.run(look()) == [200] * 50
    assert calls_of(omics, "GetRun") == before + 1
    clock.advance(11)
    assert asyncio.run(look()) == [200] * 50
    assert calls_of(omics, "GetRun") == before + 2


def test_an_ended_run_is_requested_rarely(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """It does not change."""
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    get(page, path)
    before = calls_of(omics, "GetRun")
    clock.advance(200)
    get(page, path)
    assert calls_of(omics, "GetRun") == before


def test_the_calls_of_a_diagnosis_count(page: TestClient, omics: Control, start: Any, clock: Clock) -> None:
    """Like any others of the connection."""
    budget = lanes.get(lookup.TaskConnection(aws_conn_id="aws_default"), "us-east-1").budget
    plan_failure(omics)
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)
    before = omics.call_counts()
    left = budget._left
    get(page, path)
    after = omics.call_counts()
    assert after["GetRunTask"] > before.get("GetRunTask", 0)
    assert left - budget._left > sum(after.values()) - sum(before.values())  # with GetLogEvents


def test_a_region_that_hangs_delays_no_other(
    page: TestClient, omics: Control, tasks_db: Tasks, started: Any
) -> None:
    """Eight requests wait for AWS, and the page of a run in another region is answered."""
    runs = [started()["id"] for _ in range(8)]
    *hanging, other = pages_of(tasks_db, [*runs, "7654321"], last_region="us-west-2")
    for run_id in runs:
        omics.hold("GetRun", "hanging", times=None, match={"id": run_id})
    with ThreadPoolExecutor(len(hanging) + 1) as pool:
        waiting = [pool.submit(page.get, path) for path in hanging]
        try:
            omics.wait_until_held("hanging", count=clients.THREADS)
            assert pool.submit(page.get, other).result(60).status_code == 404
            assert not any(answer.done() for answer in waiting)
        finally:
            omics.release("hanging")
        assert {answer.result().status_code for answer in waiting} == {200}


def test_all_pages_of_a_connection_share_a_bound(
    page: TestClient, omics: Control, tasks_db: Tasks, started: Any, clock: Clock
) -> None:
    """Twenty pages would cost four calls a second; with a bound of two, each waits twice as long."""
    omics.set_options(manual=True)
    runs = [started()["id"] for _ in range(20)]
    paths = pages_of(tasks_db, runs)
    get(page, paths[0])
    clock.advance(100)
    before = sum(omics.call_counts().values())
    seen: dict[str, tuple[str, int]] = {}
    ages: list[int] = []
    for second in range(120):
        clock.advance(1)
        for path in paths[second % 10 :: 10]:
            as_of = get(page, path)["asOf"]
            since = seen[path][1] if path in seen and seen[path][0] == as_of else second
            seen[path] = (as_of, since)
            ages.append(second - since)
    made = sum(omics.call_counts().values()) - before
    assert 120 * 2 * 0.9 <= made <= 120 * 2 + 40
    assert 10 <= max(ages) <= 60
    omics.advance("COMPLETED", run_id=runs[0])
    clock.advance(20)
    assert get(page, paths[0])["run"]["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("variable", "value", "loaded"),
    [
        ("", "", 19),
        ("AIRFLOW__HEALTHOMICS__PAGE_RATE", "0.5", 4),
        ("AIRFLOW__API__WORKERS", "4", 4),
    ],
)
def test_too_many_pages_at_once(
    page: TestClient,
    omics: Control,
    tasks_db: Tasks,
    started: Any,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    loaded: int,
) -> None:
    """They are refused until others have used their calls. Another region has its own quotas."""
    if variable:
        monkeypatch.setenv(variable, value)
    runs = [started()["id"] for _ in range(25)]
    *paths, elsewhere = pages_of(tasks_db, [*runs, "1"], last_region="eu-west-1")
    answers = [page.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200] * loaded + [503] * (25 - loaded)
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert page.get(elsewhere).status_code == 404
    clock.advance(20)
    assert get(page, paths[-1])["kind"] == "run"
