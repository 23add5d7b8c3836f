# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks that register workflows."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from airflow_healthomics.compat import Context
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsCreationFailedError,
    HealthOmicsRequestError,
    HealthOmicsResourceDiffersError,
)
from airflow_healthomics.operators import HealthOmicsRegisterWorkflowOperator
from airflow_healthomics.workflows import definition
from tests.healthomics import Control
from tests.unit.conftest import ONE_ATTEMPT, Clock, Crash, Tasks, calls_of, intercepting
from tests.unit.histories import WAYS

WDL = """version 1.0
workflow germline {
  input {
    String sample
    Int depth = 30
  }
  parameter_meta { sample: "Name of the sample" }
}
"""
BROKEN = "workflow germline { }"

REPOSITORY = {
    "connectionArn": "arn:aws:codeconnections:us-east-1:123456789012:connection/1",
    "fullRepositoryId": "owner/name",
}

SLOW = pytest.mark.parametrize("healthomics_options", [{"workflow_creating_seconds": 100}], ids=["slow"])
BOTH = pytest.mark.parametrize("deferrable", WAYS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a definition."""
    folder = tmp_path / "germline"
    folder.mkdir()
    (folder / "main.wdl").write_text(WDL)
    return folder


@pytest.fixture
def register(omics: Control, context: Context, tasks: Tasks, source: Path) -> Callable[..., Any]:
    """Run a task that registers the definition, through all of its deferrals."""

    def run(**arguments: Any) -> Any:
        given = {"source": str(source), "name": "germline", "botocore_config": ONE_ATTEMPT, **arguments}
        if "workflow_id" in arguments:
            del given["name"]
        return tasks.run(lambda: HealthOmicsRegisterWorkflowOperator(task_id="a_task", **given), context)

    return run


class Account:
    """What is registered, through a client of the test's own."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def workflows(self) -> list[Any]:
        """Return all workflows."""
        return list(self.client.list_workflows()["items"])

    def versions(self) -> list[Any]:
        """Return all versions of all workflows."""
        lists = [self.client.list_workflow_versions(workflowId=each["id"]) for each in self.workflows()]
        return [version for each in lists for version in each["items"]]

    def version(self, registered: Any) -> Any:
        """Describe a registered version."""
        return self.client.get_workflow_version(
            workflowId=registered["workflowId"], versionName=registered["versionName"]
        )


@pytest.fixture
def account(client: Any) -> Account:
    """Look at the account."""
    return Account(client)


# --- once ---


@SLOW
@BOTH
def test_a_second_task_registers_nothing(
    account: Account, omics: Control, register: Callable[..., Any], deferrable: bool
) -> None:
    """It returns the same ids."""
    first = register(deferrable=deferrable)
    version = account.version(first)
    assert first == {
        "workflowId": version["workflowId"],
        "versionName": version["versionName"],
        "isNew": True,
    }
    assert version["status"] == "ACTIVE"
    created = calls_of(omics, "CreateWorkflow"), calls_of(omics, "CreateWorkflowVersion")
    assert created == (1, 1)
    assert register(deferrable=deferrable) == {**first, "isNew": False}
    assert created == (calls_of(omics, "CreateWorkflow"), calls_of(omics, "CreateWorkflowVersion"))


def test_the_digest_is_a_tag(account: Account, source: Path, register: Callable[..., Any]) -> None:
    """Of the workflow and of the version, whose name begins with it."""
    registered = register(tags={"team": "genomics"})
    tags = account.version(registered)["tags"]
    digest = tags["airflow-healthomics:digest"]
    assert len(digest) == 64
    assert digest.startswith(registered["versionName"])
    assert tags["team"] == "genomics"
    workflow = account.client.get_workflow(id=registered["workflowId"])
    assert workflow["tags"] == tags


def test_new_content_is_a_new_version(account: Account, source: Path, register: Callable[..., Any]) -> None:
    """Of the same workflow. The old content is found again."""
    first = register()
    (source / "main.wdl").write_text(WDL.replace("30", "40"))
    second = register()
    assert second["workflowId"] == first["workflowId"]
    assert second["versionName"] != first["versionName"]
    assert second["isNew"]
    (source / "main.wdl").write_text(WDL)
    assert register() == {**first, "isNew": False}
    assert len(account.versions()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"engine": "WDL_LENIENT"},
        {"main": "main.wdl"},
        {"parameter_template": {"sample": {"description": "A sample"}}},
        {"accelerators": "GPU"},
        {"storage_type": "DYNAMIC"},
        {"storage_type": "STATIC", "storage_capacity": 1200},
        {"container_registry_map": {"imageMappings": [{"sourceImage": "a", "destinationImage": "b"}]}},
        {"container_registry_map_uri": "s3://maps/registries.json"},
    ],
    ids=lambda arguments: next(iter(reversed(arguments))),
)
def test_another_setting_is_a_new_version(
    account: Account, register: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    """A setting that decides how runs behave is a part of the identity, and it is sent."""
    first, second = register(), register(**arguments)
    assert first["workflowId"] == second["workflowId"]
    assert first["versionName"] != second["versionName"]
    version = account.version(second)
    for name, value in arguments.items():
        head, *others = name.split("_")
        field = head + "".join(map(str.capitalize, others))
        if field != "containerRegistryMapUri":
            assert version[field] == value


def test_labels_are_no_part_of_the_identity(account: Account, register: Callable[..., Any]) -> None:
    """New tags are added to the version."""
    first = register(description="one", tags={"stage": "test"})
    assert account.version(first)["description"] == "one"
    assert register(description="two", tags={"stage": "production", "a": "b"}) == {**first, "isNew": False}
    version = account.version(first)
    assert (version["description"], version["tags"]["stage"]) == ("one", "production")
    assert version["tags"]["a"] == "b"


def test_the_template_is_derived_or_given(
    account: Account, register: Callable[..., Any], tmp_path: Path
) -> None:
    """HealthOmics derives it from WDL. A given one may be in a JSON file."""
    derived = account.version(register())["parameterTemplate"]
    assert derived == {
        "sample": {"description": "Name of the sample", "optional": False},
        "depth": {"description": "", "optional": True},
    }
    path = tmp_path / "template.json"
    path.write_text(json.dumps({"sample": {"description": "A sample"}, "depth": None}))
    given = account.version(register(parameter_template=str(path)))["parameterTemplate"]
    assert given == {"sample": {"description": "A sample"}, "depth": {}}


def test_the_template_of_nextflow_is_that_of_its_schema(
    account: Account, source: Path, register: Callable[..., Any]
) -> None:
    """HealthOmics reads the schema, too."""
    (source / "main.wdl").unlink()
    (source / "main.nf").write_text("workflow { }")
    schema = {"properties": {"input": {"description": "A sheet"}, "depth": {}}, "required": ["input"]}
    (source / "nextflow_schema.json").write_text(json.dumps(schema))
    version = account.version(register())
    assert version["engine"] == "NEXTFLOW"
    assert version["parameterTemplate"] == {
        "input": {"description": "A sheet", "optional": False},
        "depth": {"description": "", "optional": True},
    }


def test_a_version_of_a_known_workflow(account: Account, register: Callable[..., Any]) -> None:
    """By its id, and with a name of the user's. No workflow is created."""
    workflow_id = register(name="another")["workflowId"]
    registered = register(workflow_id=workflow_id, version_name="1.2.0")
    assert registered == {"workflowId": workflow_id, "versionName": "1.2.0", "isNew": True}
    assert register(workflow_id=workflow_id, version_name="1.2.0") == {**registered, "isNew": False}
    assert len(account.workflows()) == 1


def test_a_version_with_other_content_is_refused(
    account: Account, client: Any, source: Path, register: Callable[..., Any]
) -> None:
    """Whether it was registered by a task or otherwise."""
    registered = register(version_name="1.2.0")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("main.wdl", WDL)
    client.create_workflow_version(
        workflowId=registered["workflowId"], versionName="by-hand", definitionZip=archive.getvalue()
    )
    (source / "main.wdl").write_text(WDL + "\n")
    with pytest.raises(HealthOmicsResourceDiffersError, match=r"version 1\.2\.0 of workflow"):
        register(version_name="1.2.0")
    with pytest.raises(HealthOmicsResourceDiffersError, match="digest is unknown"):
        register(version_name="by-hand")
    assert len(account.versions()) == 2


@pytest.mark.parametrize("healthomics_options", [{"name_filter": "contains"}], ids=["contains"])
def test_a_workflow_of_a_longer_name_is_another_one(account: Account, register: Callable[..., Any]) -> None:
    """AWS does not document how its filter compares names."""
    assert register(name="germline-old")["workflowId"] != register()["workflowId"]


def test_the_oldest_of_several_gets_the_version(
    client: Any, clock: Clock, register: Callable[..., Any], logged: Callable[[], str]
) -> None:
    """So that all tasks agree, and the log names the others."""
    oldest = register()["workflowId"]
    clock.advance(1)
    other = client.create_workflow(name="germline", definitionRepository=REPOSITORY)["id"]
    assert register()["workflowId"] == oldest
    assert f"{oldest}, {other}. The oldest gets the version" in logged()


# --- at the same time, and after a crash ---


@SLOW
@BOTH
@pytest.mark.parametrize("operation", ["CreateWorkflow", "CreateWorkflowVersion"])
def test_two_dag_runs_at_once_register_one_version(
    account: Account, register: Callable[..., Any], operation: str, deferrable: bool
) -> None:
    """The other one does all of it between the look-up and the creation of this one."""
    others: list[Any] = []

    def respond(called: str, call: Callable[[], Any]) -> Any:
        if called == operation and not others:
            others.append(None)
            others[0] = register()
        return call()

    with intercepting(respond):
        registered = register(deferrable=deferrable)
    assert others[0]["isNew"]
    assert {**registered, "isNew": True} == others[0]
    assert (len(account.workflows()), len(account.versions())) == (1, 1)


def test_two_dag_runs_with_different_labels_share_all(account: Account, register: Callable[..., Any]) -> None:
    """HealthOmics refuses another request with the same ID, but the workflow of the first is there."""
    others: list[Any] = []

    def respond(called: str, call: Callable[[], Any]) -> Any:
        if called == "CreateWorkflow" and not others:
            others.append(None)
            others[0] = register(description="of theirs")
        return call()

    with intercepting(respond):
        registered = register(description="of ours")
    assert registered == {**others[0], "isNew": False}
    assert (len(account.workflows()), len(account.versions())) == (1, 1)


def test_a_conflict_without_a_workflow_is_an_error(omics: Control, register: Callable[..., Any]) -> None:
    """It is not hidden."""
    omics.inject_error("CreateWorkflow", "ConflictException", times=None)
    with pytest.raises(HealthOmicsApiError, match="ConflictException"):
        register()


def test_two_dag_runs_with_different_content_share_the_workflow(
    clock: Clock, source: Path, account: Account, register: Callable[..., Any]
) -> None:
    """Both create it at the same time. Each has a version in the older one."""
    others: list[Any] = []

    def respond(called: str, call: Callable[[], Any]) -> Any:
        if called == "CreateWorkflow" and not others:
            others.append(None)
            others[0] = register(engine="WDL_LENIENT")
            clock.advance(1)
        return call()

    with intercepting(respond):
        registered = register()
    assert registered["workflowId"] == others[0]["workflowId"]
    assert registered["versionName"] != others[0]["versionName"]
    assert len(account.versions()) == 2


@SLOW
@pytest.mark.parametrize("operation", ["CreateWorkflow", "CreateWorkflowVersion"])
def test_a_worker_that_dies_after_the_upload_leaves_one_version(
    account: Account, register: Callable[..., Any], operation: str
) -> None:
    """HealthOmics has the request, but nobody has its answer."""
    crashes: list[None] = []

    def respond(called: str, call: Callable[[], Any]) -> Any:
        answer = call()
        if called == operation and not crashes:
            crashes.append(None)
            raise Crash
        return answer

    with intercepting(respond), pytest.raises(Crash):
        register()
    registered = register()
    assert register() == {**registered, "isNew": False}
    assert (len(account.workflows()), len(account.versions())) == (1, 1)


@SLOW
def test_a_workflow_that_is_still_being_created_is_found(
    omics: Control, clock: Clock, account: Account, register: Callable[..., Any]
) -> None:
    """Though HealthOmics may have forgotten the request of the task that died."""
    omics.set_options(workflow_creating_seconds=7200)

    def respond(called: str, call: Callable[[], Any]) -> Any:
        answer = call()
        if called == "CreateWorkflow":
            raise Crash
        return answer

    with intercepting(respond), pytest.raises(Crash):
        register()
    clock.advance(3600)
    assert register()["isNew"]
    assert len(account.workflows()) == 1


def test_a_workflow_that_was_deleted_is_created_again(
    client: Any, account: Account, register: Callable[..., Any]
) -> None:
    """Though HealthOmics still knows the request ID and answers with the deleted one."""
    first = register()
    client.delete_workflow_version(workflowId=first["workflowId"], versionName=first["versionName"])
    client.delete_workflow(id=first["workflowId"])
    second = register()
    assert second["isNew"]
    assert second["workflowId"] != first["workflowId"]
    assert [each["id"] for each in account.workflows()] == [second["workflowId"]]


# --- the wait ---


@SLOW
def test_a_task_waits_a_little_on_its_worker(
    omics: Control, clock: Clock, tasks: Tasks, register: Callable[..., Any]
) -> None:
    """A deferral takes longer than most creations."""
    omics.set_options(workflow_creating_seconds=3)
    register(deferrable=True)
    assert tasks.deferrals == []
    assert clock.elapsed == 8
    register(deferrable=False, name="a third")
    assert clock.elapsed == 16
    omics.set_options(workflow_creating_seconds=100)
    register(deferrable=True, name="another")
    assert [deferral.method_name for deferral in tasks.deferrals] == [
        "resume_registration",
        "execute_complete",
    ]


@SLOW
@BOTH
def test_a_refused_definition_has_the_message_of_healthomics(
    clock: Clock, account: Account, source: Path, register: Callable[..., Any], deferrable: bool
) -> None:
    """And how to go on. No version is created in a workflow that failed."""
    (source / "main.wdl").write_text(BROKEN)
    with pytest.raises(HealthOmicsCreationFailedError, match="no version statement") as caught:
        register(deferrable=deferrable)
    # HealthOmics would not take the next request for a repetition of this one.
    clock.advance(3600)
    (workflow,) = account.workflows()
    assert f"aws omics delete-workflow --id {workflow['id']} --region us-east-1" in str(caught.value)
    assert caught.value.status == "FAILED"
    with pytest.raises(HealthOmicsCreationFailedError, match="no version statement"):
        register(deferrable=deferrable)
    assert account.workflows() == [workflow]
    (source / "main.wdl").write_text(WDL)
    assert register(deferrable=deferrable)["workflowId"] != workflow["id"]


@SLOW
@BOTH
@pytest.mark.parametrize("operation", ["GetWorkflow", "GetWorkflowVersion"])
def test_a_new_one_may_not_be_found_at_first(
    account: Account, register: Callable[..., Any], operation: str, deferrable: bool
) -> None:
    """AWS does not document it, but a second one must not be the consequence."""
    created: list[str] = []

    def respond(called: str, call: Callable[[], Any]) -> Any:
        if called == operation and created and created[-1] != "found":
            created.append("found")
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, called)
        answer = call()
        if called == operation.replace("Get", "Create"):
            created.append(called)
        return answer

    with intercepting(respond):
        assert register(deferrable=deferrable)["isNew"]
    assert created[-1] == "found"
    assert (len(account.workflows()), len(account.versions())) == (1, 1)


