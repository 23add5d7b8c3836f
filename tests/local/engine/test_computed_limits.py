# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The tasks of computed runs share the CPUs and GPUs of their run group."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import wait_for
from .test_computed_runs import tasks_of

pytestmark = pytest.mark.parametrize("control", ["server"], indirect=True)

Compute = Callable[..., str]
Ended = Callable[..., dict[str, Any]]

WDL = """version 1.0
task only {{
  command <<< {command} >>>
  runtime {{ cpu: {cpus}  memory: "1 GiB"  acceleratorCount: {gpus}  acceleratorType: "nvidia-l4" }}
}}
workflow one {{ call only }}
"""

CWL = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {{ cwltool: "http://commonwl.org/cwltool#" }}
requirements:
  ResourceRequirement: {{ coresMin: {cpus}, ramMin: 1024 }}
  {gpu_requirement}
baseCommand: [sh, -c, {quoted}]
inputs: []
outputs: []
"""

TWO_TASKS = """version 1.0
task first {{
  command <<< {first} >>>
  output {{ Boolean done = true }}
  runtime {{ cpu: 2  memory: "1 GiB" }}
}}
task second {{
  input {{ Boolean done }}
  command <<< {second} >>>
  runtime {{ cpu: 1  memory: "1 GiB" }}
}}
workflow two {{
  call first
  call second {{ input: done = {after} }}
}}
"""

#: One task fails when it is told to, and another waits for GPUs meanwhile.
FAILING_WDL = """version 1.0
task fail {{
  command <<< {fail}; exit 3 >>>
}}
task prepare {{
  command <<< {prepare} >>>
  output {{ Boolean done = true }}
}}
task use {{
  input {{ Boolean done }}
  command <<< {use} >>>
  runtime {{ acceleratorCount: 3 }}
}}
workflow failing {{
  call fail
  call prepare
  call use {{ input: done = prepare.done }}
}}
"""

FAILING_CWL = """cwlVersion: v1.2
class: Workflow
$namespaces: {{ cwltool: "http://commonwl.org/cwltool#" }}
inputs: []
steps:
  fail:
    run: {{ class: CommandLineTool, baseCommand: [sh, -c, "{fail}; exit 3"], inputs: [], outputs: [] }}
    in: []
    out: []
  prepare:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "{prepare}"]
      inputs: []
      outputs: {{ done: stdout }}
    in: []
    out: [done]
  use:
    run:
      class: CommandLineTool
      requirements:
        cwltool:CUDARequirement:
          cudaDeviceCountMin: 3
          cudaComputeCapability: nvidia-l4
          cudaVersionMin: "1.0"
      baseCommand: [sh, -c, "{use}"]
      inputs: {{ done: File }}
      outputs: []
    in: {{ done: prepare/done }}
    out: []
