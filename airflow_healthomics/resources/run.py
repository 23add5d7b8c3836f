# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Runs: their calls, their states and what an answer means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.links import console_url
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.run_end import recorded_end
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import (
    checked_answer,
    error_code,
    is_not_found,
    is_transient,
)
from airflow_healthomics.service.log import Log


class RunResource(Resource):
    """A run."""

    noun = "run"
    start_operation = "StartRun"
    get_operation = "GetRun"
    #: botocore model, shape RunName
    name_length = 128

    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """Call GetRun."""
        return self.hook.get_run(resource_id)

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the run of that very name."""
        return find_run(self.hook, name, self.log)

    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Cancel the run, if it has not ended."""
        return cancel_run(self.hook, resource_id, uuid, self.log)

    def console_url(self, resource_id: str) -> str:
        """Return the run in the HealthOmics console."""
        return console_url(resource_id, self.hook)

    def cancel_command(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that cancels the run."""
        return f"aws omics cancel-run --id {resource_id} --region {self.hook.conn_region_name}"

    def find_end(self, resource_id: str, uuid: str | None) -> dict[str, Any] | None:
        """Return the run's summary from its manifest."""
        return recorded_end(self.hook, resource_id, uuid, self.log)


def find_run(hook: HealthOmicsHook, name: str, log: Log) -> dict[str, Any] | None:
    """
    Return the run of that very name, by GetRun; an active one before an ended one, and of those the latest.

    A denied ListRuns finds nothing, and a line in the log says so.

    :param hook: hook of the task's connection
    :param name: name of the run, matched here too, since nobody documents how ListRuns matches it
    :param log: the task's log
    """
    try:
        runs = [run for run in hook.list_runs(name=name) if run.get("name") == name]
        runs.sort(key=lambda run: (run["status"] in run_states.ACTIVE, run["creationTime"]))
        return hook.get_run(runs[-1]["id"]) if runs else None
    except ClientError as error:
        if is_transient(error):
            raise
        if not is_not_found(error):
            log.warning(
                "ListRuns was refused with %s, so a run of an earlier attempt is found only if "
                "HealthOmics still knows its request ID. The IAM policy should allow omics:ListRuns and "
                "omics:GetRun.",
                error_code(error),
            )
        return None


def cancel_run(hook: HealthOmicsHook, run_id: str, uuid: str | None, log: Log) -> bool:
    """
    Cancel a run that may have ended, or whose id may be another run's by now.

    Returns False, and logs why, if that is refused.

    :param hook: hook of the run's connection
    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param log: the task's log
    """
    try:
        run = checked_answer("GetRun", hook.get_run(run_id), *(["uuid"] if uuid else []))
        if run["status"] in run_states.TERMINAL or (uuid and run.get("uuid") != uuid):
            return True
        hook.cancel_run(run_id)
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise
        log.warning("Run %s could not be cancelled: %s", run_id, error_code(error))
        return False
    log.info("Run %s is being cancelled", run_id)
    return True
