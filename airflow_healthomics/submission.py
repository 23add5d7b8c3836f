# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one run for a task instance, whatever crashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from airflow_healthomics import run_states
from airflow_healthomics.aws_errors import api_error, error_code, is_not_found, is_transient
from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsRequestChangedError,
)
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.run_record import (
    RunRecord,
    RunRecords,
    find_run,
    fingerprint,
    has_changed,
)

#: Tries of StartRun on the worker, a second or two apart at random, before the task waits its turn in the
#: triggerer. botocore makes two more of each.
_ATTEMPTS: Final = 2

#: Turns at the turnstile after which a ConflictException counts as one that never ends.
MAX_CONFLICT_TURNS: Final = 3


_CONFLICT: Final = "ConflictException"


class Decision(StrEnum):
    """What a try does about the run of its task instance."""

    START = "start"
    REPEAT = "repeat"
    REATTACH = "reattach"
    WAIT_OUT = "wait out"
    DONE = "done"


@dataclass(frozen=True)
class Plan:
    """
    A decision, and for START what it starts.

    :param decision: what to do
    :param generation: of the run to start
    :param supersedes: whether the recorded run belongs to an epoch before a Clear, and is to be cancelled
    """

    decision: Decision
    generation: int = 0
    supersedes: bool = False


def decide(record: RunRecord | None, epoch: int, status: str | None) -> Plan:
    """
    Decide from the record of earlier tries and the state of its run.

    :param record: what an earlier try has left, if anything
    :param epoch: ``max_tries`` of the task instance now. Clear raises it and means "run it again"; a retry
        leaves it and means "go on".
    :param status: of the recorded run; DELETED if it is gone, None if StartRun was never seen to answer
    """
    if record is None:
        return Plan(Decision.START)
    if record.epoch != epoch:
        return Plan(Decision.START, supersedes=True)
    if status is None:
        return Plan(Decision.REPEAT, record.generation)
    if status in run_states.FAILED:
        return Plan(Decision.START, record.generation + 1)
    if status in run_states.SUCCEEDED:
        return Plan(Decision.DONE, record.generation)
    # STOPPING comes before COMPLETED as well as before FAILED and CANCELLED.
    return Plan(Decision.WAIT_OUT if status == run_states.STOPPING else Decision.REATTACH, record.generation)


class StartDelayedError(HealthOmicsError):
    """
    StartRun is throttled or unavailable for now; the same request may be repeated at any time.

    :param request_id: request ID of the start
    :param code: the AWS error code, or the class of the connection's error
    """

    def __init__(self, request_id: str, code: str) -> None:
        self.request_id = request_id
        self.code = code
        super().__init__(f"StartRun of request {request_id} is delayed: {code}")

    @property
    def is_conflict(self) -> bool:
        """Whether a duplicate of the request is in flight, or a request that differs has its ID."""
        return self.code == _CONFLICT

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.request_id, self.code)


