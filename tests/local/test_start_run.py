# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""StartRun: request ids, reruns, the documented rules, and the options for what is not documented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .archives import ARCHIVE
from .conftest import BUCKET, ROLE, error_of

Start = Callable[..., dict[str, Any]]


def test_a_request_id_starts_one_run(control: Control, omics: Any, start: Start) -> None:
    """A repeated request returns the original run with its current status."""
    first = start(requestId="one", parameters={"a": 1})
    control.advance("RUNNING")
    again = start(requestId="one", parameters={"a": 1})
    other = start(requestId="two", parameters={"a": 1})
    assert (again["id"], again["uuid"], again["arn"]) == (first["id"], first["uuid"], first["arn"])
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["status"], again["status"]) == ("PENDING", "RUNNING")
    assert other["id"] != first["id"]
    assert len(omics.list_runs()["items"]) == 2


def test_a_request_id_with_another_body_is_a_conflict(start: Start) -> None:
    """By default a request id that was used for another request is refused."""
    start(requestId="one", parameters={"a": 1})
    assert error_of(start, requestId="one", parameters={"a": 2})[:2] == ("ConflictException", 409)


@pytest.mark.parametrize("options", [{"request_id_reuse": "original"}])
def test_a_request_id_with_another_body_can_give_the_original(start: Start) -> None:
    """The option makes the service ignore the new body."""
    assert start(requestId="one", priority=1)["id"] == start(requestId="one", priority=2)["id"]


@pytest.mark.parametrize("options", [{"duplicate_status": "pending"}])
def test_a_repeated_start_can_report_pending(control: Control, start: Start) -> None:
    """The option makes a repeated StartRun return the status of the first response."""
    start(requestId="one")
    control.advance("RUNNING")
    assert start(requestId="one")["status"] == "PENDING"


@pytest.mark.parametrize("options", [{"request_id_lifetime": 3600.0}])
def test_a_request_id_can_be_forgotten(control: Control, start: Start) -> None:
    """With a lifetime, the same request id starts another run after it."""
    first = start(requestId="one")
    control.advance_clock(3590)
    assert start(requestId="one")["id"] == first["id"]
    control.advance_clock(11)
    assert start(requestId="one")["id"] != first["id"]


@pytest.mark.parametrize(
    ("options", "survives"), [({}, True), ({"request_id_survives_delete": False}, False)]
)
def test_a_request_id_outlives_its_deleted_run(
    control: Control, omics: Any, start: Start, survives: bool
) -> None:
    """The id stays used after its run was deleted, unless the option says otherwise."""
    first = start(requestId="one")
    control.advance("COMPLETED")
    omics.delete_run(id=first["id"])
    again = start(requestId="one")
    assert (again["id"] == first["id"]) == survives
    assert again["status"] == ("DELETED" if survives else "PENDING")


@pytest.mark.parametrize("options", [{"seed": 7}])
def test_a_seed_makes_ids_the_same(control: Control, start: Start) -> None:
    """A reset with the same seed gives the same ids; an id has seven digits."""
    first = start()
    control.reset()
    # The bucket is gone, but nothing is written there at the start.
    second = start()
    assert (first["id"], first["uuid"]) == (second["id"], second["uuid"])
    assert first["id"].isdecimal()
    assert len(first["id"]) == 7


def test_ids_count_upwards(start: Start) -> None:
    """Runs are numbered one after another, and their ARN ends with the number."""
    runs = [start() for _ in range(3)]
    first = int(runs[0]["id"])
    assert [int(run["id"]) for run in runs] == [first, first + 1, first + 2]
    assert runs[0]["arn"] == f"arn:aws:omics:us-east-1:123456789012:run/{first}"


def test_a_rerun_inherits_omitted_fields(control: Control, omics: Any, start: Start) -> None:
    """It inherits the source's fields except its tags, and overrides what it sets itself."""
    source = start(
        name="first",
        parameters={"a": 1},
        priority=5,
        storageType="STATIC",
        storageCapacity=2400,
        tags={"project": "demo"},
        retentionMode="REMOVE",
    )
    rerun = omics.get_run(id=start(runId=source["id"], priority=9, storageType="DYNAMIC")["id"])
    expected = {
        "runId": source["id"],
        "workflowId": "1234567",
        "name": "first",
        "parameters": {"a": 1},
        "priority": 9,
        "storageType": "DYNAMIC",
        "retentionMode": "REMOVE",
        "tags": {},
    }
    assert {name: rerun[name] for name in expected} == expected
    assert "storageCapacity" not in rerun


