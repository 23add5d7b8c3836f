# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a task starts a run or a run batch exactly once, from its first attempt to its last."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowFailException, AirflowTaskTimeout, conf
from airflow_healthomics.exceptions import (
    HealthOmicsError,
    HealthOmicsOutcomeLostError,
    HealthOmicsRequestError,
    HealthOmicsResultUnavailableError,
    HealthOmicsUnreachableError,
    HealthOmicsUnwatchedError,
)
from airflow_healthomics.hooks.connection import connection_of
from airflow_healthomics.hooks.place import describe_place
from airflow_healthomics.operators.base import WaiterMixin
from airflow_healthomics.publishing.resource_xcom import push_delay
from airflow_healthomics.requests.fields import refuse_broken_templates
from airflow_healthomics.service.errors import error_code
from airflow_healthomics.starting.identity import derive_request_id, task_identity
from airflow_healthomics.starting.record import Attempt, RunRecord, RunRecords, run_records
from airflow_healthomics.starting.submission import Decision, StartDelayedError, Submission
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from airflow_healthomics.triggers.wait import ended_summary
from airflow_healthomics.waiting.deadlines import has_tries_left, is_trigger_timeout, time_left
from airflow_healthomics.waiting.kill_guard import Target, cancel_persistently

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Seconds for which an attempt repeats a start that does not reach HealthOmics; ``[healthomics]
#: start_patience``.
DEFAULT_START_PATIENCE: Final = 6 * 3600.0

#: Values of ``on_clear``, ``on_failure`` and ``on_unknown_end``, by argument.
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "on_clear": ("new", "reattach"),
    "on_failure": ("leave", "cancel"),
    "on_unknown_end": ("fail", "repeat"),
}


