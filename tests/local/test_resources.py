# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run caches, configurations and tags, and StartRun's references to resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .archives import ARCHIVE
from .conftest import error_of

Start = Callable[..., dict[str, Any]]
VPC = {"vpcConfig": {"securityGroupIds": ["sg-1"], "subnetIds": ["subnet-1"]}}
pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)


def test_a_run_cache_is_created_updated_and_deleted(omics: Any) -> None:
    """By default a cache saves the outputs of failed runs, and the caller owns its bucket."""
    request = {"cacheS3Location": "s3://cache/a", "requestId": "one"}
    made = omics.create_run_cache(**request)
    assert omics.create_run_cache(**request)["id"] == made["id"]
    cache = omics.get_run_cache(id=made["id"])
    expected = {
        "status": "ACTIVE",
        "cacheBehavior": "CACHE_ON_FAILURE",
        "cacheS3Uri": "s3://cache/a",
        "cacheBucketOwnerId": "123456789012",
    }
    assert {name: cache[name] for name in expected} == expected
    omics.update_run_cache(id=made["id"], cacheBehavior="CACHE_ALWAYS", name="n")
    (item,) = omics.list_run_caches()["items"]
    assert (item["cacheBehavior"], item["name"]) == ("CACHE_ALWAYS", "n")
    omics.delete_run_cache(id=made["id"])
    for call in (omics.get_run_cache, omics.delete_run_cache, omics.update_run_cache):
        assert error_of(call, id=made["id"])[:2] == ("ResourceNotFoundException", 404)


def test_a_run_cache_with_active_runs_is_kept(control: Control, omics: Any, start: Start) -> None:
    """It can be deleted once they have ended."""
    cache_id = omics.create_run_cache(cacheS3Location="s3://cache")["id"]
    start(cacheId=cache_id)
    assert error_of(omics.delete_run_cache, id=cache_id)[0] == "ConflictException"
    control.advance("COMPLETED")
    omics.delete_run_cache(id=cache_id)


@pytest.mark.parametrize(
    "options", [{"inactive_error": "ValidationException", "used_name_error": "ValidationException"}]
)
def test_undocumented_errors_can_be_chosen(control: Control, omics: Any, start: Start) -> None:
    """The errors for resources that are not ACTIVE, and for names in use."""
    workflow = omics.create_workflow(definitionZip=b"x")
    version = {"workflowId": workflow["id"], "versionName": "v1", "definitionZip": ARCHIVE}
    omics.create_workflow_version(**version)
    configuration = {"name": "c", "runConfigurations": VPC}
    omics.create_configuration(**configuration)
    assert error_of(start, workflowId=workflow["id"])[0] == "ValidationException"
    assert error_of(omics.create_workflow_version, **version)[0] == "ValidationException"
    assert error_of(omics.create_configuration, **configuration)[0] == "ValidationException"
    control.set_options(configuration_creating_seconds=1e9)
    assert error_of(start, networkingMode="VPC", configurationName="c")[0] == "ValidationException"


@pytest.mark.parametrize("options", [{"configuration_creating_seconds": 60.0, "any_configuration": False}])
def test_a_configuration_must_be_active(control: Control, omics: Any, start: Start) -> None:
    """A run keeps the configuration of its start; a configuration with active runs cannot be deleted."""
    made = omics.create_configuration(name="private", runConfigurations=VPC)
    fields = {"networkingMode": "VPC", "configurationName": "private"}
    assert made["status"] == "CREATING"
    assert error_of(start, **fields)[:2] == ("ConflictException", 409)
    control.advance_clock(60)
    assert omics.get_configuration(name="private")["status"] == "ACTIVE"
    run = omics.get_run(id=start(**fields)["id"])
    assert run["configuration"] == {name: made[name] for name in ("name", "arn", "uuid")}
    assert run["vpcConfig"] == made["runConfigurations"]["vpcConfig"]
    assert error_of(omics.delete_configuration, name="private")[0] == "ConflictException"
    control.advance("COMPLETED")
    omics.delete_configuration(name="private")
    assert error_of(omics.get_configuration, name="private")[0] == "ResourceNotFoundException"


