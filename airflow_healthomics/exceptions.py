# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The errors of this package.

.. code-block:: text

    AirflowException
    └── HealthOmicsError
        ├── HealthOmicsRequestError (ValueError)   an argument breaks a rule; nothing was sent
        ├── HealthOmicsTemplateError               a template cannot be rendered now; retryable
        ├── HealthOmicsConnectionNotFoundError     Airflow does not find the connection; retryable
        ├── HealthOmicsConnectionChangedError      the connection has another account or region; retryable
        ├── HealthOmicsUnreachableError            a start could not reach HealthOmics; retryable
        ├── HealthOmicsUnwatchedError              the task fails while its run continues; retryable
        ├── HealthOmicsOutcomeUnknownError         polls failed for too long; retryable
        ├── HealthOmicsResultUnavailableError      the outcomes of a batch or job are unavailable; retryable
        ├── HealthOmicsOutcomeLostError            the run was deleted before its outcome was known
        ├── HealthOmicsResourceDiffersError        a name belongs to something else than what is declared
        ├── HealthOmicsCreationFailedError         a configuration or workflow became FAILED
        ├── HealthOmicsApiError                    AWS refuses a call: no permission, no such run
        │   ├── HealthOmicsRequestChangedError     the request ID belongs to a different request
        │   ├── HealthOmicsRunReplacedError        the run id belongs to a different run now
        │   └── HealthOmicsBatchReplacedError      the batch id belongs to a different batch now
        ├── HealthOmicsRunFailedError              the run ended as FAILED, CANCELLED or DELETED; retryable
        │   └── HealthOmicsRunFailedPermanentlyError
        ├── HealthOmicsRunBatchFailedError         too few runs of a batch completed; retryable
        │   └── HealthOmicsRunBatchFailedPermanentlyError
        └── HealthOmicsJobFailedError              a job of a store left sources unprocessed; retryable
            └── HealthOmicsJobFailedPermanentlyError

All errors that are not retryable are also an ``AirflowFailException``, because another attempt would fail in
the same way. A sensor raises only such errors, except for a connection or a template that may work at the
next attempt. The reason is ``soft_fail``: Airflow applies it to an ``AirflowFailException`` in every mode,
but to a plain ``AirflowException`` only after a deferral. HealthOmicsOutcomeUnknownError ignores
``soft_fail`` in every mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from airflow_healthomics.compat import AirflowException, AirflowFailException


class FailedTask(NamedTuple):
    """
    A failed task of a run.

    :param task_id: HealthOmics task id
    :param name: name of the task in the workflow
    :param failure_reason: code from HealthOmics. AWS documents no list of codes. None if GetRunTask failed.
    :param status_message: text from HealthOmics, shortened
    :param log_lines: the last lines of its log, shortened; empty unless each log was requested
    """

    task_id: str
    name: str = ""
    failure_reason: str | None = None
    status_message: str = ""
    log_lines: tuple[str, ...] = ()


class Diagnosis(NamedTuple):
    """
    The causes of an unsuccessful run, as plain values that can be pickled and written as JSON.

    :param retry: whether another attempt may succeed
    :param next_step: advice to the user
    :param failed_tasks: up to five failed tasks, the likely cause of the failure first
    :param failed_task_count: number of failed tasks, counted up to 100
    :param log_stream: CloudWatch log stream of the log lines, in the log group of HealthOmics
    :param log_lines: the last lines of the log of the first of these tasks, or else of the engine, shortened
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

    :param operation: API operation, such as ``StartRun``
    :param problems: one sentence per problem. It names the argument and the rule, never a parameter's value.
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
    A template could not be rendered, for a temporary reason; nothing was sent. Airflow may retry the task.

    :param path: path of the argument, such as ``parameters.sample``
    :param reason: text without any parameter value
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
    Airflow does not find the connection of the task; nothing was sent.

    It is retryable, because Airflow reports the same while its own database or API fails.

    :param aws_conn_id: id of the connection
    """

    def __init__(self, aws_conn_id: str) -> None:
        self.aws_conn_id = aws_conn_id
        super().__init__(
            f"Airflow does not find the connection {aws_conn_id!r}, so nothing was sent. Create it or "
            "correct aws_conn_id. With aws_conn_id=None, boto3 uses its default credentials."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.aws_conn_id,)


class HealthOmicsConnectionChangedError(HealthOmicsError):
    """
    The account or region of the connection differs from that of the run or batch. Airflow may retry the task.

    :param noun: run or batch
    :param arn: its ARN
    :param here: place of the connection, such as ``region eu-west-1``
    """

    def __init__(self, noun: str, arn: str, here: str) -> None:
        self.noun = noun
        self.arn = arn
        self.here = here
        super().__init__(
            f"The {noun} of this task is {arn}, but the connection now leads to {here}. The state of the "
            f"{noun} is unknown. Restore the connection, then retry or clear the task: it reattaches."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.noun, self.arn, self.here)