@dataclass(frozen=True)
class Submission:
    """
    The one run of a task instance: start it, or find the one that an earlier try has started.

    :param hook: hook of the task's connection
    :param records: where the record is kept
    :param epoch: ``max_tries`` of the task instance
    :param request_id: request ID of a generation; one that the DAG author has fixed is the same for all of
        them
    :param build_request: StartRun request for a request ID
    :param start_run: makes the call
    :param cancels_superseded: whether a run from before a Clear is cancelled
    :param log: the task's log
    """

    hook: HealthOmicsHook
    records: RunRecords
    epoch: int
    request_id: Callable[[int], str]
    build_request: Callable[[str], dict[str, Any]]
    start_run: Callable[[Mapping[str, Any]], dict[str, Any]]
    cancels_superseded: bool
    log: Any

    def submit(self, conflict_turns: int = 0) -> tuple[Decision, dict[str, Any]]:
        """
        Have a run, and say how: STARTed or REPEATed now, REATTACHed, to be WAITed OUT, or DONE already.

        :param conflict_turns: how often StartRun was repeated on a ConflictException already
        :return: the decision, and what StartRun or GetRun answered, with ``requestId``
        :raises StartDelayedError: if StartRun should be repeated later, with :meth:`submit`
        :raises HealthOmicsApiError: if StartRun is refused for good
        """
        record = self.records.load()
        run = self._recorded_run(record)
        plan = decide(record, self.epoch, run["status"] if run else None)
        if plan.decision in (Decision.REATTACH, Decision.WAIT_OUT, Decision.DONE) and record and run:
            self.log.info("Run %s of an earlier try is %s", run["id"], run["status"])
            return plan.decision, {**run, "requestId": record.request_id}
        if record and plan.supersedes:
            self._supersede(record, run)
        if record and plan.decision is Decision.START and not plan.supersedes:
            self._check_next_generation(record, run)
        return plan.decision, self._start(plan, record, conflict_turns)

    def _recorded_run(self, record: RunRecord | None) -> dict[str, Any] | None:
        if record is None or record.run_id is None:
            return None
        try:
            run = self.hook.get_run(record.run_id)
        except ClientError as error:
            if is_not_found(error):
                return {"id": record.run_id, "status": "DELETED"}
            if is_transient(error):
                raise
            raise api_error("GetRun", f"run {record.run_id}", error) from error
        if record.uuid and run.get("uuid") != record.uuid:
            self.log.warning(
                "Run id %s belongs to another run now: this task's run was deleted", record.run_id
            )
            return {"id": record.run_id, "status": "DELETED"}
        return run

    def _supersede(self, record: RunRecord, run: Mapping[str, Any] | None) -> None:
        """Cancel the run from before a Clear, if it still lives."""
        run = run or find_run(self.hook, record.request_id)
        if run is None or run["status"] not in run_states.ACTIVE:
            return
        if not self.cancels_superseded:
            self.log.warning(
                "Run %s from before the task was cleared is left alone: %s", run["id"], run["status"]
            )
            return
        self.log.info("Cancelling run %s from before the task was cleared", run["id"])
        try:
            self.hook.cancel_run(run["id"])
        except ClientError as error:
            if is_transient(error):
                raise
            self.log.warning("Run %s could not be cancelled: %s", run["id"], error_code(error))

    def _check_next_generation(self, record: RunRecord, run: Mapping[str, Any] | None) -> None:
        status = run["status"] if run else "gone"
        if self.request_id(record.generation + 1) == record.request_id:
            raise HealthOmicsApiError(
                f"Run {record.run_id} of an earlier try is {status}, and the task's request_id is fixed, for "
                "which HealthOmics starts one run only. Leave request_id out to let a retry start anew."
            )
        self.log.info("Run %s of an earlier try is %s; starting anew", record.run_id, status)

    def _start(self, plan: Plan, record: RunRecord | None, conflict_turns: int) -> dict[str, Any]:
        request_id = self.request_id(plan.generation)
        request = self.build_request(request_id)
        if plan.decision is Decision.START or record is None:
            record = RunRecord(
                request_id=request_id,
                epoch=self.epoch,
                generation=plan.generation,
                fingerprint=fingerprint(request),
            )
            # Before the call: a try that crashes from here on repeats this request ID.
            self.records.save(record)
        try:
            run = self._call(request)
        except ClientError as error:
            if error_code(error) == _CONFLICT and conflict_turns >= MAX_CONFLICT_TURNS:
                run = self._adopt(record, request, error)
            elif _may_pass(error):
                raise StartDelayedError(request_id, error_code(error)) from error
            else:
                raise api_error("StartRun", f"request {request_id}", error) from error
        except BotoCoreError as error:
            if is_transient(error):
                raise StartDelayedError(request_id, error_code(error)) from error
            raise api_error("StartRun", f"request {request_id}", error) from error
        self.records.save(replace(record, run_id=run["id"], uuid=run.get("uuid")))
        return {**run, "requestId": request_id}

    def _call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=1, max=2),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        return retrying(self.start_run, request)

    def _adopt(self, record: RunRecord, request: Mapping[str, Any], error: ClientError) -> dict[str, Any]:
        """Take the run that the request ID has started, since repeating the request conflicts for ever."""
        run = find_run(self.hook, record.request_id)
        if run is None:
            raise HealthOmicsRequestChangedError(record.request_id, has_changed(record, request)) from error
        self.log.warning("StartRun conflicts; run %s is the one that an earlier try has started", run["id"])
        return run


def _may_pass(error: BaseException) -> bool:
    # A ConflictException is a duplicate of the request in flight, which "typically resolves on its own":
    # https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
    return is_transient(error) or error_code(error) == _CONFLICT
