# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""How a task starts a run or a run batch exactly once, from its first try to its last."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.aws_errors import error_code
from airflow_healthomics.exceptions import HealthOmicsError
from airflow_healthomics.request_id import TaskIdentity, derive_request_id
from airflow_healthomics.run_record import RunRecords, run_records
from airflow_healthomics.submission import Decision, StartDelayedError, Submission
from airflow_healthomics.triggers.start import HealthOmicsStartTrigger
from airflow_healthomics.triggers.wait import ended_summary
from airflow_healthomics.waiting import WaiterMixin, connection_of, is_trigger_timeout, time_left

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context


class StarterMixin(WaiterMixin):
    """
    Start something exactly once, for an operator with ``request_id``, ``wait_for_completion`` and
    ``cancel_on_kill``, and wait for it if asked to.
    """

    #: The argument that names what is started; the request ID by default.
    name_argument: ClassVar[str]

    request_id: str | None
    wait_for_completion: bool

    @abstractmethod
    def build_request(self, request_id: str, earlier: Sequence[str]) -> dict[str, Any]:
        """
        Return the validated request.

        :param request_id: its request ID
        :param earlier: ids of what earlier tries have started, which has failed
        """

    @abstractmethod
    def send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Make the call that starts it."""

    @abstractmethod
    def publish(self, context: Context, started: Mapping[str, Any]) -> None:
        """Tell the log, the links and XCom what was started or found."""

    @abstractmethod
    def leave(self, context: Context, started: Mapping[str, Any]) -> None:
        """Tell the outlets and OpenLineage what was started, as this task does not wait for its end."""

    def execute(self, context: Context) -> Any:
        """Start it, or find what an earlier try has started, and wait for it if asked to."""
        with self.cancelling_on_kill():
            return self._submit(context)

    def start_in_turn(self, context: Context, event: dict[str, Any]) -> Any:
        """Repeat a start that was throttled or unavailable, now that it is this task's turn."""
        return self._submit(context, event["turns"], event["conflict_turns"])

    def submit_again(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Decide anew, now that what an earlier try has started has stopped."""
        ended_summary(event)
        return self._submit(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; a deferral that has timed out comes back here without its event."""
        with self.cancelling_on_kill():
            if is_trigger_timeout(next_method, next_kwargs):
                self._handle_deferral_timeout(context)
            return super().resume_execution(next_method, next_kwargs, context)

    def records(self, context: Context, *, tries: int) -> RunRecords:
        """
        Return where the record of this task instance is kept.

        :param context: the task's context
        :param tries: how many tries can have started something
        """
        return run_records(
            context,
            self.resource,
            partial(self._request_id, context),
            self._epoch(context),
            tries=tries,
        )

    def _handle_deferral_timeout(self, context: Context) -> None:
        resource = self.resource
        try:
            record = self.records(context, tries=context["ti"].try_number).load()
            started_id, uuid = (record.run_id, record.uuid) if record else (None, None)
            if record and not started_id and (found := resource.find(record.request_id)):
                # The answer of the start was lost, and the task has waited for its turn to repeat it.
                started_id, uuid = found["id"], found.get("uuid")
            if started_id:
                self.handle_timeout(context, partial(resource.cancel, started_id, uuid))
        except (ClientError, BotoCoreError) as error:
            self.log.warning(
                "The %s of this task could not be looked up: %s", resource.noun, error_code(error)
            )

    def _submit(self, context: Context, turns: int = 0, conflict_turns: int = 0) -> Any:
        submission = Submission(
            resource=self.resource,
            records=self.records(context, tries=context["ti"].try_number - 1),
            epoch=self._epoch(context),
            request_id=partial(self._request_id, context),
            build_request=self.build_request,
            start=self._start,
            is_named_by_request=getattr(self, self.name_argument) is None,
            cancels_superseded=self.cancel_on_kill,
            log=self.log,
        )
        try:
            decision, started = submission.submit(turns, conflict_turns)
        except StartDelayedError as delay:
            self.log.info("The start is delayed by %s; waiting for a turn in the triggerer", delay.code)
            self.defer(
                trigger=HealthOmicsStartTrigger(
                    name=delay.request_id,
                    kind=self.resource.noun,
                    turns=turns + 1,
                    conflict_turns=conflict_turns + delay.is_conflict,
                    cancel_on_kill=self.cancel_on_kill,
                    **connection_of(self),
                ),
                method_name="start_in_turn",
                timeout=time_left(self, context),
            )
        self.guard(started["id"])
        self.publish(context, started)
        if decision is Decision.WAIT_OUT:
            return self.wait_for(context, self.watch(started), then="submit_again")
        if self.wait_for_completion:
            is_new = decision in (Decision.START, Decision.REPEAT)
            return self.wait_for(context, self.watch(started, is_new=is_new))
        self.leave(context, started)
        return str(started["id"])

    def _start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._is_killed:
            raise HealthOmicsError(f"The task was killed before its {self.resource.noun} was started")
        started = self.send(request)
        self.guard(started["id"])
        return started

    def _epoch(self, context: Context) -> int:
        # A request ID of the DAG author's own stands for one start, whatever is cleared.
        return int(context["ti"].max_tries) if self.request_id is None else 0

    def _request_id(self, context: Context, generation: int) -> str:
        if self.request_id is None:
            return derive_request_id(_task_identity(context), generation, self.resource.name_length)
        return str(self.request_id)


def _task_identity(context: Context) -> TaskIdentity:
    ti = context["ti"]
    return TaskIdentity(
        dag_id=ti.dag_id,
        dag_run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        start_date=context["dag_run"].start_date,
        epoch=ti.max_tries,
    )