class HealthOmicsUnreachableError(HealthOmicsError):
    """
    A start could not reach HealthOmics within ``start_patience``. Airflow may retry the task.

    :param code: class of the connection's error, such as ``EndpointConnectionError``
    :param region: AWS region of the connection
    :param endpoint: endpoint URL
    :param seconds: duration of the failing calls
    """

    def __init__(self, code: str, region: str, endpoint: str, seconds: float) -> None:
        self.code = code
        self.region = region
        self.endpoint = endpoint
        self.seconds = seconds
        super().__init__(
            f"The start could not reach HealthOmics for {seconds:.0f} seconds: {code}. Check the region "
            f"({region}) and the endpoint ({endpoint}) of the connection, and the network path from the "
            "workers to the endpoint."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.code, self.region, self.endpoint, self.seconds)


class HealthOmicsUnwatchedError(HealthOmicsError):
    """
    The task fails while its run or batch continues or is being cancelled. Airflow may retry the task.

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
    The run or batch could not be polled for ``refusal_patience``. It probably continues.

    It is retryable: the next attempt of an operator reattaches, and a sensor waits again.

    :param subject: run or batch, with its id
    :param reason: refused call and advice
    :param code: AWS error code, or class of another error
    :param seconds: duration of the refused polls
    """

    def __init__(self, subject: str, reason: str, code: str = "", seconds: float = 0.0) -> None:
        self.subject = subject
        self.reason = reason
        self.code = code
        self.seconds = seconds
        duration = f" Polls failed for {seconds:.0f} seconds." if seconds else ""
        super().__init__(
            f"The outcome of {subject} is unknown: {reason.rstrip('.')}.{duration} It probably continues. "
            "Fix the cause; the next attempt continues the wait and starts nothing."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.subject, self.reason, self.code, self.seconds)


class HealthOmicsResultUnavailableError(HealthOmicsError):
    """
    The batch or job is finished, but the outcomes of its runs or sources could not be read, or not be
    written to S3.

    Once the cause is fixed, a retry or a Clear continues with the same one: no sample runs again.

    :param message: refused call and advice
    """


class HealthOmicsOutcomeLostError(HealthOmicsError, AirflowFailException):
    """
    The run or batch no longer exists, and its outcome is unknown.

    :param noun: run or batch
    :param resource_id: its id
    :param output_uri: S3 URI of its outputs, if known
    :param place: account and region of the connection
    :param lost_runs: number of deleted runs of a batch that still exists
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
        outputs = f" Its outputs, if any, are in {output_uri}." if output_uri else ""
        deleter = "Either retention mode REMOVE or somebody"
        if lost_runs:
            subject, possessive = f"{lost_runs} runs of batch {resource_id} no longer exist", "Their"
            reason = f"{deleter} deleted them, and CloudWatch has no manifest of them."
        else:
            subject, possessive = f"The {noun} {resource_id} no longer exists", "Its"
            reason = "Somebody deleted it."
            if noun == "run":
                reason = f"{deleter} deleted it, and CloudWatch has no manifest of it."
            elif noun != "batch":
                reason = "Its store was deleted, or the connection leads to another account or region."
        advice = "Clear the task to start a new one"
        if noun in ("run", "batch"):
            advice += ", or set on_unknown_end='repeat' to start one on retries"
        super().__init__(f"{subject}{where}. {possessive} outcome is unknown. {reason}{outputs} {advice}.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.noun, self.resource_id, self.output_uri, self.place, self.lost_runs)


class HealthOmicsResourceDiffersError(HealthOmicsError, AirflowFailException):
    """
    A run cache, configuration or workflow version of this name differs in what the API cannot change.

    :param subject: what it is, with its id or name, such as ``run cache 1234567``
    :param differences: one sentence per difference
    :param next_step: advice to the user
    """

    def __init__(self, subject: str, differences: Sequence[str], next_step: str) -> None:
        self.subject = subject
        self.differences = tuple(differences)
        self.next_step = next_step
        super().__init__(
            f"{subject} differs from the arguments, and the API cannot change it: "
            f"{'; '.join(self.differences)}. {next_step}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.subject, self.differences, self.next_step)


class HealthOmicsCreationFailedError(HealthOmicsError, AirflowFailException):
    """
    HealthOmics could not create a configuration, workflow or workflow version.

    :param subject: what it is, with its id or name, such as ``workflow 1234567``
    :param status: its status, such as FAILED
    :param status_message: text from HealthOmics
    :param next_step: advice to the user
    """

    def __init__(self, subject: str, status: str, status_message: str | None, next_step: str) -> None:
        self.subject = subject
        self.status = status
        self.status_message = status_message
        self.next_step = next_step
        reason = f": {status_message.rstrip('.')}" if status_message else ""
        super().__init__(f"{subject} is {status}{reason}. {next_step}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.subject, self.status, self.status_message, self.next_step)


class HealthOmicsApiError(HealthOmicsError, AirflowFailException):
    """
    AWS refuses a call, and would refuse it again.

    :param message: call, answer of AWS, and advice
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
    A crashed attempt used the request ID for a different request, and its run or batch was not found by name.

    :param request_id: the request ID
    :param has_changed: whether the request certainly differs from that of the crashed attempt
    :param operation: StartRun or StartRunBatch
    :param noun: run or batch
    """

    def __init__(
        self, request_id: str, has_changed: bool, operation: str = "StartRun", noun: str = "run"
    ) -> None:
        self.request_id = request_id
        self.has_changed = has_changed
        self.operation = operation
        self.noun = noun
        super().__init__(
            f"{operation} keeps failing with ConflictException for request ID {request_id}, and the {noun} "
            "of that ID was not found by its name. The request "
            + ("has changed" if has_changed else "may have changed")
            + " since an attempt that crashed, for example by an edit of the DAG or by {{ ti.try_number }} "
            f"in a parameter. The {noun} may be active if lists are denied or the task sets a name: look for "
            f"it in HealthOmics and cancel it. Then clear the task to start a {noun} with a new request ID.",
            "ConflictException",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.request_id, self.has_changed, self.operation, self.noun)


class HealthOmicsRunReplacedError(HealthOmicsApiError):
    """
    The run was deleted, and HealthOmics gave its id to a different run.

    :param run_id: id of the run
    :param uuid: expected uuid
    :param found: uuid of the run that has the id now
    """

    def __init__(self, run_id: str, uuid: str, found: str | None) -> None:
        self.run_id = run_id
        self.uuid = uuid
        self.found = found
        super().__init__(
            f"The id {run_id} belongs to a different run now: its uuid is {found}, not {uuid}. The run of "
            "this task was deleted, and HealthOmics reused its id. Clear the task to start a new run."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.run_id, self.uuid, self.found)


class HealthOmicsBatchReplacedError(HealthOmicsApiError):
    """
    The batch was deleted, and its id belongs to another batch now.

    :param batch_id: id of the batch
    :param uuid: uuid of the deleted batch
    :param found: uuid of the batch that has the id now
    """

    def __init__(self, batch_id: str, uuid: str, found: str | None) -> None:
        self.batch_id = batch_id
        self.uuid = uuid
        self.found = found
        super().__init__(
            f"The id {batch_id} belongs to a different batch now: its uuid is {found}, not {uuid}. The batch "
            "of this task was deleted, and HealthOmics reused its id. Clear the task that starts it."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments, since the message is derived from them."""
        return type(self), (self.batch_id, self.uuid, self.found)


