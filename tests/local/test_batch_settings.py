# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""StartRunBatch: refused requests, merged settings, and settings in S3."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config

from airflow_healthomics.testing import Control
from airflow_healthomics.testing.omics.batch_rules import merged

from .conftest import BUCKET, ROLE, SESSION, aws, error_of

StartBatch = Callable[..., str]
URI = f"s3://{BUCKET}/settings.json"
in_process = pytest.mark.parametrize("control", ["in-process"], indirect=True)


def put(body: Any) -> None:
    """Write the settings."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    aws("s3").put_object(Bucket=BUCKET, Key="settings.json", Body=text)


def from_s3(start_batch: StartBatch, uri: str = URI, **fields: Any) -> str:
    """Start a batch with settings in S3."""
    return start_batch(batchRunSettings={"s3UriSettings": uri}, **fields)


def reason(omics: Any, batch_id: str) -> tuple[str, str | None]:
    """Return a batch's status and why it failed."""
    batch = omics.get_batch(batchId=batch_id)
    return batch["status"], batch.get("failureReason")


# --- refused at once ---


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"batchRunSettings": {}}, "batchRunSettings must have exactly one of inlineSettings, s3UriSettings"),
        (
            {"batchRunSettings": {"inlineSettings": [{"runSettingId": "a"}], "s3UriSettings": URI}},
            "batchRunSettings must have exactly one of",
        ),
        ({"batchRunSettings": {"inlineSettings": []}}, "must have at least 1 entries"),
        (
            {"batchRunSettings": {"inlineSettings": [{"runSettingId": str(n)} for n in range(101)]}},
            "must have at most 100 entries",
        ),
        (
            {"batchRunSettings": {"inlineSettings": [{"name": "a"}]}},
            "batchRunSettings.inlineSettings[0].runSettingId is required",
        ),
        (
            {"batchRunSettings": {"inlineSettings": [{"runSettingId": "a", "runId": "1"}]}},
            "inlineSettings[0].runId is not a member",
        ),
        (
            {"batchRunSettings": {"inlineSettings": [{"runSettingId": "a", "storageType": "STATIC"}]}},
            "inlineSettings[0].storageType is not a member",
        ),
        ({"batchRunSettings": {"s3UriSettings": "https://x/y"}}, "s3UriSettings must be the S3 URI"),
        ({"batchName": "x" * 65}, "batchName must have at most 64 characters"),
        ({"defaults": {"runId": "1"}}, "defaultRunSetting.runId is not a member"),
        ({"defaults": {"roleArn": None}}, "defaultRunSetting.roleArn is required"),
        ({"defaults": {"workflowId": None}}, "defaultRunSetting.workflowId is required"),
        ({"defaults": {"workflowType": "READY2RUN"}}, "READY2RUN"),
        ({"defaults": {"outputUri": "results"}}, "outputUri must be an S3 URI"),
        ({"defaults": {"parameters": ["a"]}}, "parameters must be a JSON object"),
        ({"defaults": {"parameters": {"a": "x" * 50_000}}}, "50000 bytes"),
        ({"defaults": {"cacheBehavior": "CACHE_ALWAYS"}}, "cacheId"),
        ({"defaults": {"networkingMode": "VPC"}}, "configurationName"),
        ({"defaults": {"priority": 100_001}}, "priority must be at most 100000"),
        ({"tags": {f"k{n}": "v" for n in range(51)}}, "tags must have at most 50"),
        ({"defaults": {"runTags": {f"k{n}": "v" for n in range(51)}}}, "tags must have at most 50"),
    ],
)
@in_process
def test_a_wrong_request_is_refused(control: Control, fields: dict[str, Any], complaint: str) -> None:
    """ValidationException names the rule and nothing is created, even if the client validates nothing."""
    client = SESSION.client("omics", config=Config(parameter_validation=False))
    aws("s3").create_bucket(Bucket=BUCKET)
    defaults = {"workflowId": "1", "roleArn": ROLE, "outputUri": "s3://outputs"}
    sent = {**defaults, **fields.get("defaults", {})}
    request = {
        "requestId": "one",
        "defaultRunSetting": {name: value for name, value in sent.items() if value is not None},
        "batchRunSettings": {"inlineSettings": [{"runSettingId": "a"}]},
        **{name: value for name, value in fields.items() if name != "defaults"},
    }
    body = json.dumps(request).encode()
    client.meta.events.register(
        "before-call.omics.StartRunBatch", lambda params, **_: params.update(body=body)
    )
    valid = {"defaultRunSetting": defaults, "batchRunSettings": {"inlineSettings": [{"runSettingId": "a"}]}}
    code, status, message = error_of(client.start_run_batch, **valid)
    assert (code, status) == ("ValidationException", 400)
    assert complaint in message
    assert control.batches() == []


