# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The objects of a run in S3, and its logs in CloudWatch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .conftest import BUCKET, aws

Start = Callable[..., dict[str, Any]]
GROUP = "/aws/omics/WorkflowLog"


def keys() -> set[str]:
    """Return the keys in the output bucket."""
    return {item["Key"] for item in aws("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def text(key: str) -> str:
    """Return an object of the output bucket."""
    body: bytes = aws("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body.decode()


def lines(stream: str) -> list[str]:
    """Return the messages of a log stream."""
    events = aws("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)[
        "events"
    ]
    return [event["message"] for event in events]


def streams() -> set[str]:
    """Return the names of the log streams, none if there is no group."""
    logs = aws("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]:
        return set()
    return {stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName=GROUP)["logStreams"]}


def test_a_completed_run_writes_its_outputs(control: Control, start: Start) -> None:
    """Outputs, summary and engine log are below the run's output URI before the run ends."""
    control.plan_run(outputs={"vcf/sample.vcf": "##fileformat", "qc/report.txt": "fine"})
    run_id = start()["id"]
    control.advance("RUNNING")
    assert keys() == set()
    control.advance("STOPPING")
    base = f"results/{run_id}"
    assert keys() == {
        f"{base}/out/vcf/sample.vcf",
        f"{base}/out/qc/report.txt",
        f"{base}/logs/engine.log",
        f"{base}/logs/outputs.json",
    }
    assert text(f"{base}/out/vcf/sample.vcf") == "##fileformat"
    assert json.loads(text(f"{base}/logs/outputs.json")) == {
        "vcf": f"s3://{BUCKET}/{base}/out/vcf/sample.vcf",
        "qc": f"s3://{BUCKET}/{base}/out/qc/report.txt",
    }


def test_nextflow_writes_no_summary(control: Control, start: Start) -> None:
    """Only WDL and CWL have an outputs summary."""
    control.add_workflow("3", engine="NEXTFLOW")
    run_id = start(workflowId="3")["id"]
    control.advance("COMPLETED")
    assert keys() == {f"results/{run_id}/logs/engine.log", f"results/{run_id}/out/result/result.txt"}


def test_a_failed_run_writes_its_engine_log_only(control: Control, start: Start) -> None:
    """A run that failed has no outputs."""
    control.plan_run(status="FAILED", engine_log=["something broke"])
    run_id = start()["id"]
    control.advance("FAILED")
    assert keys() == {f"results/{run_id}/logs/engine.log"}
    assert text(f"results/{run_id}/logs/engine.log") == "something broke\n"


@pytest.mark.parametrize("status", ["PENDING", "STARTING", "RUNNING"])
def test_a_cancelled_run_writes_nothing(control: Control, omics: Any, start: Start, status: str) -> None:
    """A cancelled run exports no outputs."""
    run_id = start()["id"]
    control.advance(status)
    omics.cancel_run(id=run_id)
    control.advance("CANCELLED")
    assert keys() == set()


@pytest.mark.parametrize("steps", [["COMPLETED"], ["STOPPING", "COMPLETED"]])
def test_a_missing_bucket_fails_the_run(control: Control, omics: Any, start: Start, steps: list[str]) -> None:
    """The export fails, and with it the run, through STOPPING."""
    run_id = start(outputUri="s3://nowhere/x")["id"]
    for status in steps:
        control.advance(status)
    run = omics.get_run(id=run_id)
    assert (run["status"], run["failureReason"]) == ("FAILED", "EXPORT_FAILED")
    assert "nowhere" in run["statusMessage"]


@pytest.mark.parametrize("options", [{"create_buckets": True}])
def test_a_missing_bucket_can_be_created(control: Control, omics: Any, start: Start) -> None:
    """With the option the run completes, and the bucket is there."""
    run_id = start(outputUri="s3://somewhere/x")["id"]
    assert control.advance("COMPLETED") == {run_id: "COMPLETED"}
    assert aws("s3").list_objects_v2(Bucket="somewhere")["KeyCount"] > 0


def test_logs_have_the_documented_streams(control: Control, omics: Any, start: Start) -> None:
    """Run, engine and task logs are written during the run, the manifest at its end."""
    run = start()
    assert streams() == {f"run/{run['id']}"}
    control.advance("RUNNING")
    tasks = [task["taskId"] for task in omics.list_run_tasks(id=run["id"])["items"]]
    running = {f"run/{run['id']}", f"run/{run['id']}/engine"} | {f"run/{run['id']}/task/{t}" for t in tasks}
    assert streams() == running
    control.advance("COMPLETED")
    assert streams() == running | {f"manifest/run/{run['id']}/{run['uuid']}"}
    assert len(lines(f"run/{run['id']}")) == 5
    location = omics.get_run(id=run["id"])["logLocation"]
    prefix = f"arn:aws:logs:us-east-1:123456789012:log-group:{GROUP}:log-stream:"
    assert location == {
        "runLogStream": f"{prefix}run/{run['id']}",
        "engineLogStream": f"{prefix}run/{run['id']}/engine",
    }


def test_logging_can_be_off(control: Control, omics: Any, start: Start) -> None:
    """With logLevel OFF nothing is logged, and GetRun names no logs."""
    run_id = start(logLevel="OFF")["id"]
    control.advance("COMPLETED")
    assert streams() == set()
    assert "logLocation" not in omics.get_run(id=run_id)


def test_a_planned_log_is_found_where_the_task_says(control: Control, omics: Any, start: Start) -> None:
    """GetRunTask names the stream in which the failed task's lines are."""
    log = ["aligning", "java.lang.OutOfMemoryError"]
    control.plan_run(
        status="FAILED", tasks=[{"name": "a", "failure_reason": "OUT_OF_MEMORY_ERROR", "log": log}]
    )
    run_id = start()["id"]
    control.advance("FAILED")
    (item,) = omics.list_run_tasks(id=run_id)["items"]
    task = omics.get_run_task(id=run_id, taskId=item["taskId"])
    assert lines(task["logStream"].split("log-stream:")[1])[-2:] == log


def test_logs_are_kept_when_the_clock_was_moved(control: Control, start: Start) -> None:
    """A local time far from the real one loses no log event."""
    control.advance_clock(90 * 86_400)
    run_id = start()["id"]
    assert lines(f"run/{run_id}")


def test_the_manifest_describes_the_run_and_its_tasks(control: Control, omics: Any, start: Start) -> None:
    """Each event of the manifest is one JSON object: first the run, then its tasks."""
    run = start(parameters={"a": 1}, storageType="STATIC", storageCapacity=5000, name="n")
    control.advance("COMPLETED")
    manifest = [json.loads(line) for line in lines(f"manifest/run/{run['id']}/{run['uuid']}")]
    first, *tasks = manifest
    assert first["arn"].split(":")[-1] == f"run/{run['id']}"
    assert (first["status"], first["parameters"], first["name"]) == ("COMPLETED", {"a": 1}, "n")
    assert first["metrics"]["storageReservedGiB"] == 7200
    assert first["startTime"].endswith("Z")
    assert len(tasks) == 3
    assert all(task["arn"].split(":")[-1].startswith("task/") and task["run"] == run["arn"] for task in tasks)


def test_the_manifest_has_the_resource_use_of_tasks(control: Control, omics: Any, start: Start) -> None:
    """Each task has its own running time; one from the run cache has neither times nor metrics."""
    control.stop_clock()
    used = {"cpus_average": 1.5, "cpus_maximum": 2.0, "memory_average": 3.25, "memory_maximum": 7.5}
    control.plan_run(
        tasks=[{"name": "a", "seconds": 90, "gpus": 1, **used}, {"name": "b", "cache_hit": True}],
        seconds={"PENDING": 0, "STARTING": 0, "RUNNING": 600, "STOPPING": 0},
    )
    run = start()
    control.advance("RUNNING")
    control.advance_clock(60)
    assert {task["status"] for task in omics.list_run_tasks(id=run["id"])["items"]} == {"RUNNING"}
    control.advance_clock(60)
    items = {task["name"]: task for task in omics.list_run_tasks(id=run["id"])["items"]}
    assert (items["a"]["status"], items["b"]["status"]) == ("COMPLETED", "RUNNING")
    assert (items["a"]["stopTime"] - items["a"]["startTime"]).total_seconds() == 90
    assert omics.get_run_task(id=run["id"], taskId=items["a"]["taskId"])["status"] == "COMPLETED"
    control.advance_clock(600)
    _, ran, cached = [json.loads(line) for line in lines(f"manifest/run/{run['id']}/{run['uuid']}")]
    assert ran["metrics"] == {
        "cpusReserved": 2,
        "cpusAverage": 1.5,
        "cpusMaximum": 2.0,
        "gpusReserved": 1,
        "memoryReservedGiB": 8,
        "memoryAverageGiB": 3.25,
        "memoryMaximumGiB": 7.5,
        "runningSeconds": 90.0,
    }
    assert (cached["status"], cached["metrics"]) == ("COMPLETED", {})
    assert not {"startTime", "stopTime", "creationTime", "instanceType"} & cached.keys()


@pytest.mark.parametrize(
    ("request_fields", "seconds", "capacity", "told"),
    [
        ({"storageType": "DYNAMIC"}, 7200, 340, {"storageMaximumGiB": 340, "storageAverageGiB": 120.5}),
        ({"storageType": "DYNAMIC"}, 7199, None, {}),
        (
            {"storageType": "STATIC", "storageCapacity": 1000},
            60,
            1000,
            {"storageReservedGiB": 1200, "storageMaximumGiB": 340, "storageAverageGiB": 120.5},
        ),
    ],
)
def test_the_used_storage_is_known_at_the_end(
    control: Control,
    omics: Any,
    start: Start,
    request_fields: dict[str, Any],
    seconds: int,
    capacity: int | None,
    told: dict[str, Any],
) -> None:
    """The capacity of DYNAMIC storage is the peak of a run of two hours or more."""
    control.stop_clock()
    control.plan_run(
        storage_maximum=340,
        storage_average=120.5,
        seconds={"PENDING": 0, "STARTING": 0, "RUNNING": seconds, "STOPPING": 0},
    )
    run = start(**request_fields)
    control.advance("RUNNING")
    before = request_fields.get("storageCapacity")
    assert omics.get_run(id=run["id"]).get("storageCapacity") == before
    control.advance_clock(seconds)
    assert omics.get_run(id=run["id"]).get("storageCapacity") == capacity
    (item,) = omics.list_runs()["items"]
    assert item.get("storageCapacity") == capacity
    first = json.loads(lines(f"manifest/run/{run['id']}/{run['uuid']}")[0])
    assert first["metrics"] == {"runningSeconds": seconds, **told}


@pytest.mark.parametrize(
    ("capacity", "provisioned"), [(0, 1200), (1000, 1200), (1201, 2400), (5000, 7200), (42000, 43200)]
)
def test_static_storage_comes_in_sizes(capacity: int, provisioned: int) -> None:
    """The user guide: 1200 GiB or multiples of 2400."""
    from airflow_healthomics.testing.omics.run_rules import provisioned_gib

    assert provisioned_gib(capacity) == provisioned
