# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Every operation of the installed model is answered: as the model says, or with one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StringShape, StructureShape

from airflow_healthomics.testing import Control
from airflow_healthomics.testing.omics.unavailable import refusal
from airflow_healthomics.testing.validation import violations

from .archives import ARCHIVE, archive
from .conftest import ROLE, aws, error_of
from .storage_calls import answer_read_sets, answer_references, answer_shares, answer_uploads

IMPLEMENTED = {
    "StartRun",
    "GetRun",
    "ListRuns",
    "CancelRun",
    "DeleteRun",
    "ListRunTasks",
    "GetRunTask",
    "CreateWorkflow",
    "GetWorkflow",
    "ListWorkflows",
    "DeleteWorkflow",
    "CreateWorkflowVersion",
    "GetWorkflowVersion",
    "CreateRunGroup",
    "GetRunGroup",
    "ListRunGroups",
    "UpdateRunGroup",
    "DeleteRunGroup",
    "StartRunBatch",
    "GetBatch",
    "ListBatch",
    "ListRunsInBatch",
    "CancelRunBatch",
    "DeleteRunBatch",
    "DeleteBatch",
    "UpdateWorkflow",
    "ListWorkflowVersions",
    "UpdateWorkflowVersion",
    "DeleteWorkflowVersion",
    "CreateRunCache",
    "GetRunCache",
    "ListRunCaches",
    "UpdateRunCache",
    "DeleteRunCache",
    "CreateConfiguration",
    "GetConfiguration",
    "ListConfigurations",
    "DeleteConfiguration",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "CreateReferenceStore",
    "GetReferenceStore",
    "ListReferenceStores",
    "DeleteReferenceStore",
    "GetReference",
    "GetReferenceMetadata",
    "ListReferences",
    "DeleteReference",
    "StartReferenceImportJob",
    "GetReferenceImportJob",
    "ListReferenceImportJobs",
    "CreateSequenceStore",
    "GetSequenceStore",
    "ListSequenceStores",
    "UpdateSequenceStore",
    "DeleteSequenceStore",
    "GetReadSet",
    "GetReadSetMetadata",
    "ListReadSets",
    "BatchDeleteReadSet",
    "StartReadSetImportJob",
    "GetReadSetImportJob",
    "ListReadSetImportJobs",
    "StartReadSetExportJob",
    "GetReadSetExportJob",
    "ListReadSetExportJobs",
    "StartReadSetActivationJob",
    "GetReadSetActivationJob",
    "ListReadSetActivationJobs",
    "CreateMultipartReadSetUpload",
    "UploadReadSetPart",
    "CompleteMultipartReadSetUpload",
    "AbortMultipartReadSetUpload",
    "ListMultipartReadSetUploads",
    "ListReadSetUploadParts",
    "PutS3AccessPolicy",
    "GetS3AccessPolicy",
    "DeleteS3AccessPolicy",
    "CreateShare",
    "AcceptShare",
    "GetShare",
    "ListShares",
    "DeleteShare",
}
MODEL = botocore.session.get_session().get_service_model("omics")
EVERYTHING = {
    "workflowId": "7654321",
    "workflowVersionName": "v1",
    "name": "sample run",
    "cacheId": "1",
    "cacheBehavior": "CACHE_ALWAYS",
    "runGroupId": "2",
    "priority": 3,
    "parameters": {"reads": "s3://inputs/reads"},
    "storageType": "STATIC",
    "storageCapacity": 10,
    "logLevel": "ALL",
    "tags": {"project": "demo"},
    "retentionMode": "REMOVE",
    "workflowOwnerId": "123456789012",
    "networkingMode": "VPC",
    "configurationName": "private",
    "scratchStorageMode": "LOCAL",
    "sessionPolicy": "{}",
    "engineSettings": {"profile": "test"},
    "outputUriPrefixMode": "SERVICE_DEFINED",
}


def sample(shape: Shape) -> Any:
    """Make a value of a shape that botocore's client accepts."""
    if isinstance(shape, StructureShape):
        if getattr(shape, "is_tagged_union", False):
            name, member = next(iter(shape.members.items()))
            return {name: sample(member)}
        return {name: sample(shape.members[name]) for name in shape.required_members}
    if isinstance(shape, ListShape):
        return [sample(shape.member)] * max(1, shape.metadata.get("min", 1))
    if shape.type_name == "map":
        return {}
    if isinstance(shape, StringShape):
        return (shape.enum or ["1" * max(1, shape.metadata.get("min", 1))])[0]
    return {
        "integer": 1,
        "long": 1,
        "boolean": True,
        "blob": b"1",
        "timestamp": datetime(2026, 1, 1),
    }[shape.type_name]