@SLOW
@BOTH
def test_a_refused_version_has_the_message_of_healthomics(
    account: Account, source: Path, register: Callable[..., Any], deferrable: bool
) -> None:
    """Again and again, until the definition is corrected or the version deleted."""
    workflow_id = register()["workflowId"]
    (source / "main.wdl").write_text(BROKEN)
    for _ in range(2):
        with pytest.raises(HealthOmicsCreationFailedError, match="no version statement") as caught:
            register(deferrable=deferrable)
        assert f"delete-workflow-version --workflow-id {workflow_id} --version-name" in str(caught.value)
    assert len(account.versions()) == 2
    (source / "main.wdl").write_text(WDL.replace("30", "40"))
    assert register(deferrable=deferrable)["workflowId"] == workflow_id


# --- sources ---


def test_a_zip_file_is_the_same_as_its_folder(
    source: Path, tmp_path: Path, register: Callable[..., Any]
) -> None:
    """By content."""
    first = register()
    shutil.make_archive(str(tmp_path / "germline"), "zip", source)
    assert register(source=str(tmp_path / "germline.zip")) == {**first, "isNew": False}


def test_a_zip_file_in_s3_is_the_same_as_its_folder(
    source: Path, tmp_path: Path, bucket: Any, register: Callable[..., Any]
) -> None:
    """A small one is sent with the request."""
    first = register()
    path = shutil.make_archive(str(tmp_path / "germline"), "zip", source)
    bucket.upload_file(path, "settings-bucket", "germline.zip")
    assert register(source="s3://settings-bucket/germline.zip") == {**first, "isNew": False}


