# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Status changes as events in EventBridge (user guide, page "eventbridge")."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from moto.core.exceptions import ServiceException
from moto.events.models import Rule, events_backends
from werkzeug.exceptions import HTTPException

from airflow_healthomics.testing.local import LOCAL

from .batch import Batch
from .run import Run
from .task import Task
from .workflow import Definition, Version

log = logging.getLogger(__name__)

Place = tuple[str, str]


def announce_run(run: Run) -> None:
    """Send the "Run Status Change" event."""
    detail = {
        "arn": run.arn,
        "status": run.status,
        "uuid": run.uuid,
        "runId": run.id,
        "runName": run.request.get("name"),
        "runOutputUri": run.output_uri,
        "workflowId": run.workflow.id,
        "workflowName": run.workflow.name,
    }
    send("Run Status Change", (run.account, run.region), run.entered, detail)


def announce_task(run: Run, task: Task, at: float) -> None:
    """Send the "Task Status Change" event."""
    detail = {
        "arn": f"{run.arn.rpartition(':')[0]}:task/{task.id}",
        "status": task.status,
        "runArn": run.arn,
        "runUuid": run.uuid,
        "runId": run.id,
        "runName": run.request.get("name"),
        "workflowId": run.workflow.id,
        "workflowName": run.workflow.name,
    }
    send("Task Status Change", (run.account, run.region), at, detail)


def announce_workflow(definition: Definition, place: Place, at: float) -> None:
    """
    Send the "Workflow Status Change" event of a workflow or of a version.

    Its members are those of the schema in AWS's observability sample.

    :param place: Account and region.
    """
    detail = {
        "arn": definition.arn,
        "status": definition.status,
        "workflowUuid": definition.uuid,
        "workflowVersionName": definition.name if isinstance(definition, Version) else None,
    }
    send("Workflow Status Change", place, at, detail)


def announce_batch(batch: Batch) -> None:
    """
    Send the "RunBatch Status Change" event (user guide, page "workflows-batch"). All its values are strings.

    According to that page, there is no event for RUNS_DELETE_FAILED.
    """
    if batch.status == "RUNS_DELETE_FAILED":
        return
    defaults = batch.defaults
    cache = defaults.get("cacheId")
    detail = {
        "arn": batch.arn,
        "batchId": batch.id,
        "status": batch.status,
        "uuid": batch.uuid,
        "batchName": batch.request.get("batchName"),
        "totalRuns": None if batch.entries is None else len(batch.entries),
        "failureReason": batch.failure_code,
        "failureMessage": batch.failure_reason,
        **{name: n for name, n in batch.submission_summary().items() if "Start" in name},
        **batch.run_summary(batch.entered),
        "workflowId": batch.workflow.id,
        "workflowArn": batch.workflow.arn,
        "workflowVersionArn": batch.definition.arn if defaults.get("workflowVersionName") else None,
        "workflowOwnerId": defaults.get("workflowOwnerId"),
        "runCache": f"{batch.arn.rsplit(':', 1)[0]}:runCache/{cache}" if cache else None,
        "runCacheBehavior": defaults.get("cacheBehavior"),
    }
    strings = {name: str(value) for name, value in detail.items() if value is not None}
    send("RunBatch Status Change", (batch.account, batch.region), batch.entered, strings)


def send(
    kind: str, place: Place, at: float, detail: Mapping[str, Any], *, resource: str | None = None
) -> None:
    """
    Send an event about a resource.

    :param place: Account and region.
    :param resource: Its ARN; None for that of the detail.
    """
    account, region = place
    if not _rules(place):
        return
    event = {
        "version": "0",
        "id": LOCAL.outbox.new_id(),
        "detail-type": kind,
        "source": "aws.omics",
        "account": account,
        "time": at,  # moto makes it ISO 8601
        "region": region,
        "resources": [resource or detail["arn"]],
        "detail": {name: v for name, v in {"omicsVersion": "1.0.0", **detail}.items() if v is not None},
    }
    LOCAL.outbox.send(partial(_deliver, event, place), LOCAL.clock.now())


def _rules(place: Place) -> list[Rule]:
    account, region = place
    # By get, which makes no backend: there are no rules without one, and moto's own look-up is slow.
    regions = events_backends.get(account)
    backend = regions.get(region) if regions is not None else None
    return list(backend.describe_event_bus("default").rules.values()) if backend else []


def _deliver(event: Mapping[str, Any], place: Place) -> None:
    """
    Deliver an event to the targets of the matching rules.

    Not through moto's put_events, whose default form of a message has no account.
    """
    for rule in _rules(place):
        if rule.state != "ENABLED":
            continue
        for target in rule.targets:
            transformed = "InputTransformer" in target
            message: Any = copy.deepcopy(
                {**event, **({"ingestion-time": event["time"]} if transformed else {})}
            )
            alone = copy.copy(rule)
            alone.targets = [target]
            try:
                alone.send_to_targets(message, transform_input=transformed)
            except (HTTPException, ServiceException) as error:
                # As in AWS, where the delivery is retried and then lost.
                log.warning("EventBridge cannot deliver to %s: %s", target["Arn"], error)
