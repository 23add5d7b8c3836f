# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Effects of runs in other services: objects in S3, logs in CloudWatch, events in EventBridge.

They use moto's backends, so any client of moto sees them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moto.core.utils import utcnow
from moto.logs.models import logs_backends
from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.clock import to_iso
from airflow_healthomics.testing.local import LOCAL

from .deferred import RunObjects, RunStreams
from .events import announce_run
from .run import LOG_GROUP, Run, StatusChange
from .run_rules import DEFAULT_STATIC_GIB, provisioned_gib
from .states import ENDED
from .task import Task


def announce(run: Run) -> None:
    """Send the event of a status change, and write the logs once somebody reads them."""
    announce_run(run)
    if run.log_prefix is None:
        return
    group = _log_group(run)
    streams = _streams(group)
    streams.deferred.add(run.id, run)
    if group.subscription_filters:
        streams.deferred.make(run.id)


def export(run: Run) -> None:
    """
    Write the run's objects below its output URI. A run with a missing bucket fails, as in the service.

    The objects are made when somebody reads them.
    """
    location = urlsplit(run.output_uri)
    s3 = s3_backends[run.account][run.partition]
    try:
        bucket = s3.get_bucket(location.netloc)
    except MissingBucket:
        if not LOCAL.options.create_buckets:
            run.end_as("FAILED", "EXPORT_FAILED", f"The output bucket {location.netloc} does not exist")
            return
        bucket = s3.create_bucket(location.netloc, run.region)
    objects = _objects(bucket)
    place = location.path.strip("/")
    objects.deferred.add(place, (run, run.outcome, utcnow()))
    if bucket.notification_configuration or bucket.is_versioned:
        objects.deferred.make(place)


def forget_unread() -> None:
    """Forget the logs and objects that nobody has read, before moto is reset."""
    for s3 in _all(s3_backends):
        for bucket in s3.buckets.values():
            if isinstance(bucket.keys, RunObjects):
                bucket.keys.deferred.clear()
    for logs in _all(logs_backends):
        for group in logs.groups.values():
            if isinstance(group.streams, RunStreams):
                group.streams.deferred.clear()


def _all(backends: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    return [backend for places in backends.values() for backend in places.values()]


def _objects(bucket: Any) -> RunObjects:
    if not isinstance(bucket.keys, RunObjects):
        bucket.keys = RunObjects(bucket.keys, _put_objects)
    objects: RunObjects = bucket.keys
    return objects


def _log_group(run: Run) -> Any:
    # By get at first, since moto's own look-up is slow.
    regions = logs_backends.get(run.account)
    logs = (regions and regions.get(run.region)) or logs_backends[run.account][run.region]
    if LOG_GROUP not in logs.groups:
        logs.ensure_log_group(LOG_GROUP)
    return logs.groups[LOG_GROUP]


def _streams(group: Any) -> RunStreams:
    if not isinstance(group.streams, RunStreams):
        group.streams = RunStreams(group.streams, _put_logs)
    streams: RunStreams = group.streams
    return streams


def _put_objects(exported: tuple[Run, str, datetime]) -> None:
    """
    Write the objects of a run.

    User guide, page "workflows-run-outputs": outputs below ``out/``, logs and the summary below ``logs/``.
    """
    run, outcome, at = exported
    location = urlsplit(run.output_uri)
    s3 = s3_backends[run.account][run.partition]

    def put(key: str, content: str | Path) -> None:
        data = content.read_bytes() if isinstance(content, Path) else content.encode()
        stored = s3.put_object(location.netloc, f"{location.path.strip('/')}/{key}".lstrip("/"), data)
        stored.last_modified = at

    put("logs/engine.log", "\n".join(_engine_log(run, outcome)) + "\n")
    if outcome != "COMPLETED":
        return
    outputs = run.plan.outputs if run.plan.outputs is not None else {"result/result.txt": f"run {run.id}\n"}
    for path, content in outputs.items():
        put(f"out/{path}", content)
    if run.definition.engine != "NEXTFLOW":
        summary = run.plan.summary
        if summary is None:
            summary = {path.split("/")[0]: f"{run.output_uri}/out/{path}" for path in outputs}
        put("logs/outputs.json", json.dumps(summary, indent=2))


def _put_logs(run: Run) -> None:
    """Write the logs of the statuses since the last time."""
    group = _log_group(run)
    for change in run.history[run.logged :]:
        for stream, lines in _log_lines(run, change):
            if stream not in group.streams:
                group.create_log_stream(stream)
            # Not through the backend: it drops events far from the wall clock, but the local clock may have
            # been moved.
            timestamp = int(change.at * 1000)
            group.put_log_events(stream, [{"timestamp": timestamp, "message": line} for line in lines])
    run.logged = len(run.history)


def _log_lines(run: Run, change: StatusChange) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the log streams, and their lines, of a status change."""
    status = change.status
    yield f"run/{run.id}", [f"Run {run.id} is {status}"]
    if status == "RUNNING":
        yield f"run/{run.id}/engine", [f"Workflow {run.workflow.id} started"]
        for task in run.tasks.values():
            yield task.log_stream, [f"Task {task.plan.name} started"]
    if status == "STOPPING":
        yield f"run/{run.id}/engine", _engine_log(run, change.outcome)
        for task in run.tasks.values():
            stopping = "STOPPING" if task.status == "CANCELLED" else task.status
            yield task.log_stream, task.plan.log or [f"Task {task.plan.name} is {stopping}"]
    if status in ENDED:
        yield f"manifest/run/{run.id}/{run.uuid}", map(json.dumps, _manifest(run, status))


def _engine_log(run: Run, outcome: str) -> list[str]:
    """Return the lines of the engine's log."""
    return list(run.plan.engine_log) or [f"Workflow {run.workflow.id} ends as {outcome}"]


def _manifest(run: Run, status: str) -> Iterable[dict[str, Any]]:
    """Yield the objects of the manifest: the run and its tasks, one event each."""
    request = run.request
    arn = f"arn:{run.partition}:omics:{run.region}:{run.account}"
    yield _without_none(
        {
            "arn": run.arn,
            "uuid": run.uuid,
            "name": request.get("name"),
            "status": status,
            "statusMessage": run.status_message,
            "failureReason": run.failure_reason,
            **_times(run.created, run.started, run.stopped),
            "digest": run.definition.digest,
            "engine": run.definition.engine,
            "main": run.definition.main,
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
            **(_times(task.created, task.started, task.stopped) if ran else {}),
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
