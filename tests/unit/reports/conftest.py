# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A log that keeps its lines, the calls of CloudWatch Logs, and a server whose calls take real time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.healthomics import Control, HealthOmicsServer, LogsBackend


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        """Keep a message."""
        self.lines.append(message % args)

    warning = info


@pytest.fixture
def log() -> Lines:
    """The task's log."""
    return Lines()


@pytest.fixture
def log_calls(omics: Control, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the log streams that GetLogEvents reads from now on."""
    streams: list[str] = []
    answer = LogsBackend.get_log_events

    def get_log_events(self: Any, **request: Any) -> Any:
        streams.append(request["log_stream_name"])
        return answer(self, **request)

    monkeypatch.setattr(LogsBackend, "get_log_events", get_log_events)
    return streams


@pytest.fixture
def server() -> Iterator[HealthOmicsServer]:
    """A server whose calls take real time."""
    with HealthOmicsServer(manual=True, any_workflow=True, create_buckets=True) as local:
        yield local
