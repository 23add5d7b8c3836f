# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Shares of workflows between accounts, and what a subscriber can do with a shared workflow."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_healthomics.testing import Control

from .archives import ARCHIVE
from .conftest import BUCKET, ROLE, aws, error_of
from .test_events import listen

OWNER, SUBSCRIBER = "123456789012", "222222222222"
RUN = {"roleArn": ROLE, "outputUri": f"s3://{BUCKET}"}
pytestmark = pytest.mark.parametrize("control", ["in-process"], indirect=True)


@pytest.fixture
def subscriber(omics: Any) -> Any:
    """A HealthOmics client of another account."""
    return in_account(SUBSCRIBER, "omics")


def in_account(account: str, service: str, **more: Any) -> Any:
    """Return a client of another account."""
    role = f"arn:aws:iam::{account}:role/other"
    credentials = aws("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return aws(
        service,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        **more,
    )


@pytest.fixture
def workflow(omics: Any) -> dict[str, Any]:
    """A workflow of the owner."""
    made: dict[str, Any] = omics.create_workflow(name="align", definitionZip=ARCHIVE)
    return made


def share(omics: Any, workflow: dict[str, Any], **more: Any) -> str:
    """Share a workflow, and return the id of the share."""
    made = omics.create_share(resourceArn=workflow["arn"], principalSubscriber=SUBSCRIBER, **more)
    assert made["status"] == "PENDING"
    share_id: str = made["shareId"]
    return share_id


@pytest.mark.parametrize("options", [{"any_workflow": False}])
def test_a_shared_workflow_can_be_run(
    control: Control, omics: Any, subscriber: Any, workflow: dict[str, Any]
) -> None:
    """The subscriber can run it after accepting the share, until either account deletes the share."""
    in_account(SUBSCRIBER, "s3").create_bucket(Bucket="subscriber")
    start = {**RUN, "workflowId": workflow["id"], "workflowOwnerId": OWNER, "outputUri": "s3://subscriber"}
    found = {"id": workflow["id"], "workflowOwnerId": OWNER}
    for delete in (omics, subscriber):
        share_id = share(omics, workflow)
        assert error_of(subscriber.start_run, **start)[0] == "ResourceNotFoundException"
        assert subscriber.accept_share(shareId=share_id)["status"] == "ACTIVATING"
        assert subscriber.get_share(shareId=share_id)["share"]["status"] == "ACTIVE"
        assert subscriber.get_workflow(**found)["name"] == "align"
        run_id = subscriber.start_run(**start)["id"]
        assert subscriber.get_run(id=run_id)["workflowOwnerId"] == OWNER
        assert delete.delete_share(shareId=share_id)["status"] == "DELETING"
        assert error_of(omics.get_share, shareId=share_id)[:2] == ("ResourceNotFoundException", 404)
        assert error_of(subscriber.get_workflow, **found)[0] == "ResourceNotFoundException"
        assert control.advance("COMPLETED", run_id=run_id) == {run_id: "COMPLETED"}
    assert omics.get_workflow(id=workflow["id"])["status"] == "ACTIVE"


@pytest.mark.parametrize("error", ["AccessDeniedException", "ValidationException"])
def test_a_subscriber_cannot_change_a_shared_workflow(
    control: Control, omics: Any, subscriber: Any, workflow: dict[str, Any], error: Any
) -> None:
    """It cannot be exported, run again, shared, tagged or deleted."""
    control.set_options(shared_workflow_error=error)
    subscriber.accept_share(shareId=share(omics, workflow))
    own = {"id": workflow["id"], "workflowOwnerId": OWNER}
    assert error_of(subscriber.get_workflow, **own, export=["DEFINITION"])[0] == error
    run_id = subscriber.start_run(**RUN, workflowId=workflow["id"], workflowOwnerId=OWNER)["id"]
    code, _, message = error_of(subscriber.start_run, **RUN, runId=run_id)
    assert (code, message) == (error, f"A workflow that account {OWNER} shares cannot be run again")
    assert error_of(subscriber.get_run, id=run_id, export=["DEFINITION"])[0] == error
    arn = {"resourceArn": workflow["arn"]}
    for call, request in (
        (subscriber.create_share, {**arn, "principalSubscriber": "333333333333"}),
        (subscriber.tag_resource, {**arn, "tags": {"a": "b"}}),
        (subscriber.delete_workflow, {"id": workflow["id"]}),
    ):
        assert error_of(call, **request)[0] == "ResourceNotFoundException"


