# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Read the CPUs and the memory that the running tasks of a run use now.

HealthOmics publishes them as OpenTelemetry metrics to CloudWatch if the role of the run may write metrics:
https://docs.aws.amazon.com/omics/latest/dev/monitoring-run-metrics.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from airflow_healthomics.reports.usage import as_number
from airflow_healthomics.run_page.answers import PageError
from airflow_healthomics.run_page.calls import Calls, live_pauses

#: Metrics by their names on the page, each with its unit: CPUs, and bytes of a GiB.
METRICS: Final[Mapping[str, tuple[str, int]]] = {
    "cpusInUse": ("aws.omics.task.cpu.usage", 1),
    "memoryInUseGiB": ("aws.omics.task.memory.usage", 2**30),
}

_RUN_LABEL: Final = "@resource.aws.omics.run.id"
_TASK_LABEL: Final = "@resource.aws.omics.task.id"

#: The permissions are GetMetricData and ListMetrics:
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-PromQL-API-QueryMetrics.html
_PERMISSION: Final = "cloudwatch:GetMetricData"

#: Seconds between two data points of a metric.
FRESH_SECONDS: Final = 30.0
#: Most seconds between two queries for a run without metrics; they double from query to query.
UNPUBLISHED_SECONDS: Final = 480.0
#: Seconds without queries for a connection that lacks the permission,
REFUSED_SECONDS: Final = 1800.0
#: and for one whose CloudWatch throttles or does not answer.
FAILED_SECONDS: Final = 300.0


class LiveUse(NamedTuple):
    """
    What the running tasks of a run use.

    :param tasks: figures by task id
    :param lifetime: in seconds
    :param expires: monotonic time of the next query
    """

    tasks: Mapping[str, Mapping[str, float]]
    lifetime: float = 0.0
    expires: float = 0.0


class LiveUseSource(Calls):
    """Metrics of running tasks, in CloudWatch."""

    def read(
        self, run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], latest: LiveUse | None
    ) -> LiveUse:
        """
        Return what the running tasks of a run use, as far as that is known. A refusal is not an error.

        :param run: answer of GetRun
        :param rows: its tasks
        :param latest: the previous figures
        """
        running = {row["taskId"] for row in rows if row["status"] == "RUNNING"}
        if not running or not _may_publish(run):
            return LiveUse({})
        live = latest if latest and time.monotonic() < latest.expires else self._read(run["id"], latest)
        # Figures outlast a task: those of the page, and the latest data point of a metric.
        return live._replace(tasks={each: live.tasks[each] for each in live.tasks.keys() & running})

    def _read(self, run_id: str, latest: LiveUse | None) -> LiveUse:
        connection = (self._connection, self._region)
        if live_pauses.get(connection):
            return LiveUse({})
        try:
            tasks = self._query(run_id)
        except PageError as error:
            live_pauses.put(connection, True, FAILED_SECONDS if error.retry_after else REFUSED_SECONDS)
            return LiveUse({})
        lifetime = FRESH_SECONDS
        if not tasks and latest:
            lifetime = min(max(2 * latest.lifetime, FRESH_SECONDS), UNPUBLISHED_SECONDS)
        return LiveUse(tasks, lifetime, time.monotonic() + lifetime)

    def _query(self, run_id: str) -> dict[str, dict[str, float]]:
        tasks: dict[str, dict[str, float]] = {}
        for name, (metric, unit) in METRICS.items():
            # One query for each metric: PromQL's "or" would drop series whose labels are the same.
            form = urlencode({"query": f'{{"{metric}", "{_RUN_LABEL}"="{run_id}"}}'})
            with self._calling(_PERMISSION, f"run {run_id}"):
                answer = self._hook.promql_client.query_metrics(
                    form=form, contentType="application/x-www-form-urlencoded"
                )
            values = latest_values(answer, unit)
            for task_id, value in values.items():
                tasks.setdefault(task_id, {})[name] = value
            if not values:
                break
        return tasks


def latest_values(answer: Mapping[str, Any], unit: int) -> dict[str, float]:
    """
    Return the values of a metric by task id.

    :param answer: of QueryMetrics. At most 500 time series have their values in an answer.
    :param unit: divisor of the values
    """
    values: dict[str, float] = {}
    for series in (answer.get("data") or {}).get("result", ()):
        task_id, (_, text) = series["metric"].get(_TASK_LABEL), series["value"]
        # PromQL has NaN, too.
        value = as_number(float(text) / unit)
        if task_id and value is not None:
            values[task_id] = round(value, 3)
    return values


def _may_publish(run: Mapping[str, Any]) -> bool:
    """Whether HealthOmics may publish metrics of a run: not for Ready2Run, nor for runs without logs."""
    return run.get("workflowType") != "READY2RUN" and run.get("logLevel") != "OFF"
