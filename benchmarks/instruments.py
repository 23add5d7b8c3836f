# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What benchmarks/waiting.py has in its own process: the server's answers, and the way to the probe."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from airflow_healthomics.testing.omics.responses import OmicsResponse

#: Seconds; generous, since a limit is met only when something is broken.
LIMIT: Final = 300.0


class BenchmarkError(Exception):
    """Something did not happen that was waited for."""


class Answer(NamedTuple):
    """An answer of the server: when, after how many seconds, to what, and the runs that it told of."""

    time: float
    seconds: float
    operation: str
    run_ids: tuple[str, ...]


@dataclass
class Answers:
    """What the server answered."""

    entries: list[Answer] = field(default_factory=list)

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record the answers of this process's local HealthOmics."""
        answer = OmicsResponse.call_action

        def recording(response: Any) -> Any:
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
        """Return the answers of a time."""
        return [entry for entry in list(self.entries) if began <= entry.time < ended]

    def first_after(self, started: Mapping[str, float]) -> dict[str, float]:
        """Return when each run was first told of after its trigger started."""
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
    The benchmark's end of the probe.

    :param path: of its socket
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Have the probe do something."""
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
                self.ask("arrived")
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            return True

        wait_until(answers, "the triggerer's runner has its probe")

    def forget(self) -> None:
        """Remove the socket of a runner that has ended."""
        self._path.unlink(missing_ok=True)


def wait_until(reached: Callable[[], bool], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + limit
    while not reached():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"Not within {limit:.0f} s: {what}")
        time.sleep(0.25)
