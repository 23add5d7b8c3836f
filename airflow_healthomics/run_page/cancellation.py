# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Cancel the run or batch of a task from the run page."""

from __future__ import annotations

from airflow_healthomics.publishing.resource_xcom import TaskResource
from airflow_healthomics.run_page.answers import PageError
from airflow_healthomics.run_page.calls import Calls, identity_of
from airflow_healthomics.run_page.payload import is_active, is_active_batch
from airflow_healthomics.service import batch_states


class Cancellation(Calls):
    """Cancels with the connection of a task."""

    def cancel(self, resource: TaskResource, run_id: str | None) -> str:
        """
        Request the cancellation, and return a message for the user.

        :param resource: run or batch of the task
        :param run_id: a run of the batch; it is checked to belong to the batch
        :raises PageError: if AWS refuses a call, or if there is nothing to cancel
        """
        if resource.kind == "batch" and run_id is None:
            return self._cancel_batch(resource)
        return self._cancel_run(resource, resource.id if run_id is None else run_id)

    def _cancel_run(self, resource: TaskResource, run_id: str) -> str:
        run = self._get_run(run_id, **identity_of(resource, run_id))
        if not is_active(run["status"]):
            raise PageError(409, f"Run {run_id} has ended: {run['status']}.")
        with self._calling("CancelRun", f"run {run_id}"):
            self._hook.cancel_run(run_id)
        return f"Run {run_id} is being cancelled."

    def _cancel_batch(self, resource: TaskResource) -> str:
        batch = self._get_batch(resource.id, resource.uuid)
        if not is_active_batch(batch["status"]):
            raise PageError(409, f"Batch {resource.id} has ended: {batch['status']}.")
        if batch["status"] not in batch_states.CANCELLABLE:
            raise PageError(
                409, f"Batch {resource.id} is {batch['status']}, so HealthOmics cannot cancel it now."
            )
        with self._calling("CancelRunBatch", f"batch {resource.id}"):
            self._hook.cancel_run_batch(resource.id)
        return f"Batch {resource.id} is being cancelled."
