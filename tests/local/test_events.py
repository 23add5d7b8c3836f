# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Status changes are events in EventBridge, in AWS's documented form, and delivery can be disturbed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from airflow_healthomics.testing import Control, mock_healthomics

from .archives import ARCHIVE
from .conftest import BUCKET, ROLE, aws

Start = Callable[..., dict[str, Any]]


def listen(*kinds: str, account: list[str] | None = None, **target: Any) -> Callable[[], list[Any]]:
    """Put a queue behind an EventBridge rule, and return a function that reads its messages."""
    sqs, events = aws("sqs"), aws("events")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.omics"], "detail-type": kinds, **({"account": account} if account else {})}
    events.put_rule(Name="heard", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="heard", Targets=[{"Id": "queue", "Arn": arn, **target}])

    def read() -> list[Any]:
        heard = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            heard += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return heard

    return read


def test_every_status_change_is_an_event(control: Control, omics: Any, start: Start) -> None:
    """A queue behind an EventBridge rule receives each state, in order, in the documented form."""
    read = listen("Run Status Change")
    control.add_workflow("3", name="align")
    run = start(name="n", workflowId="3")
    control.advance("COMPLETED")
    omics.delete_run(id=run["id"])
    heard = read()
    assert [event["detail"]["status"] for event in heard] == [
        "PENDING",
        "STARTING",
        "RUNNING",
        "STOPPING",
        "COMPLETED",
        "DELETED",
    ]
    event = heard[4]
    assert (event["source"], event["detail-type"]) == ("aws.omics", "Run Status Change")
    assert (event["region"], event["resources"]) == ("us-east-1", [run["arn"]])
    assert event["detail"] == {
        "omicsVersion": "1.0.0",
        "arn": run["arn"],
        "status": "COMPLETED",
        "uuid": run["uuid"],
        "runId": run["id"],
        "runName": "n",
        "runOutputUri": run["runOutputUri"],
        "workflowId": "3",
        "workflowName": "align",
    }


def test_every_status_change_of_a_batch_is_an_event(
    control: Control, omics: Any, start_batch: Callable[..., str]
) -> None:
    """The events are in order and in the documented form: every value is a string."""
    read = listen("RunBatch Status Change")
    control.add_workflow("3", name="align")
    omics.create_workflow_version(workflowId="3", versionName="v1", definitionZip=ARCHIVE)
    control.fail_submission(["b"])
    control.plan_run(run_setting_id="c", status="FAILED")
    defaults = {
        "workflowId": "3",
        "workflowVersionName": "v1",
        "cacheId": "8",
        "workflowOwnerId": "123456789012",
    }
    batch_id = start_batch("a", "b", "c", batchName="cohort", defaults=defaults)
    control.advance_batch("PROCESSED")
    omics.delete_run_batch(batchId=batch_id)
    control.advance_batch("RUNS_DELETED")
    heard = read()
    assert [event["detail"]["status"] for event in heard] == [
        "CREATING",
        "PENDING",
        "SUBMITTING",
        "INPROGRESS",
        "PROCESSED",
        "RUNS_DELETING",
        "RUNS_DELETED",
    ]
    batch = omics.get_batch(batchId=batch_id)
    assert (heard[4]["source"], heard[4]["resources"]) == ("aws.omics", [batch["arn"]])
    arn = "arn:aws:omics:us-east-1:123456789012"
    assert heard[4]["detail"] == {
        "omicsVersion": "1.0.0",
        "arn": batch["arn"],
        "batchId": batch_id,
        "status": "PROCESSED",
        "uuid": batch["uuid"],
        "batchName": "cohort",
        "totalRuns": "3",
        "successfulStartSubmissionCount": "2",
        "failedStartSubmissionCount": "1",
        "pendingStartSubmissionCount": "0",
        "pendingRunCount": "0",
        "startingRunCount": "0",
        "runningRunCount": "0",
        "stoppingRunCount": "0",
        "completedRunCount": "1",
        "failedRunCount": "1",
        "cancelledRunCount": "0",
        "deletedRunCount": "0",
        "workflowId": "3",
        "workflowArn": f"{arn}:workflow/3",
        "workflowVersionArn": f"{arn}:workflow/3/version/v1",
        "workflowOwnerId": "123456789012",
        "runCache": f"{arn}:runCache/8",
    }


