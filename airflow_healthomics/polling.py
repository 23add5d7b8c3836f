# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Watching runs until they end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics import run_states
from airflow_healthomics.aws_errors import api_error, error_code, is_not_found, is_transient
from airflow_healthomics.exceptions import HealthOmicsRunReplacedError
from airflow_healthomics.hooks import HealthOmicsHook
from airflow_healthomics.run_summary import summarize_run

#: Seconds in which GetRun may not find a run that StartRun has just answered with. AWS documents no such
#: delay, so this is caution: a run is money, and "not found" would end the wait for it.
NEW_RUN_GRACE: Final = 60


class Log(Protocol):
    """What the logs of Airflow's tasks, hooks and triggers have in common, on each version of Airflow."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log a message."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log a warning."""


class RunWatch:
    """
    One run that is waited for, wherever the waiting happens.

    Logs a status when it changes and a failing poll once until polls succeed again. A run is its id and its
    uuid, since AWS may give the id of a deleted run to another one.

    :param hook: hook of the task's connection
    :param run_id: HealthOmics run id
    :param uuid: uuid of the run, if known; else the first answer's
    :param is_new: whether the run was started just now, so that GetRun may not find it yet
    :param log: the task's log
    :ivar run: what HealthOmics answered last
    """

    def __init__(
        self, hook: HealthOmicsHook, run_id: str, *, uuid: str | None = None, is_new: bool = False, log: Log
    ) -> None:
        self.hook = hook
        self.run_id = run_id
        self.uuid = uuid
        self.log = log
        self.run: Mapping[str, Any] | None = None
        self._status: str | None = None
        self._failing = False
        self._may_be_invisible_until = time.monotonic() + (NEW_RUN_GRACE if is_new else 0)

    def poll(self) -> dict[str, Any] | None:
        """
        Ask for the run once, and return its summary if it has ended.

        A status that this version does not know is waited on.

        :raises HealthOmicsApiError: if the call is refused in a way that asking again cannot change
        :raises HealthOmicsRunReplacedError: if the id belongs to another run now
        """
        try:
            self.run = run = self._get_run()
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error):
                raise api_error("GetRun", f"run {self.run_id}", error) from error
            if not self._failing:
                self.log.warning(
                    "GetRun of run %s failed with %s; asking again", self.run_id, error_code(error)
                )
            self._failing = True
            return None
        self._failing = False
        self._note(run["status"])
        return summarize_run(run) if run["status"] in run_states.TERMINAL else None

    def _get_run(self) -> Mapping[str, Any]:
        try:
            run = self.hook.get_run(self.run_id)
        except ClientError as error:
            if not is_not_found(error):
                raise
            if time.monotonic() < self._may_be_invisible_until:
                return {"id": self.run_id, "status": "PENDING"}
            return {
                "id": self.run_id,
                "status": "DELETED",
                "statusMessage": "GetRun does not find the run: it was deleted, by a person or by retention "
                "mode REMOVE, or the run id, the account or the region is not the run's.",
            }
        uuid = run.get("uuid")
        if self.uuid and uuid != self.uuid:
            raise HealthOmicsRunReplacedError(self.run_id, self.uuid, uuid)
        self.uuid = uuid
        self._may_be_invisible_until = 0.0
        return run

    def _note(self, status: str) -> None:
        if status == self._status:
            return
        self._status = status
        if status in run_states.ACTIVE | run_states.TERMINAL:
            self.log.info("HealthOmics run %s is %s", self.run_id, status)
        else:
            self.log.warning(
                "HealthOmics run %s is %s, a status that this version does not know; waiting on",
                self.run_id,
                status,
            )
