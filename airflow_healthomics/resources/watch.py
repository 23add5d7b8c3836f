# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What is waited for, wherever the waiting happens."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException, conf
from airflow_healthomics.exceptions import HealthOmicsOutcomeUnknownError
from airflow_healthomics.resources.refusals import DEFAULT_PATIENCE, Refusals
from airflow_healthomics.service.errors import (
    AIRFLOW_API_ERRORS,
    api_error,
    error_code,
    is_invalid_request,
    is_transient,
    is_unreachable,
)
from airflow_healthomics.service.log import Log

#: Seconds from its start in which a run or batch may not be visible to GetRun or GetBatch yet. AWS documents
#: no such delay, so this is caution: a run is money, and "not found" would end the wait for it.
NEW_GRACE: Final = 60


def may_pass(error: BaseException) -> bool:
    """Whether an error passes by itself: of the service, of the way to it, or of Airflow's own database."""
    is_airflows = isinstance(error, AIRFLOW_API_ERRORS) and not isinstance(error, PermissionError)
    return is_airflows or is_transient(error)


class Watch(ABC):
    """
    State of a run or batch that is polled, updated from the answers of HealthOmics.

    Logs a change when it happens, and a failing poll once until polls succeed again. A refusal is logged
    when it begins, every ten minutes, and when it is over.

    :param resource_id: its id
    :param uuid: its uuid, if known; else the first answer's
    :param grace: seconds from now in which it may not be found, since it was started just now
    :param log: the task's log
    :cvar noun: what it is
    :cvar operation: the call that describes it
    :ivar status: status that was seen last; None before the first answer
    :ivar latest: what :meth:`poll` was answered last
    :ivar refusals: of the polls since the last successful one
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
        # By this machine's own clock: that of the machine which started it may differ by minutes.
        self._visible_at = time.monotonic() + grace

    def poll(self, client: Any) -> dict[str, Any] | None:
        """
        Poll once, and return the summary if it has ended.

        :param client: a botocore client, or a function that makes it
        :raises HealthOmicsOutcomeUnknownError: if polls are refused for too long
        :raises HealthOmicsApiError: if the request is not valid, or the id belongs to another one now
        """
        operation = "The connection"
        try:
            made = client() if callable(client) else client
            operation = self.operation
            answer = self.ask(made)
        except (ClientError, BotoCoreError) as error:
            self.fail(error, operation)
            return None
        summary = self.answer(answer)
        self.latest = answer or {"id": self.resource_id, "status": self.status}
        return summary

    def pause(self, delay: float) -> float:
        """
        Return the seconds until the next poll.

        :param delay: seconds between two polls that are not refused
        """
        return delay if self.refusals.since is None else self.refusals.pause

    @abstractmethod
    def ask(self, client: Any) -> dict[str, Any] | None:
        """
        Make the call, and return its answer: None if it is not found.

        Touches nothing of the watch, so it may run in another thread.

        :param client: a botocore client
        """

    @abstractmethod
    def answer(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """
        Take an answer, and return the summary if it has ended.

        :param answer: what :meth:`ask` returned
        :raises HealthOmicsApiError: if the id belongs to another one now
        """

    @property
    def may_be_invisible(self) -> bool:
        """Whether it was started so recently that it may not be found yet."""
        return time.monotonic() < self._visible_at

    def recognize(self, item: Mapping[str, Any]) -> bool:
        """
        Take an item of ListRuns with the id of this, and say whether it is this and is active.

        :param item: as ListRuns answers it; its times may be text
        """
        return False

    @property
    def listed_under(self) -> str | None:
        """The status in whose list it should be; None if that is not known, and no status if in none."""
        return "none"

    @property
    def key(self) -> str:
        """The same for those who wait for the same; for a run its id, as ListRuns tells it."""
        return str(self)

    def fail(self, error: Exception, operation: str) -> None:
        """
        Process an error in place of an answer.

        :param error: what a call, or the look-up of the connection, has raised
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
        """Return what to call it."""
        return f"{self.noun} {self.resource_id}"