def test_the_event_of_a_failed_batch_has_code_and_message(
    control: Control, omics: Any, start_batch: Callable[..., str]
) -> None:
    """The event's failureReason is a code, and GetBatch's is the text that the event has as its message."""
    read = listen("RunBatch Status Change")
    batch_id = start_batch("a", "a")
    control.advance_batch("SUBMITTING")
    text = "Expected 2 unique runSettingIds but there were 1"
    detail = read()[-1]["detail"]
    assert (detail["failureReason"], detail["failureMessage"]) == ("VALIDATION_EXCEPTION", text)
    assert omics.get_batch(batchId=batch_id)["failureReason"] == text


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_a_failed_deletion_has_no_event(
    control: Control, omics: Any, start_batch: Callable[..., str]
) -> None:
    """RUNS_DELETE_FAILED is not among the states that AWS lists."""
    read = listen("RunBatch Status Change")
    control.fail_submission(operation="DeleteRun")
    batch_id = start_batch("a")
    control.advance_batch("PROCESSED")
    omics.delete_run_batch(batchId=batch_id)
    assert control.advance_batch("RUNS_DELETED") == {batch_id: "RUNS_DELETE_FAILED"}
    assert read()[-1]["detail"]["status"] == "RUNS_DELETING"


def test_the_envelope_is_that_of_aws(control: Control, start: Start) -> None:
    """A message has the members of the user guide's example, and no others."""
    read = listen("Run Status Change", account=["123456789012"])
    run = start(name="n")
    (event,) = read()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event.pop("time"))
    assert event.pop("detail")["runId"] == run["id"]
    assert event == {
        "version": "0",
        "detail-type": "Run Status Change",
        "source": "aws.omics",
        "account": "123456789012",
        "region": "us-east-1",
        "resources": [run["arn"]],
    }


def test_every_status_change_of_a_task_is_an_event(control: Control, omics: Any, start: Start) -> None:
    """A task that ends early or starts late is announced at its time."""
    control.stop_clock()
    read = listen("Task Status Change")
    control.add_workflow("3", name="align")
    control.plan_run(
        tasks=[{"name": "a", "seconds": 10}, {"name": "b", "after": 20}, {"name": "c", "after": 99}]
    )
    run = start(name="n", workflowId="3")
    control.advance("RUNNING")
    control.advance_clock(15)
    control.advance_clock(15)
    control.advance("COMPLETED")
    tasks = {task["name"]: task for task in omics.list_run_tasks(id=run["id"])["items"]}
    heard = read()
    a, b = tasks["a"]["taskId"], tasks["b"]["taskId"]
    prefix = "arn:aws:omics:us-east-1:123456789012:task/"
    assert [(event["detail"]["arn"].removeprefix(prefix), event["detail"]["status"]) for event in heard] == [
        (a, "RUNNING"),
        (a, "COMPLETED"),
        (b, "RUNNING"),
        (b, "COMPLETED"),
    ]
    assert heard[0]["resources"] == [f"{prefix}{a}"]
    assert heard[0]["detail"] == {
        "omicsVersion": "1.0.0",
        "arn": f"{prefix}{a}",
        "status": "RUNNING",
        "runArn": run["arn"],
        "runUuid": run["uuid"],
        "runId": run["id"],
        "runName": "n",
        "workflowId": "3",
        "workflowName": "align",
    }


def test_tasks_of_a_cancelled_run_are_announced(control: Control, omics: Any, start: Start) -> None:
    """They pass through STOPPING, as their run does."""
    read = listen("Task Status Change")
    control.plan_run(tasks=1)
    run_id = start()["id"]
    control.advance("RUNNING")
    omics.cancel_run(id=run_id)
    control.advance("CANCELLED")
    assert [event["detail"]["status"] for event in read()] == ["RUNNING", "STOPPING", "CANCELLED"]


@pytest.mark.parametrize("options", [{"workflow_creating_seconds": 60}])
def test_a_created_workflow_is_an_event(control: Control, omics: Any) -> None:
    """Workflow and version are announced once they are ACTIVE."""
    control.stop_clock()
    read = listen("Workflow Status Change")
    workflow = omics.create_workflow(name="w", definitionZip=ARCHIVE)
    version = omics.create_workflow_version(
        workflowId=workflow["id"], versionName="v1", definitionZip=ARCHIVE
    )
    control.set_options(workflow_creating_seconds=30)
    assert read() == []
    control.advance_clock(30)
    details = [event["detail"] for event in read()]
    assert details == [
        {
            "omicsVersion": "1.0.0",
            "arn": workflow["arn"],
            "status": "ACTIVE",
            "workflowUuid": workflow["uuid"],
        },
        {
            "omicsVersion": "1.0.0",
            "arn": version["arn"],
            "status": "ACTIVE",
            "workflowUuid": version["uuid"],
            "workflowVersionName": "v1",
        },
    ]


def test_a_failed_workflow_is_an_event(control: Control, omics: Any) -> None:
    """One with an unusable definition is announced as FAILED."""
    read = listen("Workflow Status Change")
    workflow = omics.create_workflow(definitionZip=b"x")
    omics.list_workflows()
    details = [(event["detail"]["arn"], event["detail"]["status"]) for event in read()]
    assert details == [(workflow["arn"], "FAILED")]