outputs: []
"""

languages = pytest.mark.parametrize("language", ["WDL", "CWL"])


def one_task(language: str, command: str, *, cpus: int = 1, gpus: int = 0) -> str:
    """Return a workflow with one task."""
    if language == "WDL":
        return WDL.format(command=command, cpus=cpus, gpus=gpus)
    wanted = f'{{ cudaDeviceCountMin: {gpus}, cudaComputeCapability: "nvidia-l4", cudaVersionMin: "1.0" }}'
    requirement = f"cwltool:CUDARequirement: {wanted}" if gpus else ""
    return CWL.format(quoted=json.dumps(command), cpus=cpus, gpu_requirement=requirement)


def until(file: Path) -> str:
    """Return a command that ends once a file exists."""
    return f"while ! test -e {file}; do sleep 0.05; done"


def states_of(omics: Any, run_id: str) -> list[str]:
    """Return the status of each task."""
    return [task["status"] for task in omics.list_run_tasks(id=run_id)["items"]]


@languages
@pytest.mark.parametrize(("limit", "needs"), [("maxCpus", {"cpus": 2}), ("maxGpus", {"gpus": 2})])
def test_tasks_of_several_runs_share_their_group(
    omics: Any,
    compute: Compute,
    ended: Ended,
    tmp_path: Path,
    language: str,
    limit: str,
    needs: dict[str, int],
) -> None:
    """A task without room is PENDING and runs nothing, until the task of another run has ended."""
    group_id = omics.create_run_group(**{limit: 3})["id"]
    go, ran = tmp_path / "go", tmp_path / "ran"
    first = compute(one_task(language, until(go), **needs), runGroupId=group_id)
    wait_for(lambda: states_of(omics, first) == ["RUNNING"])
    second = compute(one_task(language, f"touch {ran}", **needs), runGroupId=group_id)
    wait_for(lambda: states_of(omics, second) == ["PENDING"])
    (waiting,) = tasks_of(omics, second)
    assert {name: waiting[name] for name in needs} == needs
    assert "startTime" not in waiting
    assert not ran.exists()
    go.touch()
    ended(first)
    ended(second)
    assert ran.exists()
    assert tasks_of(omics, second)[0]["startTime"] >= tasks_of(omics, first)[0]["stopTime"]


@languages
def test_tasks_wait_no_longer_than_their_group_is_full(
    omics: Any, compute: Compute, ended: Ended, tmp_path: Path, language: str
) -> None:
    """A larger limit applies at once."""
    group_id = omics.create_run_group(maxCpus=3)["id"]
    go = tmp_path / "go"
    first = compute(one_task(language, until(go), cpus=2), runGroupId=group_id)
    wait_for(lambda: states_of(omics, first) == ["RUNNING"])
    second = compute(one_task(language, "true", cpus=2), runGroupId=group_id)
    wait_for(lambda: states_of(omics, second) == ["PENDING"])
    omics.update_run_group(id=group_id, maxCpus=4)
    ended(second)
    assert states_of(omics, first) == ["RUNNING"]
    go.touch()
    ended(first)


@languages
def test_a_run_whose_task_waits_can_be_cancelled(
    omics: Any, compute: Compute, ended: Ended, tmp_path: Path, language: str
) -> None:
    """Its command never runs, and the other run is not affected."""
    group_id = omics.create_run_group(maxCpus=3)["id"]
    go, ran = tmp_path / "go", tmp_path / "ran"
    first = compute(one_task(language, until(go), cpus=2), runGroupId=group_id)
    wait_for(lambda: states_of(omics, first) == ["RUNNING"])
    second = compute(one_task(language, f"touch {ran}", cpus=2), runGroupId=group_id)
    wait_for(lambda: states_of(omics, second) == ["PENDING"])
    omics.cancel_run(id=second)
    ended(second, "CANCELLED")
    assert states_of(omics, second) == ["CANCELLED"]
    go.touch()
    ended(first)
    assert not ran.exists()


@pytest.mark.parametrize("document", [FAILING_WDL, FAILING_CWL], ids=["WDL", "CWL"])
def test_a_failed_run_does_not_wait_for_its_other_tasks(
    omics: Any, compute: Compute, ended: Ended, tmp_path: Path, document: str
) -> None:
    """A task that waits when another one fails is cancelled, and runs nothing."""
    group_id = omics.create_run_group(maxGpus=4)["id"]
    go, fail, prepared, ran = (tmp_path / name for name in ("go", "fail", "prepared", "ran"))
    first = compute(one_task("WDL", until(go), gpus=2), runGroupId=group_id)
    wait_for(lambda: states_of(omics, first) == ["RUNNING"])
    commands = {"fail": until(fail), "prepare": until(prepared), "use": f"touch {ran}"}
    second = compute(document.format(**commands), runGroupId=group_id)
    wait_for(lambda: states_of(omics, second) == ["RUNNING", "RUNNING"])
    prepared.touch()
    wait_for(lambda: sorted(states_of(omics, second)) == ["COMPLETED", "PENDING", "RUNNING"])
    fail.touch()
    assert ended(second, "FAILED")["failureReason"] == "RUN_TASK_FAILED"
    states = {task["name"]: task["status"] for task in tasks_of(omics, second)}
    assert states == {"fail": "FAILED", "prepare": "COMPLETED", "use": "CANCELLED"}
    assert states_of(omics, first) == ["RUNNING"]
    go.touch()
    ended(first)
    assert not ran.exists()


def test_a_run_waits_for_tasks_and_not_for_the_run(
    omics: Any, compute: Compute, ended: Ended, tmp_path: Path
) -> None:
    """A run of a full group is PENDING until a task has ended, even if the run of that task continues."""
    group_id = omics.create_run_group(maxCpus=3)["id"]
    go, end = tmp_path / "go", tmp_path / "end"
    document = TWO_TASKS.format(first=until(go), second=until(end), after="true")
    first = compute(document, runGroupId=group_id)
    wait_for(lambda: states_of(omics, first) == ["RUNNING", "RUNNING"])
    second = compute(one_task("WDL", "true"), runGroupId=group_id)
    assert omics.get_run(id=second)["status"] == "PENDING"
    go.touch()
    started = ended(second)["startTime"]
    states = {task["name"]: task for task in tasks_of(omics, first)}
    assert states["second"]["status"] == "RUNNING"
    assert started >= states["first"]["stopTime"]
    end.touch()
    ended(first)


def test_cache_hits_need_no_room(omics: Any, compute: Compute, ended: Ended, tmp_path: Path) -> None:
    """A task whose outputs are in the run cache does not wait for CPUs, nor does it hold up the next task."""
    cache_id = omics.create_run_cache(cacheS3Location="s3://outputs/cache", cacheBehavior="CACHE_ALWAYS")[
        "id"
    ]
    group_id = omics.create_run_group(maxCpus=3)["id"]
    go = tmp_path / "go"
    ended(compute(TWO_TASKS.format(first="true", second="true", after="first.done"), cacheId=cache_id))
    first = compute(one_task("WDL", until(go), cpus=2), runGroupId=group_id)
    wait_for(lambda: states_of(omics, first) == ["RUNNING"])
    changed = TWO_TASKS.format(first="true", second="echo changed", after="first.done")
    second = compute(changed, runGroupId=group_id, cacheId=cache_id)
    ended(second)
    assert [task["cacheHit"] for task in tasks_of(omics, second)] == [True, False]
    assert states_of(omics, first) == ["RUNNING"]
    go.touch()
    ended(first)
