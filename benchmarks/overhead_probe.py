# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the cost of a task beside its wait, and print it as JSON: ``python overhead_probe.py <measurement>``.

Run it as a script: ``PYTHONPATH`` then selects the version of the package.
"""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

#: Imports that any task of the amazon provider makes.
_BASE: Final = (
    "import airflow.sdk, airflow.providers.amazon.aws.operators.base_aws, "
    "airflow.providers.amazon.aws.sensors.base_aws, airflow.providers.amazon.aws.hooks.base_aws"
)
_IMPORTS: Final = {
    "start": "from airflow_healthomics.operators import HealthOmicsStartRunOperator",
    "start_batch": "from airflow_healthomics.operators import HealthOmicsStartRunBatchOperator",
    "sensor": "from airflow_healthomics.sensors import HealthOmicsRunSensor",
}
_IMPORT_REPETITIONS: Final = 9
_FURTHER_CLIENTS: Final = 50
_REGIONS: Final = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1")
_MIB: Final = 2**20

_DAG: Final = """
from datetime import datetime
from airflow_healthomics.operators import HealthOmicsStartRunOperator
from airflow.sdk import DAG

with DAG("overhead", start_date=datetime(2026, 1, 1), schedule=None) as dag:
    HealthOmicsStartRunOperator(
        task_id="run",
        workflow_id="1234567",
        role_arn="arn:aws:iam::123456789012:role/runs",
        output_uri="s3://outputs/runs",
        parameters={"sample": "s1"},
        wait_for_completion=WAITS,
        deferrable=WAITS,
        waiter_delay=1,
    )
"""


def imports() -> dict[str, float]:
    """Return the CPU milliseconds of each import, above those of the amazon provider's base classes."""
    return {name: _import_ms(statement) for name, statement in _IMPORTS.items()}


def _import_ms(statement: str) -> float:
    code = (
        f"import time\n{_BASE}\nbegan = time.process_time()\n{statement}\nprint(time.process_time() - began)"
    )
    command = [sys.executable, "-c", code]
    seconds = [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        for _ in range(_IMPORT_REPETITIONS)
    ]
    return min(seconds) * 1000


def clients() -> dict[str, float]:
    """Return the cost of the first client of a process, and of each further one."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    from airflow_healthomics.hooks import HealthOmicsHook

    kept: list[Any] = []

    def connect(number: int) -> None:
        hook = HealthOmicsHook(aws_conn_id=None, region_name=_REGIONS[number % len(_REGIONS)])
        kept.append((hook, hook.conn))

    def connect_all(numbers: range) -> None:
        for number in numbers:
            connect(number)

    tracemalloc.start()
    first_mib = _grown(lambda: connect(0))
    further_mib = _grown(lambda: connect_all(range(1, _FURTHER_CLIENTS + 1)))
    tracemalloc.stop()
    began = time.process_time()
    connect_all(range(_FURTHER_CLIENTS))
    return {
        "first_mib": first_mib,
        "further_mib": further_mib / _FURTHER_CLIENTS,
        "further_ms": (time.process_time() - began) / _FURTHER_CLIENTS * 1000,
    }


def _grown(action: Callable[[], object]) -> float:
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    action()
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / _MIB


def requests() -> dict[str, Any]:
    """Return the requests of a task to Airflow's execution API, and its calls of AWS."""
    return {name: _task(waits) for name, waits in (("start", False), ("start_and_wait", True))}


def _task(waits: bool) -> dict[str, Any]:
    from airflow_healthomics.testing import HealthOmicsServer

    with (
        HealthOmicsServer(any_workflow=True, create_buckets=True) as server,
        tempfile.TemporaryDirectory() as home,
    ):
        dags = Path(home) / "dags"
        dags.mkdir()
        (dags / "overhead.py").write_text(_DAG.replace("WAITS", str(waits)))
        environment = {
            **os.environ,
            **server.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        }
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        command = [sys.executable, __file__, "dag", str(dags / "overhead.py")]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        counts = json.loads(done.stdout.splitlines()[-1])
        return {
            "requests": sum(counts.values()),
            "by_path": counts,
            "aws_calls": server.control.call_counts(),
        }


def dag(path: str) -> dict[str, int]:
    """Run the DAG in a file, and return its requests to the execution API by method and path."""
    import runpy

    import httpx

    counts: Counter[str] = Counter()
    send = httpx.Client.send

    def counted(client: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        route = re.sub(r"[0-9a-f-]{36}|overhead/[^/]+/run", "*", request.url.path)
        counts[f"{request.method} {route}"] += 1
        return send(client, request, **kwargs)

    httpx.Client.send = counted  # type: ignore[method-assign,assignment]
    runpy.run_path(path)["dag"].test()
    return dict(counts)


if __name__ == "__main__":
    measurements: dict[str, Callable[..., Any]] = {
        each.__name__: each for each in (imports, clients, requests, dag)
    }
    print(json.dumps(measurements[sys.argv[1]](*sys.argv[2:])))