def test_a_disabled_rule_receives_nothing(control: Control, start: Start) -> None:
    """EventBridge delivers only to rules that are enabled."""
    read = listen("Run Status Change")
    aws("events").disable_rule(Name="heard")
    start()
    assert read() == []


def test_an_input_transformer_is_applied(control: Control, start: Start) -> None:
    """A target can choose parts of an event."""
    transformer = {"InputPathsMap": {"run": "$.detail.runId"}, "InputTemplate": '{"run": "<run>"}'}
    read = listen("Run Status Change", InputTransformer=transformer)
    run = start()
    assert read() == [{"run": run["id"]}]


def test_an_archive_keeps_events(control: Control, start: Start) -> None:
    """An archive of the default bus counts them."""
    events = aws("events")
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    events.create_archive(ArchiveName="kept", EventSourceArn=bus)
    start()
    control.advance("COMPLETED")
    assert events.describe_archive(ArchiveName="kept")["EventCount"] >= 5


def test_a_missing_queue_does_not_fail_a_run(control: Control, start: Start) -> None:
    """The event is lost, and the run continues."""
    listen("Run Status Change")
    sqs = aws("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="heard")["QueueUrl"])
    run_id = start()["id"]
    assert control.advance("COMPLETED") == {run_id: "COMPLETED"}


STATUSES = ["PENDING", "STARTING", "RUNNING", "STOPPING", "COMPLETED"]


@pytest.mark.parametrize(
    ("faults", "heard"),
    [
        ({"loss": 1}, []),
        ({"duplication": 1}, [status for status in STATUSES for _ in range(2)]),
        ({"reordering": 0}, STATUSES),
    ],
)
def test_events_can_be_lost_and_duplicated(
    control: Control, start: Start, faults: dict[str, float], heard: list[str]
) -> None:
    """A fault applies to each event with its probability."""
    read = listen("Run Status Change")
    control.disturb_events(**faults)
    start()
    control.advance("COMPLETED")
    assert [event["detail"]["status"] for event in read()] == heard


def test_a_duplicate_has_the_id_of_its_event(control: Control, start: Start) -> None:
    """Consumers can detect duplicates by it."""
    read = listen("Run Status Change")
    control.disturb_events(duplication=1)
    start()
    first, second = read()
    assert first == second


def test_events_can_be_reordered(control: Control, start: Start) -> None:
    """An event arrives after the next one, or after a second if there is no next one."""
    control.stop_clock()
    read = listen("Run Status Change")
    control.disturb_events(reordering=1)
    control.plan_run(tasks=0)
    start()
    assert read() == []
    control.disturb_events()
    control.advance("STARTING")
    assert [event["detail"]["status"] for event in read()] == ["STARTING", "PENDING"]
    control.disturb_events(reordering=1)
    control.advance("RUNNING")
    assert read() == []
    control.advance_clock(1)
    assert [event["detail"]["status"] for event in read()] == ["RUNNING"]


def test_events_can_be_late(control: Control, start: Start) -> None:
    """Each event has its own delay, so events can overtake each other."""
    control.stop_clock()
    read = listen("Run Status Change")
    control.disturb_events(delay_seconds=60)
    for number in range(20):
        start(name=str(number))
    assert read() == []
    control.advance_clock(30)
    early = [event["detail"]["runName"] for event in read()]
    assert 0 < len(early) < 20
    control.advance_clock(30)
    names = early + [event["detail"]["runName"] for event in read()]
    assert sorted(names, key=int) == [str(number) for number in range(20)]
    assert names != sorted(names, key=int)


@pytest.mark.parametrize("control", ["in-process"], indirect=True)
def test_clear_faults_ends_the_disturbance(control: Control, start: Start) -> None:
    """Later events arrive again."""
    read = listen("Run Status Change")
    control.disturb_events(loss=1)
    control.clear_faults()
    start()
    assert len(read()) == 1


@pytest.mark.parametrize("faults", [{"loss": 1.1}, {"duplication": -1}, {"delay_seconds": -1}])
def test_probabilities_are_checked(control: Control, faults: dict[str, float]) -> None:
    """The error names the wrong argument."""
    with pytest.raises(ValueError, match=next(iter(faults))):
        control.disturb_events(**faults)


def test_disturbances_are_reproducible() -> None:
    """With a seed, the same events are lost."""

    def heard() -> list[str]:
        with mock_healthomics(any_workflow=True, manual=True, seed=7) as control:
            read = listen("Run Status Change")
            control.disturb_events(loss=0.5)
            for number in range(20):
                aws("omics").start_run(
                    workflowId="1", roleArn=ROLE, outputUri=f"s3://{BUCKET}", name=str(number)
                )
            return [event["detail"]["runName"] for event in read()]

    first = heard()
    assert 0 < len(first) < 20
    assert heard() == first
