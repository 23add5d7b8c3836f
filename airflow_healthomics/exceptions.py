# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The errors of this package.

.. code-block:: text

    AirflowException
    └── HealthOmicsError
        ├── HealthOmicsRequestError      an argument breaks a rule; nothing was started (also a ValueError)
        ├── HealthOmicsTemplateError     a template could not be rendered for now; may be retried
        ├── HealthOmicsConnectionNotFoundError  Airflow does not find the connection; may be retried
        ├── HealthOmicsConnectionChangedError   it leads to another account or region; may be retried
        ├── HealthOmicsUnreachableError         a start could not reach HealthOmics; may be retried
        ├── HealthOmicsUnwatchedError           the task fails while its run continues; may be retried
        ├── HealthOmicsOutcomeUnknownError      polls were refused for too long; a retry continues the wait
        ├── HealthOmicsResultUnavailableError   what has become of a batch's runs is refused; may be retried
        ├── HealthOmicsOutcomeLostError         the run is gone, and nothing says how it ended
        ├── HealthOmicsApiError          AWS refuses a call: no permission, no such run
        │   ├── HealthOmicsRequestChangedError     the request ID stands for another request
        │   └── HealthOmicsRunReplacedError        the run id belongs to another run now
        ├── HealthOmicsRunFailedError    the run ended as FAILED, CANCELLED or DELETED; may be retried
        │   └── HealthOmicsRunFailedPermanentlyError   the same where Airflow must not retry
        └── HealthOmicsRunBatchFailedError   too few runs of a batch completed; a retry repeats the others
            └── HealthOmicsRunBatchFailedPermanentlyError   the same where Airflow must not retry

All that may not be retried are also an ``AirflowFailException``: another try meets the same error. A sensor
raises only such errors, but for a connection or template that may be there at the next try: Airflow applies
``soft_fail`` to them in every mode, but to a plain ``AirflowException`` only after a deferral. It raises
HealthOmicsOutcomeUnknownError in every mode alike, whatever ``soft_fail`` is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_healthomics.compat import AirflowException, AirflowFailException


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """
    A task of a run that failed.

    :param task_id: HealthOmics task id
    :param name: name of the task in the workflow
    :param failure_reason: the service's code; AWS documents no list of them. None if it could not be asked.
    :param status_message: the service's text, shortened
    :param log_lines: the last lines of its log, shortened, if those of each task were asked for
    """

    task_id: str
    name: str = ""
    failure_reason: str | None = None
    status_message: str = ""
    log_lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """
    What was found out about a run that did not succeed; plain values that pickle and become JSON.

    :param retry: whether another try may succeed
    :param next_step: what a person should do
    :param failed_tasks: those that failed last, the last one first, up to five
    :param failed_task_count: how many there are, counted up to 100
    :param log_stream: the stream of the log lines, in the log group of HealthOmics
    :param log_lines: the last lines of the last failed task's log, or of the engine's, shortened
    """

    retry: bool
    next_step: str
    failed_tasks: tuple[FailedTask, ...] = ()
    failed_task_count: int = 0
    log_stream: str | None = None
    log_lines: tuple[str, ...] = ()


class HealthOmicsError(AirflowException):
    """Base of all errors of this package."""


