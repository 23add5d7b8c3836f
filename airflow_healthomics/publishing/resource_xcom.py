# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The XComs with the run or batch of a task, as the run page reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from airflow_healthomics.publishing.resource import XCOM_KEY, Kind, region_of

#: Keys of the XComs with the run or batch of a task.
RESOURCE_KEYS: Final = ("run", "batch", XCOM_KEY)

#: Ids of runs and batches, from botocore's model.
_ID: Final = re.compile(r"[0-9]{1,18}")


class TaskResource(NamedTuple):
    """
    The run or batch of a task.

    :param kind: run or batch
    :param id: its HealthOmics id
    :param region: its AWS region
    :param uuid: its uuid, if known, since HealthOmics may reuse the id of a deleted run
    :param is_awaited_only: whether the task awaits the run without having started it, like a sensor
    """

    kind: Kind
    id: str
    region: str
    uuid: str | None = None
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


def parse_resource(xcoms: Mapping[str, Any]) -> TaskResource | None:
    """
    Return the run or batch that a task instance has published, or None.

    The XCom of a start takes precedence, because a start pushes it again whenever its run changes.

    :param xcoms: XComs of the task instance by key, as stored in the metadata database
    """
    for key in RESOURCE_KEYS:
        value = _parsed(xcoms.get(key))
        if isinstance(value, Mapping):
            place = value if key == XCOM_KEY else {"kind": key, "region": region_of(value.get("arn"))}
            if resource := _resource(value, kind=place.get("kind"), region=place.get("region")):
                return resource
    return None


def _resource(value: Mapping[str, Any], *, kind: Any, region: Any) -> TaskResource | None:
    resource_id, uuid = value.get("id"), value.get("uuid")
    if kind not in ("run", "batch") or not isinstance(region, str):
        return None
    if not isinstance(resource_id, str) or not _ID.fullmatch(resource_id):
        return None
    return TaskResource(
        kind=kind,
        id=resource_id,
        region=region,
        uuid=uuid if isinstance(uuid, str) else None,
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
