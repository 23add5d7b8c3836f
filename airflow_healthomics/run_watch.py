# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of a run that is waited for, and what an answer of HealthOmics means for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from airflow.providers.common.compat.sdk import AirflowException
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_timestamp

from airflow_healthomics import run_states
from airflow_healthomics.aws_errors import (
    api_error,
    error_code,
    is_credentials_error,
    is_not_found,
    is_transient,
)
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRunReplacedError
from airflow_healthomics.run_summary import summarize_run

#: Seconds in which GetRun may not find a run that StartRun has just answered with. AWS documents no such
#: delay, so this is caution: a run is money, and "not found" would end the wait for it.
NEW_RUN_GRACE: Final = 60

#: How often in a row a wait is refused, for want of a permission or of credentials, before that ends it.
MAX_REFUSALS: Final = 3

#: Seconds for which credentials are given time to come back, however often they are refused: a token may be
#: rotated late, and the agent of a host restarts now and then.
CREDENTIALS_PATIENCE: Final = 300

_TIMES: Final = ("creationTime", "startTime", "stopTime")


class Log(Protocol):
    """What the logs of Airflow's tasks, hooks and triggers have in common, on each version of Airflow."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log a message."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log a warning."""


class RunWatch:
    """
    One run that is waited for, wherever the waiting happens.

    Logs a status when it changes, and a failing poll once until polls succeed again. A run is its id and its
    uuid, since AWS may give the id of a deleted run to another one. ListRuns tells no uuid, so there a run is
    its id and its creation time.

    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known; else the first answer's
    :param creation_time: creation time of the run as ISO 8601 text, if known; else the first answer's
    :param new_until: wall time in seconds until which GetRun may not find a run that was started just now
    :param log: the task's log
    :ivar status: status that was seen last; None before the first answer
    :ivar run: what :meth:`poll` was answered last
    """

    __slots__ = (
        "_is_failing",
        "_listed_as",
        "_refusals",
        "_refused_since",
        "_unlike",
        "creation_time",
        "log",
        "new_until",
        "run",
        "run_id",
        "status",
        "uuid",
    )

    def __init__(
        self,
        run_id: str,
        *,
        uuid: str | None = None,
        creation_time: str | None = None,
        new_until: float = 0.0,
        log: Log,
    ) -> None:
        self.run_id = run_id
        self.uuid = uuid
        self.creation_time = datetime.fromisoformat(creation_time) if creation_time else None
        self.new_until = new_until
        self.log = log
        self.status: str | None = None
        self.run: Mapping[str, Any] | None = None
        self._listed_as: Any = None
        self._unlike: Any = None
        self._is_failing = False
        self._refusals = 0
        self._refused_since = 0.0

    def poll(self, client: Any) -> dict[str, Any] | None:
        """
        Ask for the run once, and return its summary if it has ended.

        :param client: a botocore client
        :raises HealthOmicsApiError: if the call is refused for good
        :raises HealthOmicsRunReplacedError: if the id belongs to another run now
        """
        try:
            run = self.ask(client)
        except (ClientError, BotoCoreError) as error:
            is_passing = is_transient(error)
            if not is_passing and self.run is None:
                # Nothing has worked yet, so this is how it was set up.
                raise api_error("GetRun", f"run {self.run_id}", error) from error
            self.fail(error, is_passing=is_passing)
            return None
        summary = self.answer(run)
        self.run = run or {"id": self.run_id, "status": self.status}
        return summary

    def ask(self, client: Any) -> dict[str, Any] | None:
        """
        Make the call, and return what GetRun answers: None for a run that it does not find.

        Touches nothing of the watch, so it may run in another thread.

        :param client: a botocore client
        """
        try:
            run: dict[str, Any] = client.get_run(id=self.run_id)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        # The poller's client leaves times as text.
        return run | {name: parse_timestamp(run[name]) for name in _TIMES if isinstance(run.get(name), str)}

    def answer(self, run: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """
        Take an answer of GetRun, and return the summary if the run has ended.

        A status that this version does not know is waited on.

        :param run: what :meth:`ask` returned
        :raises HealthOmicsRunReplacedError: if the id belongs to another run now
        """
        self._succeed()
        if run is None:
            run = self._missing_run()
        else:
            uuid = run.get("uuid")
            if self.uuid and uuid != self.uuid:
                raise HealthOmicsRunReplacedError(self.run_id, self.uuid, uuid)
            self.uuid = uuid
            self.creation_time = run.get("creationTime")
            self.new_until = 0.0
            # Nobody documents that ListRuns gives a time as exactly as GetRun does.
            self._listed_as, self._unlike = self._unlike or self._listed_as, None
        self._note(run["status"])
        return summarize_run(run) if run["status"] in run_states.TERMINAL else None

    def recognize(self, item: Mapping[str, Any]) -> bool:
        """
        Take an item of ListRuns with the id of the run, and say whether it is this run and is active.

        If not, only GetRun can tell what has become of the run.

        :param item: as ListRuns answers it; its times may be text
        """
        listed_as = item.get("creationTime")
        if listed_as != self._listed_as:
            if self.creation_time is None or parse_timestamp(str(listed_as)) != self.creation_time:
                self._unlike = listed_as
                return False
            self._listed_as = listed_as
        if item["status"] not in run_states.ACTIVE:
            return False
        self._succeed()
        self._note(item["status"])
        return True

    def fail(self, error: Exception, operation: str = "GetRun", *, is_passing: bool) -> None:
        """
        Take an error in place of an answer.

        :param error: what a call, or the look-up of the connection, has raised
        :param operation: name of the call
        :param is_passing: whether the error may pass by itself, so that it is no refusal
        :raises AirflowException: if it is one refusal too many
        """
        if not is_passing and self._is_refused(error):
            if isinstance(error, (ClientError, BotoCoreError)):
                raise api_error(operation, f"run {self.run_id}", error) from error
            if isinstance(error, AirflowException):
                raise error
            raise HealthOmicsApiError(
                f"The Airflow connection cannot be looked up: {error}", error_code(error)
            ) from error
        if not self._is_failing:
            self.log.warning(
                "%s for run %s failed with %s; asking again", operation, self.run_id, error_code(error)
            )
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

    def _missing_run(self) -> dict[str, Any]:
        if time.time() < self.new_until:
            return {"id": self.run_id, "status": "PENDING"}
        return {
            "id": self.run_id,
            "status": "DELETED",
            "statusMessage": "GetRun does not find the run: it was deleted, by a person or by retention mode "
            "REMOVE, or the run id, the account or the region is not the run's.",
        }

    def _note(self, status: str) -> None:
        if status == self.status:
            return
        self.status = status
        if status in run_states.ACTIVE | run_states.TERMINAL:
            self.log.info("HealthOmics run %s is %s", self.run_id, status)
        else:
            self.log.warning(
                "HealthOmics run %s is %s, a status that this version does not know; waiting on",
                self.run_id,
                status,
            )
