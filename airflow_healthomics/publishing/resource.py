# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Publish the run or batch of a task: its links, and the XComs that the run page reads.

A task publishes as soon as it knows the run, and even with ``do_xcom_push=False``, so that links and page
also work while the task waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_healthomics.compat import IS_AIRFLOW_2
from airflow_healthomics.links import RUN_LINKS, run_urls

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.hooks.omics import HealthOmicsHook

Kind = Literal["run", "batch"]

#: Key of the XCom with the run or batch of a task.
XCOM_KEY: Final = "healthomics_resource"

#: Key of the XCom with the reason why a task has no run yet.
DELAY_KEY: Final = "healthomics_start_delay"


def push_resource(
    context: Context,
    hook: HealthOmicsHook,
    kind: Kind,
    described: Mapping[str, Any],
    *,
    log_tail_lines: int = 0,
    is_awaited_only: bool = False,
) -> None:
    """
    Publish the run or batch of the task.

    :param context: the task's context
    :param hook: hook of the task's connection
    :param kind: run or batch
    :param described: ``id`` and, if known, ``uuid``
    :param log_tail_lines: argument of the task; 0 for a task without it shows no log
    :param is_awaited_only: whether the task awaits it without having started it, like a sensor
    """
    value = {
        "kind": kind,
        "id": described["id"],
        "region": hook.conn_region_name,
        "uuid": described.get("uuid"),
        "log_tail_lines": log_tail_lines,
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
    context: Context,
    task: Any,
    run: Mapping[str, Any],
    *,
    log_tail_lines: int = 0,
    is_awaited_only: bool = False,
) -> None:
    """
    Publish the links of a run and the XCom of its page, even with ``do_xcom_push=False``.

    :param context: the task's context
    :param task: operator or sensor
    :param run: answer of StartRun or GetRun, or just ``id``
    :param log_tail_lines: maximum number of log lines that the page shows of a failed task
    :param is_awaited_only: whether the task awaits the run without having started it
    """
    hook = task.hook
    push_resource(context, hook, "run", run, log_tail_lines=log_tail_lines, is_awaited_only=is_awaited_only)
    task.link_urls = run_urls(run, hook.conn_region_name, hook.conn_partition)
    task.operator_extra_links = RUN_LINKS
    if IS_AIRFLOW_2 or task.waits_on_worker:
        # Airflow 3 writes them as soon as the task ends or defers.
        for key, url in task.link_urls.items():
            context["ti"].xcom_push(key=key, value=url)
