# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Exactly one run, batch or job per task instance, even if a worker, a call or Airflow fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsOutcomeLostError,
)
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.resources.base import Resource, StartRequest
from airflow_healthomics.resources.kinds import resource_of_kind
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import checked_answer, is_not_found, is_transient
from airflow_healthomics.starting.decision import UNKNOWN, Decision, Plan, decide
from airflow_healthomics.starting.identity import RequestIds
from airflow_healthomics.starting.outcome import NOT_VISIBLE, Delays, StartDelay, StartOutcome
from airflow_healthomics.starting.record import Attempt, StartRecord, StartStore, fingerprint
from airflow_healthomics.starting.start_call import StartCall
from airflow_healthomics.waiting.kill_guard import KillGuard, Target

#: Seconds after a start in which the run may not be visible yet. AWS documents no delay. The value is below
#: the age at which a run can be removed, and above the clock difference of two workers.
VISIBILITY_GRACE: Final = 300

#: Seconds after a Clear in which lists may not show the run of a start that was on its way. AWS documents no
#: delay.
LISTING_GRACE: Final = 60


class ExactlyOnceStart:
    """
    The start of a task instance's run or batch, or the search for the one that an earlier attempt started.

    :param resource: the task's runs or batches
    :param store: store of the record
    :param attempt: the current attempt
    :param retries: ``retries`` in the current version of the DAG
    :param request_ids: request IDs of the task
    :param build_request: builds the request from a request ID and the ids of earlier generations
    :param has_custom_name: whether the DAG author set the name
    :param cancel_on_kill: whether to cancel a run or batch that a Clear discards
    :param on_clear: whether to start a new run or reattach after a Clear; None reattaches only if the last
        attempt failed before the outcome was known
    :param on_unknown_end: whether to fail or start a new run if the recorded one no longer exists and its
        outcome is unknown
    :param ends_attempt: whether the attempt ends after the start, without a wait
    :param started: answer of the start that the triggerer has made for this attempt, with ``requestId``
    :param connection: connection arguments of the task, for the record
    :param guard: cancels the run or batch if a person ends the task
    :param log: the task's log
    """

    def __init__(
        self,
        *,
        resource: Resource,
        store: StartStore,
        attempt: Attempt,
        retries: int,
        request_ids: RequestIds,
        build_request: Callable[[str, Sequence[str]], StartRequest],
        has_custom_name: bool,
        cancel_on_kill: bool,
        on_clear: Literal["new", "reattach"] | None,
        on_unknown_end: Literal["fail", "repeat"],
        ends_attempt: bool,
        connection: Mapping[str, Any],
        guard: KillGuard,
        log: Any,
        started: Mapping[str, Any] | None = None,
    ) -> None:
        self.resource = resource
        self.store = store
        self.attempt = attempt
        self.retries = retries
        self.request_ids = request_ids
        self.build_request = build_request
        self.has_custom_name = has_custom_name
        self.cancel_on_kill = cancel_on_kill
        self.on_clear = on_clear
        self.on_unknown_end = on_unknown_end
        self.ends_attempt = ends_attempt
        self.connection = connection
        self.guard = guard
        self.log = log
        self.started = started
        self._discarded: tuple[Target, ...] = ()
        self._is_invisible = False
        #: The start as metrics name it.
        self._name: Literal["started", "repeated", "reattached"] = "reattached"
        self._call = StartCall(resource, guard, log, may_exist=not store.is_complete)

    def run(self, delays: Delays) -> StartOutcome | StartDelay:
        """
        Start the run or batch, or find it.

        :param delays: delays of this start so far
        :return: a delay if the start should be repeated later
        :raises HealthOmicsApiError: if a call is refused
        :raises HealthOmicsOutcomeUnknownError: if a call is refused for lack of credentials or permissions,
            and an earlier call may have started a run
        :raises HealthOmicsConnectionChangedError: if the connection now leads to another account or region
        :raises HealthOmicsOutcomeLostError: if the outcome of the recorded run is unknown
        """
        try:
            outcome = self._run_or_delay(delays)
        except (ClientError, BotoCoreError, HealthOmicsError):
            if not self.guard.is_fired:
                metrics.start_made(self.resource.noun, "refused")
            raise
        if isinstance(outcome, StartDelay):
            metrics.start_delayed(self.resource.noun, outcome.code)
        else:
            metrics.start_made(self.resource.noun, self._name)
        return outcome

    def _run_or_delay(self, delays: Delays) -> StartOutcome | StartDelay:
        try:
            return self._run(delays)
        except (ClientError, BotoCoreError) as error:
            return self._call.delay(error)

    def _run(self, delays: Delays) -> StartOutcome | StartDelay:
        record, first_epoch = self._load()
        if record:
            self._call.request_id = record.request_id
            # Until GetRun has shown otherwise.
            self._call.may_exist = True
        self._watch_for_kill(record)
        run = self._recorded_run(record)
        is_discarded = record is not None and self._is_discarded(record, run)
        self._refuse_unknown_end(record, run, is_discarded)
        plan = decide(record, run["status"] if run else None, is_discarded=is_discarded)
        if record and plan.supersedes and not self._supersede(record, run, delays):
            # The start is repeated later, and then discards it again.
            return StartDelay(NOT_VISIBLE)
        epoch = record.epoch + 1 if record and plan.supersedes else first_epoch
        while record is None or run is None or plan.decision in (Decision.START, Decision.REPEAT):
            if record and run and plan.decision is Decision.START and not plan.supersedes:
                self._check_next_generation(record, run["status"])
            record, answer = self._start(plan, record, epoch, delays)
            if plan.decision is Decision.START and self.store.is_complete:
                return StartOutcome(plan.decision, answer)
            # HealthOmics may have answered with the run of an earlier attempt, in any status.
            run = self._answered_run(record)
            if run is None:
                return StartOutcome(plan.decision, answer)
            self._refuse_unknown_end(record, run, is_discarded=False)
            plan = decide(record, run["status"])
        self.log.info(
            "The %s %s with request ID %s is %s",
            self.resource.noun,
            run["id"],
            record.request_id,
            run["status"],
        )
        record = self._hold(record, run)
        return StartOutcome(
            plan.decision, {**run, "requestId": record.request_id}, is_invisible=self._is_invisible
        )

    # --- the record ---

    def _load(self) -> tuple[StartRecord | None, int]:
        """Return the record and the current epoch."""
        epoch = 0
        if not self.store.counts_clears:
            epoch = self.attempt.max_tries
            # This store calls AWS, and the error of a refused call names the request.
            self._call.request_id = self.request_ids.of(epoch)
        record = self.store.load()
        if record is None:
            return None, epoch
        if record.kind != self.resource.noun:
            self._discard_other_kind(record)
            return None, record.epoch + 1
        return record, record.epoch

    def _discard_other_kind(self, record: StartRecord) -> None:
        """Cancel or leave the recorded run or batch after an edit of the DAG changed the task's kind."""
        other = resource_of_kind(record.kind, self.resource.hook, self.log)
        self.log.warning(
            "An earlier attempt of this task started the %s %s, but the DAG now starts a %s",
            record.kind,
            record.resource_id or record.request_id,
            self.resource.noun,
        )
        if self.cancel_on_kill and record.resource_id:
            other.cancel(record.resource_id, record.uuid)

    def _hold(self, record: StartRecord, run: Mapping[str, Any]) -> StartRecord:
        """Record that this attempt has started or reattached to the run, and return the record."""
        held = record._replace(
            resource_id=run["id"],
            uuid=run.get("uuid") or record.uuid,
            arn=run.get("arn") or record.arn,
            output_uri=record.output_uri or run.get("runOutputUri"),
            attempt=self.attempt.number,
            max_tries=self.attempt.max_tries,
            clear_number=self.attempt.clear_number,
            settled=time.time() if self.ends_attempt and not self.guard.is_fired else None,
            is_outcome_unknown=False,
            cancel_on_kill=self.cancel_on_kill,
        )
        if held != record:
            self.store.save(held)
        return held

    def _watch_for_kill(self, record: StartRecord | None) -> None:
        targets = list(self._discarded)
        if record and (record.resource_id or record.name):
            targets.append(
                Target(kind=record.kind, id=record.resource_id, uuid=record.uuid, name=record.name)
            )
        self.guard.arm(targets)

    # --- the recorded run ---

    def _recorded_run(self, record: StartRecord | None) -> dict[str, Any] | None:
        """Return the recorded run. If it no longer exists, return its last summary, or status UNKNOWN."""
        if record is None or record.resource_id is None:
            return None
        run = self._described(record)
        if run is not None and run["status"] != "DELETED":
            return run
        if run is None and self._may_be_invisible(record):
            self.log.info(
                "%s does not find %s yet; it counts as PENDING",
                self.resource.get_operation,
                record.resource_id,
            )
            self._is_invisible = True
            return {**record.known_fields(), "status": "PENDING"}
        self.resource.check_place(record.arn)
        return self._end(record)

    def _end(self, record: StartRecord) -> dict[str, Any]:
        """Return the last summary of the recorded run, which no longer exists, or status UNKNOWN."""
        end = self.resource.find_end(str(record.resource_id), record.uuid)
        return {**record.known_fields(), **(end or {"status": UNKNOWN})}

    def _described(self, record: StartRecord) -> dict[str, Any] | None:
        """Return the response of GetRun or GetBatch, or None if the recorded run is not found."""
        run_id = str(record.resource_id)
        try:
            run = self.resource.get(run_id, record.earlier)
        except ClientError as error:
            if is_not_found(error):
                return None
            if is_transient(error):
                raise
            raise self._call.refusal(
                self.resource.get_operation, f"{self.resource.noun} {run_id}", error
            ) from error
        checked_answer(self.resource.get_operation, run, record.uuid)
        if record.uuid and run["uuid"] != record.uuid:
            self.resource.check_place(record.arn)
            self.log.warning(
                "The %s id %s now belongs to another %s: this task's was deleted",
                self.resource.noun,
                run_id,
                self.resource.noun,
            )
            return {"status": "DELETED"}
        return run

    def _may_be_invisible(self, record: StartRecord) -> bool:
        return record.started is not None and time.time() - record.started < VISIBILITY_GRACE

    def _may_be_unlisted(self, record: StartRecord, delays: Delays) -> bool:
        """Whether a start was on its way at the Clear, whose run lists may not show yet."""
        has_unknown_end = record.settled is None or record.is_outcome_unknown
        return has_unknown_end and time.time() - (delays.since or time.time()) < LISTING_GRACE

    def _answered_run(self, record: StartRecord) -> dict[str, Any] | None:
        """Return the run in the response of a start; None if it is not visible yet."""
        run = self._described(record)
        if run is not None and run["status"] != "DELETED":
            return run
        # The request ID may belong to a run that was removed long ago.
        end = self._end(record)
        return None if run is None and end["status"] == UNKNOWN else end

    def _refuse_unknown_end(
        self, record: StartRecord | None, run: Mapping[str, Any] | None, is_discarded: bool
    ) -> None:
        if record is None or run is None or run["status"] != UNKNOWN or is_discarded:
            return
        if self.on_unknown_end == "fail":
            place = self.resource.describe_place()
            raise HealthOmicsOutcomeLostError(
                self.resource.noun, str(record.resource_id), record.output_uri, place
            )
        self.log.warning(
            "The %s %s no longer exists and its outcome is unknown; starting a new one because "
            "on_unknown_end is 'repeat'",
            self.resource.noun,
            record.resource_id,
        )

    # --- Clear ---

    def _is_discarded(self, record: StartRecord, run: Mapping[str, Any] | None) -> bool:
        """Whether a person cleared the task and the recorded run must be replaced."""
        if not record.is_from_before_a_clear(self.attempt, self.retries):
            return False
        noun, run_id = self.resource.noun, record.resource_id or f"with request ID {record.request_id}"
        status = run["status"] if run else "start not confirmed"
        if self.request_ids.are_all(record.request_id):
            self.log.info(
                "The task was cleared. It reattaches to the %s %s because its %s is fixed",
                noun,
                run_id,
                self.resource.request_id_argument,
            )
            return False
        why = self._why_to_reattach(record, run)
        if why and status != UNKNOWN:
            self.log.info(
                "The task was cleared. It reattaches to the %s %s (%s) because %s", noun, run_id, status, why
            )
            return False
        self.log.warning(
            "The task was cleared. It discards the %s %s (%s) and starts a new one. Set "
            "on_clear='reattach' to reattach after a Clear",
            noun,
            run_id,
            status,
        )
        return True

    def _why_to_reattach(self, record: StartRecord, run: Mapping[str, Any] | None) -> str | None:
        """Return the reason to keep the recorded run after a Clear, or None."""
        if self.on_clear is not None:
            return "on_clear is 'reattach'" if self.on_clear == "reattach" else None
        if record.is_outcome_unknown:
            return "the last attempt failed before the outcome was known"
        if not self.resource.is_cancellable and (run is None or run["status"] not in run_states.TERMINAL):
            return "HealthOmics cannot cancel it"
        return None

    def _supersede(self, record: StartRecord, run: Mapping[str, Any] | None, delays: Delays) -> bool:
        """Cancel the run from before a Clear if it is active; return False if it is not visible yet."""
        if run is None and record.name is not None:
            run = self.resource.find(record.name)
            if run is None and self.cancel_on_kill and self._may_be_unlisted(record, delays):
                return False
        if run is None or run["status"] in (*run_states.TERMINAL, UNKNOWN):
            self._watch_for_kill(None)
            if run is not None and self.cancel_on_kill:
                self.resource.cancel_rest([*record.earlier, run["id"]])
            return True
        if not self.cancel_on_kill:
            self._watch_for_kill(None)
            self.log.warning(
                "The %s %s (%s) from before the Clear continues because %s",
                self.resource.noun,
                run["id"],
                run["status"],
                self.resource.why_not_cancelled,
            )
            return True
        self._discarded = (Target(kind=self.resource.noun, id=run["id"], uuid=run.get("uuid")),)
        self._watch_for_kill(None)
        self.log.info("Cancelling %s %s from before the Clear", self.resource.noun, run["id"])
        is_cancelled = self.resource.cancel(run["id"], run.get("uuid"))
        if not is_cancelled and self._is_invisible:
            return False
        self._discarded = ()
        return True

    # --- the start ---

    def _check_next_generation(self, record: StartRecord, status: str) -> None:
        if self.request_ids.are_all(record.request_id):
            argument = self.resource.request_id_argument
            raise HealthOmicsApiError(
                f"The {self.resource.noun} {record.resource_id} of an earlier attempt is {status}. "
                f"A retry cannot start a new one because the task's {argument} is fixed. Remove {argument} "
                "from the task to let retries start new ones."
            )
        self.log.info(
            "The %s %s of an earlier attempt is %s; starting a new one",
            self.resource.noun,
            record.resource_id,
            status,
        )

    def _start(
        self, plan: Plan, record: StartRecord | None, epoch: int, delays: Delays
    ) -> tuple[StartRecord, dict[str, Any]]:
        if plan.decision is Decision.REPEAT and record:
            run = self._repeat(record, delays.conflict_turns)
            record = record._replace(started=time.time())
        else:
            record, request = self._new_record(plan, record, epoch)
            # Save before the call, so that the next attempt repeats this request ID after a crash.
            self.store.save(record)
            self._call.request_id = record.request_id
            # Without a stored record, this attempt may have started it before a delay.
            may_have_started = delays.turns > 0 and not self.store.counts_clears
            self._call.may_exist = may_have_started or not self.store.is_complete
            self._watch_for_kill(record)
            known = self._answer_for(record) or (self._call.find(record) if may_have_started else None)
            run = known or self._call.make(record, request, delays.conflict_turns)
            self._name = "started"
        record = self._hold(record, run)
        self._watch_for_kill(record)
        return record, {**run, "requestId": record.request_id}

    def _repeat(self, record: StartRecord, conflict_turns: int) -> dict[str, Any]:
        """Return the run of a request without a recorded response; if none is found, send it again."""
        # Search first: since the crashed attempt, HealthOmics may have forgotten the request ID, or a
        # template or sample sheet that the request requires may have disappeared.
        run = self._answer_for(record) or self._call.find(record)
        if run is None:
            request = self.build_request(record.request_id, record.earlier)
            run = self.resource.find_by_request(request, record.started or time.time(), record.earlier)
        if run is None:
            run = self._call.make(record, request, conflict_turns)
            self._name = "repeated"
        if record.attempt == self.attempt.number:
            # This attempt has made the request before its delay.
            self._name = "started"
        return run

    def _new_record(
        self, plan: Plan, record: StartRecord | None, epoch: int
    ) -> tuple[StartRecord, StartRequest]:
        earlier: tuple[str, ...] = ()
        if record and record.resource_id and not plan.supersedes:
            earlier = (*record.earlier, record.resource_id)
        request = self.build_request(self.request_ids.of(epoch, plan.generation), earlier)
        request_id = request.request_id
        new = StartRecord(
            request_id=request_id,
            kind=self.resource.noun,
            name=None if self.has_custom_name else self.resource.unique_name(request_id),
            epoch=epoch,
            generation=plan.generation,
            started=time.time(),
            fingerprint=fingerprint(request.fields),
            earlier=earlier,
            attempt=self.attempt.number,
            max_tries=self.attempt.max_tries,
            clear_number=self.attempt.clear_number,
            connection=self.connection,
            cancel_on_kill=self.cancel_on_kill,
        )
        return new, request

    def _answer_for(self, record: StartRecord) -> dict[str, Any] | None:
        """Return the answer to this request that the triggerer has received."""
        started = self.started
        return dict(started) if started and started["requestId"] == record.request_id else None
