# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run of a WDL workflow runs its commands: its outputs, logs, times and failures are the real ones."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_healthomics.testing import Control
from tests.local.archives import archive
from tests.local.conftest import BUCKET, ROLE, aws

from .conftest import one_task, wait_for

Compute = Callable[..., str]
Ended = Callable[..., dict[str, Any]]
Put = Callable[[str, str], str]
GROUP = "/aws/omics/WorkflowLog"

in_server = pytest.mark.parametrize("control", ["server"], indirect=True)

COUNT = """version 1.0
task count {
  input { File reads }
  command <<<
    echo "counting" >&2
    grep -c '^@' ~{reads} > count.txt
    sleep 0.2
  >>>
  output { File table = "count.txt"  Int reads_counted = read_int("count.txt") }
  runtime { cpu: 2  memory: "1 GiB"  docker: "grep:3" }
}
workflow counts {
  input { Array[File] lanes }
  scatter (lane in lanes) { call count { input: reads = lane } }
  output { Array[File] tables = count.table  Array[Int] numbers = count.reads_counted }
}
"""


def lines(stream: str) -> list[str]:
    """Return the messages of a log stream."""
    events = aws("logs").get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in events["events"]]


def objects(prefix: str) -> dict[str, bytes]:
    """Return the content of the objects below a prefix."""
    s3 = aws("s3")
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    keys = [item["Key"] for item in found]
    return {key.removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def tasks_of(omics: Any, run_id: str) -> list[dict[str, Any]]:
    """Return the tasks of a run as GetRunTask does."""
    items = omics.list_run_tasks(id=run_id)["items"]
    return [omics.get_run_task(id=run_id, taskId=item["taskId"]) for item in items]


def test_a_run_has_the_outputs_of_its_commands(
    control: Control, omics: Any, compute: Compute, ended: Ended, put: Put
) -> None:
    """Inputs come from S3; outputs, their summary, task logs and the manifest are what the commands made."""
    lanes = [put("reads/1.fastq", "@a\nA\n@b\nC\n"), put("reads/2.fastq", "@c\nG\n")]
    run_id = compute(COUNT, {"lanes": lanes})
    run = ended(run_id)
    base = f"results/{run_id}/"
    found = objects(base)
    assert found["out/tables/0/count.txt"] == b"2\n"
    assert found["out/tables/1/count.txt"] == b"1\n"
    assert json.loads(found["logs/outputs.json"]) == {
        "counts.tables": [f"s3://{BUCKET}/{base}out/tables/{number}/count.txt" for number in (0, 1)],
        "counts.numbers": [2, 1],
    }
    assert b"done" in found["logs/engine.log"]
    tasks = tasks_of(omics, run_id)
    assert [(task["status"], task["cpus"], task["memory"]) for task in tasks] == [("COMPLETED", 2, 1)] * 2
    assert {task["imageDetails"]["image"] for task in tasks} == {"grep:3"}
    assert {task["instanceType"] for task in tasks} == {"omics.c.large"}
    assert all(task["creationTime"] <= task["startTime"] <= task["stopTime"] for task in tasks)
    assert "counting" in lines(tasks[0]["logStream"].split("log-stream:")[1])
    _, *manifest = [json.loads(line) for line in lines(f"manifest/run/{run_id}/{run['uuid']}")]
    for task in manifest:
        assert 0 < task["metrics"]["memoryMaximumGiB"] < 1
        assert task["metrics"]["cpusReserved"] == 2


@in_server
def test_a_failing_command_fails_its_task(omics: Any, compute: Compute, ended: Ended) -> None:
    """The run fails because of it, and what the command wrote to stderr is in the log of the task."""
    run_id = compute(one_task("echo 'no such index' >&2; exit 3"))
    run = ended(run_id, "FAILED")
    assert (run["failureReason"], run["statusMessage"]) == (
        "RUN_TASK_FAILED",
        "The command ended with exit status 3",
    )
    (task,) = tasks_of(omics, run_id)
    assert (task["status"], task["failureReason"]) == ("FAILED", "RUN_TASK_FAILED")
    assert lines(task["logStream"].split("log-stream:")[1])[-1] == "no such index"
    assert set(objects(f"results/{run_id}/")) == {"logs/engine.log"}


@in_server
def test_a_missing_output_fails_its_task(omics: Any, compute: Compute, ended: Ended) -> None:
    """A command that succeeds without its output is no completed task."""
    run_id = compute(one_task("true", output='File vcf = "calls.vcf"'))
    assert ended(run_id, "FAILED")["failureReason"] == "RUN_TASK_FAILED"
    (task,) = tasks_of(omics, run_id)
    assert task["status"] == "FAILED"
    assert "vcf" in task["statusMessage"]


@in_server
def test_too_much_memory_fails_the_task(omics: Any, compute: Compute, ended: Ended) -> None:
    """A command that exceeds the memory of its runtime section is killed."""
    script = "python3 -c 'bytearray(400_000_000); import time; time.sleep(60)'"
    run_id = compute(one_task(script, memory="100 MB"))
    assert ended(run_id, "FAILED")["failureReason"] == "OUT_OF_MEMORY_ERROR"
    (task,) = tasks_of(omics, run_id)
    assert (task["status"], task["failureReason"]) == ("FAILED", "OUT_OF_MEMORY_ERROR")
    assert task["stopTime"] - task["startTime"] < timedelta(seconds=30)


@in_server
@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        (f"s3://{BUCKET}/nothing", "INPUT_URI_NOT_FOUND"),
        ("s3://nowhere/reads", "INPUT_URI_NOT_FOUND"),
        ("/etc/passwd", "INVALID_URI_INPUT"),
    ],
)
def test_an_absent_input_fails_the_run(
    omics: Any, compute: Compute, ended: Ended, lane: str, reason: str
) -> None:
    """Before any task, with the name of the parameter and not its value."""
    run_id = compute(COUNT, {"lanes": [lane]})
    run = ended(run_id, "FAILED")
    assert run["failureReason"] == reason
    assert "lanes" in run["statusMessage"]
    assert lane not in run["statusMessage"]
    assert tasks_of(omics, run_id) == []