@pytest.mark.parametrize("options", [{"configuration_deleting_seconds": 60.0}])
def test_a_deleted_configuration_is_deleting(control: Control, omics: Any, start: Start) -> None:
    """No run can use it, and its name stays in use until it is gone."""
    control.stop_clock()
    request = {"name": "private", "runConfigurations": VPC}
    omics.create_configuration(**request)
    omics.delete_configuration(name="private")
    assert [item["status"] for item in omics.list_configurations()["items"]] == ["DELETING"]
    fields = {"networkingMode": "VPC", "configurationName": "private"}
    assert error_of(start, **fields)[0] == "ConflictException"
    assert error_of(omics.create_configuration, **request)[0] == "ConflictException"
    control.advance_clock(60)
    assert omics.list_configurations()["items"] == []
    assert omics.create_configuration(**request)["status"] == "CREATING"


def test_an_account_has_ten_configurations(omics: Any) -> None:
    """Names are unique, and an eleventh configuration exceeds the quota."""
    for number in range(10):
        omics.create_configuration(name=f"c{number}", runConfigurations=VPC)
    create = omics.create_configuration
    assert error_of(create, name="c1", runConfigurations=VPC)[0] == "ConflictException"
    assert error_of(create, name="x", runConfigurations=VPC)[:2] == ("ServiceQuotaExceededException", 402)
    assert [item["name"] for item in omics.list_configurations()["items"]][-1] == "c9"


REFERENCES = {
    "runGroupId": {"runGroupId": "1"},
    "cacheId": {"cacheId": "1"},
    "configurationName": {"networkingMode": "VPC", "configurationName": "x"},
    "workflowOwnerId": {"workflowOwnerId": "210987654321"},
}


@pytest.mark.parametrize("options", [{"any_workflow": False}, {"strict": True}])
@pytest.mark.parametrize("fields", REFERENCES.values(), ids=REFERENCES)
def test_unknown_resources_are_refused(
    omics: Any, start: Start, start_batch: Callable[..., str], fields: dict[str, Any]
) -> None:
    """An unknown resource is not found, for a run and for a batch, and nothing is started."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    fields = {"workflowId": workflow_id, **fields}
    assert error_of(start, **fields)[:2] == ("ResourceNotFoundException", 404)
    assert error_of(start_batch, "a", defaults=fields)[0] == "ResourceNotFoundException"
    assert omics.list_runs()["items"] == omics.list_batch()["items"] == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "any_workflow": False,
            "any_run_group": True,
            "any_run_cache": True,
            "any_configuration": True,
            "any_workflow_owner": True,
        },
    ],
)
@pytest.mark.parametrize("fields", REFERENCES.values(), ids=REFERENCES)
def test_options_accept_unknown_resources(omics: Any, start: Start, fields: dict[str, Any]) -> None:
    """The option to accept any workflow accepts any resource, and each kind has an option too."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    assert start(workflowId=workflow_id, **fields)["id"]


def test_everything_has_tags(control: Control, omics: Any, start: Start, start_batch: Any) -> None:
    """Tags of each kind of resource are added, changed and removed, and Get shows them."""
    workflow = omics.create_workflow(definitionZip=ARCHIVE, tags={"a": "1"})
    arns = [
        workflow["arn"],
        omics.create_workflow_version(
            workflowId=workflow["id"], versionName="v1", definitionZip=ARCHIVE, tags={"a": "1"}
        )["arn"],
        omics.create_run_group(tags={"a": "1"})["arn"],
        omics.create_run_cache(cacheS3Location="s3://cache", tags={"a": "1"})["arn"],
        omics.create_configuration(name="c", runConfigurations=VPC, tags={"a": "1"})["arn"],
        start(tags={"a": "1"})["arn"],
        omics.get_batch(batchId=start_batch("one", tags={"a": "1"}))["arn"],
    ]
    for arn in arns:
        omics.tag_resource(resourceArn=arn, tags={"a": "2", "b": "3"})
        assert omics.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "2", "b": "3"}
        omics.untag_resource(resourceArn=arn, tagKeys=["a"])
        assert omics.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}
        many = {f"k{number}": "v" for number in range(50)}
        assert error_of(omics.tag_resource, resourceArn=arn, tags=many)[0] == "ValidationException"
    assert omics.get_workflow(id=workflow["id"])["tags"] == {"b": "3"}
    unknown = arns[0].replace(workflow["id"], "1")
    assert error_of(omics.list_tags_for_resource, resourceArn=unknown)[0] == "ResourceNotFoundException"
