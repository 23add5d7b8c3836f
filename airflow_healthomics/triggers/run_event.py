# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that reports the ends of runs to an asset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_healthomics.events.run_ends import RunEnds
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.service import run_states
from airflow_healthomics.triggers.event import HealthOmicsEventTrigger


class HealthOmicsRunEventTrigger(HealthOmicsEventTrigger):
    """
    Report each run that ends, whoever started it, to the asset of an ``AssetWatcher`` (Airflow 3.0+).

    The payload of an event has ``runId``, ``uuid``, ``name``, ``status``, ``workflowId``, ``workflowName``,
    ``runOutputUri``, ``failureReason``, ``startTime`` and ``stopTime`` (ISO 8601); what is unknown is None.
    It never has parameters.

    The arguments are not templated. All criteria that are given must match.

    :param statuses: terminal statuses; by default COMPLETED, FAILED, CANCELLED and DELETED
    :param workflow_id: id of the workflow
    :param workflow_name: name of the workflow
    :param run_group_id: id of the run group. It also makes ListRuns cheaper.
    :param run_name_pattern: shell-style pattern of the run's name, such as ``sample-*``, case-sensitive
    :param tags: tags that the run must have
    :param queue_url: URL of the queue that receives HealthOmics's events from EventBridge, see
        ``python -m airflow_healthomics.events``; None for reconciliation alone. Before Airflow 3.3, each
        asset requires a separate queue.
    :param owns_queue: whether to delete messages from the queue that are no status changes of runs or
        batches; otherwise they are left
    :param poll_interval: seconds between two reconciliations without a queue, at least 1
    :param reconcile_interval: the same with a queue, since the delivery of events is best effort
    :param lookback: seconds before the first start of the watcher since which ends count. Before Airflow 3.3
        the first start in a triggerer that runs already counts as a first start.
    :param connection: aws_conn_id, region_name, verify and botocore_config
    :raises HealthOmicsRequestError: if an argument breaks a rule
    """

    source = RunEnds()

    def __init__(
        self,
        statuses: Sequence[str] | None = None,
        workflow_id: str | None = None,
        workflow_name: str | None = None,
        run_group_id: str | None = None,
        run_name_pattern: str | None = None,
        tags: Mapping[str, str] | None = None,
        **watching: Any,
    ) -> None:
        super().__init__(**watching)
        self.statuses = sorted(run_states.TERMINAL) if statuses is None else statuses
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.run_group_id = run_group_id
        self.run_name_pattern = run_name_pattern
        self.tags = tags
        self.search.check(run_states.TERMINAL, "run_name_pattern")

    @property
    def search(self) -> EndSearch:
        """The criteria."""
        return EndSearch(
            statuses=self.statuses,
            workflow_id=self.workflow_id,
            workflow_name=self.workflow_name,
            run_group_id=self.run_group_id,
            name_pattern=self.run_name_pattern,
            tags=self.tags,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.run_event.HealthOmicsRunEventTrigger",
            {
                "statuses": list(self.statuses),
                "workflow_id": self.workflow_id,
                "workflow_name": self.workflow_name,
                "run_group_id": self.run_group_id,
                "run_name_pattern": self.run_name_pattern,
                "tags": dict(self.tags) if self.tags else None,
                **self.watching,
            },
        )
