# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Base of the operators that start a run, run batch or job exactly once across all attempts."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowFailException, AirflowTaskTimeout
from airflow_healthomics.exceptions import (
    HealthOmicsError,
    HealthOmicsOutcomeLostError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestError,
    HealthOmicsResultUnavailableError,
    HealthOmicsUnreachableError,
    HealthOmicsUnwatchedError,
)
from airflow_healthomics.operators.base import WaitingOperator
from airflow_healthomics.resources.base import StartRequest
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.starting.decision import Decision
from airflow_healthomics.starting.exactly_once import ExactlyOnceStart
from airflow_healthomics.starting.identity import RequestIds
from airflow_healthomics.starting.outcome import Delays, StartDelay, start_patience
from airflow_healthomics.starting.record import Attempt, StartRecord, StartStore, open_start_store
from airflow_healthomics.waiting.deadlines import has_tries_left, is_trigger_timeout, time_left
from airflow_healthomics.waiting.kill_guard import Target, cancel_persistently

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context
    from airflow_healthomics.resources.watch import Watch

#: Values of ``on_clear``, ``on_failure`` and ``on_unknown_end``, by argument.
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "on_clear": ("new", "reattach"),
    "on_failure": ("leave", "cancel"),
    "on_unknown_end": ("fail", "repeat"),
}


