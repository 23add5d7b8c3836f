# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Publish the run or batch of a task: its links, and the XComs that the run page reads.

A task publishes as soon as it knows the run, and even with ``do_xcom_push=False``, so that links and page
also work while the task waits. A task that starts a run or batch pushes it once, for other tasks and for the
page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_healthomics.compat import IS_AIRFLOW_2
from airflow_healthomics.links import OUTPUTS_LINKS, RUN_LINKS, outputs_url, run_urls

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.hooks.omics import HealthOmicsHook

Kind = Literal["run", "batch"]

#: Key of the XCom with the run or batch of a task that pushes no XCom ``run`` or ``batch``.
XCOM_KEY: Final = "healthomics_resource"

#: Key of the XCom with the reason why a task has no run yet.
DELAY_KEY: Final = "healthomics_start_delay"


def region_of(arn: Any) -> str | None:
    """Return the region in the ARN of a run or batch, or None for any other value."""
    match arn.split(":", 5) if isinstance(arn, str) else ():
        case ["arn", _, "omics", str(region), _, _] if region:
            return region
    return None


def push_started(
    context: Context, task: Any, kind: Kind, started: Mapping[str, Any], fields: Sequence[str]
) -> None:
    """
    Push the XCom ``run`` or ``batch`` of the task that started it, or what replaces it for the run page.

    :param context: the task's context
    :param task: the operator
    :param kind: run or batch, and the key of the XCom
    :param started: answer of the start
    :param fields: fields of the XCom, with ``id``, ``uuid`` and ``arn``
    """
    if task.do_xcom_push:
        context["ti"].xcom_push(key=kind, value={name: started[name] for name in fields if name in started})
        if region_of(started.get("arn")) == task.hook.conn_region_name:
            return
    push_resource(context, task.hook, kind, started)


def push_resource(
    context: Context,
    hook: HealthOmicsHook,
    kind: Kind,
    described: Mapping[str, Any],
    *,
    is_awaited_only: bool = False,
) -> None:
    """
    Push the run or batch of the task for the run page.

    :param context: the task's context
    :param hook: hook of the task's connection
    :param kind: run or batch
    :param described: ``id`` and, if known, ``uuid``
    :param is_awaited_only: whether the task awaits it without having started it, like a sensor
    """
    value = {
        "kind": kind,
        "id": described["id"],
        "region": hook.conn_region_name,
        "uuid": described.get("uuid"),
        "is_awaited_only": is_awaited_only,
    }
    context["ti"].xcom_push(key=XCOM_KEY, value=value)


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
    formatted = {name: datetime.fromtimestamp(value, UTC).isoformat() for name, value in times.items()}
    context["ti"].xcom_push(key=DELAY_KEY, value={**formatted, "reason": reason, "region": region})


def publish_run(
    context: Context, task: Any, run: Mapping[str, Any], *, is_awaited_only: bool = False
) -> None:
    """
    Publish the links of a run and the XCom of its page, even with ``do_xcom_push=False``.

    :param context: the task's context
    :param task: operator or sensor
    :param run: answer of GetRun, or just ``id``
    :param is_awaited_only: whether the task awaits the run without having started it
    """
    push_resource(context, task.hook, "run", run, is_awaited_only=is_awaited_only)
    publish_links(context, task, run)


def publish_links(context: Context, task: Any, run: Mapping[str, Any]) -> None:
    """
    Publish the links of a run, even with ``do_xcom_push=False``.

    :param context: the task's context
    :param task: operator or sensor
    :param run: answer of StartRun or GetRun, or just ``id``
    """
    hook = task.hook
    task.link_urls = run_urls(run, hook.conn_region_name, hook.conn_partition)
    task.operator_extra_links = RUN_LINKS
    _push_links(context, task)


def publish_outputs_link(context: Context, task: Any, uri: str) -> None:
    """
    Publish the link of a task that writes files to S3 without a run.

    :param context: the task's context
    :param task: operator
    :param uri: S3 URI of the folder
    """
    hook = task.hook
    url = outputs_url(uri, hook.conn_region_name, hook.conn_partition)
    task.link_urls = {link.key: url for link in OUTPUTS_LINKS}
    task.operator_extra_links = OUTPUTS_LINKS
    _push_links(context, task)


def _push_links(context: Context, task: Any) -> None:
    if IS_AIRFLOW_2 or task.waits_on_worker:
        # Airflow 3 writes them as soon as the task ends or defers.
        for key, url in task.link_urls.items():
            context["ti"].xcom_push(key=key, value=url)