def test_cancel_ends_the_processes(
    control: Control, omics: Any, compute: Compute, ended: Ended, tmp_path: Path
) -> None:
    """A cancelled run has no process left, not even one that ignores SIGTERM."""
    pids = tmp_path / "pids"
    stubborn = "trap '' TERM; sleep 600 & echo $! $$ > pids.new; mv pids.new {}; wait; wait; sleep 600"
    run_id = compute(one_task(stubborn.format(pids)))
    # Without a server, calls apply what is due.
    wait_for(lambda: bool(omics.get_run(id=run_id)) and pids.exists())
    (task,) = tasks_of(omics, run_id)
    assert task["status"] == "RUNNING"
    omics.cancel_run(id=run_id)
    ended(run_id, "CANCELLED")
    (task,) = tasks_of(omics, run_id)
    assert task["status"] == "CANCELLED"
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@in_server
def test_a_run_that_is_too_long_is_ended(
    control: Control, omics: Any, compute: Compute, ended: Ended
) -> None:
    """By the maximum duration of the account, which also ends its processes."""
    control.set_options(max_run_seconds=0.5)
    run_id = compute(one_task("sleep 600"))
    assert ended(run_id, "FAILED")["failureReason"] == "RUN_TIMED_OUT"


@in_server
def test_a_second_run_hits_the_cache(
    omics: Any, compute: Compute, ended: Ended, put: Put, tmp_path: Path
) -> None:
    """The second run with equal inputs runs no command; one with a changed object does."""
    ran = tmp_path / "ran"
    document = COUNT.replace('echo "counting" >&2', f"echo x >> {ran}")
    cache_id = omics.create_run_cache(cacheS3Location=f"s3://{BUCKET}/cache", cacheBehavior="CACHE_ALWAYS")[
        "id"
    ]
    lanes = [put("reads/1.fastq", "@a\nA\n"), put("reads/2.fastq", "@b\nA\n")]

    def hits() -> list[bool]:
        run_id = compute(document, {"lanes": lanes}, cacheId=cache_id)
        ended(run_id)
        assert objects(f"results/{run_id}/")["out/tables/1/count.txt"]
        return sorted(task["cacheHit"] for task in omics.list_run_tasks(id=run_id)["items"])

    assert hits() == [False, False]
    assert hits() == [True, True]
    assert ran.read_text() == "x\n" * 2
    put("reads/2.fastq", "@b\nA\n@c\nA\n")
    assert hits() == [False, True]
    assert ran.read_text() == "x\n" * 3


@in_server
def test_a_completed_run_saves_nothing_by_default(
    omics: Any, compute: Compute, ended: Ended, tmp_path: Path
) -> None:
    """The default behavior of a cache, CACHE_ON_FAILURE, keeps the outputs of failed runs only."""
    cache_id = omics.create_run_cache(cacheS3Location=f"s3://{BUCKET}/cache")["id"]
    for _ in range(2):
        run_id = compute(one_task(f"echo x >> {tmp_path}/ran"), cacheId=cache_id)
        ended(run_id)
    assert (tmp_path / "ran").read_text() == "x\n" * 2