@pytest.fixture
def large(source: Path) -> Path:
    """A definition that no request holds."""
    (source / "reference.bin").write_bytes(os.urandom(definition.MAX_INLINE))
    return source


def test_a_large_definition_is_written_to_s3(
    large: Path, bucket: Any, account: Account, register: Callable[..., Any]
) -> None:
    """Once, under its digest."""
    with pytest.raises(HealthOmicsRequestError, match="set archive_s3_uri"):
        register()
    bucket.put_bucket_versioning(Bucket="settings-bucket", VersioningConfiguration={"Status": "Enabled"})
    first = register(archive_s3_uri="s3://settings-bucket/workflows/")
    (stored,) = bucket.list_objects_v2(Bucket="settings-bucket")["Contents"]
    assert stored["Key"].startswith("workflows/")
    assert stored["Key"].endswith(".zip")
    assert account.version(first)["status"] == "ACTIVE"
    again = register(archive_s3_uri="s3://settings-bucket/workflows", engine="WDL_LENIENT")
    assert again["versionName"] != first["versionName"]
    assert len(bucket.list_object_versions(Bucket="settings-bucket")["Versions"]) == 1


def test_a_large_definition_in_s3_stays_there(
    large: Path, bucket: Any, tmp_path: Path, account: Account, register: Callable[..., Any]
) -> None:
    """HealthOmics reads it itself."""
    path = shutil.make_archive(str(tmp_path / "germline"), "zip", large)
    bucket.upload_file(path, "settings-bucket", "germline.zip")
    registered = register(source="s3://settings-bucket/germline.zip")
    assert account.version(registered)["status"] == "ACTIVE"
    assert len(bucket.list_objects_v2(Bucket="settings-bucket")["Contents"]) == 1