class HealthOmicsRunFailedError(HealthOmicsError):
    """
    A run failed, was cancelled or was deleted. Airflow may retry the task.

    :param run_id: id of the run
    :param status: FAILED, CANCELLED or DELETED
    :param failure_reason: code from HealthOmics, such as ``OUT_OF_MEMORY_ERROR``. The API allows any string.
        https://docs.aws.amazon.com/omics/latest/dev/workflows-run-errors.html
    :param status_message: text from HealthOmics
    :param console_url: URL of the run in the HealthOmics console
    :param diagnosis: causes from HealthOmics and its logs
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
    """A run failed, was cancelled or was deleted, and Airflow must not retry the task."""


class HealthOmicsRunBatchFailedError(HealthOmicsError):
    """
    A run batch failed, or too few of its runs completed. Airflow may retry the task.

    :param batch_id: id of the batch
    :param status: status of the batch; PROCESSED if too few of its runs completed
    :param counts: number of runs by status
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
    """A run batch failed, or too few of its runs completed, and Airflow must not retry the task."""


class HealthOmicsJobFailedError(HealthOmicsError):
    """
    A job of a store did not process all of its sources. Airflow may retry the task.

    :param noun: kind of the job, such as ``read set import job``
    :param job_id: id of the job
    :param status: COMPLETED_WITH_FAILURES, FAILED, CANCELLED, or DELETED if the job is not found
    :param sources: the sources that were not processed, each with its ``index``, its ``status`` and, if
        known, the service's ``statusMessage``. They lack URIs and names, which may identify patients.
    :param text: the whole message
    """

    def __init__(
        self, noun: str, job_id: str, status: str, sources: Sequence[Mapping[str, Any]], text: str
    ) -> None:
        self.noun = noun
        self.job_id = job_id
        self.status = status
        self.sources = list(sources)
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the attributes."""
        return type(self), (self.noun, self.job_id, self.status, self.sources, str(self))


class HealthOmicsJobFailedPermanentlyError(HealthOmicsJobFailedError, AirflowFailException):
    """A job of a store did not process all of its sources, and Airflow must not retry the task."""


def _bullets(problems: Sequence[str]) -> str:
    return "".join(f"\n  - {problem}" for problem in problems)
