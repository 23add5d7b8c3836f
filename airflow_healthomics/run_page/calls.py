# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The AWS calls of the run page with one connection and region: client, errors, checks and names."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.hooks.polling import PollingHook
from airflow_healthomics.links import (
    HealthOmicsEngineLogLink,
    HealthOmicsOutputsLink,
    HealthOmicsRunLink,
    HealthOmicsRunLogLink,
)
from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page.answers import PageError, not_found, page_error
from airflow_healthomics.run_page.clients import Hooks, Memory, lanes
from airflow_healthomics.run_page.lookup import TaskConnection
from airflow_healthomics.service.errors import error_code, is_credentials_error, is_transient

#: Maximum number of cached values of a kind, and lifetime in seconds of a batch, a run or a denied name.
_MAX_NAMES: Final = 1024
NAME_SECONDS: Final = 300.0

LINKS: Final = {
    HealthOmicsRunLink.key: "console",
    HealthOmicsRunLogLink.key: "runLog",
    HealthOmicsEngineLogLink.key: "engineLog",
    HealthOmicsOutputsLink.key: "outputs",
}

log = logging.getLogger(__name__)

hooks: Final = Hooks()
names: Final = Memory(_MAX_NAMES)
batches: Final = Memory(_MAX_NAMES)
#: Ids of the run settings of runs.
settings: Final = Memory(_MAX_NAMES)
#: Creation times and engine logs of runs whose logs are read.
engine_logs: Final = Memory(_MAX_NAMES)
#: Folders of runs whose outputs are listed.
output_places: Final = Memory(_MAX_NAMES)
#: Connections whose metrics of running tasks are not queried for a while.
live_pauses: Final = Memory(_MAX_NAMES)
#: List prices by connection and region, or why there are none.
price_lists: Final = Memory(_MAX_NAMES)


def forget() -> None:
    """Clear all caches, for tests."""
    others = (output_places, live_pauses, price_lists, lanes)
    for memory in (hooks, names, batches, settings, engine_logs, *others):
        memory.clear()


def identity_of(resource: TaskResource, run_id: str | None) -> dict[str, Any]:
    """
    Return what a run must have to be shown: the uuid of the task's run, or the batch of the task.

    :param resource: run or batch of the task
    :param run_id: a run of the batch; None for the task's own run
    """
    if run_id is None or resource.kind == "run":
        return {"uuid": resource.uuid}
    return {"batch_id": resource.id, "batch_uuid": resource.uuid}


class Calls:
    """
    The connection of a task, for one region.

    :param connection: the connection
    :param region: AWS region of the run or batch
    """

    def __init__(self, connection: TaskConnection, region: str) -> None:
        self._connection = connection
        self._region = region

    @cached_property
    def _hook(self) -> PollingHook:
        return hooks.get(self._connection, self._region)

    def _get_run(
        self,
        run_id: str,
        *,
        uuid: str | None = None,
        batch_id: str | None = None,
        batch_uuid: str | None = None,
    ) -> Mapping[str, Any]:
        """Return a run, if it is still the one that the task knows and belongs to its batch."""
        with self._calling("GetRun", f"run {run_id}"):
            run = self._hook.get_run(run_id)
        if batch_id and run.get("batchId") != batch_id:
            # The same error as for a run that does not exist.
            raise not_found(f"run {run_id}")
        if batch_id:
            self._check_batch(batch_id, batch_uuid)
        if uuid and run.get("uuid") != uuid:
            raise PageError(404, f"Run {run_id} was deleted, and HealthOmics reused its id.")
        return run

    def _get_batch(self, batch_id: str, uuid: str | None) -> dict[str, Any]:
        with self._calling("GetBatch", f"batch {batch_id}"):
            batch = self._hook.get_batch(batch_id)
        if uuid and batch.get("uuid") != uuid:
            raise PageError(404, f"Batch {batch_id} was deleted, and HealthOmics reused its id.")
        return batch

    def _check_batch(self, batch_id: str, uuid: str | None) -> None:
        """Check that the uuid of a batch is unchanged, with one call for many of its runs."""
        key = (self._connection, self._region, batch_id, uuid)
        if uuid and not batches.get(key):
            self._get_batch(batch_id, uuid)
            batches.put(key, True, NAME_SECONDS)

    def _workflow_name(self, run: Mapping[str, Any], notices: list[str]) -> str | None:
        workflow_id = run.get("workflowId")
        if not workflow_id:
            return None
        key = (self._connection, self._region, workflow_id, run.get("workflowOwnerId"))
        if (known := names.get(key)) is None:
            refusals: list[str] = []
            name = ""
            try:
                with self._calling("GetWorkflow", f"workflow {workflow_id}", refusals):
                    workflow = self._hook.get_workflow(
                        workflow_id,
                        workflow_type=run.get("workflowType"),
                        workflow_owner_id=run.get("workflowOwnerId"),
                    )
                    name = workflow.get("name", "")
            except PageError:
                # A transient error. The page works without the name.
                return None
            known = (name, refusals)
            names.put(key, known, NAME_SECONDS if refusals else math.inf)
        name, refusals = known
        notices += refusals
        return name or None

    def _setting(self, run: Mapping[str, Any], notices: list[str]) -> str | None:
        """Return the id of the run setting of a run of a batch."""
        if not (batch_id := run.get("batchId")):
            return None
        key = (self._connection, self._region, batch_id, run["id"])
        setting: str | None = settings.get(key)
        if setting is None:
            with self._calling("ListRunsInBatch", f"batch {batch_id}", notices):
                for item in self._hook.list_runs_in_batch(batch_id, run_id=run["id"]):
                    setting = item["runSettingId"]
                    settings.put(key, setting)
        return setting

    @contextmanager
    def _calling(self, operation: str, subject: str, notices: list[str] | None = None) -> Iterator[None]:
        """
        Convert an error of AWS to a page error or, if ``notices`` is given, to a notice on the page.

        A transient error is always a page error: the browser keeps the previous answer and polls again.
        """
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            refusal = page_error(error, operation, subject, self._connection.aws_conn_id)
            log.info("Run page: %s for %s failed with %s", operation, subject, error_code(error))
            if is_credentials_error(error):
                hooks.drop(self._connection, self._region)
            if notices is None or is_transient(error):
                raise refusal from None
            notices.append(refusal.detail)
