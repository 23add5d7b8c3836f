# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A run of a CWL workflow runs its commands, too, without the containers that it asks for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.local.archives import archive
from tests.local.conftest import BUCKET, ROLE

from .conftest import wait_for
from .test_computed_runs import lines, objects, tasks_of

pytestmark = pytest.mark.parametrize("control", ["server"], indirect=True)

Compute = Callable[..., str]
Ended = Callable[..., dict[str, Any]]
Put = Callable[[str, str], str]

WORKFLOW = """cwlVersion: v1.2
class: Workflow
requirements: {{ ScatterFeatureRequirement: {{}} }}
inputs: {{ reads: "File[]" }}
steps:
  count:
    run:
      class: CommandLineTool
      requirements:
        DockerRequirement: {{ dockerPull: "grep:3" }}
        ResourceRequirement: {{ coresMax: 64, ramMax: {mebibytes} }}
      baseCommand: [sh, -c, {command}]
      inputs: {{ lane: {{ type: File, inputBinding: {{}} }} }}
      stdout: count.txt
      outputs: {{ table: stdout }}
    scatter: lane
    in: {{ lane: reads }}
    out: [table]
outputs:
  tables: {{ type: "File[]", outputSource: count/table }}
"""


@pytest.fixture
def count(omics: Any) -> Compute:
    """Start a run of a command for each file of reads, and return its id."""

    def start_run(reads: list[Any], command: str = "grep -c ^@ $0", mebibytes: int = 1024) -> str:
        document = WORKFLOW.format(command=json.dumps(command), mebibytes=mebibytes)
        workflow = omics.create_workflow(definitionZip=archive(main_cwl=document))
        run = omics.start_run(
            workflowId=workflow["id"],
            roleArn=ROLE,
            outputUri=f"s3://{BUCKET}/results",
            parameters={"reads": reads},
        )
        return str(run["id"])

    return start_run


def test_a_run_has_the_outputs_of_its_commands(omics: Any, count: Compute, ended: Ended, put: Put) -> None:
    """Inputs are files in the form of CWL, or URIs; a task may ask for more CPUs than there are."""
    one, two = put("1.fastq", "@a\nA\n@b\nC\n"), put("2.fastq", "@c\nG\n")
    run_id = count([{"class": "File", "location": one}, two], "echo counting >&2; sleep 0.2; grep -c ^@ $0")
    ended(run_id)
    base = f"results/{run_id}/"
    found = objects(base)
    tables = json.loads(found["logs/outputs.json"])["tables"]
    contents = [found[table["location"].removeprefix(f"s3://{BUCKET}/{base}")] for table in tables]
    assert contents == [b"2\n", b"1\n"]
    assert {table["class"] for table in tables} == {"File"}
    tasks = tasks_of(omics, run_id)
    assert [(task["name"], task["status"], task["cpus"]) for task in tasks] == [
        ("count", "COMPLETED", 64),
        ("count_2", "COMPLETED", 64),
    ]
    assert {task["imageDetails"]["image"] for task in tasks} == {"grep:3"}
    assert "counting" in lines(tasks[0]["logStream"].split("log-stream:")[1])


def test_a_failing_command_fails_its_task(omics: Any, count: Compute, ended: Ended, put: Put) -> None:
    """With what it wrote to stderr in the log."""
    run_id = count([put("1.fastq", "")], "echo 'no index' >&2; exit 3")
    run = ended(run_id, "FAILED")
    assert (run["failureReason"], run["statusMessage"]) == (
        "RUN_TASK_FAILED",
        "The command ended with exit status 3",
    )
    (task,) = tasks_of(omics, run_id)
    assert task["status"] == "FAILED"
    assert lines(task["logStream"].split("log-stream:")[1])[-1] == "no index"


def test_too_much_memory_fails_the_task(omics: Any, count: Compute, ended: Ended, put: Put) -> None:
    """A command is killed once it exceeds what its requirement says."""
    script = "python3 -c 'bytearray(400_000_000); import time; time.sleep(60)'"
    run_id = count([put("1.fastq", "")], script, mebibytes=100)
    assert ended(run_id, "FAILED")["failureReason"] == "OUT_OF_MEMORY_ERROR"
    (task,) = tasks_of(omics, run_id)
    assert (task["status"], task["failureReason"]) == ("FAILED", "OUT_OF_MEMORY_ERROR")


@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        (f"s3://{BUCKET}/nothing", "INPUT_URI_NOT_FOUND"),
        ({"class": "File", "path": f"s3://{BUCKET}/nothing"}, "INPUT_URI_NOT_FOUND"),
        ({"class": "File", "path": "/etc/passwd"}, "INVALID_URI_INPUT"),
    ],
)
def test_an_absent_input_fails_the_run(
    omics: Any, count: Compute, ended: Ended, lane: Any, reason: str
) -> None:
    """Before any task."""
    run_id = count([lane])
    assert ended(run_id, "FAILED")["failureReason"] == reason
    assert tasks_of(omics, run_id) == []


def test_a_wrong_parameter_fails_the_run(omics: Any, count: Compute, ended: Ended) -> None:
    """The text of the failure has no value."""
    run_id = count([{"patient": "Jane"}])
    run = ended(run_id, "FAILED")
    assert run["failureReason"] == "WORKFLOW_RUN_FAILED"
    assert "Jane" not in run["statusMessage"]


def test_cancel_ends_the_processes(
    omics: Any, count: Compute, ended: Ended, put: Put, tmp_path: Path
) -> None:
    """Even one that ignores SIGTERM."""
    pid = tmp_path / "pid"
    run_id = count(
        [put("1.fastq", "")], f"trap '' TERM; echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 600; sleep 600"
    )
    wait_for(pid.exists)
    omics.cancel_run(id=run_id)
    ended(run_id, "CANCELLED")
    assert [task["status"] for task in tasks_of(omics, run_id)] == ["CANCELLED"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
