# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task starts: a run, or a batch of runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from airflow_healthomics import batch_states, run_states
from airflow_healthomics.aws_errors import (
    checked_answer,
    error_code,
    is_not_found,
    is_transient,
    may_be_wrong_state,
)
from airflow_healthomics.exceptions import HealthOmicsConnectionChangedError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.links import HealthOmicsRunLink, batch_urls, console_url
from airflow_healthomics.run_end import recorded_end
from airflow_healthomics.watch import Log

#: Seconds for which a batch is given the time to leave CREATING, in which it cannot be cancelled.
_CREATION_PATIENCE: Final = 60


class Resource(ABC):
    """
    A kind of thing that a task starts, by the calls that it takes.

    :param hook: hook of the task's connection
    :param log: the task's log
    :cvar noun: what it is
    :cvar start_operation: the call that starts it
    :cvar get_operation: the call that describes it
    :cvar name_length: most characters of a name, and so of a request ID that is to be the name
    """

    noun: ClassVar[str]
    start_operation: ClassVar[str]
    get_operation: ClassVar[str]
    name_length: ClassVar[int]

    def __init__(self, hook: HealthOmicsHook, log: Log) -> None:
        self.hook = hook
        self.log = log

    @abstractmethod
    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """
        Describe it; its status is one of the states of a run.

        :param resource_id: its id
        :param earlier: ids of those that it repeats a part of
        """

    @abstractmethod
    def find(self, name: str) -> dict[str, Any] | None:
        """Return the one of that very name, as :meth:`get` does."""

    @abstractmethod
    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Cancel it, if it has not ended; False, with a line in the log, if that is refused."""

    @abstractmethod
    def console_url(self, resource_id: str) -> str:
        """Return its page in the AWS console."""

    @abstractmethod
    def cancel_command(self, resource_id: str) -> str:
        """Return the command of the AWS CLI that cancels it."""

    def cancel_rest(self, resource_ids: Sequence[str]) -> None:
        """Cancel what still runs of those that have ended; of a run that is nothing."""
        return

    def find_end(self, resource_id: str, uuid: str | None) -> dict[str, Any] | None:
        """Return how one ended that is no longer found, or None if nothing says so."""
        return None

    def unique_name(self, request_id: str) -> str:
        """Return the default name of what a request ID starts, which nothing else has."""
        return request_id[: self.name_length]

    def check_place(self, arn: str | None) -> None:
        """
        Check that the connection leads to the account and region of an ARN; for one that is not found.

        :param arn: of what was started
        :raises HealthOmicsConnectionChangedError: if it leads elsewhere, where nothing of it can be known
        """
        if arn is None:
            return
        _, _, _, region, account, _ = arn.split(":", 5)
        here = self.hook.conn_region_name
        if region != here:
            raise HealthOmicsConnectionChangedError(self.noun, arn, f"region {here}")
        try:
            caller = str(self.hook.account_id)
        except (ClientError, BotoCoreError) as error:
            self.log.info(
                "The account of the connection is unknown: GetCallerIdentity, %s", error_code(error)
            )
            return
        if account and account != caller:
            raise HealthOmicsConnectionChangedError(self.noun, arn, f"account {caller}")


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


#: By noun.
KINDS: Final[Mapping[str, Callable[[HealthOmicsHook, Log], Resource]]] = {
    RunResource.noun: RunResource,
    BatchResource.noun: BatchResource,
}


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
