# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""State of a resource being polled, on the worker or in the triggerer."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException, conf
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.monitoring import metrics
from airflow_healthomics.resources.refusals import DEFAULT_PATIENCE, Refusals
from airflow_healthomics.service.errors import (
    AIRFLOW_API_ERRORS,
    api_error,
    error_code,
    is_invalid_request,
    is_transient,
    is_unreachable,
)

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log

#: Grace period in seconds in which a new run or batch may not be visible to GetRun or GetBatch yet. AWS
#: documents no such delay. It is a precaution, because "not found" ends the wait for a run that costs money.
NEW_GRACE: Final = 60

#: A filter of ListRuns: the name of its argument, and the value.
ListFilter: TypeAlias = tuple[str, str]


def may_pass(error: BaseException) -> bool:
    """Whether an error is temporary: of the service, the network or Airflow's database."""
    is_airflows = isinstance(error, AIRFLOW_API_ERRORS) and not isinstance(error, PermissionError)
    return is_airflows or is_transient(error)


class Watch(ABC):
    """
    State of a run or batch being polled, updated from API responses.

    Logs each change. Logs a failing poll once until polls succeed again. Logs refusals when they begin, every
    ten minutes, and when they end.

    :param resource_id: id of the run or batch
    :param uuid: its uuid, if known; else it is read from the first response
    :param grace: seconds from now in which a not-found response is ignored
    :param log: the task's log
    :cvar noun: run or batch
    :cvar operation: API operation that describes it
    :ivar status: last known status; None before the first response
    :ivar latest: last response to :meth:`poll`
    :ivar refusals: refusals since the last successful poll
    """

    __slots__ = (
        "_is_failing",
        "_visible_at",
        "grace",
        "latest",
        "log",
        "refusals",
        "resource_id",
        "status",
        "uuid",
    )

    noun: ClassVar[str]
    operation: ClassVar[str]

    def __init__(self, resource_id: str, *, uuid: str | None, grace: float, log: Log) -> None:
        self.resource_id = resource_id
        self.uuid = uuid
        self.grace = grace
        self.log = log
        self.status: str | None = None
        self.latest: Mapping[str, Any] | None = None
        self.refusals = Refusals()
        self._is_failing = False
        # By the clock of this machine: that of the machine that started the run may differ by minutes.
        self._visible_at = time.monotonic() + grace

    def poll(self, client: Any) -> dict[str, Any] | None:
        """
        Poll once, and return the summary if the run or batch has ended.

        :param client: a botocore client, or a function that returns one
        :raises HealthOmicsOutcomeUnknownError: if polls are refused for too long
        :raises HealthOmicsApiError: if the request is not valid, or the id now belongs to another resource
        """
        operation = "The connection"
        try:
            made = client() if callable(client) else client
            operation = self.operation
            with metrics.polling(operation):
                answer = self.fetch(made)
        except (ClientError, BotoCoreError) as error:
            self.record_error(error, operation)
            return None
        summary = self.update(answer)
        self.latest = answer or {"id": self.resource_id, "status": self.status}
        return summary

    def pause(self, delay: float) -> float:
        """
        Return the seconds until the next poll.

        :param delay: poll interval in seconds while polls are not refused
        """
        return delay if self.refusals.since is None else self.refusals.pause

    @abstractmethod
    def fetch(self, client: Any) -> dict[str, Any] | None:
        """
        Make the call and return its response; None if the run or batch is not found.

        Does not change the watch, so it may run in another thread.

        :param client: a botocore client
        """

    @abstractmethod
    def update(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """
        Process a response, and return the summary if the run or batch has ended.

        :param answer: return value of :meth:`fetch`
        :raises HealthOmicsApiError: if the id now belongs to another resource
        """

    @property
    def may_be_invisible(self) -> bool:
        """Whether it may not be visible yet, because its grace period has not ended."""
        return time.monotonic() < self._visible_at

    def update_from_list(self, item: Mapping[str, Any]) -> bool:
        """
        Process an item of ListRuns with this id. Return whether it is the same run and active.

        :param item: item of ListRuns; its times may be text
        """
        return False

    @property
    def list_status(self) -> str | None:
        """The status whose list should contain it; None if unknown, or "none" if no list contains it."""
        return "none"

    @property
    def list_filter(self) -> ListFilter | None:
        """The narrowest known filter of ListRuns that it matches; None if there is none."""
        return None

    @property
    def key(self) -> str:
        """Key shared by waits for the same resource; for a run its id, to look up items of ListRuns."""
        return str(self)

    def record_error(self, error: Exception, operation: str) -> None:
        """
        Process an error instead of a response.

        :param error: error of the call or of the connection look-up
        :param operation: name of the call
        :raises HealthOmicsOutcomeUnknownError: if polls are refused for longer than ``[healthomics]
            refusal_patience``
        :raises HealthOmicsApiError: if the request is not valid
        """
        if isinstance(error, (ClientError, BotoCoreError)) and is_invalid_request(error):
            raise api_error(operation, str(self), error) from error
        if may_pass(error) and not is_unreachable(error):
            if not self._is_failing:
                self.log.warning(
                    "%s for %s failed with %s; polling again", operation, self, error_code(error)
                )
            self._is_failing = True
            return
        now = time.monotonic()
        is_warning_due = self.refusals.add(now)
        seconds = self.refusals.seconds(now)
        patience = conf.getfloat("healthomics", "refusal_patience", fallback=DEFAULT_PATIENCE)
        if seconds >= patience:
            raise self._unknown_outcome(error, operation, seconds) from error
        if is_warning_due:
            self.log.warning(
                "%s for %s %s with %s. The %s continues, and the task polls it for up to %d seconds after "
                "the first refusal. Check the connection's credentials, permissions and endpoint",
                operation,
                self,
                f"has been refused for {seconds:.0f} seconds" if seconds else "was refused",
                error_code(error),
                self.noun,
                patience,
            )

    def _unknown_outcome(
        self, error: Exception, operation: str, seconds: float
    ) -> HealthOmicsOutcomeUnknownError:
        if isinstance(error, (ClientError, BotoCoreError)):
            reason = str(api_error(operation, str(self), error))
        elif isinstance(error, AirflowException):
            reason = str(error)
        else:
            reason = f"the Airflow connection cannot be looked up: {error}"
        return HealthOmicsOutcomeUnknownError(str(self), reason, error_code(error), seconds)

    def _succeed(self) -> None:
        self._is_failing = False
        seconds = self.refusals.end(time.monotonic())
        if seconds is not None:
            self.log.info("Polls of %s succeed again after %d seconds of refusals", self, seconds)

    def __str__(self) -> str:
        """Return its noun and id, for log lines and errors."""
        return f"{self.noun} {self.resource_id}"
