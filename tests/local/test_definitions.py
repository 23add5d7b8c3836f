# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Definitions of workflows: which of them make a workflow FAILED, and what is derived from the others."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_healthomics.testing import Control, HealthOmicsServer

from .archives import ARCHIVE, WDL, archive
from .conftest import aws, error_of

NEXTFLOW_SCHEMA = json.dumps(
    {
        "$defs": {
            "inputs": {
                "required": ["input"],
                "properties": {
                    "input": {"type": "string", "description": "Sample sheet"},
                    "skip_qc": {"type": "boolean"},
                },
            }
        },
        "properties": {"outdir": {"type": "string"}},
    }
)
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@in_process
@pytest.mark.parametrize(
    ("request_fields", "problem"),
    [
        ({"definitionZip": b"x"}, "Invalid zip file"),
        ({"definitionUri": "s3://nowhere/workflow.zip"}, "definitionUri cannot be read"),
        ({"definitionZip": archive(README_md="x")}, "no workflow definition file"),
        ({"definitionZip": archive(main_wdl=WDL, main_nf="")}, "engine is required"),
        ({"definitionZip": archive(main_nf=""), "engine": "WDL"}, "no .wdl file"),
        ({"definitionZip": archive(a_wdl=WDL, b_wdl=WDL)}, "main is required"),
        ({"definitionZip": archive(a_wdl=WDL), "main": "b.wdl"}, "main file is not in the archive"),
        ({"definitionZip": archive(a_wdl="workflow w { }")}, "a.wdl: no version statement"),
        ({"definitionZip": archive(a_wdl="version 1.2\nworkflow w { }")}, "version 1.2"),
        ({"definitionZip": archive(a_wdl="version 1.0\nworkflow w {\n input {\n}\n")}, "{ is not closed"),
        ({"definitionZip": archive(a_wdl="version 1.0\nworkflow w { ]\n}")}, "line 2: unexpected ]"),
        ({"definitionZip": archive(a_wdl="version 1.0\ntask t { command <<< x }")}, "command has no end"),
        ({"definitionZip": archive(a_wdl="version 1.0\ntask t { }")}, "no workflow"),
        (
            {"definitionZip": archive(a_wdl='version 1.0\nimport "b.wdl"\nworkflow w { }')},
            "import b.wdl is not in the archive",
        ),
        (
            {
                "definitionZip": archive(
                    lib__b_wdl="version 1.0\n}", main_wdl='version 1.0\nimport "lib/b.wdl"\nworkflow w { }'
                )
            },
            "lib/b.wdl: line 2",
        ),
    ],
)
def test_an_unusable_definition_fails_the_workflow(
    omics: Any, start: Callable[..., Any], request_fields: dict[str, Any], problem: str
) -> None:
    """The call succeeds; the workflow and a version become FAILED, say why, and cannot be run."""
    workflow_id = omics.create_workflow(**request_fields)["id"]
    workflow = omics.get_workflow(id=workflow_id)
    assert workflow["status"] == "FAILED"
    assert problem in workflow["statusMessage"]
    assert omics.list_workflows()["items"][0]["status"] == "FAILED"
    assert error_of(start, workflowId=workflow_id)[0] == "ConflictException"
    omics.create_workflow_version(workflowId=workflow_id, versionName="v1", **request_fields)
    version = omics.get_workflow_version(workflowId=workflow_id, versionName="v1")
    assert (version["status"], problem in version["statusMessage"]) == ("FAILED", True)


@in_process
@pytest.mark.parametrize("options", [{"unreadable_definition": "AccessDeniedException"}])
def test_an_unreadable_definition_can_be_refused(omics: Any) -> None:
    """The option exists because AWS does not document it."""
    source = {"definitionUri": "s3://nowhere/workflow.zip"}
    assert error_of(omics.create_workflow, **source)[:2] == ("AccessDeniedException", 403)
    assert omics.list_workflows()["items"] == []


@in_process
@pytest.mark.parametrize("options", [{"workflow_creating_seconds": 60.0}])
def test_a_definition_fails_after_creating(control: Control, omics: Any) -> None:
    """The workflow becomes FAILED when it would have become ACTIVE."""
    workflow_id = omics.create_workflow(definitionZip=b"x")["id"]
    workflow = omics.get_workflow(id=workflow_id)
    assert workflow["status"] == "CREATING"
    assert "statusMessage" not in workflow
    control.advance_clock(60)
    assert omics.get_workflow(id=workflow_id)["status"] == "FAILED"


@in_process
@pytest.mark.parametrize("options", [{"check_definitions": False}])
def test_definitions_can_be_accepted_unchecked(omics: Any) -> None:
    """With the option, the content does not matter."""
    workflow_id = omics.create_workflow(definitionZip=b"x")["id"]
    assert omics.get_workflow(id=workflow_id)["status"] == "ACTIVE"


