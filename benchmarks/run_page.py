# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
How quickly the run page answers under load, and with a large run: ``python -m benchmarks.run_page``.

A real API server receives 200 requests at once for the pages of 60 runs, half of them by a connection whose
AWS answers after 20 seconds. Its health is requested at the same time. The same requests are measured before,
while both connections are quick. First, the page of a run with 5,000 tasks is loaded and scrolled.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import boto3

from airflow_healthomics.testing import HealthOmicsServer
from benchmarks import large_run
from dev.local_airflow import LocalAirflow

RESULTS: Final = Path(__file__).parent / "results"
DAGS: Final = Path(__file__).parent / "dags"

RUNS: Final = 30
REQUESTS: Final = 200
CONNECTIONS: Final = ("quick", "slow")

#: Seconds until AWS answers the slow connection.
DELAY: Final = 20.0

#: Seconds between two requests for the health.
HEALTH_INTERVAL: Final = 0.05

#: Seconds after which an answer of the page is no longer new, and the next request fetches another one.
EXPIRY: Final = 15.0


class SlowProxy:
    """
    Forwards connections to a server on loopback, after a delay if one is set.

    :param url: of the server
    :ivar delay: seconds
    """

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (str(target.hostname), int(target.port or 80))
        self.delay = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no further connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, sink, is_request in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._forward, args=(source, sink, is_request), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_request: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_request:
                    time.sleep(self.delay)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            sink.close()


@contextmanager
def serving() -> Iterator[tuple[LocalAirflow, SlowProxy]]:
    """Run a local HealthOmics, a proxy before it, and an Airflow with a connection to each of them."""
    with HealthOmicsServer(any_workflow=True, create_buckets=True) as server:
        os.environ.update(server.environ)
        boto3.client("s3").create_bucket(Bucket="benchmark")
        server.control.plan_run(seconds={"RUNNING": None}, tasks=20, times=None)
        server.control.plan_run(name="large", seconds={"RUNNING": None}, tasks=large_run.TASKS)
        proxy = SlowProxy(server.endpoint_url)
        defaults = {"role_arn": "arn:aws:iam::123456789012:role/runs", "output_uri": "s3://benchmark"}
        extras: dict[str, dict[str, Any]] = {
            name: {"service_config": {"omics": defaults}} for name in CONNECTIONS
        }
        extras["slow"]["endpoint_url"] = proxy.url
        airflow = LocalAirflow(
            DAGS,
            environment={**server.environ, "BENCH_RUNS": str(RUNS), "AIRFLOW__CORE__MAX_MAP_LENGTH": "1024"}
            | {"BENCH_INTERVAL": "60", "BENCH_SIDE": "ours"},
            connections={name: {"conn_type": "aws", "extra": extra} for name, extra in extras.items()},
            separate_execution_api=True,
        )
        with airflow:
            yield airflow, proxy
        proxy.close()


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """
    Requests pages of the runs of a DAG run, and the health, with a connection for each request.

    :param server: host and port of the API server
    :param token: of a user
    :param dag_run_id: id of the DAG run
    """

    server: str
    token: str
    dag_run_id: str

    def path_of(self, task_id: str, map_index: int) -> str:
        """Return the path of the answer for a page."""
        run = quote(self.dag_run_id, safe="")
        return f"/healthomics/api/dags/run_page/dagRuns/{run}/taskInstances/{task_id}/{map_index}"

    def load(self, number: int) -> tuple[str, int, float]:
        """Return the connection of a page, the status of its answer, and the seconds until it came."""
        connection = CONNECTIONS[number % 2]
        status, seconds = self._get(self.path_of(connection, number // 2 % RUNS))
        return connection, status, seconds

    def check_health(self, until: threading.Event) -> list[float]:
        """Return the seconds of each request for the health until an event is set."""
        seconds = []
        while not until.wait(HEALTH_INTERVAL):
            seconds.append(self._get("/api/v2/monitor/health")[1])
        return seconds

    def _get(self, path: str) -> tuple[int, float]:
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.server, timeout=120)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Accept-Encoding": "gzip"}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, time.monotonic() - began
        finally:
            connection.close()


def measure(viewer: Viewer) -> dict[str, Any]:
    """Return the figures of the requests, which are sent at once."""
    are_loaded = threading.Event()
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        health = pool.submit(viewer.check_health, are_loaded)
        loaded = list(pool.map(viewer.load, range(REQUESTS)))
        are_loaded.set()
        result: dict[str, Any] = {"health": _figures(health.result())}
    for connection in CONNECTIONS:
        result[connection] = _figures([seconds for name, _, seconds in loaded if name == connection])
        result[connection]["statuses"] = Counter(
            str(status) for name, status, _ in loaded if name == connection
        )
    return result


def _measure_apart(viewer: Viewer) -> dict[str, Any]:
    """Measure in another process, since this one serves the local HealthOmics."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, viewer).result()


def _figures(seconds: Sequence[float]) -> dict[str, Any]:
    return {"median": round(statistics.median(seconds), 3), "longest": round(max(seconds), 3)}


def _load_all(viewer: Viewer) -> None:
    """Load each page once. The budget of the pages delays some of them."""
    for number in range(2 * RUNS):
        while viewer.load(number)[1] != HTTPStatus.OK:
            time.sleep(1)


def run() -> dict[str, Any]:
    """Measure with both connections quick, and with one of them slow."""
    with serving() as (airflow, proxy):
        dag_run_id = airflow.trigger_dag("run_page")
        airflow.wait_for_dag_run("run_page", dag_run_id, limit=1200)
        server, token = urlsplit(airflow.url).netloc, airflow.token(airflow.username)
        viewer = Viewer(server=server, token=token, dag_run_id=dag_run_id)
        results: dict[str, Any] = {
            "large_run": large_run.answers(token, f"{airflow.url}{viewer.path_of('large', -1)}")
            | large_run.scrolling(airflow, "run_page", dag_run_id, "large")
        }
        for name, delay in (("both_quick", 0.0), ("one_slow", DELAY)):
            _load_all(viewer)
            time.sleep(EXPIRY)
            proxy.delay = delay
            results[name] = _measure_apart(viewer)
        return results


def main() -> None:
    """Measure, print the figures in seconds, and store them."""
    results = run()
    (RESULTS / "run_page.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
