# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The templates of the queue, and the check of what they set up."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from airflow_healthomics.events import check as check_module
from airflow_healthomics.events.__main__ import main
from airflow_healthomics.events.message import parse_message
from airflow_healthomics.events.queue import SOURCES
from airflow_healthomics.events.templates import cloudformation_template, terraform_configuration
from tests.healthomics import Control
from tests.unit.kinds import RUN


@pytest.fixture
def stack(omics: Control) -> dict[str, Any]:
    """The stack of the template: its outputs, and its resources by logical id."""
    formation: Any = boto3.client("cloudformation")
    formation.create_stack(
        StackName="ends", TemplateBody=cloudformation_template(), Capabilities=["CAPABILITY_IAM"]
    )
    (described,) = formation.describe_stacks(StackName="ends")["Stacks"]
    assert described["StackStatus"] == "CREATE_COMPLETE"
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
    # moto ignores queue policies in templates.
    sqs: Any = boto3.client("sqs")
    policy = json.loads(cloudformation_template())["Resources"]["QueuePolicy"]["Properties"]["PolicyDocument"]
    sqs.set_queue_attributes(QueueUrl=outputs["QueueUrl"], Attributes={"Policy": json.dumps(policy)})
    return outputs


def run_check(capsys: pytest.CaptureFixture[str], queue_url: str, *more: str) -> tuple[int, str]:
    """Return the exit code and the output of the check."""
    code = main(["check", "--queue-url", queue_url, *more])
    return code, capsys.readouterr().out


def test_the_stack_delivers_ends_and_nothing_else(omics: Control, stack: dict[str, Any]) -> None:
    """The rule, its target and the queue work together; only ends pass the rule."""
    omics.advance("COMPLETED", run_id=RUN.start(omics))
    answer = boto3.client("sqs").receive_message(QueueUrl=stack["QueueUrl"], MaxNumberOfMessages=10)
    (message,) = answer["Messages"]
    candidate = parse_message(message["Body"], SOURCES).candidate
    assert candidate is not None
    assert candidate.told["status"] == "COMPLETED"


def test_what_cannot_be_read_goes_to_the_dead_letter_queue(stack: dict[str, Any]) -> None:
    """After five deliveries, and it is kept there for 14 days."""
    attributes = boto3.client("sqs").get_queue_attributes(QueueUrl=stack["QueueUrl"], AttributeNames=["All"])[
        "Attributes"
    ]
    redrive = json.loads(attributes["RedrivePolicy"])
    dead = boto3.client("sqs").get_queue_attributes(
        QueueUrl=stack["DeadLetterQueueUrl"], AttributeNames=["All"]
    )["Attributes"]
    assert redrive["deadLetterTargetArn"] == dead["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == 5
    assert (attributes["SqsManagedSseEnabled"], dead["SqsManagedSseEnabled"]) == ("true", "true")
    assert dead["MessageRetentionPeriod"] == str(14 * 24 * 3600)


def test_the_consumer_may_do_only_what_it_must(stack: dict[str, Any]) -> None:
    """And with the queue only."""
    iam: Any = boto3.client("iam")
    version = iam.get_policy_version(PolicyArn=stack["ConsumerPolicyArn"], VersionId="v1")
    document = version["PolicyVersion"]["Document"]
    document = json.loads(document) if isinstance(document, str) else document
    of_queue, of_runs = document["Statement"]
    assert of_queue["Resource"].startswith("arn:aws:sqs:")
    assert {each.split(":")[0] for each in of_queue["Action"]} == {"sqs"}
    assert of_runs["Action"] == ["omics:ListRuns", "omics:GetRun", "omics:ListBatch", "omics:GetBatch"]


def test_terraform_sets_up_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Each setting of the one is in the other."""
    assert main(["terraform"]) == 0
    printed = capsys.readouterr().out
    assert printed == terraform_configuration()
    resources = json.loads(printed)["resource"]
    other = json.loads(cloudformation_template())["Resources"]
    rule = resources["aws_cloudwatch_event_rule"]["healthomics_ends"]
    assert json.loads(rule["event_pattern"]) == other["Rule"]["Properties"]["EventPattern"]
    for name, logical_id in (("healthomics_ends", "Queue"), ("healthomics_ends_dead", "DeadLetterQueue")):
        queue, properties = resources["aws_sqs_queue"][name], other[logical_id]["Properties"]
        assert queue["message_retention_seconds"] == properties["MessageRetentionPeriod"]
        assert queue["sqs_managed_sse_enabled"] is properties["SqsManagedSseEnabled"] is True
    actions = [
        [statement["Action"] for statement in policy["Statement"]]
        for policy in (
            json.loads(resources["aws_iam_policy"]["healthomics_ends_consumer"]["policy"]),
            other["ConsumerPolicy"]["Properties"]["PolicyDocument"],
        )
    ]
    assert actions[0] == actions[1]


def test_the_template_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """For ``aws cloudformation deploy``."""
    assert main(["template"]) == 0
    assert capsys.readouterr().out == cloudformation_template()


def test_the_check_accepts_the_stack(stack: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """With the round trip of an event."""
    code, text = run_check(capsys, stack["QueueUrl"], "--test-event")
    assert code == 0, text
    assert "MISSING" not in text
    assert "A test event arrived" in text


def test_the_check_names_what_a_bare_queue_lacks(omics: Control, capsys: pytest.CaptureFixture[str]) -> None:
    """Each thing on a line."""
    url = boto3.client("sqs").create_queue(
        QueueName="bare", Attributes={"MessageRetentionPeriod": "1209600", "SqsManagedSseEnabled": "false"}
    )["QueueUrl"]
    code, text = run_check(capsys, url)
    assert code == 1
    missing = [line for line in text.splitlines() if line.startswith("MISSING")]
    for word in ("dead-letter", "encryption", "1209600", "queue policy", "No rule"):
        assert any(word in line for line in missing), (word, text)
    assert len(missing) == 5


def test_the_check_notices_a_disabled_rule(
    stack: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that no event arrives."""
    monkeypatch.setattr(check_module, "PATIENCE_SECONDS", 0)
    events: Any = boto3.client("events")
    (rule,) = events.list_rules()["Rules"]
    events.disable_rule(Name=rule["Name"])
    code, text = run_check(capsys, stack["QueueUrl"], "--test-event")
    assert code == 1
    assert "is not enabled" in text
    assert 'No enabled rule sends "Run Status Change"' in text
    assert "did not arrive" in text


def test_the_check_names_a_permission(
    omics: Control, stack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of HealthOmics."""
    omics.inject_error("GetRun", "AccessDeniedException", times=None)
    code, text = run_check(capsys, stack["QueueUrl"])
    assert code == 1
    assert "omics:GetRun failed with AccessDeniedException: the IAM policy must allow it" in text


def test_the_check_of_a_missing_queue(omics: Control, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the call."""
    code, text = run_check(capsys, "https://sqs.us-east-1.amazonaws.com/123456789012/none")
    assert code == 1
    assert "sqs:GetQueueAttributes failed" in text
