# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the local HealthOmics of a checkout, and moto's Batch in the same process.

``python local_probe.py <scenario> <runs>`` prints the figures as JSON. The scenarios are the functions below.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import boto3
import psutil
from botocore.config import Config
from moto.core.config import default_user_config

from airflow_healthomics.testing import HealthOmicsServer
from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.models import omics_backends

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/omics"
REQUEST: Final = {"workflowId": "1", "roleArn": ROLE, "outputUri": "s3://outputs"}
#: Calls of each measurement.
CALLS: Final = 300
#: Seconds for which calls are made while many runs are due, at most.
PATIENCE: Final = 120.0


def client(service: str) -> Any:
    """Return a client of the server that repeats no call."""
    return boto3.client(service, config=Config(retries={"total_max_attempts": 1}, max_pool_connections=1))


def rate(call: Callable[[int], Any], calls: int = CALLS) -> float:
    """Return the calls per second of one caller."""
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


def job_queue() -> dict[str, str]:
    """Make what a job of Batch requires, and return its arguments."""
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
    return {"jobQueue": "queue", "jobDefinition": "definition"}


def requests(runs: int) -> dict[str, float]:
    """Measure calls per second of single runs, and of lists over many, and those of Batch."""
    omics, batch = client("omics"), client("batch")
    fill(runs)
    job = job_queue()
    submitted = [batch.submit_job(jobName=f"job-{number}", **job)["jobId"] for number in range(runs)]
    run_id = omics.list_runs(maxResults=1)["items"][0]["id"]
    return {
        "start_run": rate(lambda number: omics.start_run(**REQUEST, requestId=str(number))),
        "submit_job": rate(lambda number: batch.submit_job(jobName=f"more-{number}", **job)),
        "get_run": rate(lambda _: omics.get_run(id=run_id)),
        "describe_jobs": rate(lambda _: batch.describe_jobs(jobs=[submitted[0]])),
        "list_runs": rate(lambda _: omics.list_runs(maxResults=100), 50),
        "list_runs_end": rate(lambda _: omics.list_runs(name=f"sample-{runs - 1}"), 50),
        "list_jobs": rate(
            lambda _: batch.list_jobs(jobQueue="queue", jobStatus="SUCCEEDED", maxResults=100), 50
        ),
    }


def memory(runs: int) -> dict[str, float]:
    """Measure the memory of many COMPLETED runs."""
    client("s3").create_bucket(Bucket="outputs")
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    fill(runs)
    server.control.advance("COMPLETED")
    return {"megabytes": (process.memory_info().rss - before) / 1e6}


def due(runs: int) -> dict[str, float]:
    """Measure the slowest GetRun, as many runs become due at once."""
    client("s3").create_bucket(Bucket="outputs")
    server.control.set_options(
        manual=False, pending_seconds=600, starting_seconds=0, running_seconds=0, stopping_seconds=0
    )
    fill(runs)
    active = omics_backends[ACCOUNT][REGION].active
    omics, run_id = client("omics"), next(iter(active))
    omics.get_run(id=run_id)
    LOCAL.clock.advance(600)
    durations: list[float] = []
    started = time.perf_counter()
    while active and time.perf_counter() - started < PATIENCE:
        began = time.perf_counter()
        omics.get_run(id=run_id)
        durations.append(time.perf_counter() - began)
    return {"slowest_call": max(durations), "until_all_ended": time.perf_counter() - started}


if __name__ == "__main__":
    default_user_config["batch"] = {"use_docker": False}
    with HealthOmicsServer(any_workflow=True, manual=True, seed=1) as server:
        os.environ.update(server.environ)
        figures = globals()[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(figures))