@in_process
@pytest.mark.parametrize("options", [{"any_workflow": False}])
def test_a_workflow_must_exist(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """An unknown workflow or version is not found, nor is one of AWS's: a batch requires a private one."""
    control.add_workflow("5")
    control.add_workflow("6", type="READY2RUN")
    for defaults in (
        {"workflowId": "4"},
        {"workflowId": "6"},
        {"workflowId": "5", "workflowVersionName": "v9"},
    ):
        assert error_of(start_batch, "a", defaults=defaults)[:2] == ("ResourceNotFoundException", 404)
    assert omics.list_batch()["items"] == []
    assert start_batch("a", defaults={"workflowId": "5"})


@in_process
@pytest.mark.parametrize("uri", [URI, "s3://nowhere/settings.json"])
@pytest.mark.parametrize(
    "code", ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"]
)
def test_settings_that_cannot_be_read_are_refused(
    control: Control, omics: Any, start_batch: StartBatch, uri: str, code: str
) -> None:
    """A missing object or bucket fails StartRunBatch with the error that the option sets."""
    control.set_options(batch_settings_error=code)
    assert error_of(from_s3, start_batch, uri)[0] == code
    assert control.batches() == []


# --- request ids ---


def test_a_request_id_starts_one_batch(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """A repeated request returns the original batch; a different one with the same id is a conflict."""
    request = {
        "requestId": "one",
        "tags": {"project": "demo"},
        "defaultRunSetting": {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}"},
        "batchRunSettings": {"inlineSettings": [{"runSettingId": "a"}]},
    }
    first = omics.start_run_batch(**request)
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["status"], first["tags"]) == ("CREATING", {"project": "demo"})
    assert first["arn"] == f"arn:aws:omics:us-east-1:123456789012:runBatch/{first['id']}"
    control.advance_batch("INPROGRESS")
    again = omics.start_run_batch(**request)
    assert (again["id"], again["uuid"], again["status"]) == (first["id"], first["uuid"], "INPROGRESS")
    assert len(omics.list_runs()["items"]) == 1
    assert error_of(omics.start_run_batch, **{**request, "batchName": "n"})[:2] == ("ConflictException", 409)
    control.set_options(request_id_reuse="original", duplicate_status="pending")
    again = omics.start_run_batch(**{**request, "batchName": "n"})
    assert (again["id"], again["status"]) == (first["id"], "CREATING")


@in_process
def test_a_run_and_a_batch_may_have_one_request_id(
    start_batch: StartBatch, start: Callable[..., Any], omics: Any
) -> None:
    """Each operation has its own request ids."""
    start(requestId="one")
    assert start_batch("a", requestId="one")


@in_process
@pytest.mark.parametrize("survives", [True, False])
def test_a_request_id_outlives_its_deleted_batch(
    control: Control, omics: Any, start_batch: StartBatch, survives: bool
) -> None:
    """The id stays used after its batch was deleted, unless the option says otherwise."""
    control.set_options(request_id_survives_delete=survives)
    batch_id = start_batch("a", requestId="one")
    control.advance_batch("PROCESSED")
    omics.delete_batch(batchId=batch_id)
    assert (start_batch("a", requestId="one") == batch_id) == survives


# --- settings become runs ---


@pytest.mark.parametrize(
    ("defaults", "setting", "expected"),
    [
        ({}, {"runSettingId": "a"}, {}),
        ({"name": "all"}, {"name": "one"}, {"name": "one"}),
        ({"name": "all"}, {"name": None}, {"name": "all"}),
        (
            {"parameters": {"ref": "r", "version": "v1"}},
            {"parameters": {"reads": "s", "version": "v2"}},
            {"parameters": {"ref": "r", "reads": "s", "version": "v2"}},
        ),
        ({"parameters": {"a": {"x": 1}}}, {"parameters": {"a": {"y": 2}}}, {"parameters": {"a": {"y": 2}}}),
        ({"parameters": {"a": 1}}, {}, {"parameters": {"a": 1}}),
        (
            {"runTags": {"project": "p", "version": "1"}},
            {"runTags": {"who": "w", "version": "2"}},
            {"tags": {"project": "p", "who": "w", "version": "2"}},
        ),
        ({"engineSettings": {"profile": "a", "x": 1}}, {"engineSettings": {"profile": "b"}}, None),
    ],
)
def test_settings_are_merged(
    defaults: dict[str, Any], setting: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    """A run's own fields win; parameters and tags are merged at the top level, engine settings replaced."""
    if expected is None:
        expected = {"engineSettings": {"profile": "b"}}
    assert merged(defaults, setting) == expected


def test_a_run_has_its_merged_settings(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """GetRun shows the merged request, with the tags of runs and not those of the batch."""
    control.add_workflow("1234567", engine="NEXTFLOW")
    batch_id = start_batch(
        {
            "runSettingId": "a",
            "name": "sample A",
            "outputUri": f"s3://{BUCKET}/special",
            "priority": 7,
            "parameters": {"sample": "A"},
            "runTags": {"sample": "A"},
            "outputBucketOwnerId": "123456789012",
            "engineSettings": {"profile": "large"},
        },
        "b",
        tags={"batch": "only"},
        defaults={
            "name": "all",
            "priority": 1,
            "parameters": {"ref": "r"},
            "runTags": {"project": "p"},
            "storageType": "STATIC",
            "storageCapacity": 2400,
            "retentionMode": "REMOVE",
            "logLevel": "ERROR",
            "runGroupId": "9",
            "cacheId": "8",
            "cacheBehavior": "CACHE_ALWAYS",
            "engineSettings": {"profile": "small"},
        },
    )
    control.advance_batch("INPROGRESS")
    a, b = (omics.get_run(id=entry["runId"]) for entry in omics.list_runs_in_batch(batchId=batch_id)["runs"])
    common = {
        "storageType": "STATIC",
        "storageCapacity": 2400,
        "retentionMode": "REMOVE",
        "logLevel": "ERROR",
        "runGroupId": "9",
        "cacheId": "8",
        "cacheBehavior": "CACHE_ALWAYS",
    }
    own = {
        "name": "sample A",
        "priority": 7,
        "parameters": {"ref": "r", "sample": "A"},
        "tags": {"project": "p", "sample": "A"},
        "engineSettings": {"profile": "large"},
        "outputUri": f"s3://{BUCKET}/special",
        "runOutputUri": f"s3://{BUCKET}/special/{a['id']}",
    }
    assert {name: a[name] for name in {**common, **own}} == {**common, **own}
    assert (b["name"], b["priority"], b["parameters"]) == ("all", 1, {"ref": "r"})
    assert (b["tags"], b["engineSettings"]) == ({"project": "p"}, {"profile": "small"})
    assert omics.get_batch(batchId=batch_id)["tags"] == {"batch": "only"}


@in_process
@pytest.mark.parametrize(
    ("setting", "failure", "complaint"),
    [
        ({"outputUri": "results"}, "ValidationException", "outputUri"),
        ({"parameters": ["a"]}, "ValidationException", "parameters"),
        ({"parameters": {"reads": "r", "bogus": "PATIENT-1"}}, "ValidationException", "has bogus"),
        ({"parameters": {}}, "ValidationException", "lacks reads"),
    ],
)
def test_a_bad_setting_fails_its_run_only(
    control: Control,
    omics: Any,
    start_batch: StartBatch,
    setting: dict[str, Any],
    failure: str,
    complaint: str,
) -> None:
    """A setting that StartRun would refuse fails the submission of its run; values are not shown."""
    control.add_workflow("5", parameter_template={"reads": {}})
    good = {"runSettingId": "good", "parameters": {"reads": "r"}}
    bad = {"runSettingId": "bad", "parameters": {"reads": "r"}, **setting}
    batch_id = start_batch(bad, good, defaults={"workflowId": "5"})
    control.advance_batch("INPROGRESS")
    first, second = omics.list_runs_in_batch(batchId=batch_id)["runs"]
    assert (first["submissionStatus"], first["submissionFailureReason"]) == ("FAILED", failure)
    assert complaint in first["submissionFailureMessage"]
    assert "PATIENT-1" not in first["submissionFailureMessage"]
    assert second["submissionStatus"] == "SUCCESS"


@in_process
def test_a_run_needs_an_output_uri(control: Control, omics: Any) -> None:
    """It may be missing from the common settings or from the run's, but not from both."""
    batch_id = omics.start_run_batch(
        defaultRunSetting={"workflowId": "1", "roleArn": ROLE},
        batchRunSettings={
            "inlineSettings": [{"runSettingId": "a", "outputUri": f"s3://{BUCKET}"}, {"runSettingId": "b"}]
        },
    )["id"]
    control.advance_batch("INPROGRESS")
    a, b = omics.list_runs_in_batch(batchId=batch_id)["runs"]
    assert a["submissionStatus"] == "SUCCESS"
    assert "outputUri is required" in b["submissionFailureMessage"]


@in_process
@pytest.mark.parametrize("options", [{"max_stored_runs": 2}])
def test_a_full_account_fails_the_submissions(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """The limit of stored runs holds for batches too."""
    batch_id = start_batch("a", "b", "c")
    control.advance_batch("INPROGRESS")
    (failed,) = omics.list_runs_in_batch(batchId=batch_id, submissionStatus="FAILED")["runs"]
    assert failed["submissionFailureReason"] == "ServiceQuotaExceededException"


@in_process
def test_a_workflow_deleted_meanwhile_fails_the_submissions(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """Each submission fails as StartRun would."""
    control.add_workflow("5", type="PRIVATE")
    control.set_options(any_workflow=False)
    batch_id = start_batch("a", defaults={"workflowId": "5"})
    omics.delete_workflow(id="5")
    control.advance_batch("INPROGRESS")
    (failed,) = omics.list_runs_in_batch(batchId=batch_id)["runs"]
    assert failed["submissionFailureReason"] == "ResourceNotFoundException"


# --- the list of settings ---


@in_process
def test_inline_settings_must_be_unique(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """StartRunBatch accepts them, and the batch fails when it is validated."""
    batch_id = start_batch("a", "b", "a")
    assert control.advance_batch("PENDING") == {batch_id: "PENDING"}
    assert control.advance_batch("SUBMITTING") == {batch_id: "FAILED"}
    assert reason(omics, batch_id) == ("FAILED", "Expected 3 unique runSettingIds but there were 2")
    assert omics.list_runs()["items"] == []


def test_settings_are_read_from_s3(control: Control, omics: Any, start_batch: StartBatch) -> None:
    """More than 100 settings are read from an object; they are known once the batch is validated."""
    put([{"runSettingId": f"s{n}", "parameters": {"n": n}} for n in range(150)])
    batch_id = from_s3(start_batch, defaults={"parameters": {"ref": "r"}})
    batch = omics.get_batch(batchId=batch_id)
    assert "totalRuns" not in batch
    assert omics.list_runs_in_batch(batchId=batch_id)["runs"] == []
    control.advance_batch("INPROGRESS")
    assert omics.get_batch(batchId=batch_id)["totalRuns"] == 150
    (entry,) = omics.list_runs_in_batch(batchId=batch_id, runSettingId="s149")["runs"]
    assert omics.get_run(id=entry["runId"])["parameters"] == {"ref": "r", "n": 149}


@in_process
@pytest.mark.parametrize(
    "body",
    [b"no json", b"\xff", {"inlineSettings": []}, [], ["a"], [{"name": "a"}], [{"runSettingId": 5}]],
)
def test_settings_in_s3_must_be_a_list_of_settings(
    control: Control, omics: Any, start_batch: StartBatch, body: Any
) -> None:
    """Anything else fails the batch, not the call."""
    put(body)
    batch_id = from_s3(start_batch)
    control.advance_batch("SUBMITTING")
    assert reason(omics, batch_id) == ("FAILED", "Invalid JSON format in run configurations")


@in_process
@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"runSettingId": "x" * 129}, "runSettingId must have at most 128 characters"),
        ({"runSettingId": "a", "priority": "high"}, "priority must be an integer"),
        ({"runSettingId": "a", "runId": "1"}, "runId is not a member"),
        ({"runSettingId": "a", "runTags": ["x"]}, "runTags must be an object"),
    ],
)
def test_a_setting_in_s3_keeps_the_rules_of_an_inline_one(
    control: Control, omics: Any, start_batch: StartBatch, setting: dict[str, Any], complaint: str
) -> None:
    """A broken rule of the model fails only its run; JSON null counts as absent."""
    put([setting, {"runSettingId": "good", "name": None}])
    batch_id = from_s3(start_batch)
    control.advance_batch("INPROGRESS")
    bad, good = omics.list_runs_in_batch(batchId=batch_id)["runs"]
    assert bad["submissionFailureReason"] == "ValidationException"
    assert complaint in bad["submissionFailureMessage"]
    assert good["submissionStatus"] == "SUCCESS"


@in_process
@pytest.mark.parametrize("meanwhile", ["changed", "the same", "gone"])
def test_settings_in_s3_must_not_change(
    control: Control, omics: Any, start_batch: StartBatch, meanwhile: str
) -> None:
    """An ETag that changed since StartRunBatch fails the batch; rewriting the same content does not."""
    put([{"runSettingId": "a"}])
    old = aws("s3").head_object(Bucket=BUCKET, Key="settings.json")["ETag"]
    batch_id = from_s3(start_batch)
    control.advance_batch("PENDING")
    new = old
    if meanwhile == "gone":
        aws("s3").delete_object(Bucket=BUCKET, Key="settings.json")
        new = '"None"'
    else:
        put([{"runSettingId": "b" if meanwhile == "changed" else "a"}])
        new = aws("s3").head_object(Bucket=BUCKET, Key="settings.json")["ETag"]
    control.advance_batch("SUBMITTING")
    if meanwhile == "the same":
        assert reason(omics, batch_id) == ("SUBMITTING", None)
    else:
        message = f"Expected s3UriConfigs etag: {old} but was: {new}. "
        message += "s3UriConfigs have changed since calling StartRunBatch"
        assert reason(omics, batch_id) == ("FAILED", message)


@in_process
def test_settings_in_s3_may_be_a_hundred_thousand(
    control: Control, omics: Any, start_batch: StartBatch
) -> None:
    """The documented maximum is accepted and can be read to its last page; one more fails the batch."""
    settings = [{"runSettingId": f"s{n}"} for n in range(100_001)]
    put(settings)
    batch_id = from_s3(start_batch)
    control.advance_batch("SUBMITTING", batch_id=batch_id)
    assert reason(omics, batch_id) == ("FAILED", "Batch has 100001 runs but 100000 runs is the max.")
    put(settings[:-1])
    batch_id = from_s3(start_batch)
    control.advance_batch("SUBMITTING", batch_id=batch_id)
    assert omics.get_batch(batchId=batch_id)["totalRuns"] == 100_000
    last = omics.list_runs_in_batch(batchId=batch_id, startingToken="99900")
    assert last["runs"][-1]["runSettingId"] == "s99999"
    assert "nextToken" not in last
