# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one run for a task instance, whatever crashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from airflow_healthomics.resources import Resource
from airflow_healthomics.run_record import RunRecord, RunRecords, fingerprint, has_changed

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

    :param resource: what is started
    :param records: where the record is kept
    :param epoch: ``max_tries`` of the task instance
    :param request_id: request ID of a generation; one that the DAG author has fixed is the same for all of
        them
    :param build_request: request for a request ID, and for the ids of the generations before
    :param start: makes the call
    :param is_named_by_request: whether the request ID is the name too
    :param cancels_superseded: whether what is from before a Clear is cancelled
    :param log: the task's log
    """

    resource: Resource
    records: RunRecords
    epoch: int
    request_id: Callable[[int], str]
    build_request: Callable[[str, Sequence[str]], dict[str, Any]]
    start: Callable[[Mapping[str, Any]], dict[str, Any]]
    is_named_by_request: bool
    cancels_superseded: bool
    log: Any

    def submit(self, turns: int = 0, conflict_turns: int = 0) -> tuple[Decision, dict[str, Any]]:
        """
        Have a run, and say how: STARTed or REPEATed now, REATTACHed, to be WAITed OUT, or DONE already.

        :param turns: how often this try has waited for its turn to repeat StartRun
        :param conflict_turns: how often of them on a ConflictException
        :return: the decision, and what StartRun or GetRun answered, with ``requestId``
        :raises StartDelayedError: if AWS is busy, and this should be repeated later
        :raises HealthOmicsApiError: if a call is refused for good
        """
        try:
            return self._submit(turns, conflict_turns)
        except (ClientError, BotoCoreError) as error:
            if is_transient(error):
                raise StartDelayedError(self.request_id(0), error_code(error)) from error
            raise

    def _submit(self, turns: int, conflict_turns: int) -> tuple[Decision, dict[str, Any]]:
        record = self.records.load()
        run = self._recorded_run(record)
        plan = decide(record, self.epoch, run["status"] if run else None)
        if record and plan.supersedes:
            self._supersede(record, run)
        while record is None or run is None or plan.decision in (Decision.START, Decision.REPEAT):
            if record and plan.decision is Decision.START and not plan.supersedes:
                self._check_next_generation(record, run)
            record, answer = self._start(plan, record, turns, conflict_turns)
            if plan.decision is Decision.START and self.records.is_complete:
                return plan.decision, answer
            # The request ID may stand for a run of an earlier try, whatever has become of that.
            run = self._recorded_run(record, is_new=True)
            if run is None:
                return plan.decision, answer
            plan = decide(record, self.epoch, run["status"])
        self.log.info(
            "The %s %s of request ID %s is %s",
            self.resource.noun,
            run["id"],
            record.request_id,
            run["status"],
        )
        return plan.decision, {**run, "requestId": record.request_id}

    def _recorded_run(self, record: RunRecord | None, *, is_new: bool = False) -> dict[str, Any] | None:
        """Return the run of the record; one that is gone as DELETED, one that cannot be seen yet as None."""
        if record is None or record.run_id is None:
            return None
        try:
            run = self.resource.get(record)
        except ClientError as error:
            if is_not_found(error):
                return None if is_new else {"id": record.run_id, "status": "DELETED"}
            if is_transient(error):
                raise StartDelayedError(record.request_id, error_code(error)) from error
            raise api_error(
                self.resource.get_operation, f"{self.resource.noun} {record.run_id}", error
            ) from error
        if record.uuid and run.get("uuid") != record.uuid:
            self.log.warning(
                "The %s id %s is that of another one now: this task's was deleted",
                self.resource.noun,
                record.run_id,
            )
            return {"id": record.run_id, "status": "DELETED"}
        return run

    def _supersede(self, record: RunRecord, run: Mapping[str, Any] | None) -> None:
        """Cancel the run from before a Clear, if it still lives."""
        run = run or self.resource.find(record.request_id)
        if run is None or run["status"] in run_states.TERMINAL:
            return
        if not self.cancels_superseded:
            self.log.warning(
                "The %s %s from before the Clear is left alone: %s",
                self.resource.noun,
                run["id"],
                run["status"],
            )
            return
        self.log.info("Cancelling %s %s from before the Clear", self.resource.noun, run["id"])
        self.resource.cancel(run["id"], run.get("uuid"))

    def _check_next_generation(self, record: RunRecord, run: Mapping[str, Any] | None) -> None:
        status = run["status"] if run else "gone"
        if self.request_id(record.generation + 1) == record.request_id:
            raise HealthOmicsApiError(
                f"The {self.resource.noun} {record.run_id} of an earlier try is {status}, and the task's "
                "request_id is fixed, for which HealthOmics starts one only. Leave request_id out to let a "
                "retry start anew."
            )
        self.log.info(
            "The %s %s of an earlier try is %s; starting anew", self.resource.noun, record.run_id, status
        )

    def _start(
        self, plan: Plan, record: RunRecord | None, turns: int, conflict_turns: int
    ) -> tuple[RunRecord, dict[str, Any]]:
        if plan.decision is Decision.REPEAT and record:
            # Since a try that crashed, HealthOmics may have forgotten the request ID. Nor may the request be
            # built any more, as a template or a sample sheet may have gone.
            known = self._find(record) if turns == 0 else None
            run = known or self._call(
                record, self.build_request(record.request_id, record.earlier), conflict_turns
            )
        else:
            earlier: tuple[str, ...] = ()
            if record and record.run_id and not plan.supersedes:
                earlier = (*record.earlier, record.run_id)
            request = self.build_request(self.request_id(plan.generation), earlier)
            record = RunRecord(
                request_id=request["requestId"],
                epoch=self.epoch,
                generation=plan.generation,
                fingerprint=fingerprint(request),
                earlier=earlier,
            )
            # Before the call: a try that crashes from here on repeats this request ID.
            self.records.save(record)
            run = self._call(record, request, conflict_turns)
        record = replace(record, run_id=run["id"], uuid=run.get("uuid"))
        self.records.save(record)
        return record, {**run, "requestId": record.request_id}

    def _call(self, record: RunRecord, request: Mapping[str, Any], conflict_turns: int) -> dict[str, Any]:
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=1, max=2),
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        try:
            return retrying(self.start, request)
        except (ClientError, BotoCoreError) as error:
            code = error_code(error)
            if code == _CONFLICT and conflict_turns >= MAX_CONFLICT_TURNS:
                return self._adopt(record, request, error)
            if _may_pass(error):
                raise StartDelayedError(record.request_id, code) from error
            raise api_error(self.resource.start_operation, f"request {record.request_id}", error) from error

    def _adopt(self, record: RunRecord, request: Mapping[str, Any], error: Exception) -> dict[str, Any]:
        """Take the run that the request ID has started, since repeating the request conflicts for ever."""
        run = self._find(record)
        if run is None:
            raise HealthOmicsRequestChangedError(
                record.request_id,
                has_changed(record, request),
                self.resource.start_operation,
                self.resource.noun,
            ) from error
        self.log.warning(
            "%s conflicts; %s is what an earlier try has started", self.resource.start_operation, run["id"]
        )
        return run

    def _find(self, record: RunRecord) -> dict[str, Any] | None:
        # A name of the user's own may be that of another task's run.
        return self.resource.find(record.request_id) if self.is_named_by_request else None


def _may_pass(error: BaseException) -> bool:
    # A ConflictException is a duplicate of the request in flight, which "typically resolves on its own":
    # https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
    return is_transient(error) or error_code(error) == _CONFLICT
