# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Trigger that reports the ends of batches to an asset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_healthomics.events.batch_ends import TERMINAL, BatchEnds
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.triggers.event import HealthOmicsEventTrigger

#: The ends of a batch that are no deletion.
_DEFAULT_STATUSES = ("CANCELLED", "FAILED", "PROCESSED")


class HealthOmicsRunBatchEventTrigger(HealthOmicsEventTrigger):
    """
    Report each run batch that ends, whoever started it, to the asset of an ``AssetWatcher`` (Airflow 3.0+).

    The payload of an event has ``batchId``, ``uuid``, ``name``, ``status``, ``workflowId``,
    ``workflowName``, ``totalRuns``, ``failureReason``, ``startTime`` and ``stopTime`` (ISO 8601); what is
    unknown is None. A batch is PROCESSED when all its runs have ended, however they did.

    The arguments are not templated. All criteria that are given must match.

    :param statuses: terminal statuses among PROCESSED, FAILED, CANCELLED, RUNS_DELETED and
        RUNS_DELETE_FAILED; by default the first three
    :param workflow_id: id of the workflow
    :param workflow_name: name of the workflow, which only the events of a queue have
    :param run_group_id: id of the run group of the batch
    :param batch_name_pattern: shell-style pattern of the batch's name, such as ``nightly-*``, case-sensitive
    :param tags: tags that the batch must have
    :param watching: queue_url, owns_queue, poll_interval, reconcile_interval, lookback, aws_conn_id,
        region_name, verify and botocore_config, as for
        :class:`~airflow_healthomics.triggers.HealthOmicsRunEventTrigger`
    :raises HealthOmicsRequestError: if an argument breaks a rule
    """

    source = BatchEnds()

    def __init__(
        self,
        statuses: Sequence[str] | None = None,
        workflow_id: str | None = None,
        workflow_name: str | None = None,
        run_group_id: str | None = None,
        batch_name_pattern: str | None = None,
        tags: dict[str, str] | None = None,
        **watching: Any,
    ) -> None:
        super().__init__(**watching)
        self.statuses = list(_DEFAULT_STATUSES) if statuses is None else statuses
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.run_group_id = run_group_id
        self.batch_name_pattern = batch_name_pattern
        self.tags = tags
        self.search.check(TERMINAL, "batch_name_pattern")

    @property
    def search(self) -> EndSearch:
        """The criteria."""
        return EndSearch(
            statuses=self.statuses,
            workflow_id=self.workflow_id,
            workflow_name=self.workflow_name,
            run_group_id=self.run_group_id,
            name_pattern=self.batch_name_pattern,
            tags=self.tags,
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        return (
            "airflow_healthomics.triggers.batch_event.HealthOmicsRunBatchEventTrigger",
            {
                "statuses": list(self.statuses),
                "workflow_id": self.workflow_id,
                "workflow_name": self.workflow_name,
                "run_group_id": self.run_group_id,
                "batch_name_pattern": self.batch_name_pattern,
                "tags": dict(self.tags) if self.tags else None,
                **self.watching,
            },
        )
