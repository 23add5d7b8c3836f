# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Instruments of benchmarks/waiting.py in its own process: recorded answers, and the client of the probe."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from airflow_healthomics.testing.omics.responses import OmicsResponse

#: Seconds. The limits are generous, because only a defect reaches them.
LIMIT: Final = 300.0


class BenchmarkError(Exception):
    """A wait timed out."""


class Answer(NamedTuple):
    """An answer of the server: time, duration, operation, and the runs in it."""

    time: float
    seconds: float
    operation: str
    run_ids: tuple[str, ...]


@dataclass
class Answers:
    """
    Recorded answers of the server.

    :ivar latency: minimum and maximum seconds by which each answer is delayed
    """

    entries: list[Answer] = field(default_factory=list)
    latency: tuple[float, float] = (0.0, 0.0)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the answers of this process's local HealthOmics."""
        answer = OmicsResponse.call_action

        def recording(response: Any) -> Any:
            time.sleep(random.uniform(*self.latency))
            began = time.time()
            status, headers, body = answer(response)
            ended = time.time()
            operation = response._get_action_from_method_and_request_uri(response.normalized_request)
            self.entries.append(Answer(ended, ended - began, operation, _told(operation, body)))
            return status, headers, body

        OmicsResponse.call_action = recording  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            OmicsResponse.call_action = answer  # type: ignore[method-assign]

    def between(self, began: float, ended: float) -> list[Answer]:
        """Return the answers in a period."""
        return [entry for entry in list(self.entries) if began <= entry.time < ended]

    def first_after(self, started: Mapping[str, float]) -> dict[str, float]:
        """Return the time of the first answer with each run after the start of its trigger."""
        first: dict[str, float] = {}
        for answer in list(self.entries):
            for run_id in answer.run_ids:
                if run_id in started and run_id not in first and answer.time >= started[run_id]:
                    first[run_id] = answer.time
        return first


def _told(operation: str, body: Any) -> tuple[str, ...]:
    answer = json.loads(body or "{}")
    if operation == "GetRun" and "status" in answer:
        return (answer["id"],)
    if operation == "ListRuns":
        return tuple(run["id"] for run in answer.get("items", ()))
    return ()


class ProbeClient:
    """
    The client of the probe.

    :param path: of the probe's socket
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb of the probe."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT)
            connection.connect(str(self._path))
            connection.sendall(json.dumps([verb, arguments]).encode())
            connection.shutdown(socket.SHUT_WR)
            answer = json.loads(b"".join(iter(lambda: connection.recv(1 << 20), b"")))
        if "error" in answer:
            raise BenchmarkError(answer["error"])
        return answer["result"]

    def wait(self) -> None:
        """Wait until the probe answers."""

        def answers() -> bool:
            try:
                self.call("arrived")
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        wait_until(answers, "the triggerer's runner has its probe")

    def forget(self) -> None:
        """Remove the socket of a stopped runner."""
        self._path.unlink(missing_ok=True)


def wait_until(reached: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + limit
    while not reached():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"Not within {limit:.0f} s: {what}")
        time.sleep(0.25)