@in_process
@pytest.mark.parametrize(
    ("content", "engine", "main"),
    [
        (archive(align_wdl=WDL), "WDL", "align.wdl"),
        (archive(a__main_wdl=WDL, a__tasks_wdl="version 1.1"), "WDL", "a/main.wdl"),
        (archive(main_nf="", modules_nf=""), "NEXTFLOW", "main.nf"),
        (archive(align_cwl="cwlVersion: v1.2"), "CWL", "align.cwl"),
    ],
)
def test_engine_and_main_are_detected(omics: Any, content: bytes, engine: str, main: str) -> None:
    """The only definition file is the main one, or the one named main."""
    workflow = omics.get_workflow(id=omics.create_workflow(definitionZip=content)["id"])
    assert (workflow["status"], workflow["engine"], workflow["main"]) == ("ACTIVE", engine, main)


@in_process
def test_the_engine_decides_among_several(omics: Any) -> None:
    """With files of two engines, the request names one of them."""
    made = omics.create_workflow(definitionZip=archive(main_wdl=WDL, main_nf=""), engine="NEXTFLOW")
    workflow = omics.get_workflow(id=made["id"])
    assert (workflow["status"], workflow["main"]) == ("ACTIVE", "main.nf")


@in_process
def test_the_digest_is_of_the_content(omics: Any) -> None:
    """The same archive has the same digest, in a workflow and in a version, from the request and from S3."""
    content = archive(main_wdl=WDL)
    aws("s3").create_bucket(Bucket="code")
    aws("s3").put_object(Bucket="code", Key="w.zip", Body=content)
    first = omics.create_workflow(definitionZip=content)["id"]
    second = omics.create_workflow(definitionUri="s3://code/w.zip")["id"]
    omics.create_workflow_version(workflowId=first, versionName="v1", definitionZip=ARCHIVE)
    digests = [omics.get_workflow(id=each)["digest"] for each in (first, second)]
    assert digests == [hashlib.sha256(content).hexdigest()] * 2
    version = omics.get_workflow_version(workflowId=first, versionName="v1")
    assert version["digest"] == hashlib.sha256(ARCHIVE).hexdigest()


@in_process
def test_parameters_are_derived_from_wdl(omics: Any, start: Callable[..., Any]) -> None:
    """Nullable inputs and those with a default are optional; StartRun requires the others."""
    workflow_id = omics.create_workflow(definitionZip=archive(main_wdl=WDL))["id"]
    assert omics.get_workflow(id=workflow_id)["parameterTemplate"] == {
        "reads": {"description": "Pairs of reads", "optional": False},
        "known_sites": {"description": "", "optional": True},
        "threads": {"description": "", "optional": True},
        "depths": {"description": "", "optional": True},
        "sample": {"description": "Name of the sample", "optional": False},
    }
    assert "lacks reads, sample" in error_of(start, workflowId=workflow_id, parameters={})[2]
    assert start(workflowId=workflow_id, parameters={"reads": [], "sample": "a"})["id"]


@in_process
def test_parameters_are_derived_from_a_nextflow_schema(omics: Any) -> None:
    """The groups of a schema beside the main file name the parameters; a bad schema is ignored."""
    bad = omics.create_workflow(definitionZip=archive(main_nf="", **{"nextflow_schema.json": "{"}))["id"]
    assert "parameterTemplate" not in omics.get_workflow(id=bad)
    content = archive(main_nf="", **{"nextflow_schema.json": NEXTFLOW_SCHEMA})
    workflow = omics.get_workflow(id=omics.create_workflow(definitionZip=content)["id"])
    assert workflow["parameterTemplate"] == {
        "input": {"description": "Sample sheet", "optional": False},
        "skip_qc": {"description": "", "optional": True},
        "outdir": {"description": "", "optional": True},
    }


@in_process
def test_a_given_template_takes_precedence(omics: Any) -> None:
    """The template of the request overrides the detected one."""
    template = {"reads": {"description": "x"}}
    made = omics.create_workflow(definitionZip=archive(main_wdl=WDL), parameterTemplate=template)
    assert omics.get_workflow(id=made["id"])["parameterTemplate"] == template


@in_process
def test_an_archive_is_exported(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """The URL of GetWorkflow, GetWorkflowVersion and GetRun has the archive; without export there is none."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE, readmeMarkdown="# Align")["id"]
    omics.create_workflow_version(workflowId=workflow_id, versionName="v1", definitionZip=archive(a_wdl=WDL))
    assert "definition" not in omics.get_workflow(id=workflow_id)
    workflow = omics.get_workflow(id=workflow_id, export=["DEFINITION", "README"])
    version = omics.get_workflow_version(workflowId=workflow_id, versionName="v1", export=["DEFINITION"])
    run = omics.get_run(id=start(workflowId=workflow_id)["id"], export=["DEFINITION"])
    assert requests.get(workflow["definition"], timeout=10).content == ARCHIVE
    assert requests.get(run["definition"], timeout=10).content == ARCHIVE
    assert requests.get(version["definition"], timeout=10).content == archive(a_wdl=WDL)
    assert requests.get(workflow["readme"], timeout=10).text == "# Align"


def test_a_server_exports_to_any_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL leads to the server, without credentials."""
    with HealthOmicsServer() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        omics = aws("omics")
        workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
        url = omics.get_workflow(id=workflow_id, export=["DEFINITION"])["definition"]
        assert url.startswith(server.endpoint_url)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == ARCHIVE