class HealthOmicsRequestError(HealthOmicsError, AirflowFailException, ValueError):
    """
    An argument breaks a rule of the API; nothing was sent.

    :param operation: the API operation that was to be called, such as ``StartRun``
    :param problems: one sentence each, naming the argument and the rule, never a parameter's value
    """

    def __init__(self, operation: str, problems: Sequence[str]) -> None:
        self.operation = operation
        self.problems = tuple(problems)
        lead = f"{operation} was not sent: "
        super().__init__(lead + (self.problems[0] if len(self.problems) == 1 else _bullets(self.problems)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.operation, self.problems)


class HealthOmicsTemplateError(HealthOmicsError):
    """
    A template could not be rendered, for a reason that may pass; nothing was sent.

    :param path: of the argument, such as ``parameters.sample``
    :param reason: without any value
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} is a template that {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.path, self.reason)


class HealthOmicsConnectionNotFoundError(HealthOmicsError):
    """
    Airflow does not find the connection that the DAG author has chosen; nothing was sent.

    It may be retried, as Airflow says the same while it is in trouble itself.

    :param aws_conn_id: id of the connection
    """

    def __init__(self, aws_conn_id: str) -> None:
        self.aws_conn_id = aws_conn_id
        super().__init__(
            f"Airflow does not find the connection {aws_conn_id!r}, so nothing was sent. Create it, or "
            "correct aws_conn_id; aws_conn_id=None uses boto3's own credentials."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.aws_conn_id,)


class HealthOmicsConnectionChangedError(HealthOmicsError):
    """
    The connection leads to another account or region than that in which the task has started its run.

    :param noun: run or batch
    :param arn: its ARN
    :param here: where the connection leads, such as ``region eu-west-1``
    """

    def __init__(self, noun: str, arn: str, here: str) -> None:
        self.noun = noun
        self.arn = arn
        self.here = here
        super().__init__(
            f"The {noun} of this task is {arn}, and the connection leads to {here} now, so its state is "
            "unknown. Restore the connection, and let the task be retried or clear it: it reattaches."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.noun, self.arn, self.here)


class HealthOmicsUnreachableError(HealthOmicsError):
    """
    A start has not reached HealthOmics for as long as the task has patience.

    :param code: class of the connection's error, such as ``EndpointConnectionError``
    :param region: AWS region of the connection
    :param endpoint: URL that was called
    :param seconds: how long it was tried
    """

    def __init__(self, code: str, region: str, endpoint: str, seconds: float) -> None:
        self.code = code
        self.region = region
        self.endpoint = endpoint
        self.seconds = seconds
        super().__init__(
            f"The start has not reached HealthOmics for {seconds:.0f} seconds: {code}. Check the region "
            f"({region}) and the endpoint ({endpoint}) of the connection, and the way to it from the "
            "workers."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.code, self.region, self.endpoint, self.seconds)


class HealthOmicsUnwatchedError(HealthOmicsError):
    """
    The task fails while its run or batch continues, or is about to be cancelled.

    :param noun: run or batch
    :param resource_id: its id
    :param text: the whole message
    """

    def __init__(self, noun: str, resource_id: str, text: str) -> None:
        self.noun = noun
        self.resource_id = resource_id
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes."""
        return type(self), (self.noun, self.resource_id, str(self))


class HealthOmicsOutcomeUnknownError(HealthOmicsError):
    """
    The run or batch could not be polled for as long as the wait has patience, and continues.

    It is retryable: the next attempt of an operator reattaches, and that of a sensor waits again.

    :param subject: run or batch, with its id
    :param reason: what was refused, and what to correct
    :param code: the AWS error code, or the class of another error
    :param seconds: how long polls were refused
    """

    def __init__(self, subject: str, reason: str, code: str = "", seconds: float = 0.0) -> None:
        self.subject = subject
        self.reason = reason
        self.code = code
        self.seconds = seconds
        duration = f" Polls have been refused for {seconds:.0f} seconds." if seconds else ""
        super().__init__(
            f"The end of {subject} is unknown: {reason.rstrip('.')}.{duration} It continues, as far as is "
            "known. Correct the cause; the next attempt continues the wait, and starts nothing."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.subject, self.reason, self.code, self.seconds)


class HealthOmicsResultUnavailableError(HealthOmicsError):
    """
    A batch has ended, and what has become of its runs could not be read, or not be written to S3.

    A retry continues once the cause is corrected, and so does a Clear: nobody meant to run all samples again.

    :param message: what was refused, and what to correct
    """


class HealthOmicsOutcomeLostError(HealthOmicsError, AirflowFailException):
    """
    The run or batch is no longer found, and nothing says how it ended.

    :param noun: run or batch
    :param resource_id: its id
    :param output_uri: where its outputs are, if known
    :param place: account and region that were asked
    :param lost_runs: of a batch that is found, the number of runs that are not
    """

    def __init__(
        self,
        noun: str,
        resource_id: str,
        output_uri: str | None = None,
        place: str | None = None,
        lost_runs: int = 0,
    ) -> None:
        self.noun = noun
        self.resource_id = resource_id
        self.output_uri = output_uri
        self.place = place
        self.lost_runs = lost_runs
        where = f" in {place}" if place else ""
        outputs = f" Its outputs, if there are any, are in {output_uri}." if output_uri else ""
        if lost_runs:
            subject, pronoun = f"{lost_runs} runs of batch {resource_id} are", "they"
            reason = (
                "retention mode REMOVE or a person has removed their records, and CloudWatch has no "
                "manifest of them."
            )
        else:
            subject, pronoun = f"The {noun} {resource_id} is", "it"
            reason = (
                "retention mode REMOVE or a person has removed its record, and CloudWatch has no manifest "
                "of it."
                if noun == "run"
                else "a person has deleted it."
            )
        super().__init__(
            f"{subject} no longer found{where}, so nothing says how {pronoun} ended: {reason}{outputs} "
            "Clear the task to start a new one, or set on_unknown_end='repeat' to let retries do so."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.noun, self.resource_id, self.output_uri, self.place, self.lost_runs)


class HealthOmicsApiError(HealthOmicsError, AirflowFailException):
    """
    AWS refuses a call in a way that repeating it cannot change.

    :param message: what was tried, what AWS answered, and what to do
    :param code: the AWS error code, such as ``AccessDeniedException``
    """

    def __init__(self, message: str, code: str = "") -> None:
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes."""
        return type(self), (str(self), self.code)


class HealthOmicsRequestChangedError(HealthOmicsApiError):
    """
    A crashed try has used the request ID for another request, and nothing of its name exists.

    :param request_id: the request ID in question
    :param has_changed: whether the request is known to differ from that of the crashed try
    :param operation: the call that starts it
    :param noun: what it starts
    """

    def __init__(
        self, request_id: str, has_changed: bool, operation: str = "StartRun", noun: str = "run"
    ) -> None:
        self.request_id = request_id
        self.has_changed = has_changed
        self.operation = operation
        self.noun = noun
        super().__init__(
            f"{operation} always answers ConflictException for request ID {request_id}, and no {noun} bears "
            "it. "
            + ("The request has changed" if has_changed else "Perhaps the request has changed")
            + " since a try that crashed: an edited DAG, or {{ ti.try_number }} or the like in a parameter. "
            f"Clear the task to start a {noun} with a request ID of its own.",
            "ConflictException",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.request_id, self.has_changed, self.operation, self.noun)


class HealthOmicsRunReplacedError(HealthOmicsApiError):
    """
    The run was deleted, and AWS gave its id to another one.

    :param run_id: id of the run
    :param uuid: uuid of the run that was meant
    :param found: uuid of the run that has the id now
    """

    def __init__(self, run_id: str, uuid: str, found: str | None) -> None:
        self.run_id = run_id
        self.uuid = uuid
        self.found = found
        super().__init__(
            f"Run {run_id} is another run now: its uuid is {found}, not {uuid}. The run that was meant was "
            "deleted, and HealthOmics gave its id to a new one."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.run_id, self.uuid, self.found)


class HealthOmicsRunFailedError(HealthOmicsError):
    """
    A run ended without success.

    :param run_id: id of the run
    :param status: FAILED, CANCELLED or DELETED
    :param failure_reason: the service's code, such as ``OUT_OF_MEMORY_ERROR``; a free string in the API.
        https://docs.aws.amazon.com/omics/latest/dev/workflows-run-errors.html
    :param status_message: the service's text
    :param console_url: the run in the HealthOmics console
    :param diagnosis: why it failed, as far as HealthOmics and its logs say
    :param text: the whole message, if there is a diagnosis
    """

    def __init__(
        self,
        run_id: str,
        status: str,
        failure_reason: str | None = None,
        status_message: str | None = None,
        console_url: str | None = None,
        diagnosis: Diagnosis | None = None,
        text: str | None = None,
    ) -> None:
        self.run_id = run_id
        self.status = status
        self.failure_reason = failure_reason
        self.status_message = status_message
        self.console_url = console_url
        self.diagnosis = diagnosis
        self.text = text
        lines = [
            f"HealthOmics run {run_id} ended as {status}" + (f": {failure_reason}" if failure_reason else "")
        ]
        if status_message:
            lines.append(status_message)
        if console_url:
            lines.append(f"See {console_url}")
        super().__init__(text or "\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (
            self.run_id,
            self.status,
            self.failure_reason,
            self.status_message,
            self.console_url,
            self.diagnosis,
            self.text,
        )


class HealthOmicsRunFailedPermanentlyError(HealthOmicsRunFailedError, AirflowFailException):
    """A run ended without success, and trying the task again cannot help."""


class HealthOmicsRunBatchFailedError(HealthOmicsError):
    """
    A run batch did not do what its task wants.

    :param batch_id: id of the batch
    :param status: state of the batch; PROCESSED if too few of its runs completed
    :param counts: how many runs there are of each status
    :param text: the whole message
    """

    def __init__(self, batch_id: str, status: str, counts: Mapping[str, int], text: str) -> None:
        self.batch_id = batch_id
        self.status = status
        self.counts = dict(counts)
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes."""
        return type(self), (self.batch_id, self.status, self.counts, str(self))


class HealthOmicsRunBatchFailedPermanentlyError(HealthOmicsRunBatchFailedError, AirflowFailException):
    """A run batch did not do what its task wants, and trying the task again cannot help."""


def _bullets(problems: Sequence[str]) -> str:
    return "".join(f"\n  - {problem}" for problem in problems)
