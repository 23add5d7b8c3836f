# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The time between two events of a watcher."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from airflow_healthomics.events.report import Report
from airflow_healthomics.events.spacing import SPACING_SECONDS, spaced
from tests.unit import virtual_time
from tests.unit.conftest import Clock


@pytest.mark.parametrize(
    ("ends", "events"),
    [
        ([5], [5]),
        ([5, 30], [5, 30]),
        ([5, 6], [5, 15]),
        ([5, 6, 7], [5, 7, 17]),
        ([5, 5, 5, 5], [5, 5, 5, 15]),
        ([5, 6, 15.5, 40], [5, 15, 25, 40]),
    ],
    ids=str,
)
def test_the_last_event_of_a_burst_has_a_distance(
    clock: Clock, ends: list[float], events: list[float]
) -> None:
    """No end waits longer than that, and each is reported, in order."""
    seen: list[tuple[int, float]] = []

    async def reports() -> AsyncGenerator[Report]:
        for number, end in enumerate(ends):
            await asyncio.sleep(max(end - clock.elapsed, 0))
            yield Report({"runId": number})
        await asyncio.sleep(1000)

    async def main() -> None:
        async def collect() -> None:
            async for report in spaced(reports()):
                seen.append((report.payload["runId"], clock.elapsed))  # noqa: PERF401 - kept when it is cancelled

        task = asyncio.create_task(collect())
        await asyncio.sleep(200)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_time.run(clock, main())
    assert [number for number, _ in seen] == list(range(len(ends)))
    assert [at for _, at in seen] == pytest.approx(events)
    if len(seen) > 1:
        assert seen[-1][1] - seen[-2][1] >= SPACING_SECONDS - 1e-6


def test_an_error_comes_after_what_was_held(clock: Clock) -> None:
    """A trigger that fails has reported what it could."""
    seen: list[Any] = []

    async def reports() -> AsyncGenerator[Report]:
        yield Report({"runId": 1})
        yield Report({"runId": 2})
        raise ValueError("a defect")

    async def main() -> None:
        async for report in spaced(reports()):
            seen.append(report.payload["runId"])  # noqa: PERF401 - kept when it fails

    with pytest.raises(ValueError, match="a defect"):
        virtual_time.run(clock, main())
    assert seen == [1, 2]
