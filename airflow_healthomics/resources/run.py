# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Runs: their API calls, and what the responses mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.links import console_url
from airflow_healthomics.requests.run import checked_run_id
from airflow_healthomics.resources.base import CancellableResource, StartRequest
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import (
    checked_answer,
    error_code,
    is_not_found,
    is_retryable,
    is_transient,
    may_be_wrong_state,
)

if TYPE_CHECKING:
    from airflow_healthomics.resources.run_watch import RunWatch


class RunResource(CancellableResource):
    """A run."""

    noun = "run"
    start_operation = "StartRun"
    get_operation = "GetRun"
    cancel_operation = "CancelRun"
    delete_operation = "DeleteRun"
    #: botocore model, shape RunName
    name_length = 128

    checked_id = staticmethod(checked_run_id)

    def start(self, request: StartRequest) -> dict[str, Any]:
        """Write a parameters file, if there is one, and call StartRun."""
        if request.upload is not None:
            request.upload.write()
        return dict(self.hook.conn_without_retries.start_run(**request.fields))

    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """Call GetRun."""
        return self.hook.get_run(resource_id)

    def find(self, name: str) -> dict[str, Any] | None:
        """
        Return GetRun's response for the run with exactly this name. Prefer active runs, then the latest.

        If ListRuns is denied, log a warning and return None.

        :param name: name of the run, compared again here because AWS does not document how ListRuns compares
            it
        """
        try:
            runs = [run for run in self.hook.list_runs(name=name) if run.get("name") == name]
            runs.sort(key=lambda run: (run["status"] in run_states.ACTIVE, run["creationTime"]))
            if not runs:
                return None
            run = self.hook.get_run(runs[-1]["id"])
            # The id of a run that was deleted meanwhile may belong to another one.
            return run if run.get("name") == name else None
        except ClientError as error:
            if is_retryable(error):
                raise
            if not is_not_found(error):
                self.log.warning(
                    "ListRuns was refused with %s, so a run of an earlier attempt is found only if "
                    "HealthOmics still knows its request ID. The IAM policy should allow omics:ListRuns and "
                    "omics:GetRun.",
                    error_code(error),
                )
            return None

    def watch(
        self, resource_id: str, *, uuid: str | None = None, is_new: bool = False, is_deletion: bool = False
    ) -> RunWatch:
        """Return the state of a wait for the run."""
        # Many tasks only start.
        from airflow_healthomics.resources.run_watch import RunWatch
        from airflow_healthomics.resources.watch import NEW_GRACE

        grace = float(NEW_GRACE) if is_new else 0.0
        return RunWatch(resource_id, uuid=uuid, grace=grace, is_deletion=is_deletion, log=self.log)

    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Cancel the run unless it has ended or its id now belongs to another run."""
        try:
            run = checked_answer(self.get_operation, self.hook.get_run(resource_id), uuid)
            if run["status"] in run_states.TERMINAL or (uuid and run["uuid"] != uuid):
                return True
            self.hook.cancel_run(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_retryable(error):
                raise
            self.log.warning("Run %s could not be cancelled: %s", resource_id, error_code(error))
            return False
        self.log.info("Run %s is being cancelled", resource_id)
        return True

    def request_cancel(self, resource_id: str) -> bool:
        """Call CancelRun."""
        try:
            self.hook.cancel_run(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            # AWS does not document the error of CancelRun for an ended run, so GetRun decides.
            if may_be_wrong_state(error) and self.watch(resource_id).poll(self.hook.conn) is not None:
                return False
            raise self.refusal("CancelRun", f"run {resource_id}", error) from error
        return True

    def request_delete(self, resource_id: str) -> bool:
        """Call DeleteRun."""
        try:
            self.hook.delete_run(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            if is_not_found(error):
                return False
            raise self.refusal("DeleteRun", f"run {resource_id}", error) from error
        return True

    def location(self, resource_id: str) -> str:
        """Return the page of the run in the HealthOmics console."""
        return console_url(resource_id, self.hook)

    def cancel_command(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that cancels the run."""
        return f"aws omics cancel-run --id {resource_id} --region {self.hook.conn_region_name}"

    def find_end(self, resource_id: str, uuid: str | None) -> dict[str, Any] | None:
        """Return the run's summary from its manifest."""
        from airflow_healthomics.resources.run_end import recorded_end

        return recorded_end(self.hook, resource_id, uuid, self.log)