class StarterMixin(WaiterMixin):
    """
    Start something exactly once, for an operator with ``request_id``, ``wait_for_completion`` and
    ``cancel_on_kill``, and wait for it if asked to.
    """

    #: The argument that names what is started; the request ID by default.
    name_argument: ClassVar[str]

    request_id: str | None
    wait_for_completion: bool
    on_clear: Literal["new", "reattach"] | None
    on_failure: Literal["leave", "cancel"]
    on_unknown_end: Literal["fail", "repeat"]

    #: Whether what was started is not known to have ended.
    _is_open = False
    _has_timed_out = False

    @abstractmethod
    def build_request(self, request_id: str, earlier: Sequence[str]) -> dict[str, Any]:
        """
        Return the validated request.

        :param request_id: its request ID
        :param earlier: ids of what earlier attempts have started, which has failed
        """

    @abstractmethod
    def send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make the call that starts it."""

    @abstractmethod
    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Record in the log, the links and XCom what was started or found."""

    @abstractmethod
    def leave(self, context: Context, started: Mapping[str, Any]) -> None:
        """Record for the outlets and OpenLineage what was started, as this task does not wait for its end."""

    def execute(self, context: Context) -> Any:
        """Start it, or find what an earlier attempt has started, and wait for it if asked to."""
        with self._coming_to_an_end(context):
            return self._submit(context)

    def start_in_turn(self, context: Context, event: dict[str, Any]) -> Any:
        """Repeat a start that was throttled or unavailable, now that it is this task's turn."""
        return self._submit(context, event)

    def submit_again(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Decide anew, now that what an earlier attempt has started has stopped."""
        ended_summary(event)
        self._is_open = False
        return self._submit(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Finish with the summary of the run or batch."""
        summary = ended_summary(event)
        if summary["status"] == "DELETED":
            summary = self._known_end(context, summary)
        self._is_open = False
        return self.finish(context, summary)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; a deferral that has timed out comes back here without its event."""
        # Unless the event says otherwise, or nothing was started yet.
        self._is_open = next_method != "start_in_turn"
        with self._coming_to_an_end(context):
            if is_trigger_timeout(next_method, next_kwargs):
                self._handle_deferral_timeout(context)
            return super().resume_execution(next_method, next_kwargs, context)

    def records(self, context: Context, *, starts: int) -> RunRecords:
        """
        Return where the record of this task instance is kept.

        :param context: the task's context
        :param starts: number of attempts that can have started something
        """
        attempt = _attempt(context)
        request_id = partial(self._request_id, context, attempt.max_tries)
        return run_records(context, self.resource, request_id, attempt, starts=starts)

    def recorded(self, context: Context) -> RunRecord | None:
        """Return the record of this attempt and those before."""
        return self.records(context, starts=context["ti"].try_number).load()

    # --- the start ---

    def _submit(self, context: Context, event: Mapping[str, Any] | None = None) -> Any:
        event = event or {}
        self._check_choices()
        submission = Submission(
            resource=self.resource,
            records=self.records(context, starts=context["ti"].try_number - 1),
            attempt=_attempt(context),
            retries=int(self.retries or 0),
            request_id=partial(self._request_id, context),
            build_request=self.build_request,
            start=self._start,
            has_own_name=getattr(self, self.name_argument) is not None,
            has_fixed_request_id=self.request_id is not None,
            cancel_on_kill=self.cancel_on_kill,
            on_clear=self._on_clear,
            on_unknown_end=self.on_unknown_end,
            connection=_connection(self),
            on_targets=partial(self.kill_guard.arm, context),
            log=self.log,
        )
        try:
            decision, started = submission.submit(event.get("turns", 0), event.get("conflict_turns", 0))
        except StartDelayedError as delay:
            self._defer_start(context, delay, event)
        self._is_open = decision is not Decision.DONE
        self.publish(context, started)
        if decision is Decision.WAIT_OUT:
            return self.wait_for(context, self.watch(started), then="submit_again")
        if self.wait_for_completion:
            is_new = decision in (Decision.START, Decision.REPEAT)
            return self.wait_for(context, self.watch(started, is_new=is_new))
        self.leave(context, started)
        return str(started["id"])

    def _start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.kill_guard.is_fired:
            raise HealthOmicsError(f"The task was killed before its {self.resource.noun} was started")
        return self.send(request)

    def _defer_start(self, context: Context, delay: StartDelayedError, event: Mapping[str, Any]) -> NoReturn:
        """Wait in the triggerer until the start may be repeated."""
        now, meta = time.time(), self.hook.conn.meta
        since = event.get("since") or now
        failures = event.get("failures", 0) + 1 if delay.is_unreachable else 0
        if failures:
            self._check_patience(delay, now - since)
        else:
            self.log.info("The start is delayed (%s) and waits for its turn in the triggerer", delay.code)
        if failures > 1:
            self.log.warning(
                "The start has not reached HealthOmics for %d seconds (%s; region %s, endpoint %s) and "
                "is repeated later. Check the connection, and the way to it from the workers",
                now - since,
                delay.code,
                meta.region_name,
                meta.endpoint_url,
            )
        trigger = HealthOmicsStartTrigger(
            targets=[target.as_json() for target in self.kill_guard.targets],
            turns=event.get("turns", 0) + 1,
            conflict_turns=event.get("conflict_turns", 0) + delay.is_conflict,
            failures=failures,
            since=since,
            cancel_on_kill=self.cancel_on_kill,
            **connection_of(self),
        )
        push_delay(
            context, since=since, reason=delay.code, until=now + trigger.delay, region=meta.region_name
        )
        self.defer(trigger=trigger, method_name="start_in_turn", timeout=time_left(self, context))
        raise HealthOmicsError("Airflow has not deferred the task")  # never reached

    def _check_patience(self, delay: StartDelayedError, seconds: float) -> None:
        patience = conf.getfloat("healthomics", "start_patience", fallback=DEFAULT_START_PATIENCE)
        if seconds >= patience:
            meta = self.hook.conn.meta
            raise HealthOmicsUnreachableError(
                delay.code, meta.region_name, meta.endpoint_url, seconds
            ) from delay

    @property
    def _on_clear(self) -> Literal["new", "reattach"] | None:
        return self.on_clear or self.hook.connection_policies.get("on_clear")

    def _check_choices(self) -> None:
        values = {
            "on_clear": self._on_clear,
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

    # --- the end ---

    def _known_end(self, context: Context, summary: dict[str, Any]) -> dict[str, Any]:
        """Return how a run ended that is no longer found, as far as anything says so."""
        record = self.recorded(context)
        if record is not None and record.run_id != summary["id"]:
            record = None
        arn, output_uri = (record.arn, record.output_uri) if record else (None, None)
        resource = self.resource
        resource.check_place(arn)
        self._is_open = False
        if end := resource.find_end(summary["id"], summary.get("uuid")):
            return {**({"runOutputUri": output_uri} if output_uri else {}), **end}
        if self.on_unknown_end == "fail":
            place = describe_place(resource.hook, self.log, time_left=time_left(self, context))
            raise HealthOmicsOutcomeLostError(resource.noun, summary["id"], output_uri, place)
        return summary

    @contextmanager
    def _coming_to_an_end(self, context: Context) -> Iterator[None]:
        """Record how the attempt comes to its end, and see to a run that continues after a failure."""
        try:
            with self.kill_guard.until_end():
                yield
        except (Exception, AirflowTaskTimeout) as error:
            self._see_to_failure(context, error)
            raise
        self._settle(context)

    def _see_to_failure(self, context: Context, error: BaseException) -> None:
        """
        Record a failure; if no attempt is left, cancel or leave a run that continues.

        :raises HealthOmicsUnwatchedError: in place of the error, to say what becomes of the run
        """
        if self.kill_guard.is_fired:
            # It has not come to its end by itself.
            return
        is_final = isinstance(error, AirflowFailException) or not has_tries_left(context)
        if not self._is_open:
            is_unavailable = isinstance(error, HealthOmicsResultUnavailableError)
            if is_final or is_unavailable:
                self._settle(context, is_settled=is_final, is_outcome_unknown=is_unavailable)
            return
        has_timed_out = self._has_timed_out or isinstance(error, AirflowTaskTimeout)
        is_cancelled = has_timed_out and is_final and self.cancel_on_kill
        record = self._settle(context, is_settled=is_final, is_outcome_unknown=not is_cancelled)
        if not is_final or has_timed_out or not self.wait_for_completion:
            return
        record = record or self.recorded(context)
        if record is None or record.run_id is None:
            return
        text = self._end_watch(record, error)
        if isinstance(error, AirflowFailException):
            self.log.error("%s", text)
        else:
            raise HealthOmicsUnwatchedError(self.resource.noun, record.run_id, text) from error

    def _end_watch(self, record: RunRecord, error: BaseException) -> str:
        """Cancel or leave a run that nobody watches from now on, and return what to say about it."""
        resource, run_id = self.resource, str(record.run_id)
        command = resource.cancel_command(run_id)
        if self.on_failure == "cancel":
            target = Target(kind=record.kind, id=run_id, uuid=record.uuid)
            is_cancelled = cancel_persistently(target, self.hook, self.log)
            fate = "is cancelled" if is_cancelled else f"could not be cancelled; this does it: {command}"
        else:
            fate = f"continues, as on_failure is leave; this cancels it: {command}"
        return (
            f"The task fails without knowing how its {resource.noun} ends: {error}\n"
            f"The {resource.noun} {run_id} {fate}\n"
            f"See {resource.console_url(run_id)}\n"
            "Clear the task to reattach to it."
        )

    def _settle(
        self, context: Context, *, is_settled: bool = True, is_outcome_unknown: bool = False
    ) -> RunRecord | None:
        """Record that the attempt has come to its end by itself, as far as that can be recorded."""
        records = self.records(context, starts=context["ti"].try_number)
        if not records.counts_clears:
            return None
        try:
            record = records.load()
            if record is None:
                return None
            settled = time.time() if is_settled else None
            record = replace(record, settled=settled, is_outcome_unknown=is_outcome_unknown)
            records.save(record)
        except Exception as error:  # noqa: BLE001 - Airflow in trouble must not change the outcome
            self.log.info("The end of the attempt is not recorded: %s", error_code(error))
            return None
        return record

    # --- timeouts ---

    def _handle_deferral_timeout(self, context: Context) -> None:
        self._has_timed_out = True
        try:
            record = self.recorded(context)
        except (ClientError, BotoCoreError) as error:
            self.log.warning(
                "The %s of this task could not be looked up: %s", self.resource.noun, error_code(error)
            )
            return
        if record is not None:
            target = Target(kind=record.kind, id=record.run_id, uuid=record.uuid, name=record.name)
            self.handle_timeout(context, target)

    # --- identity ---

    def _request_id(self, context: Context, epoch: int, generation: int) -> str:
        refuse_broken_templates(self.resource.start_operation, {"request_id": self.request_id})
        if self.request_id is None:
            identity = task_identity(context, epoch)
            return derive_request_id(identity, generation, self.resource.name_length)
        return str(self.request_id)


def _attempt(context: Context) -> Attempt:
    ti = context["ti"]
    return Attempt(
        number=ti.try_number,
        max_tries=int(ti.max_tries),
        clear_number=getattr(context["dag_run"], "clear_number", None) or 0,
    )


def _connection(task: Any) -> dict[str, Any]:
    """Return the connection arguments that are kept in the record."""
    return {"aws_conn_id": task.aws_conn_id, "region_name": task.region_name, "verify": task.verify}
