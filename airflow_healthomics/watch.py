# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What is waited for, wherever the waiting happens."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.aws_errors import api_error, error_code, is_credentials_error, is_transient
from airflow_healthomics.compat import AirflowException
from airflow_healthomics.exceptions import HealthOmicsApiError

#: Seconds in which GetRun may not find a run that StartRun has just answered with, nor GetBatch a batch. AWS
#: documents no such delay, so this is caution: a run is money, and "not found" would end the wait for it.
NEW_GRACE: Final = 60

#: How often in a row a wait is refused, for want of a permission or of credentials, before that ends it.
MAX_REFUSALS: Final = 3

#: Seconds for which credentials are given time to come back, however often they are refused: a token may be
#: rotated late, and the agent of a host restarts now and then.
CREDENTIALS_PATIENCE: Final = 300


class Log(Protocol):
    """What the logs of Airflow's tasks, hooks and triggers have in common, on each version of Airflow."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log a message."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log a warning."""


class Watch(ABC):
    """
    Something that is waited for: what is known of it, and what an answer of HealthOmics means for it.

    Logs a change when it happens, and a failing poll once until polls succeed again.

    :param resource_id: its id
    :param uuid: its uuid, if known; else the first answer's
    :param log: the task's log
    :cvar noun: what it is
    :cvar operation: the call that tells of it
    :ivar status: status that was seen last; None before the first answer
    :ivar latest: what :meth:`poll` was answered last
    """

    __slots__ = (
        "_is_failing",
        "_refusals",
        "_refused_since",
        "latest",
        "log",
        "resource_id",
        "status",
        "uuid",
    )

    noun: ClassVar[str]
    operation: ClassVar[str]

    def __init__(self, resource_id: str, *, uuid: str | None, log: Log) -> None:
        self.resource_id = resource_id
        self.uuid = uuid
        self.log = log
        self.status: str | None = None
        self.latest: Mapping[str, Any] | None = None
        self._is_failing = False
        self._refusals = 0
        self._refused_since = 0.0

    def poll(self, client: Any) -> dict[str, Any] | None:
        """
        Ask once, and return the summary if it has ended.

        :param client: a botocore client
        :raises HealthOmicsApiError: if the call is refused for good, or the id belongs to another one now
        """
        try:
            answer = self.ask(client)
        except (ClientError, BotoCoreError) as error:
            is_passing = is_transient(error)
            if not is_passing and self.latest is None:
                # Nothing has worked yet, so this is how it was set up.
                raise api_error(self.operation, str(self), error) from error
            self.fail(error, self.operation, is_passing=is_passing)
            return None
        summary = self.answer(answer)
        self.latest = answer or {"id": self.resource_id, "status": self.status}
        return summary

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

    def fail(self, error: Exception, operation: str, *, is_passing: bool) -> None:
        """
        Take an error in place of an answer.

        :param error: what a call, or the look-up of the connection, has raised
        :param operation: name of the call
        :param is_passing: whether the error may pass by itself, so that it is no refusal
        :raises AirflowException: if it is one refusal too many
        """
        if not is_passing and self._is_refused(error):
            if isinstance(error, (ClientError, BotoCoreError)):
                raise api_error(operation, str(self), error) from error
            if isinstance(error, AirflowException):
                raise error
            raise HealthOmicsApiError(
                f"The Airflow connection cannot be looked up: {error}", error_code(error)
            ) from error
        if not self._is_failing:
            self.log.warning("%s for %s failed with %s; asking again", operation, self, error_code(error))
        self._is_failing = True

    def _is_refused(self, error: Exception) -> bool:
        """Count a refusal, and say whether it is one too many."""
        if not self._refusals:
            self._refused_since = time.monotonic()
        self._refusals += 1
        patience = CREDENTIALS_PATIENCE if is_credentials_error(error) else 0
        return self._refusals >= MAX_REFUSALS and time.monotonic() - self._refused_since >= patience

    def _succeed(self) -> None:
        self._is_failing = False
        self._refusals = 0

    def __str__(self) -> str:
        """Return what to call it."""
        return f"{self.noun} {self.resource_id}"
