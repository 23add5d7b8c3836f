# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Run batches: their calls, their states and what an answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.links import HealthOmicsRunLink, batch_urls
from airflow_healthomics.resources.base import Resource
from airflow_healthomics.resources.run import cancel_run
from airflow_healthomics.service import batch_states, run_states
from airflow_healthomics.service.errors import (
    checked_answer,
    error_code,
    is_transient,
    may_be_wrong_state,
)
from airflow_healthomics.service.log import Log

#: Seconds for which a batch is given the time to leave CREATING, in which it cannot be cancelled.
_CREATION_PATIENCE: Final = 60


class BatchResource(Resource):
    """
    A batch of runs.

    :param hook: hook of the task's connection
    :param log: the task's log
    :param is_success: whether a batch that has ended, with the ids of those before it, is what the task wants
    """

    noun = "batch"
    start_operation = "StartRunBatch"
    get_operation = "GetBatch"
    #: botocore model, shape BatchName
    name_length = 64

    def __init__(
        self,
        hook: HealthOmicsHook,
        log: Log,
        is_success: Callable[[Mapping[str, Any], Sequence[str]], bool] = lambda batch, earlier: True,
    ) -> None:
        super().__init__(hook, log)
        self._is_success = is_success

    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """Call GetBatch."""
        batch = self.hook.get_batch(resource_id)
        status = batch_states.AS_RUN_STATE.get(batch["status"], "RUNNING")
        if batch["status"] in batch_states.MEASURED:
            # Somebody may have cancelled the last of its runs only.
            is_success = self._is_success(batch, earlier)
            status = "COMPLETED" if is_success else batch_states.AS_RUN_STATE[batch["status"]]
        return {**batch, "status": status}

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the batch of that very name, the latest if there are several."""
        try:
            batches = [batch for batch in self.hook.list_batches(name=name) if batch.get("name") == name]
        except ClientError as error:
            if is_transient(error):
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
        return {**latest, "status": batch_states.AS_RUN_STATE.get(latest["status"], "RUNNING")}

    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Cancel the batch, if it has not ended."""
        return cancel_batch(self.hook, resource_id, uuid, self.log)

    def cancel_rest(self, resource_ids: Sequence[str]) -> None:
        """
        Cancel the runs that continue though their batch has failed.

        An id may be that of somebody else's batch by now, so one in any other state is left alone.
        """
        for batch_id in resource_ids:
            try:
                if self.hook.get_batch(batch_id)["status"] == "FAILED":
                    _cancel_runs(self.hook, batch_id, self.log)
            except ClientError as error:
                if is_transient(error):
                    raise
                self.log.info("The runs of batch %s are not cancelled: %s", batch_id, error_code(error))

    def console_url(self, resource_id: str) -> str:
        """Return the list of runs in the console, which has no documented page for a batch."""
        return batch_urls({}, self.hook.conn_region_name, self.hook.conn_partition)[HealthOmicsRunLink.key]

    def cancel_command(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that cancels the batch."""
        return f"aws omics cancel-run-batch --batch-id {resource_id} --region {self.hook.conn_region_name}"


def cancel_batch(hook: HealthOmicsHook, batch_id: str, uuid: str | None, log: Log) -> bool:
    """
    Cancel a batch that may have ended, or whose id may be another batch's by now.

    One that is being created is cancelled as soon as HealthOmics lets it be; of one that has failed, the
    runs that continue are. Returns False, and logs why, if that is refused.

    :param hook: hook of the batch's connection
    :param batch_id: HealthOmics batch id
    :param uuid: uuid of the batch, if known
    :param log: the task's log
    """
    try:
        batch = checked_answer("GetBatch", hook.get_batch(batch_id), *(["uuid"] if uuid else []))
        if batch["status"] == "FAILED" and (not uuid or batch.get("uuid") == uuid):
            return _cancel_runs(hook, batch_id, log)
        if batch["status"] in batch_states.TERMINAL or (uuid and batch.get("uuid") != uuid):
            return True
        cancel_when_created(hook, batch_id)
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise
        log.warning("Batch %s could not be cancelled: %s", batch_id, error_code(error))
        return False
    log.info("Batch %s is being cancelled", batch_id)
    return True


def _cancel_runs(hook: HealthOmicsHook, batch_id: str, log: Log) -> bool:
    """Cancel the runs of a batch one by one, for a batch that CancelRunBatch does not take any more."""
    is_cancelled = True
    for status in sorted(run_states.ACTIVE - {run_states.STOPPING}):
        for run in hook.list_runs(status=status, batch_id=batch_id):
            is_cancelled &= cancel_run(hook, run["id"], None, log)
    return is_cancelled


def cancel_when_created(hook: HealthOmicsHook, batch_id: str) -> None:
    """
    Call CancelRunBatch, again and again for a minute while the batch is being created.

    :param hook: hook of the batch's connection
    :param batch_id: HealthOmics batch id
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: status_behind(error, hook, batch_id) == "CREATING"),
        stop=stop_after_delay(_CREATION_PATIENCE),
        wait=wait_fixed(1),
        reraise=True,
    )
    retrying(hook.cancel_run_batch, batch_id)


def status_behind(refusal: BaseException, hook: HealthOmicsHook, batch_id: str) -> str | None:
    """
    Return the status for which a call may have been refused; None if it was refused for another reason.

    :param refusal: of the call
    :param hook: hook of the batch's connection
    :param batch_id: HealthOmics batch id
    """
    if not may_be_wrong_state(refusal):
        return None
    return str(hook.get_batch(batch_id)["status"])