def test_a_rerun_of_a_ready2run_workflow_is_possible(control: Control, omics: Any, start: Start) -> None:
    """Fields that the service set for the source do not make the rerun invalid."""
    control.add_workflow("77", type="READY2RUN")
    source = start(workflowId="77", workflowType="READY2RUN")
    rerun = omics.get_run(id=start(runId=source["id"])["id"])
    assert (rerun["workflowId"], rerun["workflowType"], rerun["storageType"]) == ("77", "READY2RUN", "STATIC")


def test_a_rerun_of_an_unknown_run_is_not_found(start: Start) -> None:
    """Only an existing run can be repeated."""
    assert error_of(start, runId="1")[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"runId": "1", "workflowId": "1"}, "workflowId and runId"),
        ({"workflowId": None}, "workflowId and runId"),
        ({"outputUri": "results"}, "outputUri"),
        ({"outputUri": "https://outputs/x"}, "outputUri"),
        ({"outputUri": "s3://"}, "outputUri"),
        ({"parameters": ["a"]}, "parameters"),
        ({"parameters": {"a": "x" * 50_000}}, "50000 bytes"),
        ({"cacheBehavior": "CACHE_ALWAYS"}, "cacheId"),
        ({"networkingMode": "VPC"}, "configurationName"),
        ({"configurationName": "private"}, "configurationName"),
        ({"networkingMode": "RESTRICTED", "configurationName": "private"}, "configurationName"),
        ({"workflowType": "READY2RUN", "storageCapacity": 1200}, "storageCapacity"),
        ({"workflowType": "READY2RUN", "storageType": "STATIC"}, "storageType"),
        ({"workflowType": "READY2RUN", "cacheId": "1"}, "cacheId"),
        ({"workflowType": "READY2RUN", "runGroupId": "1"}, "runGroupId"),
        ({"tags": {f"k{number}": "v" for number in range(51)}}, "tags"),
    ],
)
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_contradictions_are_refused(omics: Any, fields: dict[str, Any], complaint: str) -> None:
    """A request that breaks a documented rule gets ValidationException, which names the field."""
    request = {"workflowId": "1", "roleArn": ROLE, "outputUri": f"s3://{BUCKET}", **fields}
    code, status, message = error_of(
        omics.start_run, **{name: value for name, value in request.items() if value is not None}
    )
    assert (code, status) == ("ValidationException", 400)
    assert complaint in message
    assert omics.list_runs()["items"] == []


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_parameters_may_have_50000_bytes(start: Start) -> None:
    """The documented limit itself is allowed, counted in bytes and not in characters."""
    empty = len('{"a":""}')
    assert start(parameters={"a": "x" * (50_000 - empty)})["id"]
    assert error_of(start, parameters={"a": "é" * (25_000 - empty // 2 + 1)})[0] == "ValidationException"


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"reads": "s3://x/y"}, None),
        ({"reads": "s3://x/y", "depth": 3}, None),
        ({"depth": 3}, "lacks reads"),
        (None, "lacks reads"),
        ({"reads": "s3://x/y", "sample": "PATIENT-1"}, "has sample"),
    ],
)
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_parameters_must_fit_the_template(
    control: Control, start: Start, parameters: dict[str, Any] | None, complaint: str | None
) -> None:
    """Missing and unknown parameters are named; their values are not."""
    control.add_workflow("5", parameter_template={"reads": {}, "depth": {"optional": True}})
    fields = {"workflowId": "5"} if parameters is None else {"workflowId": "5", "parameters": parameters}
    if complaint is None:
        assert start(**fields)["id"]
        return
    code, _, message = error_of(start, **fields)
    assert code == "ValidationException"
    assert complaint in message
    assert "PATIENT-1" not in message
    control.set_options(check_parameters=False)
    assert start(**fields)["id"]


