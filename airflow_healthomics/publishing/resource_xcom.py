# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The XComs with the run or batch of a task, as the run page reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from airflow_healthomics.publishing.resource import Kind

#: Ids of runs and batches, from botocore's model.
_ID: Final = re.compile(r"[0-9]{1,18}")


class TaskResource(NamedTuple):
    """
    The run or batch of a task.

    :param kind: run or batch
    :param id: its HealthOmics id
    :param region: its AWS region
    :param uuid: its uuid, if known, since HealthOmics may reuse the id of a deleted run
    :param log_tail_lines: maximum number of log lines to show of a failed task
    :param is_awaited_only: whether the task awaits the run without having started it, like a sensor
    """

    kind: Kind
    id: str
    region: str
    uuid: str | None = None
    log_tail_lines: int = 0
    is_awaited_only: bool = False


def parse_delay(value: Any) -> dict[str, str] | None:
    """
    Return the delay from ``push_delay``, or None for any other value.

    :param value: of the XCom, as stored in the metadata database
    """
    value = _parsed(value)
    if not isinstance(value, Mapping):
        return None
    delay = {name: value.get(name) for name in ("since", "nextAttempt", "reason", "region")}
    return delay if all(isinstance(text, str) for text in delay.values()) else None  # type: ignore[return-value]


def parse_resource(value: Any) -> TaskResource | None:
    """
    Return the run or batch from ``push_resource``, or None for any other value.

    :param value: of the XCom, as stored in the metadata database
    """
    value = _parsed(value)
    if not isinstance(value, Mapping) or value.get("kind") not in ("run", "batch"):
        return None
    resource_id, region, uuid = value.get("id"), value.get("region"), value.get("uuid")
    lines = value.get("log_tail_lines")
    if not isinstance(resource_id, str) or not _ID.fullmatch(resource_id) or not isinstance(region, str):
        return None
    return TaskResource(
        kind=value["kind"],
        id=resource_id,
        region=region,
        uuid=uuid if isinstance(uuid, str) else None,
        log_tail_lines=lines if isinstance(lines, int) else 0,
        is_awaited_only=value.get("is_awaited_only") is True,
    )


def parse_summary(value: Any, resource: TaskResource) -> dict[str, Any] | None:
    """
    Return the XCom ``summary`` of a task, or None for any other value.

    :param value: of the XCom, as stored in the metadata database
    :param resource: the run or batch that it must describe
    """
    value = _parsed(value)
    if not isinstance(value, dict) or value.get("id") != resource.id:
        return None
    is_another = resource.uuid and value.get("uuid") != resource.uuid
    return None if is_another or not isinstance(value.get("status"), str) else value


def _parsed(value: Any) -> Any:
    """Parse the value of an XCom. Some serializers of Airflow store it as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def is_resource_id(text: str) -> bool:
    """Whether a text is a valid id of a run or batch."""
    return bool(_ID.fullmatch(text))