def test_both_accounts_list_a_share(omics: Any, subscriber: Any, workflow: dict[str, Any]) -> None:
    """Filters are resource, status and type. A third account and another region list no share."""
    second = omics.create_workflow(name="call", definitionZip=ARCHIVE)
    ids = [share(omics, each, shareName=f"s{number}") for number, each in enumerate((workflow, second))]
    subscriber.accept_share(shareId=ids[1])

    def found(client: Any, owner: str, **wanted: Any) -> list[str]:
        request = {"filter": wanted} if wanted else {}
        return [each["shareId"] for each in client.list_shares(resourceOwner=owner, **request)["shares"]]

    assert found(omics, "SELF") == found(subscriber, "OTHER") == ids
    assert found(omics, "OTHER") == found(subscriber, "SELF") == []
    assert found(omics, "SELF", status=["ACTIVE"]) == found(omics, "SELF", resourceArns=[second["arn"]])
    assert found(omics, "SELF", status=["ACTIVE"]) == ids[1:]
    assert found(omics, "SELF", type=["VARIANT_STORE"]) == []
    page = omics.list_shares(resourceOwner="SELF", maxResults=1)
    rest = omics.list_shares(resourceOwner="SELF", nextToken=page["nextToken"])
    assert [each["shareId"] for each in (*page["shares"], *rest["shares"])] == ids
    assert error_of(omics.list_shares, resourceOwner="SELF", maxResults=0)[0] == "ValidationException"
    details = omics.get_share(shareId=ids[0])["share"]
    assert (details["ownerId"], details["principalSubscriber"]) == (OWNER, SUBSCRIBER)
    assert (details["resourceId"], details["shareName"]) == (workflow["id"], "s0")
    third = in_account("333333333333", "omics")
    elsewhere = in_account(SUBSCRIBER, "omics", region_name="eu-west-1")
    for client in (third, elsewhere):
        assert found(client, "OTHER") == []
        assert error_of(client.get_share, shareId=ids[0])[0] == "ResourceNotFoundException"


def test_only_the_subscriber_accepts_a_share(omics: Any, subscriber: Any, workflow: dict[str, Any]) -> None:
    """It accepts once. A share needs another account and an existing workflow."""
    share_id = share(omics, workflow)
    assert error_of(omics.accept_share, shareId=share_id)[0] == "ResourceNotFoundException"
    subscriber.accept_share(shareId=share_id)
    assert error_of(subscriber.accept_share, shareId=share_id)[:2] == ("ConflictException", 409)
    create, arn = omics.create_share, workflow["arn"]
    for account in (OWNER, "12", "x"):
        refused = error_of(create, resourceArn=arn, principalSubscriber=account)
        assert refused[0] == "ValidationException"
    unknown = error_of(create, resourceArn=f"{arn}0", principalSubscriber=SUBSCRIBER)
    assert unknown[0] == "ResourceNotFoundException"


@pytest.mark.parametrize("options", [{"share_changing_seconds": 60.0}])
def test_a_share_passes_through_its_states(
    control: Control, omics: Any, subscriber: Any, workflow: dict[str, Any]
) -> None:
    """Each status is an event."""
    control.stop_clock()
    read = listen("Workflow Share Status Change")
    share_id = share(omics, workflow)
    subscriber.accept_share(shareId=share_id)
    assert omics.get_share(shareId=share_id)["share"]["status"] == "ACTIVATING"
    control.advance_clock(60)
    assert omics.get_share(shareId=share_id)["share"]["status"] == "ACTIVE"
    assert subscriber.delete_share(shareId=share_id)["status"] == "DELETING"
    assert omics.delete_share(shareId=share_id)["status"] == "DELETING"
    assert omics.get_share(shareId=share_id)["share"]["status"] == "DELETING"
    control.advance_clock(60)
    assert omics.list_shares(resourceOwner="SELF")["shares"] == []
    heard = read()
    assert [each["detail"]["status"] for each in heard] == [
        "PENDING",
        "ACTIVATING",
        "ACTIVE",
        "DELETING",
        "DELETED",
    ]
    assert heard[0]["resources"] == [workflow["arn"]]
    assert heard[0]["detail"] == {
        "omicsVersion": "1.0.0",
        "shareId": share_id,
        "resourceArn": workflow["arn"],
        "resourceId": workflow["id"],
        "principalSubscriber": SUBSCRIBER,
        "ownerId": OWNER,
        "status": "PENDING",
    }
