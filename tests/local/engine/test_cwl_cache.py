# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of CWL workflows are cache hits if their definition and the content of their inputs are equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.local.archives import archive
from tests.local.conftest import BUCKET, ROLE

from .test_computed_runs import objects, tasks_of

pytestmark = pytest.mark.parametrize("control", ["server"], indirect=True)

Put = Callable[[str, str], str]
Run = Callable[..., tuple[dict[str, bool], dict[str, bytes]]]

COUNT = """
class: CommandLineTool
baseCommand: [grep, -c, "^@"]
inputs: { lane: { type: File, inputBinding: {} } }
outputs: { table: stdout }
"""

SCATTER = """cwlVersion: v1.2
class: Workflow
requirements: { ScatterFeatureRequirement: {} }
inputs: { reads: "File[]" }
steps:
  count: { run: count.cwl, scatter: lane, in: { lane: reads }, out: [table] }
outputs:
  tables: { type: "File[]", outputSource: count/table }
"""

#: The first task is never a cache hit; its output is equal each time, in another directory.
CHAIN = """cwlVersion: v1.2
class: Workflow
inputs: { reads: File }
steps:
  copy:
    run:
      class: CommandLineTool
      requirements: { WorkReuse: { enableReuse: false } }
      baseCommand: cat
      inputs: { reads: { type: File, inputBinding: {} } }
      stdout: copied.fastq
      outputs: { copied: stdout }
    in: { reads: reads }
    out: [copied]
  count: { run: count.cwl, in: { lane: copy/copied }, out: [table] }
outputs:
  table: { type: File, outputSource: count/table }
"""

NAMED = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [echo, done]
inputs: { sample: string }
stdout: $(inputs.sample).txt
outputs: { table: stdout }
"""

SCRIPTED = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: sh
inputs:
  script: { type: File, default: { class: File, location: script.sh }, inputBinding: {} }
stdout: out.txt
outputs: { table: stdout }
"""


@pytest.fixture
def run(omics: Any, ended: Callable[..., dict[str, Any]]) -> Run:
    """Run a definition with a run cache; return whether its tasks were hits, and the outputs."""
    cache_id = omics.create_run_cache(cacheS3Location=f"s3://{BUCKET}/cache", cacheBehavior="CACHE_ALWAYS")[
        "id"
    ]

    def run_it(parameters: dict[str, Any], **documents: str) -> tuple[dict[str, bool], dict[str, bytes]]:
        workflow = omics.create_workflow(definitionZip=archive(**documents), main="main.cwl", engine="CWL")
        run_id = omics.start_run(
            workflowId=workflow["id"],
            roleArn=ROLE,
            outputUri=f"s3://{BUCKET}/results",
            parameters=parameters,
            cacheId=cache_id,
        )["id"]
        ended(run_id)
        hits = {task["name"]: task["cacheHit"] for task in tasks_of(omics, run_id)}
        return hits, objects(f"results/{run_id}/out/")

    return run_it


def test_only_what_has_changed_is_computed(run: Run, put: Put) -> None:
    """An equal object is a hit, also in another workflow; one with another content is none."""
    documents = {"main_cwl": SCATTER, "count_cwl": f"cwlVersion: v1.2{COUNT}"}
    lanes = [put("1.fastq", "@a\nA\n"), put("2.fastq", "@b\nA\n@c\nA\n")]
    hits, outputs = run({"reads": lanes}, **documents)
    assert hits == {"count": False, "count_2": False}
    assert sorted(outputs.values()) == [b"1\n", b"2\n"]
    assert run({"reads": lanes}, **documents) == ({"count": True, "count_2": True}, outputs)
    put("2.fastq", "@b\nA\n@c\nA\n@d\nA\n")
    hits, outputs = run({"reads": lanes}, **documents)
    assert hits == {"count": True, "count_2": False}
    assert sorted(outputs.values()) == [b"1\n", b"3\n"]
    documents["main_cwl"] = SCATTER.replace("tables:", "counts:")
    assert run({"reads": lanes}, **documents)[0] == {"count": True, "count_2": True}
    documents["count_cwl"] = documents["count_cwl"].replace("^@", "^A")
    assert run({"reads": lanes}, **documents)[0] == {"count": False, "count_2": False}


def test_the_content_of_an_intermediate_file_counts(run: Run, put: Put) -> None:
    """A task that was computed again leaves those after it in the cache. ``WorkReuse`` excludes a task."""
    documents = {"main_cwl": CHAIN, "count_cwl": f"cwlVersion: v1.2{COUNT}"}
    reads = put("1.fastq", "@a\nA\n")
    assert run({"reads": reads}, **documents)[0] == {"copy": False, "count": False}
    hits, outputs = run({"reads": reads}, **documents)
    assert hits == {"copy": False, "count": True}
    assert list(outputs.values()) == [b"1\n"]


def test_inputs_beside_the_command_line_count(run: Run) -> None:
    """A sample that is only in the name of a file is another task."""
    first = run({"sample": "a"}, main_cwl=NAMED)
    second = run({"sample": "b"}, main_cwl=NAMED)
    assert [list(hits.values()) for hits, _ in (first, second)] == [[False], [False]]
    assert [set(outputs) for _, outputs in (first, second)] == [{"a.txt"}, {"b.txt"}]
    assert list(run({"sample": "a"}, main_cwl=NAMED)[0].values()) == [True]


def test_files_of_the_definition_count(run: Run) -> None:
    """A changed script is computed, although its name is the same."""
    for script, hit in (("echo 1", False), ("echo 2", False), ("echo 1", True)):
        hits, outputs = run({}, main_cwl=SCRIPTED, script_sh=script)
        assert list(hits.values()) == [hit]
        assert outputs == {"out.txt": f"{script[-1]}\n".encode()}
