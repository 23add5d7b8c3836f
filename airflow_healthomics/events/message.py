# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Messages of a queue: EventBridge events of HealthOmics.

https://docs.aws.amazon.com/omics/latest/dev/eventbridge.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_healthomics.events.ends import Candidate, EndSource
from airflow_healthomics.service.times import as_time

#: Source of HealthOmics's events.
SOURCE: Final = "aws.omics"


class UnreadableMessageError(ValueError):
    """
    A message that is no event of EventBridge, or one that lacks what an end needs.

    Its text names what is missing, never the content.
    """


@dataclass(frozen=True)
class Message:
    """
    A message of the queue.

    :param is_foreign: whether it is no status change of a run or batch
    :param source: kind of resource that has ended; None if nothing has
    :param candidate: the end in the message
    """

    is_foreign: bool = False
    source: EndSource | None = None
    candidate: Candidate | None = None


def parse_message(body: str, sources: Mapping[str, EndSource]) -> Message:
    """
    Parse the body of a message.

    :param body: the body
    :param sources: kinds of resource by the detail type of their events
    :raises UnreadableMessageError: if it cannot be understood
    """
    try:
        event = json.loads(body)
    except ValueError:
        raise UnreadableMessageError("it is not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("source"), str):
        raise UnreadableMessageError("it is not an event of EventBridge: source is missing")
    source = sources.get(str(event.get("detail-type")))
    if event["source"] != SOURCE or source is None:
        return Message(is_foreign=True)
    detail = event.get("detail")
    if not isinstance(detail, dict) or not isinstance(detail.get("status"), str):
        raise UnreadableMessageError("it has no detail.status")
    if detail["status"] not in source.terminal:
        return Message()
    return Message(source=source, candidate=_candidate(event, detail, source))


def _candidate(event: Mapping[str, Any], detail: Mapping[str, Any], source: EndSource) -> Candidate:
    # Events of 2023 had only the ARN and the status.
    resource_id = detail.get(source.id_field) or str(detail.get("arn", "")).rpartition("/")[2]
    if not isinstance(resource_id, str) or not resource_id.isdigit():
        raise UnreadableMessageError(f"it has neither detail.{source.id_field} nor an ARN with an id")
    if (sent := as_time(event.get("time"))) is None:
        raise UnreadableMessageError("it has no time")
    return Candidate(resource_id, {**detail, "name": detail.get(source.name_field)}, sent)