@pytest.mark.parametrize("options", [{"any_workflow": False}])
def test_a_workflow_must_exist(control: Control, omics: Any, start: Start) -> None:
    """An unknown workflow or version is not found, nor is one of AWS's without its type."""
    control.add_workflow("5")
    control.add_workflow("6", type="READY2RUN")
    assert error_of(start, workflowId="4") == ("ResourceNotFoundException", 404, "Workflow 4 not found")
    assert error_of(start, workflowId="6") == ("ResourceNotFoundException", 404, "Workflow 6 not found")
    assert error_of(start, workflowId="5", workflowType="READY2RUN")[0] == "ResourceNotFoundException"
    assert error_of(start, workflowId="5", workflowVersionName="v9")[0] == "ResourceNotFoundException"
    assert start(workflowId="5")["id"]
    assert start(workflowId="6", workflowType="READY2RUN")["id"]


@pytest.mark.parametrize("options", [{"workflow_creating_seconds": 60.0}])
def test_a_workflow_must_be_active(control: Control, omics: Any, start: Start) -> None:
    """A workflow can be run when it is no longer CREATING."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE)["id"]
    assert error_of(start, workflowId=workflow_id)[0] == "ConflictException"
    control.advance_clock(60)
    assert start(workflowId=workflow_id)["id"]


@pytest.mark.parametrize(
    ("workflow", "request_fields", "storage_type", "capacity"),
    [
        ({}, {}, "DYNAMIC", None),
        ({}, {"storageCapacity": 2400}, "DYNAMIC", None),
        ({}, {"storageType": "STATIC"}, "STATIC", 1200),
        ({}, {"storageType": "STATIC", "storageCapacity": 10}, "STATIC", 10),
        ({"storageType": "STATIC", "storageCapacity": 4800}, {}, "STATIC", 4800),
        ({"storageType": "STATIC", "storageCapacity": 4800}, {"storageType": "DYNAMIC"}, "DYNAMIC", None),
    ],
)
@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_storage_is_the_requests_else_the_workflows_else_the_default(
    omics: Any,
    start: Start,
    workflow: dict[str, Any],
    request_fields: dict[str, Any],
    storage_type: str,
    capacity: int | None,
) -> None:
    """STATIC defaults to a capacity of 1200; DYNAMIC ignores a capacity."""
    workflow_id = omics.create_workflow(definitionZip=ARCHIVE, **workflow)["id"]
    run = omics.get_run(id=start(workflowId=workflow_id, **request_fields)["id"])
    assert (run["storageType"], run.get("storageCapacity")) == (storage_type, capacity)


@pytest.mark.parametrize(
    ("options", "fields", "layout"),
    [
        ({}, {}, f"s3://{BUCKET}/results/{{id}}"),
        ({}, {"outputUri": f"s3://{BUCKET}/results/"}, f"s3://{BUCKET}/results/{{id}}"),
        ({"output_layout": "run_id_uuid"}, {}, f"s3://{BUCKET}/results/{{id}}/{{uuid}}"),
        ({}, {"outputUriPrefixMode": "NONE_WITH_OVERWRITE"}, f"s3://{BUCKET}/results"),
    ],
)
def test_each_run_has_its_own_output_uri(start: Start, fields: dict[str, Any], layout: str) -> None:
    """It is the id below the requested URI, unless an option says otherwise."""
    run = start(**fields)
    assert run["runOutputUri"] == layout.format(id=run["id"], uuid=run["uuid"])


@pytest.mark.parametrize("options", [{"max_stored_runs": 2}])
def test_a_full_account_removes_the_oldest_remove_run(control: Control, omics: Any, start: Start) -> None:
    """A REMOVE run that ended makes room; RETAIN runs do not."""
    kept, removable = start(retentionMode="RETAIN")["id"], start(retentionMode="REMOVE")["id"]
    assert error_of(start)[:2] == ("ServiceQuotaExceededException", 402)
    control.advance("COMPLETED")
    third = start(retentionMode="RETAIN")["id"]
    assert {run["id"] for run in omics.list_runs()["items"]} == {kept, third}
    assert error_of(omics.get_run, id=removable)[0] == "ResourceNotFoundException"
    control.advance("COMPLETED")
    assert error_of(start)[:2] == ("ServiceQuotaExceededException", 402)
