# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run batches: their API calls, and what the responses mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.links import HealthOmicsRunLink, batch_urls
from airflow_healthomics.requests.batch import checked_batch_id
from airflow_healthomics.resources.base import CancellableResource, StartRequest
from airflow_healthomics.service import batch_states, run_states
from airflow_healthomics.service.errors import (
    checked_answer,
    error_code,
    is_not_found,
    is_retryable,
    is_transient,
    may_be_wrong_state,
)

if TYPE_CHECKING:
    from airflow_healthomics.resources.batch_watch import BatchWatch
    from airflow_healthomics.service.log import Log

#: Seconds to wait until a batch leaves CREATING. HealthOmics cannot cancel it before.
_CREATION_PATIENCE: Final = 60


class Verdict(Protocol):
    """Decides whether enough runs of a batch completed."""

    def is_success(self, batch: Mapping[str, Any], earlier: Sequence[str]) -> bool:
        """
        Whether a batch that has ended counts as completed.

        :param batch: GetBatch's response
        :param earlier: ids of the previous batches, parts of which it repeats
        """


class BatchResource(CancellableResource):
    """
    A run batch.

    :param hook: hook of the task's connection
    :param log: the task's log
    :param verdict: decides whether an ended batch counts as completed; without it, every batch does
    """

    noun = "batch"
    start_operation = "StartRunBatch"
    get_operation = "GetBatch"
    cancel_operation = "CancelRunBatch"
    delete_operation = "DeleteRunBatch"
    #: botocore model, shape BatchName
    name_length = 64

    checked_id = staticmethod(checked_batch_id)

    def __init__(self, hook: HealthOmicsHook, log: Log, verdict: Verdict | None = None) -> None:
        super().__init__(hook, log)
        self._verdict = verdict

    def start(self, request: StartRequest) -> dict[str, Any]:
        """Write the run settings to S3, if they are too large for the request, and call StartRunBatch."""
        if request.upload is not None:
            request.upload.write()
        return dict(self.hook.conn_without_retries.start_run_batch(**request.fields))

    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """Call GetBatch."""
        batch = self.hook.get_batch(resource_id)
        # A person may have cancelled only the last of its runs.
        is_success = batch["status"] in batch_states.MEASURED and (
            self._verdict is None or self._verdict.is_success(batch, earlier)
        )
        return {**batch, "status": "COMPLETED"} if is_success else _with_run_state(batch)

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the batch with exactly this name, the latest if there are several."""
        try:
            batches = [batch for batch in self.hook.list_batches(name=name) if batch.get("name") == name]
        except ClientError as error:
            if is_retryable(error):
                raise
            self.log.warning(
                "ListBatch was refused with %s, so a batch of an earlier attempt is found only if "
                "HealthOmics still knows its request ID. The IAM policy should allow omics:ListBatch.",
                error_code(error),
            )
            return None
        if not batches:
            return None
        latest = max(batches, key=lambda batch: str(batch["createdAt"]))
        return _with_run_state(latest)

    def watch(
        self, resource_id: str, *, uuid: str | None = None, is_new: bool = False, is_deletion: bool = False
    ) -> BatchWatch:
        """Return the state of a wait for the batch."""
        # Many tasks only start.
        from airflow_healthomics.resources.batch_watch import BatchWatch
        from airflow_healthomics.resources.watch import NEW_GRACE

        grace = float(NEW_GRACE) if is_new else 0.0
        return BatchWatch(resource_id, uuid=uuid, grace=grace, is_deletion=is_deletion, log=self.log)

    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """
        Cancel the batch unless it has ended, is being cancelled, or its id now belongs to another batch.

        For a batch in CREATING, the call is repeated until HealthOmics accepts it. If the batch has failed,
        its active runs are cancelled.
        """
        try:
            batch = checked_answer(self.get_operation, self.hook.get_batch(resource_id), uuid)
            if uuid and batch["uuid"] != uuid:
                return True
            if batch["status"] == "FAILED":
                return self._cancel_runs(resource_id)
            if batch["status"] in batch_states.TERMINAL | batch_states.DELETION | {"STOPPING"}:
                return True
            self._cancel_when_created(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_retryable(error):
                raise
            self.log.warning("Batch %s could not be cancelled: %s", resource_id, error_code(error))
            return False
        self.log.info("Batch %s is being cancelled", resource_id)
        return True

    def request_cancel(self, resource_id: str) -> bool:
        """Call CancelRunBatch."""
        try:
            self._cancel_when_created(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            status = self._status_behind(error, resource_id)
            if status in batch_states.TERMINAL | batch_states.DELETION:
                return False
            # STOPPING: an earlier attempt may have cancelled it.
            if status != "STOPPING":
                raise self.refusal("CancelRunBatch", f"batch {resource_id}", error) from error
        return True

    def request_delete(self, resource_id: str) -> bool:
        """Call DeleteRunBatch, which deletes the runs of the batch."""
        try:
            self.hook.delete_run_batch(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            if is_not_found(error):
                return False
            # An earlier attempt may have begun the deletion.
            if self._status_behind(error, resource_id) not in batch_states.DELETION:
                raise self.refusal("DeleteRunBatch", f"batch {resource_id}", error) from error
        return True

    def delete_record(self, resource_id: str) -> None:
        """
        Call DeleteBatch, which deletes the batch itself; its runs must be deleted already.

        :param resource_id: HealthOmics batch id
        :raises HealthOmicsApiError: if the call is refused
        """
        try:
            self.hook.delete_batch(resource_id)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise
            if not is_not_found(error):
                raise self.refusal("DeleteBatch", f"batch {resource_id}", error) from error

    def cancel_rest(self, resource_ids: Sequence[str]) -> None:
        """
        Cancel the active runs of failed batches.

        A batch in any other state is skipped, because its id may by now belong to another batch.
        """
        for batch_id in resource_ids:
            try:
                if self.hook.get_batch(batch_id)["status"] == "FAILED":
                    self._cancel_runs(batch_id)
            except ClientError as error:
                if is_retryable(error):
                    raise
                self.log.info("The runs of batch %s could not be cancelled: %s", batch_id, error_code(error))

    def location(self, resource_id: str) -> str:
        """Return the list of runs in the console; no page for a batch is documented."""
        return batch_urls({}, self.hook.conn_region_name, self.hook.conn_partition)[HealthOmicsRunLink.key]

    def cancel_command(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that cancels the batch."""
        return f"aws omics cancel-run-batch --batch-id {resource_id} --region {self.hook.conn_region_name}"

    def _cancel_runs(self, batch_id: str) -> bool:
        """Cancel the runs of a batch individually, if CancelRunBatch no longer accepts the batch."""
        from airflow_healthomics.resources.run import RunResource

        runs = RunResource(self.hook, self.log)
        is_cancelled = True
        for status in sorted(run_states.ACTIVE - {run_states.STOPPING}):
            for run in self.hook.list_runs(status=status, batch_id=batch_id):
                is_cancelled &= runs.cancel(run["id"], None)
        return is_cancelled

    def _cancel_when_created(self, batch_id: str) -> None:
        """
        Call CancelRunBatch, and repeat the call for up to a minute while the batch is CREATING.

        A batch that has left CREATING between the refusal and GetBatch is cancelled once more.
        """
        refused_in: set[str | None] = set()

        def may_accept(error: BaseException) -> bool:
            status = self._status_behind(error, batch_id)
            is_first = refused_in.isdisjoint(batch_states.CANCELLABLE)
            refused_in.add(status)
            return status == "CREATING" or (status in batch_states.CANCELLABLE and is_first)

        retrying = Retrying(
            retry=retry_if_exception(may_accept),
            stop=stop_after_delay(_CREATION_PATIENCE),
            wait=wait_fixed(1),
            reraise=True,
        )
        retrying(self.hook.cancel_run_batch, batch_id)

    def _status_behind(self, error: BaseException, batch_id: str) -> str | None:
        """Return the status that may be the reason for a refusal; None if there is another reason."""
        return str(self.hook.get_batch(batch_id)["status"]) if may_be_wrong_state(error) else None


def _with_run_state(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch with its status as that of a run; a status unknown to this version counts as active."""
    return {**batch, "status": batch_states.AS_RUN_STATE.get(batch["status"], "RUNNING")}