CLOSED = {name for name in MODEL.operation_names if "Annotation" in name or "Variant" in name}


@pytest.mark.parametrize("operation", sorted(CLOSED))
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_operations_on_closed_stores_have_one_clear_error(control: Control, operation: str) -> None:
    """Annotation stores and variant stores are closed to new customers. An option changes the error."""
    call = getattr(aws("omics"), botocore.xform_name(operation))
    shape = MODEL.operation_model(operation).input_shape
    request = sample(shape) if shape else {}
    code, status, message = error_of(call, **request)
    assert (code, status) == ("AccessDeniedException", 403)
    assert "not open to new customers" in message
    assert operation in message
    control.set_options(closed_error="ValidationException")
    assert error_of(call, **request)[0] == "ValidationException"


def test_unimplemented_operations_have_one_clear_error() -> None:
    """The error names the operation. Only a newer botocore has such operations."""
    newer = set(MODEL.operation_names) - IMPLEMENTED - CLOSED
    for operation in ("ListNovelties", *newer):
        error = refusal(operation)
        assert (error.code, error.status) == ("NotSupportedOperationException", 501)
        assert error.message == f"{operation} is not implemented by the local HealthOmics"


def test_responses_have_only_members_of_the_model(
    control: Control, omics: Any, start: Callable[..., Any]
) -> None:
    """Each response on the wire follows the model's output shape, in every status."""
    answered: dict[str, list[dict[str, Any]]] = {}

    def keep(http_response: Any, model: Any, **_: Any) -> None:
        answers = answered.setdefault(model.name, [])
        if not model.has_streaming_output:
            answers.append(json.loads(http_response.content or b"{}"))

    omics.meta.events.register("after-call.omics", keep)
    control.add_workflow("7654321", name="align", engine="NEXTFLOW")
    omics.create_workflow_version(workflowId="7654321", versionName="v1", definitionZip=ARCHIVE)
    omics.get_workflow_version(workflowId="7654321", versionName="v1", export=["DEFINITION"])
    created = omics.create_workflow(
        name="call",
        description="calls variants",
        definitionZip=ARCHIVE,
        engine="WDL",
        parameterTemplate={"reads": {"description": "the reads"}},
        storageType="STATIC",
        storageCapacity=1200,
        tags={"a": "b"},
    )
    omics.get_workflow(id=created["id"], export=["DEFINITION"])
    omics.list_workflows()
    control.plan_run(
        status="FAILED",
        failure_reason="RUN_TASK_FAILED",
        status_message="a task failed",
        tasks=[{"name": "align", "failure_reason": "OUT_OF_MEMORY_ERROR", "image": "align:1"}],
    )
    run = start(**EVERYTHING)
    for status in ("PENDING", "STARTING", "RUNNING", "STOPPING", "FAILED"):
        control.advance(status)
        omics.get_run(id=run["id"], export=["DEFINITION"])
        omics.list_runs()
        for task in omics.list_run_tasks(id=run["id"])["items"]:
            omics.get_run_task(id=run["id"], taskId=task["taskId"])
    cancelled = start()
    omics.cancel_run(id=cancelled["id"])
    control.advance("CANCELLED")
    omics.delete_run(id=cancelled["id"])
    omics.delete_workflow(id=created["id"])
    group = omics.create_run_group(name="g", maxRuns=5, maxCpus=1, maxDuration=1, maxGpus=1, tags={"a": "b"})
    omics.get_run_group(id=group["id"])
    omics.list_run_groups()
    omics.update_run_group(id=group["id"], name="h", maxRuns=6)
    omics.delete_run_group(id=group["id"])
    answer_resources(omics)
    answer_batches(control, omics)
    answer_references(control, omics)
    answer_read_sets(control, omics)
    answer_uploads(control, omics)
    answer_shares(omics, keep)
    assert set(answered) == IMPLEMENTED
    for operation, answers in answered.items():
        shape = MODEL.operation_model(operation).output_shape
        for answer in answers:
            assert answer == {} if shape is None else list(violations(shape, answer)) == [], operation


#: The service gives an input without a description an empty one, which the model's pattern does not allow.
DESCRIBED = 'version 1.0\nworkflow w { input { String a } parameter_meta { a: "b" } }\n'


