# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Which run or batch a task is about: what the task tells in XCom, and what the run page takes for it.

Written as soon as it is known, like the links and also with ``do_xcom_push=False``, so that the page knows
the run of a task that still waits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_healthomics.links import run_urls

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.hooks.omics import HealthOmicsHook

Kind = Literal["run", "batch"]

XCOM_KEY: Final = "healthomics_resource"

#: Key of the XCom that says why a task has no run yet.
DELAY_KEY: Final = "healthomics_start_delay"

#: Ids of runs and batches, by botocore's model.
_ID: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, kw_only=True)
class TaskResource:
    """
    The run or batch that a task has started, waits for or cancels.

    :param kind: run or batch
    :param id: its HealthOmics id
    :param region: its AWS region
    :param uuid: its uuid, if the task knows it: AWS may give the id of a deleted run to another one
    :param log_tail_lines: how many lines of the log of a failed task may be shown
    """

    kind: Kind
    id: str
    region: str
    uuid: str | None = None
    log_tail_lines: int = 0


def push_resource(
    context: Context,
    hook: HealthOmicsHook,
    kind: Kind,
    described: Mapping[str, Any],
    *,
    log_tail_lines: int = 0,
) -> None:
    """
    Tell which run or batch the task is about.

    :param context: the task's context
    :param hook: hook of the task's connection
    :param kind: run or batch
    :param described: ``id`` and, if known, ``uuid``
    :param log_tail_lines: as the task has it; a task that has no such setting shows no log
    """
    resource = TaskResource(
        kind=kind,
        id=described["id"],
        region=hook.conn_region_name,
        uuid=described.get("uuid"),
        log_tail_lines=log_tail_lines,
    )
    context["ti"].xcom_push(key=XCOM_KEY, value=asdict(resource))


def push_delay(context: Context, *, since: float, reason: str, until: float, region: str) -> None:
    """
    Record that the start of the task's run is delayed.

    :param context: the task's context
    :param since: Unix time of the first attempt
    :param reason: an error code
    :param until: Unix time of the next attempt, at the earliest
    :param region: AWS region
    """
    times = {"since": since, "nextAttempt": until}
    told = {name: datetime.fromtimestamp(value, UTC).isoformat() for name, value in times.items()}
    context["ti"].xcom_push(key=DELAY_KEY, value={**told, "reason": reason, "region": region})


def parse_delay(value: Any) -> dict[str, str] | None:
    """
    Return what :func:`push_delay` has recorded, or None for anything else.

    :param value: of the XCom, as it stands in the metadata database
    """
    value = _parsed(value)
    if not isinstance(value, Mapping):
        return None
    delay = {name: value.get(name) for name in ("since", "nextAttempt", "reason", "region")}
    return delay if all(isinstance(text, str) for text in delay.values()) else None  # type: ignore[return-value]


def parse_resource(value: Any) -> TaskResource | None:
    """
    Return what a task has told, or None for anything else.

    :param value: of the XCom, as it stands in the metadata database
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
    )


def _parsed(value: Any) -> Any:
    """Return the value of an XCom, which some serializers of Airflow store as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def is_resource_id(text: str) -> bool:
    """Whether a text can be the id of a run or batch."""
    return bool(_ID.fullmatch(text))


def persist_links(
    context: Context, hook: HealthOmicsHook, run: Mapping[str, Any], *, log_tail_lines: int = 0
) -> None:
    """
    Make the links of a run, and its page, work from now on, also with ``do_xcom_push=False``.

    :param context: the task's context
    :param hook: hook of the task's connection
    :param run: what StartRun or GetRun answered, or its id
    :param log_tail_lines: lines of the log of a failed task that the page may show
    """
    push_resource(context, hook, "run", run, log_tail_lines=log_tail_lines)
    for key, url in run_urls(run, hook.conn_region_name, hook.conn_partition).items():
        context["ti"].xcom_push(key=key, value=url)
