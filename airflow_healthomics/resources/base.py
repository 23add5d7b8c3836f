# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Common interface of runs, run batches and jobs of stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsConnectionChangedError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import api_error, error_code, is_not_found

if TYPE_CHECKING:
    from airflow_healthomics.resources.watch import Watch
    from airflow_healthomics.service.log import Log

#: What log lines, errors, records and metrics call a kind of resource.
Kind: TypeAlias = Literal[
    "run",
    "batch",
    "read set import job",
    "reference import job",
    "read set export job",
    "read set activation job",
]


class Upload(Protocol):
    """An object in S3 that a start reads."""

    def write(self) -> None:
        """Write it, unless an earlier attempt has written it."""


class StartRequest(NamedTuple):
    """
    A validated request to start a run, run batch or job.

    :param fields: fields of the API operation
    :param upload: object in S3 that the request refers to, written before the call
    """

    fields: Mapping[str, Any]
    upload: Upload | None = None

    @property
    def request_id(self) -> str:
        """The request ID; for a job its client token."""
        return str(self.fields["requestId"] if "requestId" in self.fields else self.fields["clientToken"])


class Resource(ABC):
    """
    A run, run batch or job that a task starts and waits for: its calls, its states, what its responses mean.

    :param hook: hook of the task's connection
    :param log: the task's log
    :cvar noun: what log lines and errors call it
    :cvar start_operation: the API operation that starts it
    :cvar get_operation: the API operation that describes it
    :cvar name_length: maximum length of a name in characters, and so of a request ID that is the name too
    :cvar request_id_argument: the argument with a fixed request ID
    :cvar is_cancellable: whether the API can cancel it
    """

    noun: ClassVar[Kind]
    start_operation: ClassVar[str]
    get_operation: ClassVar[str]
    name_length: ClassVar[int]
    request_id_argument: ClassVar[str] = "request_id"
    is_cancellable: ClassVar[bool] = True

    def __init__(self, hook: HealthOmicsHook, log: Log) -> None:
        self.hook = hook
        self.log = log

    @abstractmethod
    def start(self, request: StartRequest) -> dict[str, Any]:
        """Write the upload of a request, if it has one, and make the call that starts the resource."""

    @abstractmethod
    def get(self, resource_id: str, earlier: Sequence[str] = ()) -> dict[str, Any]:
        """
        Describe the run or batch; its status is one of the states of a run.

        :param resource_id: its id
        :param earlier: ids of the previous batches, parts of which it repeats
        """

    @abstractmethod
    def find(self, name: str) -> dict[str, Any] | None:
        """Return the run or batch with exactly this name, as :meth:`get` does; None if there is none."""

    def find_by_request(
        self, request: StartRequest, since: float, earlier: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """
        Return what an unconfirmed request has started, if it has no name to find it by; None if unknown.

        :param request: the request
        :param since: Unix time of its first call
        :param earlier: ids of the resources that the task has started before
        """
        return None

    @abstractmethod
    def watch(
        self, resource_id: str, *, uuid: str | None = None, is_new: bool = False, is_deletion: bool = False
    ) -> Watch:
        """
        Return the state of a wait for the run or batch.

        :param resource_id: its id
        :param uuid: its uuid, if known
        :param is_new: whether it was started just now, so that a not-found response is ignored for a while
        :param is_deletion: whether the wait is for its deletion
        """

    @abstractmethod
    def cancel(self, resource_id: str, uuid: str | None) -> bool:
        """Cancel the run or batch unless it has ended; return False, and log why, if that is refused."""

    @abstractmethod
    def location(self, resource_id: str) -> str:
        """Return its page in the AWS console, or the command of the AWS CLI that describes it."""

    @abstractmethod
    def cancel_command(self, resource_id: str) -> str | None:
        """Return the command of the AWS CLI that cancels it; None if the API cannot."""

    @property
    def why_not_cancelled(self) -> str:
        """Why a task that does not cancel it leaves it, for log lines."""
        return "cancel_on_kill is False" if self.is_cancellable else "HealthOmics cannot cancel it"

    def cancel_rest(self, resource_ids: Sequence[str]) -> None:
        """Cancel the runs that continue though their batch has failed; a single run has none."""
        return

    def find_end(self, resource_id: str, uuid: str | None) -> dict[str, Any] | None:
        """Return the summary of a run that no longer exists, or None if its outcome is unknown."""
        return None

    def unique_name(self, request_id: str) -> str:
        """Return the default name for a request ID, which no other run or batch has."""
        return request_id[: self.name_length]

    def describe_place(self, time_left: timedelta | None = None) -> str:
        """
        Return the account and region of the connection, such as ``account 123456789012, region us-east-1``.

        :param time_left: until the task times out, if it does
        """
        # Only errors contain them.
        from airflow_healthomics.hooks.place import describe_place

        return describe_place(self.hook, self.log, time_left=time_left)

    def refusal(
        self, operation: str, subject: str, error: ClientError | BotoCoreError
    ) -> HealthOmicsApiError:
        """
        Return the error for a refused call. A not-found error names account and region.

        :param operation: name of the call
        :param subject: run or batch of the call, with its id
        :param error: from botocore
        """
        place = self.describe_place() if is_not_found(error) else None
        return api_error(operation, subject, error, place)

    def check_place(self, arn: str | None) -> None:
        """
        Check that a run or batch that is not found belongs to the connection's account and region.

        :param arn: ARN of the run or batch
        :raises HealthOmicsConnectionChangedError: if it belongs to another account or region
        """
        if arn is None:
            return
        region, account = arn.split(":")[3:5]
        here = self.hook.conn_region_name
        if region != here:
            raise HealthOmicsConnectionChangedError(self.noun, arn, f"region {here}")
        try:
            caller = str(self.hook.account_id)
        except (ClientError, BotoCoreError) as error:
            self.log.info(
                "The account of the connection is unknown: GetCallerIdentity failed with %s",
                error_code(error),
            )
            return
        if account and account != caller:
            raise HealthOmicsConnectionChangedError(self.noun, arn, f"account {caller}")


class CancellableResource(Resource):
    """
    A run or run batch, which tasks can also cancel and delete.

    :cvar cancel_operation: the API operation that cancels it
    :cvar delete_operation: the API operation that deletes it
    """

    cancel_operation: ClassVar[str]
    delete_operation: ClassVar[str]

    @staticmethod
    @abstractmethod
    def checked_id(operation: str, value: Any, /) -> str:
        """
        Return the id in an argument of a task.

        :param operation: the API operation that the id is for
        :param value: value of the argument
        :raises HealthOmicsRequestError: if it is not an id
        """

    @abstractmethod
    def request_cancel(self, resource_id: str) -> bool:
        """
        Make the call that cancels the run or batch; return False if it has ended already.

        :param resource_id: its id
        :raises HealthOmicsApiError: if the call is refused for another reason
        """

    @abstractmethod
    def request_delete(self, resource_id: str) -> bool:
        """
        Make the call that deletes the run, or the runs of the batch; return False if there is nothing left.

        :param resource_id: its id
        :raises HealthOmicsApiError: if the call is refused
        """
