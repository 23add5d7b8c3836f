# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Effects of runs in other services: objects in S3, logs in CloudWatch, events in EventBridge.

They use moto's backends, so any client of moto sees them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from moto.logs.models import logs_backends
from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.clock import to_iso
from airflow_healthomics.testing.local import LOCAL

from .events import announce_run
from .run import ENDED, LOG_GROUP, Run, Task
from .run_rules import DEFAULT_STATIC_GIB, provisioned_gib


def announce(run: Run) -> None:
    """Send the event of a status change, and write the run log."""
    announce_run(run)
    _log(run, f"run/{run.id}", [f"Run {run.id} is {run.status}"])
    if run.status == "RUNNING":
        _log(run, f"run/{run.id}/engine", [f"Workflow {run.workflow.id} started"])
        for task in run.tasks.values():
            _log(run, task.log_stream, [f"Task {task.plan.name} started"])
    if run.status == "STOPPING":
        _log(run, f"run/{run.id}/engine", engine_log(run))
        for task in run.tasks.values():
            _log(run, task.log_stream, task.plan.log or [f"Task {task.plan.name} is {task.status}"])
    if run.status in ENDED:
        _log(run, f"manifest/run/{run.id}/{run.uuid}", map(json.dumps, _manifest(run)))


def export(run: Run) -> None:
    """
    Write the run's objects below its output URI. A run with a missing bucket fails, as in the service.

    User guide, page "workflows-run-outputs": outputs below ``out/``, logs and the summary below ``logs/``.
    """
    location = urlsplit(run.output_uri)
    s3 = s3_backends[run.account][run.partition]
    try:
        s3.get_bucket(location.netloc)
    except MissingBucket:
        if not LOCAL.options.create_buckets:
            run.end_as("FAILED", "EXPORT_FAILED", f"The output bucket {location.netloc} does not exist")
            return
        s3.create_bucket(location.netloc, run.region)

    def put(key: str, text: str) -> None:
        s3.put_object(location.netloc, f"{location.path.strip('/')}/{key}".lstrip("/"), text.encode())

    put("logs/engine.log", "\n".join(engine_log(run)) + "\n")
    if run.outcome != "COMPLETED":
        return
    outputs = run.plan.outputs if run.plan.outputs is not None else {"result/result.txt": f"run {run.id}\n"}
    for path, text in outputs.items():
        put(f"out/{path}", text)
    if run.definition.engine != "NEXTFLOW":
        summary = {path.split("/")[0]: f"{run.output_uri}/out/{path}" for path in outputs}
        put("logs/outputs.json", json.dumps(summary, indent=2))


def engine_log(run: Run) -> list[str]:
    """Return the lines of the engine's log."""
    return list(run.plan.engine_log) or [f"Workflow {run.workflow.id} ends as {run.outcome}"]


def _log(run: Run, stream: str, lines: Iterable[str]) -> None:
    if run.log_prefix is None:
        return
    logs = logs_backends[run.account][run.region]
    logs.ensure_log_group(LOG_GROUP)
    logs.ensure_log_stream(LOG_GROUP, stream)
    timestamp = int(run.entered * 1000)
    # Not through the backend: it drops events far from the wall clock, but the local clock may have been
    # moved.
    logs.groups[LOG_GROUP].put_log_events(
        stream, [{"timestamp": timestamp, "message": line} for line in lines]
    )


def _manifest(run: Run) -> Iterable[dict[str, Any]]:
    """Yield the objects of the manifest: the run and its tasks, one event each."""
    request = run.request
    arn = f"arn:{run.partition}:omics:{run.region}:{run.account}"
    yield _without_none(
        {
            "arn": run.arn,
            "uuid": run.uuid,
            "name": request.get("name"),
            "status": run.status,
            "statusMessage": run.status_message,
            "failureReason": run.failure_reason,
            **_times(run.created, run.started, run.stopped),
            "digest": run.definition.digest,
            "engine": run.definition.engine,
            "main": run.definition.request.get("main"),
            "workflow": run.workflow.arn,
            "workflowVersion": run.definition.arn if request.get("workflowVersionName") else None,
            "workflowType": request.get("workflowType"),
            "workflowOwnerId": request.get("workflowOwnerId"),
            "run": f"{arn}:run/{request['runId']}" if request.get("runId") else None,
            "runGroup": f"{arn}:runGroup/{request['runGroupId']}" if request.get("runGroupId") else None,
            "runCache": f"{arn}:runCache/{request['cacheId']}" if request.get("cacheId") else None,
            "runCacheBehavior": request.get("cacheBehavior"),
            "priority": request.get("priority"),
            "outputUri": request["outputUri"],
            "parameters": request.get("parameters"),
            "parameterTemplate": run.definition.template,
            "roleArn": request["roleArn"],
            "startedBy": f"arn:{run.partition}:iam::{run.account}:root",
            "storageType": request["storageType"],
            "storageCapacity": request.get("storageCapacity"),
            "retentionMode": request["retentionMode"],
            "logLevel": request["logLevel"],
            "metrics": _run_metrics(run),
        }
    )
    for task in run.tasks.values():
        yield _task_manifest(run, task, f"{arn}:task/{task.id}")


def _task_manifest(run: Run, task: Task, arn: str) -> dict[str, Any]:
    """
    Return a task as in the user guide, page "getinfo-about-runs".

    A task from the run cache has no times, metrics and instance, as AWS's run analyzer expects:
    https://github.com/awslabs/aws-healthomics-tools/blob/main/tests/cli/run_analyzer/unit/test_cache_handling.py
    """
    plan, seconds = task.plan, (task.stopped or task.started) - task.started
    failed, ran = task.status == "FAILED", not plan.cache_hit
    metrics = {
        "cpusReserved": plan.cpus,
        "cpusAverage": plan.cpus_average,
        "cpusMaximum": plan.cpus_maximum,
        "gpusReserved": plan.gpus,
        "memoryReservedGiB": plan.memory,
        "memoryAverageGiB": plan.memory_average,
        "memoryMaximumGiB": plan.memory_maximum,
        "runningSeconds": round(seconds, 3),
    }
    return _without_none(
        {
            "arn": arn,
            "uuid": task.uuid,
            "name": plan.name,
            "status": task.status,
            "statusMessage": plan.status_message if failed else None,
            "failureReason": plan.failure_reason if failed else None,
            "run": run.arn,
            "workflow": run.workflow.arn,
            "cpus": plan.cpus,
            "memory": plan.memory,
            "gpus": plan.gpus,
            "instanceType": plan.instance_type if ran else None,
            "image": plan.image,
            **(_times(task.started, task.started, task.stopped) if ran else {}),
            "metrics": _without_none(metrics) if ran else {},
        }
    )


def _run_metrics(run: Run) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    if run.started is not None and run.stopped is not None:
        metrics["runningSeconds"] = round(run.stopped - run.started, 3)
    if run.request["storageType"] == "STATIC":
        metrics["storageReservedGiB"] = provisioned_gib(
            run.request.get("storageCapacity") or DEFAULT_STATIC_GIB
        )
    measured = run.measured_storage
    return metrics | {f"storage{name.title()}GiB": gib for name, gib in measured.items()}


def _times(created: float, started: float | None, stopped: float | None) -> dict[str, str | None]:
    return {"creationTime": to_iso(created), "startTime": to_iso(started), "stopTime": to_iso(stopped)}


def _without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