def answer_resources(omics: Any) -> None:
    """Call every operation of versions, run caches, configurations and tags."""
    bad = omics.create_workflow(definitionZip=b"x", readmeMarkdown="# Bad", parameterTemplate={"a": {}})
    omics.update_workflow(id=bad["id"], name="bad")
    omics.get_workflow(id=bad["id"], export=["DEFINITION", "README"])
    version = {"workflowId": bad["id"], "versionName": "v1"}
    omics.create_workflow_version(**version, definitionZip=archive(main_wdl=DESCRIBED), description="good")
    omics.update_workflow_version(**version, description="better")
    omics.list_workflow_versions(workflowId=bad["id"])
    omics.get_workflow_version(**version)
    omics.delete_workflow_version(**version)
    cache = omics.create_run_cache(name="c", description="d", cacheS3Location="s3://cache/x", tags={"a": "b"})
    omics.update_run_cache(id=cache["id"], cacheBehavior="CACHE_ALWAYS")
    omics.get_run_cache(id=cache["id"])
    omics.list_run_caches()
    omics.tag_resource(resourceArn=cache["arn"], tags={"c": "d"})
    omics.untag_resource(resourceArn=cache["arn"], tagKeys=["a"])
    omics.list_tags_for_resource(resourceArn=cache["arn"])
    omics.delete_run_cache(id=cache["id"])
    vpc = {"securityGroupIds": ["sg-1"], "subnetIds": ["subnet-1"]}
    omics.create_configuration(name="vpc", description="d", runConfigurations={"vpcConfig": vpc})
    omics.get_configuration(name="vpc")
    omics.list_configurations()
    omics.delete_configuration(name="vpc")


def answer_batches(control: Control, omics: Any) -> None:
    """Call every operation of batches in every state of a batch."""
    batch_only = {"name": "n", "runTags": {"a": "b"}, "outputBucketOwnerId": "123456789012"}
    defaults = {name: EVERYTHING[name] for name in EVERYTHING if name not in ("tags", "outputUriPrefixMode")}
    request = {
        "batchName": "cohort",
        "tags": {"a": "b"},
        "defaultRunSetting": {**defaults, **batch_only, "roleArn": ROLE, "outputUri": "s3://outputs"},
        "batchRunSettings": {"inlineSettings": [{"runSettingId": "one"}, {"runSettingId": "two"}]},
    }
    control.fail_submission(["two"])

    def look(batch_id: str) -> None:
        omics.get_batch(batchId=batch_id)
        omics.list_batch()
        for run in omics.list_runs_in_batch(batchId=batch_id)["runs"]:
            if "runId" in run and run["submissionStatus"] != "DELETE_SUCCESS":
                omics.get_run(id=run["runId"])
        omics.list_runs()

    for last in ("PROCESSED", "FAILED", "CANCELLED", "RUNS_DELETED"):
        batch_id = omics.start_run_batch(**request)["id"]
        for status in ("CREATING", "PENDING", "SUBMITTING", "INPROGRESS"):
            control.advance_batch(status)
            look(batch_id)
            if last == "FAILED" and status == "PENDING":
                control.advance_batch("FAILED")
        if last == "CANCELLED":
            omics.cancel_run_batch(batchId=batch_id)
        else:
            control.advance_batch("PROCESSED")
        if last == "RUNS_DELETED":
            omics.delete_run_batch(batchId=batch_id)
        look(batch_id)
        control.advance_batch(last)
        look(batch_id)
        assert omics.get_batch(batchId=batch_id)["status"] == last
        omics.delete_batch(batchId=batch_id)


def test_get_run_echoes_the_request(control: Control, omics: Any, start: Callable[..., Any]) -> None:
    """Every field is compared."""
    control.add_workflow("7654321", engine="NEXTFLOW")
    omics.create_workflow_version(
        workflowId="7654321", versionName="v1", definitionZip=archive(main_nf=""), engine="NEXTFLOW"
    )
    run = omics.get_run(id=start(**EVERYTHING)["id"])
    expected = {name: value for name, value in EVERYTHING.items() if name != "configurationName"}
    assert {name: run[name] for name in expected} == expected
    assert run["configuration"]["name"] == "private"
    assert run["roleArn"] == ROLE


def test_list_items_have_only_members_of_the_model(
    control: Control, omics: Any, start: Callable[..., Any]
) -> None:
    """ListRuns has no uuid; ListRunTasks has no reason and no log."""
    control.plan_run(status="FAILED", tasks=[{"name": "a", "failure_reason": "X", "status_message": "Y"}])
    run = start(name="n")
    control.advance("FAILED")
    (item,) = omics.list_runs()["items"]
    assert "uuid" not in item
    assert "failureReason" not in item
    (task,) = omics.list_run_tasks(id=run["id"])["items"]
    assert not {"failureReason", "statusMessage", "logStream"} & set(task)
    whole = omics.get_run_task(id=run["id"], taskId=task["taskId"])
    assert (whole["failureReason"], whole["statusMessage"]) == ("X", "Y")
    assert whole["logStream"].endswith(f"log-stream:run/{run['id']}/task/{task['taskId']}")
