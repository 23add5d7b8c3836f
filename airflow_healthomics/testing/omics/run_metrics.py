# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The metrics of running tasks in CloudWatch, by its Prometheus-compatible API.

User guides, pages "monitoring-run-metrics" and "CloudWatch-PromQL-API-QueryMetrics". The only supported query
is that for a metric of all tasks of a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import BaseResponse

from airflow_healthomics.testing.local import LOCAL, Call
from airflow_healthomics.testing.plans import TaskPlan

from .models import apply_all_due_transitions, omics_backends
from .responses import recorded_answer
from .run import Run

OPERATION: Final = "QueryMetrics"
PATH: Final = "/api/v1/query"

#: At most this number of time series are in an answer.
MAX_SERIES: Final = 500

#: What a running task publishes, if its plan has it: CPUs and bytes.
METRICS: Final[Mapping[str, Callable[[TaskPlan], float | None]]] = {
    "aws.omics.task.cpu.usage": lambda plan: plan.cpus_in_use,
    "aws.omics.task.memory.usage": lambda plan: plan.memory_in_use and plan.memory_in_use * 2**30,
}

_QUERY: Final = re.compile(r'\{"(?P<metric>[\w.]+)", *"@resource\.aws\.omics\.run\.id"="(?P<run>\d+)"\}')


class RunMetricsResponse(BaseResponse):
    """Answers queries."""

    def __init__(self) -> None:
        super().__init__("cloudwatch")

    def call_action(self) -> TYPE_RESPONSE:
        """Answer a query, after its faults."""
        call = Call(
            operation=OPERATION, account=self.current_account, region=self.region, time=LOCAL.clock.now()
        )
        return recorded_answer(call, self.normalized_request, self._answer)

    def _answer(self) -> TYPE_RESPONSE:
        LOCAL.faults.meet("before", OPERATION, {})
        headers = {"content-type": "application/json"}
        query = _QUERY.fullmatch(self.querystring.get("query", [""])[0])
        if query is None:
            error = {"status": "error", "errorType": "bad_data", "error": "this query is not supported here"}
            return 422, headers, json.dumps(error)
        with LOCAL.lock:
            apply_all_due_transitions()
            run = omics_backends[self.current_account][self.region].runs.stored.get(query["run"])
            series = list(_series(run, query["metric"])) if run else []
        data = {"resultType": "vector", "result": series[:MAX_SERIES]}
        return 200, headers, json.dumps({"status": "success", "data": data})


def _series(run: Run, metric: str) -> Iterator[dict[str, Any]]:
    published = METRICS.get(metric)
    for task in run.tasks.values():
        task.settle(LOCAL.clock.now())
        if published and task.status == "RUNNING" and (value := published(task.plan)) is not None:
            labels = {
                "__name__": metric,
                "@resource.aws.omics.run.id": run.id,
                "@resource.aws.omics.task.id": task.id,
            }
            yield {"metric": labels, "value": [LOCAL.clock.now(), str(value)]}
