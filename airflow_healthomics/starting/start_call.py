# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The call that starts a run or batch, and the meaning of its failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from airflow_healthomics.exceptions import (
    HealthOmicsApiError,
    HealthOmicsError,
    HealthOmicsOutcomeUnknownError,
    HealthOmicsRequestChangedError,
)
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.requests.description import describe_ids, describe_start
from airflow_healthomics.resources.base import Resource, StartRequest
from airflow_healthomics.service.errors import (
    checked_answer,
    error_code,
    is_access_denied,
    is_credentials_error,
    is_throttling,
    is_transient,
    is_unreachable,
)
from airflow_healthomics.starting.outcome import CONFLICT, StartDelay
from airflow_healthomics.starting.record import StartRecord, has_changed
from airflow_healthomics.waiting.kill_guard import KillGuard

#: StartRun calls on the worker, 1 to 2 s apart with jitter, before the task defers. A throttled call is not
#: repeated there.
_CALLS: Final = 2

#: Turns after which a ConflictException counts as permanent.
MAX_CONFLICT_TURNS: Final = 3


class StartCall:
    """
    The call that starts the run or batch of an attempt.

    :param resource: the task's runs or batches
    :param guard: prevents the call once a person has ended the task
    :param log: the task's log
    :param may_exist: whether an earlier attempt may have started one of which no id is known
    """

    def __init__(self, resource: Resource, guard: KillGuard, log: Any, *, may_exist: bool) -> None:
        self.resource = resource
        self.guard = guard
        self.log = log
        self.may_exist = may_exist
        self.request_id = ""
        #: Fields of a failed call, if nothing but the call is left to do.
        self._failed: Mapping[str, Any] | None = None

    def make(self, record: StartRecord, request: StartRequest, conflict_turns: int) -> dict[str, Any]:
        """
        Start the run or batch, or adopt the one that the request ID has started.

        :param record: record of the start
        :param request: the request
        :param conflict_turns: number of delays that followed a ConflictException
        :return: the response, or the adopted run
        """
        retrying = Retrying(
            stop=stop_after_attempt(_CALLS),
            wait=wait_random(1, 2),
            retry=retry_if_exception(lambda error: _may_pass(error) and not is_throttling(error)),
            reraise=True,
        )
        self.log.info("Starting %s", describe_start(request.fields))
        try:
            answer = retrying(self._send, request)
        except (ClientError, BotoCoreError) as error:
            if error_code(error) == CONFLICT and conflict_turns >= MAX_CONFLICT_TURNS:
                return self._adopt(record, request, error)
            if not _may_pass(error):
                subject = f"request {record.request_id}{describe_ids(request.fields)}"
                raise self.refusal(self.resource.start_operation, subject, error) from error
            if self._is_left_to_call(request, error):
                self._failed = request.fields
            raise
        return checked_answer(self.resource.start_operation, answer)

    def find(self, record: StartRecord) -> dict[str, Any] | None:
        """
        Return the run or batch by its name.

        :param record: record of the start
        """
        # Another task's run may have the same custom name.
        return self.resource.find(record.name) if record.name is not None else None

    def delay(self, error: ClientError | BotoCoreError) -> StartDelay:
        """
        Return the delay after any failed call of the attempt.

        :param error: its error
        :raises ClientError: if the call is refused
        :raises BotoCoreError: if it cannot be made
        :raises HealthOmicsApiError: if the credentials are refused
        """
        if is_credentials_error(error):
            operation = getattr(error, "operation_name", "The connection")
            raise self.refusal(operation, f"request {self.request_id}", error) from error
        if not _may_pass(error):
            raise error
        return StartDelay(error_code(error), is_unreachable=is_unreachable(error), request=self._failed)

    def refusal(
        self, operation: str, subject: str, error: ClientError | BotoCoreError
    ) -> HealthOmicsApiError | HealthOmicsOutcomeUnknownError:
        """
        Return the error for a refused call, retryable if the run of an earlier call may be active.

        :param operation: the refused API operation
        :param subject: the run, batch or request that it concerns
        :param error: its error
        """
        if is_credentials_error(error):
            hook = self.resource.hook
            metrics.credentials_refused(metrics.Place(hook.aws_conn_id, hook.client_region))
        refused = self.resource.refusal(operation, subject, error)
        if self.may_exist and (is_credentials_error(error) or is_access_denied(error)):
            unknown = f"the {self.resource.noun} with request ID {self.request_id}"
            return HealthOmicsOutcomeUnknownError(unknown, str(refused), refused.code)
        return refused

    def _send(self, request: StartRequest) -> dict[str, Any]:
        if self.guard.is_fired:
            raise HealthOmicsError(f"The task was killed before its {self.resource.noun} was started")
        try:
            return self.resource.start(request)
        except (ClientError, BotoCoreError) as error:
            self.may_exist = self.may_exist or is_transient(error)
            raise

    def _is_left_to_call(self, request: StartRequest, error: ClientError | BotoCoreError) -> bool:
        """Whether nothing but the call is left to do after its failure, so that the triggerer can make it."""
        if error_code(error) == CONFLICT or self.guard.is_fired:
            return False
        # An upload may not have been written, and only an answer of HealthOmics shows that it was.
        is_answer = isinstance(error, ClientError) and error.operation_name == self.resource.start_operation
        return request.upload is None or is_answer

    def _adopt(self, record: StartRecord, request: StartRequest, error: Exception) -> dict[str, Any]:
        """Return the run that the request ID started, because repeating the request always conflicts."""
        run = self.find(record)
        if run is None:
            raise HealthOmicsRequestChangedError(
                record.request_id,
                has_changed(record, request.fields),
                self.resource.start_operation,
                self.resource.noun,
            ) from error
        self.log.warning(
            "%s was refused with %s; reattaching to the %s %s of an earlier attempt",
            self.resource.start_operation,
            CONFLICT,
            self.resource.noun,
            run["id"],
        )
        return run


def _may_pass(error: BaseException) -> bool:
    # A ConflictException means that a duplicate request is in flight, which "typically resolves on its own":
    # https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
    return is_transient(error) or is_unreachable(error) or error_code(error) == CONFLICT