def test_a_definition_that_is_too_large_is_refused(
    source: Path, bucket: Any, register: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For HealthOmics accepts 100 MB in S3. A larger object is not even read."""
    monkeypatch.setattr(definition, "MAX_INLINE", 10)
    monkeypatch.setattr(definition, "MAX_IN_S3", 20)
    bucket.put_object(Bucket="settings-bucket", Key="x.zip", Body=b"x" * 21)
    with pytest.raises(HealthOmicsRequestError, match="source has 21 bytes; HealthOmics accepts 20"):
        register(source="s3://settings-bucket/x.zip")
    with pytest.raises(HealthOmicsRequestError, match="HealthOmics accepts 20"):
        register(archive_s3_uri="s3://settings-bucket/workflows")


def test_the_owner_of_the_bucket_is_sent_with_its_uri(
    large: Path, bucket: Any, register: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not with an archive in the request."""
    owner, sent = "123456789012", []
    real = BaseClient._make_api_call  # type: ignore[attr-defined] # private

    def call(client: Any, operation: str, request: dict[str, Any]) -> Any:
        if operation == "CreateWorkflowVersion":
            sent.append(request.get("workflowBucketOwnerId"))
        return real(client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    register(archive_s3_uri="s3://settings-bucket/large", workflow_bucket_owner_id=owner)
    (large / "reference.bin").unlink()
    register(workflow_bucket_owner_id=owner)
    assert sent == [owner, None]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_commit_of_a_checkout(account: Account, source: Path, register: Callable[..., Any]) -> None:
    """Whatever has changed on disk since. The commit is a tag."""

    def git(*arguments: str) -> str:
        user = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(source), *user, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "main.wdl")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")
    (source / "main.wdl").write_text(BROKEN)
    registered = register(git_ref="v1")
    assert account.version(registered)["tags"]["airflow-healthomics:commit"] == git("rev-parse", "v1")
    (source / "main.wdl").write_text(WDL)
    assert register() == {**registered, "isNew": False}


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [({"source": "s3://settings-bucket/germline.zip"}, "GetObject"), ({}, "PutObject")],
    ids=["read", "write"],
)
def test_a_refusal_of_s3_names_the_permission(
    bucket: Any,
    large: Path,
    register: Callable[..., Any],
    arguments: dict[str, Any],
    operation: str,
) -> None:
    """And the object."""

    def respond(called: str, call: Callable[[], Any]) -> Any:
        if called == operation:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, called)
        return call()

    with (
        intercepting(respond),
        pytest.raises(HealthOmicsApiError, match=rf"{operation} for s3://settings-bucket/.*s3:{operation}"),
    ):
        register(archive_s3_uri="s3://settings-bucket/large", **arguments)


