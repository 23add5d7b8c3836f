# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The queue and its surroundings in AWS, for CloudFormation and for Terraform. Both are JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from airflow_healthomics.events.batch_ends import TERMINAL as BATCH_TERMINAL
from airflow_healthomics.events.batch_ends import BatchEnds
from airflow_healthomics.events.message import SOURCE
from airflow_healthomics.events.record import RETENTION
from airflow_healthomics.events.run_ends import RunEnds
from airflow_healthomics.service import run_states

#: Source of the test event of the check. EventBridge accepts no other sender for sources of AWS.
TEST_SOURCE: Final = "airflow_healthomics.check"

#: The events that the queue receives: only ends.
EVENT_PATTERN: Final[dict[str, Any]] = {
    "source": [SOURCE, TEST_SOURCE],
    "detail-type": [RunEnds.detail_type, BatchEnds.detail_type],
    "detail": {"status": sorted(run_states.TERMINAL | BATCH_TERMINAL)},
}

#: Deliveries before a message moves to the dead-letter queue.
MAX_RECEIVE_COUNT: Final = 5

#: Retention of the dead-letter queue: the longest of SQS.
_DEAD_LETTER_SECONDS: Final = 14 * 24 * 3600

#: What a watcher and the check require for the queue, and for the runs and batches.
QUEUE_ACTIONS: Final = (
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueAttributes",
)
OMICS_ACTIONS: Final = ("omics:ListRuns", "omics:GetRun", "omics:ListBatch", "omics:GetBatch")


def cloudformation_template() -> str:
    """Return the template for CloudFormation."""
    queue, dead_letters = {"Fn::GetAtt": ["Queue", "Arn"]}, {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
    rule = {"Fn::GetAtt": ["Rule", "Arn"]}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Ends of HealthOmics runs and batches for Airflow",
        "Resources": {
            "DeadLetterQueue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {"MessageRetentionPeriod": _DEAD_LETTER_SECONDS, "SqsManagedSseEnabled": True},
            },
            "Queue": {
                "Type": "AWS::SQS::Queue",
                "Properties": {
                    "MessageRetentionPeriod": int(RETENTION.total_seconds()),
                    "SqsManagedSseEnabled": True,
                    "RedrivePolicy": {
                        "deadLetterTargetArn": dead_letters,
                        "maxReceiveCount": MAX_RECEIVE_COUNT,
                    },
                },
            },
            "QueuePolicy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {
                    "Queues": [{"Ref": "Queue"}, {"Ref": "DeadLetterQueue"}],
                    "PolicyDocument": _queue_policy([queue, dead_letters], rule),
                },
            },
            "Rule": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "Description": "Ends of HealthOmics runs and batches",
                    "State": "ENABLED",
                    "EventPattern": EVENT_PATTERN,
                    "Targets": [{"Id": "queue", "Arn": queue, "DeadLetterConfig": {"Arn": dead_letters}}],
                },
            },
            "ConsumerPolicy": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": "What the watchers of Airflow require",
                    "PolicyDocument": _consumer_policy(queue),
                },
            },
        },
        "Outputs": {
            "QueueUrl": {"Value": {"Ref": "Queue"}},
            "DeadLetterQueueUrl": {"Value": {"Ref": "DeadLetterQueue"}},
            "ConsumerPolicyArn": {"Value": {"Ref": "ConsumerPolicy"}},
        },
    }
    return json.dumps(template, indent=2) + "\n"


def terraform_configuration() -> str:
    """Return the configuration for Terraform, in its JSON syntax."""
    queue, dead_letters = (
        "${aws_sqs_queue.healthomics_ends.arn}",
        "${aws_sqs_queue.healthomics_ends_dead.arn}",
    )
    rule = "${aws_cloudwatch_event_rule.healthomics_ends.arn}"
    policy = json.dumps(_queue_policy([queue, dead_letters], rule))
    redrive = {"deadLetterTargetArn": dead_letters, "maxReceiveCount": MAX_RECEIVE_COUNT}
    configuration = {
        "resource": {
            "aws_sqs_queue": {
                "healthomics_ends_dead": {
                    "message_retention_seconds": _DEAD_LETTER_SECONDS,
                    "sqs_managed_sse_enabled": True,
                },
                "healthomics_ends": {
                    "message_retention_seconds": int(RETENTION.total_seconds()),
                    "sqs_managed_sse_enabled": True,
                    "redrive_policy": json.dumps(redrive),
                },
            },
            "aws_sqs_queue_policy": {
                "healthomics_ends": {
                    "queue_url": "${aws_sqs_queue.healthomics_ends.url}",
                    "policy": policy,
                },
                "healthomics_ends_dead": {
                    "queue_url": "${aws_sqs_queue.healthomics_ends_dead.url}",
                    "policy": policy,
                },
            },
            "aws_cloudwatch_event_rule": {
                "healthomics_ends": {
                    "description": "Ends of HealthOmics runs and batches",
                    "event_pattern": json.dumps(EVENT_PATTERN),
                }
            },
            "aws_cloudwatch_event_target": {
                "healthomics_ends": {
                    "rule": "${aws_cloudwatch_event_rule.healthomics_ends.name}",
                    "arn": queue,
                    "dead_letter_config": {"arn": dead_letters},
                }
            },
            "aws_iam_policy": {
                "healthomics_ends_consumer": {
                    "description": "What the watchers of Airflow require",
                    "policy": json.dumps(_consumer_policy(queue)),
                }
            },
        },
        "output": {
            "queue_url": {"value": "${aws_sqs_queue.healthomics_ends.url}"},
            "dead_letter_queue_url": {"value": "${aws_sqs_queue.healthomics_ends_dead.url}"},
            "consumer_policy_arn": {"value": "${aws_iam_policy.healthomics_ends_consumer.arn}"},
        },
    }
    return json.dumps(configuration, indent=2) + "\n"


def _queue_policy(queues: list[Any], rule: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queues,
                "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
            }
        ],
    }


def _consumer_policy(queue: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(QUEUE_ACTIONS), "Resource": queue},
            {"Effect": "Allow", "Action": list(OMICS_ACTIONS), "Resource": "*"},
        ],
    }
