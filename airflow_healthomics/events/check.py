# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What is missing for a queue to receive the ends of runs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.events.batch_ends import BatchEnds
from airflow_healthomics.events.message import SOURCE
from airflow_healthomics.events.record import RETENTION
from airflow_healthomics.events.run_ends import RunEnds
from airflow_healthomics.events.templates import TEST_SOURCE
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code, is_access_denied, is_not_found

#: Seconds to wait for the test event.
PATIENCE_SECONDS: Final = 30

#: Deliveries that a lagging GetRun may cost.
_LEAST_RECEIVE_COUNT: Final = 3


@dataclass(frozen=True)
class Finding:
    """
    The result of one check.

    :param is_ok: whether nothing is missing
    :param text: what was found, and what to do
    """

    is_ok: bool
    text: str


def check_queue(hook: HealthOmicsHook, queue_url: str, *, with_test_event: bool = False) -> Iterator[Finding]:
    """
    Yield what is there and what is missing.

    :param hook: hook of the connection
    :param queue_url: URL of the queue
    :param with_test_event: whether to send an event and receive it. A watcher may receive it earlier, and
        deletes it.
    """
    sqs, events = hook.client_for("sqs"), hook.client_for("events")
    try:
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    except (ClientError, BotoCoreError) as error:
        yield _refused("sqs:GetQueueAttributes", error)
        return
    attributes = answer["Attributes"]
    yield Finding(True, f"The queue {attributes['QueueArn']} exists")
    yield from _settings(attributes)
    yield _queue_policy(attributes)
    yield from _rules(events, attributes["QueueArn"])
    yield from _permissions(hook)
    if with_test_event:
        yield _round_trip(sqs, events, queue_url)


def _settings(attributes: Mapping[str, str]) -> Iterator[Finding]:
    count = int(json.loads(attributes.get("RedrivePolicy", "{}")).get("maxReceiveCount", 0))
    if not count:
        yield Finding(False, "The queue has no dead-letter queue: messages that cannot be read stay")
    elif count < _LEAST_RECEIVE_COUNT:
        yield Finding(False, f"maxReceiveCount is {count}: use 5, since GetRun may lag behind an event")
    else:
        yield Finding(True, f"The queue has a dead-letter queue, after {count} deliveries")
    is_encrypted = attributes.get("SqsManagedSseEnabled") == "true" or attributes.get("KmsMasterKeyId")
    yield Finding(bool(is_encrypted), f"The queue has {'' if is_encrypted else 'no '}server-side encryption")
    seconds, limit = int(attributes.get("MessageRetentionPeriod", 0)), int(RETENTION.total_seconds())
    if seconds > limit:
        yield Finding(
            False,
            f"Messages are kept for {seconds} s, but ends are recorded for {limit} s: an older message could "
            "be reported twice",
        )


def _queue_policy(attributes: Mapping[str, str]) -> Finding:
    policy = json.loads(attributes.get("Policy") or "{}")
    for statement in _as_list(policy.get("Statement")):
        principal = statement.get("Principal")
        services = _as_list(principal.get("Service")) if isinstance(principal, Mapping) else [principal]
        actions = {str(action).lower() for action in _as_list(statement.get("Action"))}
        is_allowed = statement.get("Effect") == "Allow" and actions & {"sqs:sendmessage", "sqs:*", "*"}
        if is_allowed and {"events.amazonaws.com", "*"} & set(services):
            return Finding(True, "The queue policy lets EventBridge send")
    return Finding(False, "The queue policy does not let events.amazonaws.com call sqs:SendMessage")


def _rules(events: Any, queue_arn: str) -> Iterator[Finding]:
    try:
        names = events.list_rule_names_by_target(TargetArn=queue_arn)["RuleNames"]
        rules = [events.describe_rule(Name=name) for name in names]
    except (ClientError, BotoCoreError) as error:
        yield _refused("events:ListRuleNamesByTarget and events:DescribeRule", error)
        return
    if not rules:
        yield Finding(False, "No rule of the default event bus has the queue as its target")
        return
    for rule in rules:
        if rule.get("State") != "ENABLED":
            yield Finding(False, f"The rule {rule['Name']} is not enabled")
    patterns = [json.loads(rule.get("EventPattern") or "{}") for rule in rules if rule["State"] == "ENABLED"]
    for detail_type in (RunEnds.detail_type, BatchEnds.detail_type):
        found = any(_passes(pattern, detail_type) for pattern in patterns)
        yield Finding(found, f'{"A" if found else "No enabled"} rule sends "{detail_type}" to the queue')


def _passes(pattern: Mapping[str, Any], detail_type: str) -> bool:
    sources, types = pattern.get("source", [SOURCE]), pattern.get("detail-type", [detail_type])
    return SOURCE in sources and detail_type in types


def _permissions(hook: HealthOmicsHook) -> Iterator[Finding]:
    omics: Any = hook.conn
    calls: Mapping[str, Callable[[], Any]] = {
        "omics:ListRuns": lambda: omics.list_runs(maxResults=1),
        "omics:GetRun": lambda: omics.get_run(id="0"),
        "omics:ListBatch": lambda: omics.list_batch(maxItems=1),
        "omics:GetBatch": lambda: omics.get_batch(batchId="0"),
    }
    for permission, call in calls.items():
        try:
            call()
        except (ClientError, BotoCoreError) as error:
            if not is_not_found(error) and error_code(error) != "ValidationException":
                yield _refused(permission, error)
                continue
        yield Finding(True, f"{permission} is allowed")


def _round_trip(sqs: Any, events: Any, queue_url: str) -> Finding:
    token = str(uuid.uuid4())
    detail = {"status": "COMPLETED", "token": token}
    entry = {"Source": TEST_SOURCE, "DetailType": RunEnds.detail_type, "Detail": json.dumps(detail)}
    try:
        answer = events.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            return Finding(False, f"EventBridge refused the test event: {answer['Entries'][0]['ErrorCode']}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            # Other messages are visible again at once.
            request = {"QueueUrl": queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 1}
            for message in sqs.receive_message(**request, WaitTimeSeconds=1).get("Messages", ()):
                if token in message["Body"]:
                    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                    return Finding(True, "A test event arrived in the queue")
    except (ClientError, BotoCoreError) as error:
        return _refused("events:PutEvents, sqs:ReceiveMessage and sqs:DeleteMessage", error)
    return Finding(
        False,
        f"The test event did not arrive within {PATIENCE_SECONDS} s. A watcher may have received it, or the "
        f"rule does not match the source {TEST_SOURCE}",
    )


def _refused(permission: str, error: ClientError | BotoCoreError) -> Finding:
    advice = ": the IAM policy must allow it" if is_access_denied(error) else ""
    return Finding(False, f"{permission} failed with {error_code(error)}{advice}")


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