class StartOperator(WaitingOperator):
    """
    Base of the operators that start a run, run batch or job exactly once, and can wait for it.

    :cvar name_argument: the argument with the name of the run or batch; the request ID by default
    """

    name_argument: ClassVar[str]

    on_clear: Literal["new", "reattach"] | None
    on_failure: Literal["leave", "cancel"]
    on_unknown_end: Literal["fail", "repeat"]

    #: False once the run or batch is known to have ended.
    _is_open = False
    _has_timed_out = False

    @property
    def has_custom_name(self) -> bool:
        """Whether the name differs from the request ID, so that nothing can be found by it."""
        return getattr(self, self.name_argument) is not None

    @abstractmethod
    def build_request(self, request_id: str, earlier: Sequence[str]) -> StartRequest:
        """
        Return the validated request.

        :param request_id: its request ID
        :param earlier: ids of the failed runs or batches of earlier attempts
        """

    @abstractmethod
    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Publish the run or batch in the links and XCom."""

    @abstractmethod
    def finish_without_waiting(self, context: Context, started: Mapping[str, Any]) -> None:
        """Emit the asset events and the lineage of an active run or batch."""

    def execute(self, context: Context) -> Any:
        """Start the run or batch exactly once, then wait for it if ``wait_for_completion`` is set."""
        with self._recording_end(context):
            return self.start(context, Delays())

    def start(self, context: Context, delays: Delays, answer: Mapping[str, Any] | None = None) -> Any:
        """
        Start the run or batch, or reattach to the one that an earlier attempt started.

        :param context: the task's context
        :param delays: delays of this start so far
        :param answer: answer of the start that the triggerer has made
        """
        on_clear = self._checked_on_clear()
        self.kill_guard.context = context
        outcome = self._exactly_once(context, on_clear, answer).run(delays)
        if isinstance(outcome, StartDelay):
            self._defer_until_turn(context, outcome, delays)
        started = outcome.response
        self._is_open = outcome.decision is not Decision.DONE
        self._log_found(started)
        self.publish(context, started)
        if outcome.decision is Decision.WAIT_OUT:
            return self.wait(context, self._watch(started), then="resume_after_stop")
        if self.wait_for_completion:
            watch = self._watch(started, is_new=outcome.is_new)
            return self.wait(context, watch, is_new=outcome.is_new)
        self.finish_without_waiting(context, started)
        return str(started["id"])

    def resume_start(self, context: Context, event: dict[str, Any]) -> Any:
        """Continue with the start that the triggerer has made, or repeat it."""
        counts = dict(event)
        answer = counts.pop("started", None)
        return self.start(context, Delays(**counts), answer)

    def resume_after_stop(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Decide again after the run or batch of an earlier attempt has left STOPPING."""
        self.summary_in(event)
        self._is_open = False
        return self.start(context, Delays())

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Finish with the summary of the run or batch."""
        summary = self.summary_in(event)
        if summary["status"] == "DELETED":
            summary = self._known_end(context, summary)
        self._is_open = False
        self.count_end(summary)
        return self.finish(context, summary)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, including one that timed out and so has no event."""
        # Assume that it is active: only an event can show its end. Before resume_start nothing was started.
        self._is_open = next_method != "resume_start"
        with self._recording_end(context):
            if is_trigger_timeout(next_method, next_kwargs):
                self._handle_recorded_timeout(context)
            return super().resume_execution(next_method, next_kwargs, context)

    def recorded(self, context: Context) -> StartRecord | None:
        """Return the record of this attempt and of earlier ones."""
        return self._store(context).load()

    def _look_up(self, context: Context) -> StartRecord | None:
        """Return the record, or None, and log why, if it cannot be read."""
        try:
            return self.recorded(context)
        except (ClientError, BotoCoreError) as error:
            self.log.warning(
                "The %s of this task could not be looked up: %s", self.resource.noun, error_code(error)
            )
            return None

    # --- the start ---

    def _exactly_once(
        self,
        context: Context,
        on_clear: Literal["new", "reattach"] | None,
        answer: Mapping[str, Any] | None,
    ) -> ExactlyOnceStart:
        attempt, request_ids = Attempt.of(context), self._request_ids(context)
        starts = attempt.number - 1
        return ExactlyOnceStart(
            resource=self.resource,
            store=open_start_store(context, self.resource, request_ids, attempt, starts=starts),
            attempt=attempt,
            retries=int(self.retries or 0),
            request_ids=request_ids,
            build_request=self.build_request,
            has_custom_name=self.has_custom_name,
            cancel_on_kill=self.cancel_on_kill,
            on_clear=on_clear,
            on_unknown_end=self.on_unknown_end,
            ends_attempt=not self.wait_for_completion,
            connection=_connection(self),
            guard=self.kill_guard,
            log=self.log,
            started=answer,
        )

    def _store(self, context: Context) -> StartStore:
        """Return the store after a start of this attempt."""
        attempt, request_ids = Attempt.of(context), self._request_ids(context)
        return open_start_store(context, self.resource, request_ids, attempt, starts=attempt.number)

    def _request_ids(self, context: Context) -> RequestIds:
        fixed = getattr(self, self.resource_type.request_id_argument)
        return RequestIds(context, fixed, self.resource_type)

    def _log_found(self, started: Mapping[str, Any]) -> None:
        """Log where to find the run or batch and, if the answer has it, the URI of its outputs."""
        noun, output_uri = self.resource.noun, started.get("runOutputUri")
        ids = f"{started['id']}, request ID {started['requestId']}"
        self.log.info("HealthOmics %s %s%s", noun, ids, f", outputs in {output_uri}" if output_uri else "")
        self.log.info("See %s", self.resource.location(started["id"]))

    def _watch(self, started: Mapping[str, Any], *, is_new: bool = False) -> Watch:
        return self.resource.watch(started["id"], uuid=started.get("uuid"), is_new=is_new)

    def _defer_until_turn(self, context: Context, delay: StartDelay, delays: Delays) -> NoReturn:
        """Let the triggerer make the start, or wait there until it may be repeated."""
        from airflow_healthomics.hooks.connection import pinned_connection_of
        from airflow_healthomics.publishing.resource import push_delay
        from airflow_healthomics.starting.sealed_request import seal
        from airflow_healthomics.triggers.start import HealthOmicsStartTrigger

        now, meta = time.time(), self.hook.conn.meta
        delays = delays.after(delay, now)
        if delays.failures:
            self._check_patience(delay, now - delays.since)
        else:
            self.log.info(
                "The start is delayed (%s). The task defers, and the start is repeated later", delay.code
            )
        if delays.failures > 1:
            self.log.warning(
                "The start has not reached HealthOmics for %d seconds (%s; region %s, endpoint %s). The task "
                "repeats it later. Check the connection and the workers' access to the endpoint",
                now - delays.since,
                delay.code,
                meta.region_name,
                meta.endpoint_url,
            )
        trigger = HealthOmicsStartTrigger(
            targets=[target.as_json() for target in self.kill_guard.targets],
            request=seal(delay.request) if delay.request else None,
            kind=self.resource.noun,
            **delays._asdict(),
            cancel_on_kill=self.cancel_on_kill,
            **pinned_connection_of(self),
        )
        push_delay(
            context, since=delays.since, reason=delay.code, until=now + trigger.delay, region=meta.region_name
        )
        self.defer(trigger=trigger, method_name="resume_start", timeout=time_left(self, context))
        raise HealthOmicsError("Airflow did not defer the task")  # never reached

    def _check_patience(self, delay: StartDelay, seconds: float) -> None:
        if seconds >= start_patience():
            meta = self.hook.conn.meta
            raise HealthOmicsUnreachableError(delay.code, meta.region_name, meta.endpoint_url, seconds)

    def _checked_on_clear(self) -> Literal["new", "reattach"] | None:
        """Return ``on_clear`` or the connection's default, and check the other policies, too."""
        on_clear = self.on_clear or self.hook.connection_policies.get("on_clear")
        values = {
            "on_clear": on_clear,
            "on_failure": self.on_failure,
            "on_unknown_end": self.on_unknown_end,
        }
        problems = [
            f"{name} must be {' or '.join(_CHOICES[name])}"
            for name, value in values.items()
            if value is not None and value not in _CHOICES[name]
        ]
        if problems:
            raise HealthOmicsRequestError(self.resource.start_operation, problems)
        return on_clear

    # --- the end ---

    def _known_end(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return the summary of a run or batch that no longer exists, as far as its outcome is known."""
        record = self.recorded(context)
        if record is not None and record.resource_id != summary["id"]:
            record = None
        arn, output_uri = (record.arn, record.output_uri) if record else (None, None)
        resource = self.resource
        resource.check_place(arn)
        self._is_open = False
        if end := resource.find_end(summary["id"], summary.get("uuid")):
            return {**({"runOutputUri": output_uri} if output_uri else {}), **end}
        if self.on_unknown_end == "fail":
            place = resource.describe_place(time_left(self, context))
            raise HealthOmicsOutcomeLostError(resource.noun, summary["id"], output_uri, place)
        return summary

    @contextmanager
    def _recording_end(self, context: Context) -> Iterator[None]:
        """Record the end of the attempt; after a failure, also decide about an active run."""
        try:
            with self.kill_guard.until_end():
                yield
        except (Exception, AirflowTaskTimeout) as error:
            self._record_failure(context, error)
            raise
        if self.wait_for_completion:
            # Without a wait, the start has recorded the end.
            self._settle(context)

    def _record_failure(self, context: Context, error: BaseException) -> None:
        """
        Record a failure. If no attempt is left, cancel or leave an active run, depending on ``on_failure``.

        :raises HealthOmicsUnwatchedError: instead of the error, to report what happens to the run
        """
        if self.kill_guard.is_fired:
            # The attempt was killed, so its end must not be recorded.
            return
        is_final = isinstance(error, AirflowFailException) or not has_tries_left(context)
        if isinstance(error, AirflowTaskTimeout) and not self._has_timed_out:
            # It was not waiting yet, but may have a run, of this or an earlier attempt.
            if is_final:
                self._handle_recorded_timeout(context)
            self._has_timed_out = True
        if not self._is_open and not isinstance(error, HealthOmicsOutcomeUnknownError):
            is_unavailable = isinstance(error, HealthOmicsResultUnavailableError)
            if is_final or is_unavailable:
                self._settle(context, is_settled=is_final, is_outcome_unknown=is_unavailable)
            return
        is_cancelled = self._has_timed_out and is_final and self.cancel_on_kill
        record = self._settle(context, is_settled=is_final, is_outcome_unknown=not is_cancelled)
        if not is_final or self._has_timed_out or not self.wait_for_completion:
            return
        record = record or self._look_up(context)
        if record is None or record.resource_id is None:
            return
        text = self._end_watch(record, error)
        if isinstance(error, AirflowFailException):
            self.log.error("%s", text)
        else:
            raise HealthOmicsUnwatchedError(self.resource.noun, record.resource_id, text) from error

    def _end_watch(self, record: StartRecord, error: BaseException) -> str:
        """Cancel or leave a run that no attempt watches any longer, and return the text of the error."""
        resource, run_id = self.resource, str(record.resource_id)
        command = resource.cancel_command(run_id)
        if command is None:
            fate = f"continues because {resource.why_not_cancelled}"
        elif self.on_failure == "cancel":
            target = Target(kind=record.kind, id=run_id, uuid=record.uuid)
            is_cancelled = cancel_persistently(target, self.hook, self.log)
            fate = (
                "is being cancelled" if is_cancelled else f"could not be cancelled. To cancel it: {command}"
            )
        else:
            fate = f"continues because on_failure is 'leave'. To cancel it: {command}"
        return (
            f"The task fails before the outcome of its {resource.noun} is known: {error}\n"
            f"The {resource.noun} {run_id} {fate}\n"
            f"See {resource.location(run_id)}\n"
            "Clear the task to reattach to it."
        )

    def _settle(
        self, context: Context, *, is_settled: bool = True, is_outcome_unknown: bool = False
    ) -> StartRecord | None:
        """Record that the attempt ended by itself, not by a kill; return None if that is impossible."""
        store = self._store(context)
        if not store.counts_clears:
            return None
        try:
            record, attempt = store.load(), Attempt.of(context)
            if record is None or record.is_of_later_attempt(attempt):
                return None
            settled = time.time() if is_settled else None
            if record.is_from_before_a_clear(attempt, int(self.retries or 0)):
                # The next attempt must still discard the run.
                is_outcome_unknown = False
            # The end of a killed attempt is not recorded: the API server cancels what its worker does not.
            if self.kill_guard.is_fired:
                return None
            record = record._replace(settled=settled, is_outcome_unknown=is_outcome_unknown)
            store.save(record)
        except Exception as error:  # noqa: BLE001 - an error of Airflow's store must not change the outcome
            self.log.info("The end of this attempt could not be recorded: %s", error_code(error))
            return None
        return record

    # --- timeouts ---

    def handle_timeout(self, context: Context, target: Target) -> None:
        """Cancel the run or batch if no attempt is left."""
        super().handle_timeout(context, target)
        # Not before: a second timeout may interrupt the cancellation, which is then repeated.
        self._has_timed_out = True

    def _handle_recorded_timeout(self, context: Context) -> None:
        """Cancel the recorded run or batch if no attempt is left."""
        record = self._look_up(context)
        if record is not None:
            target = Target(kind=record.kind, id=record.resource_id, uuid=record.uuid, name=record.name)
            self.handle_timeout(context, target)
        self._has_timed_out = True


def _connection(task: Any) -> dict[str, Any]:
    """Return the connection arguments for the record."""
    return {"aws_conn_id": task.aws_conn_id, "region_name": task.region_name, "verify": task.verify}
