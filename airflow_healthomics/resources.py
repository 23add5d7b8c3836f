# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task starts: a run, or a batch of runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from airflow_healthomics import batch_states, run_states
from airflow_healthomics.aws_errors import error_code, is_not_found, is_transient, may_be_wrong_state
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.watch import Log

if TYPE_CHECKING:
    from airflow_healthomics.run_record import RunRecord

#: Seconds for which a batch is given the time to leave CREATING, in which it cannot be cancelled.
_CREATION_PATIENCE: Final = 60


class Resource(ABC):
    """
    A kind of thing that a task starts, by the calls that it takes.

    :param hook: hook of the task's connection
    :param log: the task's log
    :cvar noun: what it is
    :cvar start_operation: the call that starts it
    :cvar get_operation: the call that tells of it
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
    def get(self, record: RunRecord) -> dict[str, Any]:
        """Describe it; its status is one of the states of a run."""

    @abstractmethod
    def find(self, name: str) -> dict[str, Any] | None:
        """Return the one of that very name, as :meth:`get` does."""

    @abstractmethod
    def cancel(self, resource_id: str, uuid: str | None) -> None:
        """Cancel it, if it has not ended; a refusal costs a line in the log."""


class RunResource(Resource):
    """A run."""

    noun = "run"
    start_operation = "StartRun"
    get_operation = "GetRun"
    #: botocore model, shape RunName
    name_length = 128

    def get(self, record: RunRecord) -> dict[str, Any]:
        """Call GetRun."""
        return self.hook.get_run(str(record.run_id))

    def find(self, name: str) -> dict[str, Any] | None:
        """Return the run of that very name."""
        return find_run(self.hook, name, self.log)

    def cancel(self, resource_id: str, uuid: str | None) -> None:
        """Cancel the run, if it has not ended."""
        cancel_run(self.hook, resource_id, uuid, self.log)


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

    def get(self, record: RunRecord) -> dict[str, Any]:
        """Call GetBatch."""
        batch = self.hook.get_batch(str(record.run_id))
        status = batch_states.AS_RUN_STATE.get(batch["status"], "RUNNING")
        if batch["status"] in batch_states.MEASURED:
            # Somebody may have cancelled the last of its runs only.
            is_success = self._is_success(batch, record.earlier)
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
                "ListBatch was refused with %s, so a batch of an earlier try is found only if HealthOmics "
                "still knows its request ID. The IAM policy should allow omics:ListBatch.",
                error_code(error),
            )
            return None
        if not batches:
            return None
        latest = max(batches, key=lambda batch: str(batch["createdAt"]))
        return {**latest, "status": batch_states.AS_RUN_STATE.get(latest["status"], "RUNNING")}

    def cancel(self, resource_id: str, uuid: str | None) -> None:
        """Cancel the batch, if it has not ended."""
        cancel_batch(self.hook, resource_id, uuid, self.log)


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
                "ListRuns was refused with %s, so a run of an earlier try is found only if HealthOmics still "
                "knows its request ID. The IAM policy should allow omics:ListRuns and omics:GetRun.",
                error_code(error),
            )
        return None


def cancel_run(hook: HealthOmicsHook, run_id: str, uuid: str | None, log: Log) -> None:
    """
    Cancel a run that may have ended, or whose id may be another run's by now.

    A refused cancellation costs a line in the log.

    :param hook: hook of the run's connection
    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known
    :param log: the task's log
    """
    try:
        run = hook.get_run(run_id)
        if run["status"] in run_states.TERMINAL or (uuid and run.get("uuid") != uuid):
            return
        hook.cancel_run(run_id)
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise
        log.warning("Run %s could not be cancelled: %s", run_id, error_code(error))
    else:
        log.info("Run %s is being cancelled", run_id)


def cancel_batch(hook: HealthOmicsHook, batch_id: str, uuid: str | None, log: Log) -> None:
    """
    Cancel a batch that may have ended, or whose id may be another batch's by now.

    One that is being created is cancelled as soon as HealthOmics lets it be. A refused cancellation costs a
    line in the log.

    :param hook: hook of the batch's connection
    :param batch_id: HealthOmics batch id
    :param uuid: uuid of the batch, if known
    :param log: the task's log
    """
    try:
        batch = hook.get_batch(batch_id)
        if batch["status"] in batch_states.TERMINAL or (uuid and batch.get("uuid") != uuid):
            return
        cancel_when_created(hook, batch_id)
    except (ClientError, BotoCoreError) as error:
        if is_transient(error):
            raise
        log.warning("Batch %s could not be cancelled: %s", batch_id, error_code(error))
    else:
        log.info("Batch %s is being cancelled", batch_id)


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
