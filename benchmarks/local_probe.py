# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the local HealthOmics of a checkout, and moto's Batch in the same process.

``python local_probe.py <scenario> <runs>`` prints the figures as JSON. The scenarios are the functions below.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import boto3
import psutil
from botocore.config import Config
from moto.batch_simple.models import batch_simple_backends
from moto.core.config import default_user_config

from airflow_healthomics.testing import HealthOmicsServer
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.models import omics_backends

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/omics"
REQUEST: Final = {"workflowId": "1", "roleArn": ROLE, "outputUri": "s3://outputs"}
#: Calls of each measurement, and those of whole lists.
CALLS: Final = 300
LISTS: Final = 10
#: Seconds for which calls are made while many runs are due, at most.
PATIENCE: Final = 120.0


def client(service: str) -> Any:
    """Return a client of the server that repeats no call."""
    return boto3.client(service, config=Config(retries={"total_max_attempts": 1}, max_pool_connections=1))


def rate(call: Callable[[int], Any], calls: int = CALLS) -> float:
    """Return the calls per second of one caller, after a first one."""
    call(calls)
    started = time.perf_counter()
    for number in range(calls):
        call(number)
    return calls / (time.perf_counter() - started)


def fill(runs: int) -> None:
    """Start runs without a client."""
    start: Any = omics_backends[ACCOUNT][REGION].action("StartRun")
    for number in range(runs):
        with LOCAL.lock:
            start({**REQUEST, "requestId": f"fill-{number}", "name": f"sample-{number}"})


def fill_batch(jobs: int) -> dict[str, str]:
    """Submit jobs of Batch without a client, which end at once, and return the arguments for more of them."""
    role = client("iam").create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    batch = client("batch")
    batch.create_compute_environment(computeEnvironmentName="compute", type="UNMANAGED", serviceRole=role)
    batch.create_job_queue(
        jobQueueName="queue",
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "compute"}],
    )
    container = {"image": "busybox", "vcpus": 1, "memory": 128}
    batch.register_job_definition(
        jobDefinitionName="definition", type="container", containerProperties=container
    )
    submit = batch_simple_backends[ACCOUNT][REGION].submit_job
    for number in range(jobs):
        submit(f"fill-{number}", "definition", "queue", {})
    return {"jobQueue": "queue", "jobDefinition": "definition"}


def requests(runs: int) -> dict[str, float]:
    """Measure calls per second for single runs and jobs, and for lists of many."""
    omics, batch = client("omics"), client("batch")
    fill(runs)
    job = fill_batch(runs)
    run_id = omics.list_runs(maxResults=1)["items"][0]["id"]
    job_id = batch.submit_job(jobName="one", **job)["jobId"]
    pages = omics.get_paginator("list_runs")
    ended = {"jobQueue": "queue", "jobStatus": "SUCCEEDED"}
    return {
        "get_run": rate(lambda _: omics.get_run(id=run_id)),
        "describe_jobs": rate(lambda _: batch.describe_jobs(jobs=[job_id])),
        "list_runs": rate(lambda _: omics.list_runs(maxResults=100), 50),
        "list_runs_end": rate(lambda _: omics.list_runs(name=f"sample-{runs - 1}"), 50),
        "list_all_runs": rate(lambda _: sum(1 for _ in pages.paginate(maxResults=100)), LISTS),
        # It answers with all jobs, whatever maxResults is.
        "list_all_jobs": rate(lambda _: batch.list_jobs(**ended), LISTS),
        "start_run": rate(lambda number: omics.start_run(**REQUEST, requestId=str(number))),
        "submit_job": rate(lambda number: batch.submit_job(jobName=f"more-{number}", **job)),
    }


def memory(runs: int) -> dict[str, float]:
    """Measure the memory of many COMPLETED runs, then that of as many ended jobs of Batch."""
    client("s3").create_bucket(Bucket="outputs")
    before = resident_bytes()
    fill(runs)
    server.control.advance("COMPLETED")
    between = resident_bytes()
    fill_batch(runs)
    return {
        "bytes_per_run": (between - before) / runs,
        "bytes_per_job": (resident_bytes() - between) / runs,
    }


def resident_bytes() -> int:
    """Return the memory of this process without garbage."""
    gc.collect()
    size: int = psutil.Process(os.getpid()).memory_info().rss
    return size


def due(runs: int) -> dict[str, float]:
    """Measure the slowest call in seconds, as many runs become due at once."""
    client("s3").create_bucket(Bucket="outputs")
    server.control.set_options(
        manual=False, pending_seconds=600, starting_seconds=0, running_seconds=0, stopping_seconds=0
    )
    fill(runs)
    active = omics_backends[ACCOUNT][REGION].active
    omics, run_id = client("omics"), next(iter(active))
    calls: dict[str, Callable[[], Any]] = {
        "get_run": lambda: omics.get_run(id=run_id),
        "list_runs": lambda: omics.list_runs(maxResults=100),
    }
    for call in calls.values():
        call()
    LOCAL.clock.advance(600)
    durations: dict[str, list[float]] = {name: [] for name in calls}
    collections: list[float] = []
    gc.callbacks.append(lambda phase, _: collections.append(time.perf_counter()))
    started = time.perf_counter()
    while active and time.perf_counter() - started < PATIENCE:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            durations[name].append(time.perf_counter() - began)
    return {
        **{f"slowest_{name}": max(each) for name, each in durations.items()},
        "until_all_ended": time.perf_counter() - started,
        # The callback is called at the start and at the end of each.
        "slowest_collection": max(
            (end - begin for begin, end in zip(collections[::2], collections[1::2], strict=False)),
            default=0.0,
        ),
        "calls": float(sum(len(each) for each in durations.values())),
    }


if __name__ == "__main__":
    default_user_config["batch"] = {"use_docker": False}
    with HealthOmicsServer(any_workflow=True, manual=True, seed=1) as server:
        os.environ.update(server.environ)
        figures = globals()[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(figures))
