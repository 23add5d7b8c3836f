# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A StatsD server on a UDP socket, to which Airflow's own Stats sends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from airflow_healthomics.compat import airflow_stats

PREFIX = "airflow.healthomics."


class Received(NamedTuple):
    """A metric as StatsD received it, without the prefixes."""

    name: str
    kind: str
    value: float
    tags: dict[str, str]


class StatsD:
    """A StatsD server on loopback."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._seen: list[Received] = []

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self._server.getsockname()[1])

    def received(self, name: str) -> list[Received]:
        """Return all metrics with a name so far. On loopback they arrive before ``sendto`` returns."""
        with suppress(BlockingIOError):
            while True:
                line = self._server.recv(65536).decode()
                if line.startswith(PREFIX):
                    self._seen.append(_parse(line.removeprefix(PREFIX)))
        return [each for each in self._seen if each.name == name]

    def counts(self, name: str, *tags: str) -> dict[tuple[str, ...], float]:
        """Return the sums of a counter by the values of some tags."""
        sums: dict[tuple[str, ...], float] = {}
        for each in self.received(name):
            key = tuple(each.tags[tag] for tag in tags)
            sums[key] = sums.get(key, 0) + each.value
        return sums


def _parse(line: str) -> Received:
    head, value, kind = line.replace("|", ":").split(":")[:3]
    name, *tags = head.split(",")
    return Received(name, kind, float(value), dict(tag.split("=") for tag in tags))


def forget_backend() -> None:
    """Make Airflow's Stats and ours read the configuration again."""
    airflow_stats.cache_clear()
    try:
        from airflow.sdk._shared.observability.metrics import stats
    except ImportError:  # Airflow before 3.2
        from airflow.stats import Stats

        meta: Any = type(Stats)
        type.__setattr__(Stats, "instance", None)
        if hasattr(meta, "factory"):
            del meta.factory
            meta.__init__(Stats)
        return
    for owner, name in ((stats, "_factory"), (stats, "_backend"), (stats.Stats, "factory")):
        if hasattr(owner, name):
            setattr(owner, name, None)


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsD]:
    """A StatsD server to which Airflow is configured to send."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        found = StatsD(server)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(found.port))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
        forget_backend()
        yield found
        forget_backend()