def test_a_missing_object_is_an_error(bucket: Any, register: Callable[..., Any]) -> None:
    """By its URI."""
    with pytest.raises(HealthOmicsApiError, match=r"s3://settings-bucket/x\.zip failed with NoSuchKey"):
        register(source="s3://settings-bucket/x.zip")


# --- refusals ---


@pytest.mark.parametrize(
    "operation",
    ["ListWorkflows", "CreateWorkflow", "GetWorkflow", "GetWorkflowVersion", "CreateWorkflowVersion"],
)
def test_a_missing_permission_is_named(omics: Control, register: Callable[..., Any], operation: str) -> None:
    """For each call."""
    omics.inject_error(operation, "AccessDeniedException", times=None)
    with pytest.raises(HealthOmicsApiError, match=f"must allow omics:{operation}"):
        register()


def test_an_unknown_workflow_is_an_error(omics: Control, register: Callable[..., Any]) -> None:
    """Not a new workflow."""
    with pytest.raises(HealthOmicsApiError, match="workflow 7654321"):
        register(workflow_id="7654321")


def test_a_conflict_without_a_version_is_an_error(omics: Control, register: Callable[..., Any]) -> None:
    """It is not hidden."""
    omics.inject_error("CreateWorkflowVersion", "ConflictException", times=None)
    with pytest.raises(HealthOmicsApiError, match="ConflictException"):
        register()


