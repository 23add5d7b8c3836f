# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Read what the tasks of a run used, from the manifest, which HealthOmics writes some time after its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.reports.cost import Amount, amounts_of
from airflow_healthomics.reports.manifest_log import fetch_manifest
from airflow_healthomics.reports.utilization import utilization_of
from airflow_healthomics.service.log import Log

#: No call starts later than this many seconds after the first.
MAX_SECONDS: Final = 10.0


class RunUse(NamedTuple):
    """
    What a run used.

    :param tasks: metrics by task id
    :param amounts: what the run is charged for
    """

    tasks: Mapping[str, Mapping[str, float]]
    amounts: Sequence[Amount] = ()


def prices_are_on() -> bool:
    """Whether ``[healthomics] page_prices`` allows cost estimates on the page."""
    return bool(conf.getboolean("healthomics", "page_prices", fallback=False))


def fetch_run_use(
    hook: PollingHook, run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], log: Log
) -> RunUse | None:
    """
    Return what a run used, or None if the manifest is missing or incomplete.

    :param hook: of the task's connection
    :param run: answer of GetRun, in a terminal state
    :param rows: tasks of the run
    :param log: receives a warning if a call is refused
    """
    aws = BestEffortClient(
        hook,
        f"The use of CPUs and memory by run {run['id']}",
        seconds=MAX_SECONDS,
        on_error=log.warning,
        on_missing=log.info,
    )
    own, tasks = fetch_manifest(aws, run, ids={row["taskId"] for row in rows})
    return RunUse(utilization_of(tasks), amounts_of(run, own, tasks)) if own and tasks else None