@in_server
def test_a_task_is_retried(omics: Any, compute: Compute, ended: Ended, tmp_path: Path) -> None:
    """Each attempt is a task, with a fresh working directory and the same inputs."""
    document = one_task(
        f"test ! -e left; touch left; echo x >> {tmp_path}/ran; test $(wc -l < {tmp_path}/ran) = 2"
    ).replace("runtime {", "runtime { maxRetries: 1 ")
    run_id = compute(document)
    ended(run_id)
    assert [task["status"] for task in tasks_of(omics, run_id)] == ["FAILED", "COMPLETED"]


@in_server
def test_directories_and_imports(control: Control, omics: Any, ended: Ended, put: Put) -> None:
    """A prefix in S3 is a directory, and so is an output; parameters may come from a file."""
    tasks = """version development
    task copy {
      input { Directory genome }
      command <<< mkdir made; cp -r "~{genome}"/. made/ >>>
      output { Directory made = "made" }
    }
    """
    main = """version development
    import "lib/tasks.wdl" as lib
    workflow w {
      input { Directory genome }
      call lib.copy { input: genome = genome }
      output { Directory made = copy.made }
    }
    """
    put("genome/a.fa", ">a\n")
    put("genome/index/a.fai", "a 0\n")
    packed = archive(main_wdl=main, lib__tasks_wdl=tasks)
    workflow = omics.create_workflow(definitionZip=packed, main="main.wdl")
    run_id = omics.start_run(
        workflowId=workflow["id"],
        roleArn=ROLE,
        outputUri=f"s3://{BUCKET}/results",
        parametersUri=put("parameters.json", json.dumps({"genome": f"s3://{BUCKET}/genome/"})),
    )["id"]
    ended(run_id)
    outputs = objects(f"results/{run_id}/out/")
    assert outputs == {"made/made/a.fa": b">a\n", "made/made/index/a.fai": b"a 0\n"}


@in_server
def test_a_default_in_s3_is_read(omics: Any, compute: Compute, ended: Ended, put: Put) -> None:
    """As the service does; one that is absent fails the run."""
    document = COUNT.replace("File] lanes", f'File] lanes = ["s3://{BUCKET}/default.fastq"]')
    assert ended(compute(document), "FAILED")["failureReason"] == "INPUT_URI_NOT_FOUND"
    put("default.fastq", "@a\nA\n")
    run_id = compute(document)
    ended(run_id)
    assert objects(f"results/{run_id}/out/") == {"tables/0/count.txt": b"1\n"}


@in_server
def test_a_broken_workflow_fails_the_run(omics: Any, compute: Compute, ended: Ended) -> None:
    """What only an engine finds in a definition is the reason of the failure."""
    run_id = compute("version 1.0\nworkflow w { call nothing }\n")
    run = ended(run_id, "FAILED")
    assert run["failureReason"] == "WORKFLOW_RUN_FAILED"
    assert "nothing" in run["statusMessage"]


@in_server
def test_commands_get_no_credentials(
    omics: Any, compute: Compute, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables of the process are not those of the commands."""
    monkeypatch.setenv("A_TOKEN", "secret")
    run_id = compute(one_task("env"))
    ended(run_id)
    (task,) = tasks_of(omics, run_id)
    names = {line.partition("=")[0] for line in lines(task["logStream"].split("log-stream:")[1])}
    assert {"PATH", "HOME", "TMPDIR"} <= names
    assert not [name for name in names if re.match("AWS_|A_TOKEN|PYTHON", name)]


@in_server
def test_a_planned_run_is_not_computed(
    control: Control, omics: Any, compute: Compute, ended: Ended, tmp_path: Path
) -> None:
    """A plan takes precedence."""
    control.plan_run(status="FAILED", failure_reason="SERVICE_ERROR", seconds={"RUNNING": 0})
    run_id = compute(one_task(f"touch {tmp_path}/ran"))
    assert ended(run_id, "FAILED")["failureReason"] == "SERVICE_ERROR"
    assert not (tmp_path / "ran").exists()


@in_server
def test_a_simulated_run_says_so(control: Control, omics: Any, ended: Ended) -> None:
    """A Nextflow workflow is not computed, which is in the log of its engine."""
    control.set_options(running_seconds=0)
    control.add_workflow("7", engine="NEXTFLOW")
    run = omics.start_run(workflowId="7", roleArn=ROLE, outputUri=f"s3://{BUCKET}/results")
    ended(run["id"])
    log = objects(f"results/{run['id']}/")["logs/engine.log"]
    assert log == b"This run is simulated: NEXTFLOW workflows are not computed here\n"


@in_server
def test_a_wrong_parameter_fails_the_run(omics: Any, compute: Compute, ended: Ended) -> None:
    """The text of the failure has no value."""
    run_id = compute(COUNT, {"lanes": {"patient": "Jane"}})
    run = ended(run_id, "FAILED")
    assert "Jane" not in run["statusMessage"]
