# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics of running tasks, by CloudWatch's Prometheus-compatible API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from airflow_healthomics.testing import Control

from .conftest import aws

Start = Callable[..., dict[str, Any]]
TASKS: list[dict[str, Any]] = [
    {"name": "align", "cpus_in_use": 3.5, "memory_in_use": 2},
    {"name": "sort", "cpus_in_use": 0.5, "seconds": 1},
    {"name": "none"},
]


def query(text: str) -> dict[str, str]:
    """Return the values of a query by task id."""
    client = aws("cloudwatch-promql", endpoint_url=aws("cloudwatch").meta.endpoint_url)
    form = urlencode({"query": text})
    data = client.query_metrics(form=form, contentType="application/x-www-form-urlencoded")["data"]
    assert data["resultType"] == "vector"
    return {series["metric"]["@resource.aws.omics.task.id"]: series["value"][1] for series in data["result"]}


def metric(name: str, run_id: str) -> str:
    """Return a query for a metric of all tasks of a run, as in the user guide."""
    return f'{{"aws.omics.task.{name}.usage", "@resource.aws.omics.run.id"="{run_id}"}}'


def test_running_tasks_publish_what_they_use(control: Control, start: Start, omics: Any) -> None:
    """The CPUs and bytes of each task whose plan has them, only while it runs."""
    control.plan_run(tasks=TASKS)
    run_id, other = start()["id"], start()["id"]
    assert query(metric("cpu", run_id)) == {}
    control.advance("RUNNING")
    ids = {task["name"]: task["taskId"] for task in omics.list_run_tasks(id=run_id)["items"]}
    assert query(metric("cpu", run_id)) == {ids["align"]: "3.5", ids["sort"]: "0.5"}
    assert query(metric("memory", run_id)) == {ids["align"]: str(2 * 2**30)}
    assert query(metric("cpu", other)) == {}
    control.advance_clock(1)
    assert query(metric("cpu", run_id)) == {ids["align"]: "3.5"}
    control.advance("COMPLETED")
    assert query(metric("cpu", run_id)) == {}


def test_another_query_is_refused(control: Control) -> None:
    """It would need a PromQL engine."""
    with pytest.raises(ClientError, match="422"):
        query("sum(up)")


def test_queries_have_faults_and_are_recorded(control: Control) -> None:
    """Like calls of HealthOmics."""
    control.inject_error("QueryMetrics", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        query(metric("cpu", "7"))
    control.drop_connection("QueryMetrics")
    with pytest.raises(HTTPClientError):
        query(metric("cpu", "7"))
    assert [call["error"] for call in control.calls("QueryMetrics")] == [
        "AccessDeniedException",
        "DroppedConnection",
    ]


def test_other_operations_of_cloudwatch_are_motos(control: Control) -> None:
    """They keep their address."""
    point = {"MetricName": "a", "Value": 1.0}
    aws("cloudwatch").put_metric_data(Namespace="mine", MetricData=[point])
    assert [each["MetricName"] for each in aws("cloudwatch").list_metrics()["Metrics"]] == ["a"]
