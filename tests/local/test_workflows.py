# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Workflows and their versions."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .archives import ARCHIVE
from .conftest import error_of


def test_a_workflow_is_created_once_for_a_request_id(omics: Any) -> None:
    """A repeated request returns the same workflow; another body conflicts."""
    request = {"name": "align", "definitionZip": ARCHIVE, "requestId": "one"}
    first = omics.create_workflow(**request)
    assert omics.create_workflow(**request)["id"] == first["id"]
    assert error_of(omics.create_workflow, **{**request, "name": "other"})[0] == "ConflictException"
    assert first["status"] == "CREATING"
    assert first["arn"] == f"arn:aws:omics:us-east-1:123456789012:workflow/{first['id']}"


@pytest.mark.parametrize("options", [{"workflow_creating_seconds": 60.0}])
def test_a_workflow_becomes_active(control: Control, omics: Any) -> None:
    """A new workflow is CREATING for the configured time."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    assert omics.get_workflow(id=workflow_id)["status"] == "CREATING"
    control.advance_clock(60)
    assert omics.get_workflow(id=workflow_id)["status"] == "ACTIVE"


def test_a_deleted_workflow_is_not_found(omics: Any) -> None:
    """Get, delete and creating a version fail for a workflow that does not exist."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    omics.delete_workflow(id=workflow_id)
    for call in (omics.get_workflow, omics.delete_workflow):
        assert error_of(call, id=workflow_id)[:2] == ("ResourceNotFoundException", 404)
    version = {"workflowId": workflow_id, "versionName": "v1"}
    assert error_of(omics.get_workflow_version, **version)[0] == "ResourceNotFoundException"
    assert error_of(omics.create_workflow_version, **version)[0] == "ResourceNotFoundException"


@pytest.mark.parametrize("options", [{"workflow_creating_seconds": 60.0}])
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_workflow_is_deleted_after_its_versions(control: Control, omics: Any) -> None:
    """A workflow that is CREATING or has versions is not deleted."""
    control.stop_clock()
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    assert error_of(omics.delete_workflow, id=workflow_id)[:2] == ("ConflictException", 409)
    control.advance_clock(60)
    version = {"workflowId": workflow_id, "versionName": "v1"}
    omics.create_workflow_version(**version, definitionZip=ARCHIVE)
    assert error_of(omics.delete_workflow, id=workflow_id)[:2] == ("ConflictException", 409)
    omics.delete_workflow_version(**version)
    omics.delete_workflow(id=workflow_id)
    assert omics.list_workflows()["items"] == []


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_deletion_shifts_no_page(omics: Any) -> None:
    """A page begins after the last item of the previous one, though that is gone."""
    ids = [omics.create_workflow(definitionZip=ARCHIVE)["id"] for _ in range(4)]
    page = omics.list_workflows(maxResults=2)
    omics.delete_workflow(id=ids[1])
    rest = omics.list_workflows(maxResults=2, startingToken=page["nextToken"])["items"]
    assert [item["id"] for item in rest] == ids[2:]


def test_a_workflow_of_aws_is_found_by_its_type(control: Control, omics: Any) -> None:
    """Without the type it is not found; its ARN names no account."""
    control.add_workflow("77", name="germline", type="READY2RUN")
    assert error_of(omics.get_workflow, id="77") == (
        "ResourceNotFoundException",
        404,
        "Workflow 77 not found",
    )
    workflow = omics.get_workflow(id="77", type="READY2RUN")
    assert (workflow["name"], workflow["type"]) == ("germline", "READY2RUN")
    assert workflow["arn"] == "arn:aws:omics:us-east-1::workflow/77"


def test_versions_inherit_nothing_and_have_unique_names(omics: Any) -> None:
    """A version has its own template, and its name is unique."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE, parameterTemplate={"a": {}})["id"]
    version = {"workflowId": workflow_id, "versionName": "v1", "definitionZip": ARCHIVE}
    created = omics.create_workflow_version(**version)
    assert created["arn"].endswith(f"workflow/{workflow_id}/version/v1")
    assert "parameterTemplate" not in omics.get_workflow_version(workflowId=workflow_id, versionName="v1")
    assert error_of(omics.create_workflow_version, **version)[0] == "ConflictException"
    assert (
        error_of(omics.get_workflow_version, workflowId=workflow_id, versionName="v2")[0]
        == "ResourceNotFoundException"
    )


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_workflow_and_a_version_are_updated(omics: Any) -> None:
    """The update shows in Get; the name of a version cannot change."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE, name="align")["id"]
    version = {"workflowId": workflow_id, "versionName": "v1"}
    omics.create_workflow_version(**version, definitionZip=ARCHIVE)
    omics.update_workflow(id=workflow_id, name="map", storageType="STATIC", storageCapacity=2400)
    omics.update_workflow_version(**version, description="better")
    workflow = omics.get_workflow(id=workflow_id)
    assert [workflow[name] for name in ("name", "storageType", "storageCapacity")] == ["map", "STATIC", 2400]
    assert omics.list_workflows()["items"][0]["name"] == "map"
    assert omics.get_workflow_version(**version)["description"] == "better"
    assert error_of(omics.update_workflow, id="1")[0] == "ResourceNotFoundException"


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_versions_are_listed_and_deleted(omics: Any) -> None:
    """Pages show each version once; a deleted one is gone, and its name can be used again."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    for name in ("v1", "v2", "v3"):
        omics.create_workflow_version(workflowId=workflow_id, versionName=name, definitionZip=ARCHIVE)
    pages = omics.get_paginator("list_workflow_versions").paginate(
        workflowId=workflow_id, PaginationConfig={"PageSize": 2}
    )
    assert [item["versionName"] for page in pages for item in page["items"]] == ["v1", "v2", "v3"]
    omics.delete_workflow_version(workflowId=workflow_id, versionName="v2")
    items = omics.list_workflow_versions(workflowId=workflow_id)["items"]
    assert [item["versionName"] for item in items] == ["v1", "v3"]
    deleted = {"workflowId": workflow_id, "versionName": "v2"}
    for call in (omics.get_workflow_version, omics.delete_workflow_version):
        assert error_of(call, **deleted)[0] == "ResourceNotFoundException"
    omics.create_workflow_version(**deleted, definitionZip=ARCHIVE)


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_repository_is_not_read(omics: Any) -> None:
    """The content of a code connection is unknown, so its workflow becomes ACTIVE."""
    connection = "arn:aws:codeconnections:us-east-1:123456789012:connection/x"
    source = {"connectionArn": connection, "fullRepositoryId": "lab/align"}
    workflow = omics.get_workflow(id=omics.create_workflow(definitionRepository=source, engine="CWL")["id"])
    assert (workflow["status"], workflow["engine"]) == ("ACTIVE", "CWL")
