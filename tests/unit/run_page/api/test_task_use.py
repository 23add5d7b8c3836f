# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The use of CPUs and memory on the run page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from airflow_healthomics.run_page import source
from tests.healthomics import Control, JsonRESTError, LogsBackend
from tests.unit.conftest import Clock
from tests.unit.run_page.api.api_server import get

TASKS: list[dict[str, Any]] = [
    {"name": "align", "cpus": 16, "memory": 48, "cpus_average": 3.5, "memory_maximum": 9.25},
    {"name": "sort"},
]


@pytest.fixture
def manifests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the streams of manifests that are read from now on."""
    streams: list[str] = []
    answer = LogsBackend.get_log_events

    def get_log_events(self: Any, **request: Any) -> Any:
        if request["log_stream_name"].startswith("manifest/"):
            streams.append(request["log_stream_name"])
        return answer(self, **request)

    monkeypatch.setattr(LogsBackend, "get_log_events", get_log_events)
    return streams


def test_an_ended_run(
    page: TestClient, omics: Control, start: Callable[..., Any], clock: Clock, manifests: list[str]
) -> None:
    """It has the use of each task in the manifest, which is read once."""
    omics.plan_run(tasks=TASKS)
    path, run_id = start()
    omics.advance("RUNNING", run_id=run_id)
    assert "cpusAverage" not in get(page, path)["tasks"][0]
    assert manifests == []
    omics.advance("COMPLETED", run_id=run_id)
    for _ in range(2):
        clock.advance(301)
        align, sort = get(page, path)["tasks"]
        assert (align["cpusAverage"], align["memoryMaximumGiB"]) == (3.5, 9.25)
        assert "memoryMaximumGiB" not in sort
    assert len(manifests) == 2  # one page, and another that shows it was the last


def test_a_manifest_that_is_not_written_yet(
    page: TestClient, omics: Control, start: Callable[..., Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is soon requested again, as long as it may be written."""
    omics.plan_run(tasks=TASKS)
    path, run_id = start()
    omics.advance("COMPLETED", run_id=run_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "fetch_run_use", lambda *_: None)
        assert get(page, path)["settling"] is True
    clock.advance(31)
    answer = get(page, path)
    assert answer["tasks"][0]["cpusAverage"] == 3.5
    assert "settling" not in answer


def test_a_denied_manifest(
    page: TestClient, omics: Control, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported as missing, once, and everything else is shown."""
    omics.plan_run(
        status="FAILED", failure_reason="RUN_TASK_FAILED", tasks=[{"name": "a", "failure_reason": "X"}]
    )
    path, run_id = start()
    omics.advance("FAILED", run_id=run_id)

    def refuse(self: Any, **_: Any) -> Any:
        raise JsonRESTError("AccessDeniedException", "no")

    monkeypatch.setattr(LogsBackend, "get_log_events", refuse)
    (notice,) = get(page, path)["notices"]
    assert "logs:GetLogEvents" in notice
