# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""One workflow fails on purpose, is cached on the second run, and is cancelled midway."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import BUCKET

from .conftest import wait_for
from .test_computed_runs import lines, objects, tasks_of

pytestmark = pytest.mark.parametrize("control", ["server"], indirect=True)

#: Two tasks, of which the second is a script that the test changes. A file counts the runs of the first.
WDL = """version 1.0
task align {{
  input {{ File reads }}
  command <<< echo x >> {folder}/aligned; grep -c '^@' ~{{reads}} >>>
  output {{ File aligned = stdout() }}
}}
task genotype {{
  input {{ File aligned }}
  command <<< sh {folder}/genotype.sh ~{{aligned}} > calls.txt >>>
  output {{ File calls = "calls.txt" }}
}}
workflow germline {{
  input {{ File reads }}
  call align {{ input: reads = reads }}
  call genotype {{ input: aligned = align.aligned }}
  output {{ File calls = genotype.calls }}
}}
"""

CWL = """cwlVersion: v1.2
class: Workflow
inputs: {{ reads: File }}
steps:
  align:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "echo x >> {folder}/aligned; grep -c '^@' $0"]
      inputs: {{ reads: {{ type: File, inputBinding: {{}} }} }}
      outputs: {{ aligned: stdout }}
    in: {{ reads: reads }}
    out: [aligned]
  genotype:
    run:
      class: CommandLineTool
      baseCommand: [sh, "{folder}/genotype.sh"]
      inputs: {{ aligned: {{ type: File, inputBinding: {{}} }} }}
      stdout: calls.txt
      outputs: {{ calls: stdout }}
    in: {{ aligned: align/aligned }}
    out: [calls]
outputs:
  calls: {{ type: File, outputSource: genotype/calls }}
"""


@pytest.mark.parametrize("document", [WDL, CWL], ids=["WDL", "CWL"])
def test_a_workflow_fails_is_resumed_and_is_cancelled(
    omics: Any,
    compute: Callable[..., str],
    ended: Callable[..., dict[str, Any]],
    put: Callable[[str, str], str],
    tmp_path: Path,
    document: str,
) -> None:
    """By default, failed and cancelled runs leave their completed tasks to the next run, and no others."""
    location = f"s3://{BUCKET}/cache"
    cache_id = omics.create_run_cache(cacheS3Location=location)["id"]
    script, pid = tmp_path / "genotype.sh", tmp_path / "pid"

    def start(reads: str) -> str:
        return compute(document.format(folder=tmp_path), {"reads": reads}, cacheId=cache_id)

    def hits(run_id: str) -> dict[str, tuple[str, bool, str | None]]:
        return {
            task["name"]: (task["status"], task["cacheHit"], task.get("cacheS3Uri"))
            for task in tasks_of(omics, run_id)
        }

    computed, hit = ("COMPLETED", False, None), ("COMPLETED", True, location)
    reads = put("1.fastq", "@a\nA\n@b\nC\n")

    script.write_text("echo 'no reference' >&2; exit 3")
    failed = start(reads)
    assert ended(failed, "FAILED")["failureReason"] == "RUN_TASK_FAILED"
    assert hits(failed) == {"align": computed, "genotype": ("FAILED", False, None)}
    log = next(task["logStream"] for task in tasks_of(omics, failed) if task["status"] == "FAILED")
    assert lines(log.split("log-stream:")[1])[-1] == "no reference"

    script.write_text("cat $1")
    resumed = start(reads)
    assert ended(resumed)["cacheId"] == cache_id
    assert hits(resumed) == {"align": hit, "genotype": computed}
    assert list(objects(f"results/{resumed}/out/").values()) == [b"2\n"]
    again = start(reads)
    ended(again)
    assert hits(again) == {"align": hit, "genotype": computed}

    script.write_text(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 600")
    reads = put("2.fastq", "@c\nG\n")
    cancelled = start(reads)
    wait_for(pid.exists)
    omics.cancel_run(id=cancelled)
    ended(cancelled, "CANCELLED")
    assert hits(cancelled) == {"align": computed, "genotype": ("CANCELLED", False, None)}
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)

    script.write_text("cat $1")
    resumed = start(reads)
    ended(resumed)
    assert hits(resumed) == {"align": hit, "genotype": computed}
    assert list(objects(f"results/{resumed}/out/").values()) == [b"1\n"]
    assert (tmp_path / "aligned").read_text() == "x\n" * 2