def test_a_transient_error_is_left_to_airflow(
    omics: Control, account: Account, register: Callable[..., Any]
) -> None:
    """Its retry continues."""
    omics.inject_error("CreateWorkflowVersion", "InternalServerException", times=1)
    with pytest.raises(ClientError):
        register()
    assert register()["isNew"]
    assert len(account.workflows()) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"name": None}, "pass either name or workflow_id"),
        ({"name": ""}, "name must be 1 to 128"),
        ({"workflow_id": "germline"}, "workflow_id must be 1 to 18 digits"),
        ({"version_name": "1/2"}, "version_name must begin with"),
        ({"version_name": "x" * 65}, "version_name must be 1 to 64"),
        ({"engine": "SNAKEMAKE"}, "engine must be one of"),
        ({"main": ""}, "main must be 1 to 128"),
        ({"accelerators": "TPU"}, "accelerators must be one of GPU"),
        ({"storage_type": "STATIC"}, "storage_capacity .GiB. is required"),
        ({"storage_capacity": 1200}, "storage_capacity requires storage_type STATIC"),
        (
            {"storage_type": "STATIC", "storage_capacity": 100_001},
            "storage_capacity must be from 0 to 100000",
        ),
        ({"parameter_template": []}, "parameter_template must be a mapping"),
        ({"parameter_template": {}}, "parameter_template has no parameters"),
        ({"parameter_template": {"a": "text"}}, r"parameter_template\.a must be a mapping"),
        ({"parameter_template": {"a": {"optional": 1}}}, r"parameter_template\.a\.optional must be"),
        ({"parameter_template": {"a": {"type": "x"}}}, 'parameter_template: Unknown parameter in .*"type"'),
        ({"parameter_template": "nowhere.json"}, r"parameter_template: nowhere\.json cannot be read"),
        ({"container_registry_map": {"registryMappings": [{}]}}, "container_registry_map: Missing required"),
        ({"container_registry_map": 7}, "container_registry_map must be a mapping"),
        (
            {"container_registry_map": {}, "container_registry_map_uri": "s3://maps/x.json"},
            "pass either container_registry_map or",
        ),
        ({"description": ""}, "description must be 1 to 256"),
        ({"workflow_bucket_owner_id": "1"}, "workflow_bucket_owner_id must be an AWS account id"),
        ({"tags": {str(number): "x" for number in range(49)}}, "tags must be at most 48"),
        ({"source": None}, "source must be the path"),
        ({"source": "/nowhere"}, "source /nowhere cannot be read: No such file"),
        ({"source": __file__}, "is not a readable zip archive"),
        ({"source": "s3://bucket"}, "source must be an S3 URI"),
        ({"source": "s3://bucket/key", "git_ref": "v1"}, "git_ref requires the folder"),
        ({"source": __file__, "git_ref": "v1"}, "git_ref requires the folder"),
    ],
)
def test_bad_arguments_are_refused(
    omics: Control, register: Callable[..., Any], arguments: dict[str, Any], problem: str
) -> None:
    """The error names the argument and the rule, and nothing was called."""
    with pytest.raises(HealthOmicsRequestError, match=problem):
        register(**arguments)
    assert omics.call_counts() == Counter()


def test_name_and_id_are_refused(omics: Control, context: Context, source: Path) -> None:
    """They may contradict each other."""
    task = HealthOmicsRegisterWorkflowOperator(
        task_id="a_task", source=str(source), name="germline", workflow_id="1234567"
    )
    with pytest.raises(HealthOmicsRequestError, match="not both"):
        task.execute(context)
    assert omics.call_counts() == Counter()
