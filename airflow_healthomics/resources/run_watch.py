# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What is known of a run that is waited for, and what an answer of HealthOmics means for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from airflow_healthomics.exceptions import HealthOmicsRunReplacedError
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import checked_answer, is_not_found
from airflow_healthomics.service.log import Log
from airflow_healthomics.service.summaries import summarize_run

_TIMES: Final = ("creationTime", "startTime", "stopTime")


def _parse_time(text: str) -> datetime:
    try:
        # Takes a hundredth of the time that botocore takes, which counts for 10,000 runs.
        return datetime.fromisoformat(text)
    except ValueError:
        parsed: datetime = parse_timestamp(text)
        return parsed


class RunWatch(Watch):
    """
    One run that is waited for.

    Logs a status when it changes. A run is its id and its uuid, since AWS may give the id of a deleted run to
    another one. ListRuns tells no uuid, so there a run is its id and its creation time.

    :param resource_id: HealthOmics run id
    :param uuid: uuid of the run, if known; else the first answer's
    :param creation_time: creation time of the run as ISO 8601 text, if known; else the first answer's
    :param grace: seconds from now in which a not-found response is ignored, as GetRun may lag behind StartRun
    :param is_deletion: whether the wait is for the deletion of the run
    :param log: the task's log
    """

    __slots__ = ("_listed_as", "_unlike", "creation_time", "is_deletion")

    noun = "run"
    operation = "GetRun"

    def __init__(
        self,
        resource_id: str,
        *,
        uuid: str | None = None,
        creation_time: str | None = None,
        grace: float = 0.0,
        is_deletion: bool = False,
        log: Log,
    ) -> None:
        super().__init__(resource_id, uuid=uuid, grace=grace, log=log)
        self.is_deletion = is_deletion
        self.creation_time = datetime.fromisoformat(creation_time) if creation_time else None
        self._listed_as: Any = None
        self._unlike: Any = None

    @property
    def key(self) -> str:
        """The run id."""
        return self.resource_id

    @property
    def listed_under(self) -> str | None:
        """The status that was seen last; a deleted run is in no list."""
        return super().listed_under if self.is_deletion else self.status

    def ask(self, client: Any) -> dict[str, Any] | None:
        """Call GetRun."""
        try:
            run: dict[str, Any] = client.get_run(id=self.resource_id)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        checked_answer(self.operation, run, *(["uuid"] if self.uuid else []))
        # The poller's client leaves times as text.
        return run | {name: _parse_time(run[name]) for name in _TIMES if isinstance(run.get(name), str)}

    def answer(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Take an answer of GetRun; a status that this version does not know is waited on."""
        self._succeed()
        run = answer
        if run is None:
            run = self._missing_run()
        else:
            uuid = run.get("uuid")
            if self.uuid and uuid != self.uuid:
                if self.is_deletion:
                    return summarize_run(self._missing_run())
                raise HealthOmicsRunReplacedError(self.resource_id, self.uuid, uuid)
            self.uuid = uuid
            self.creation_time = run.get("creationTime")
            self.grace = 0.0
            self._visible_at = 0.0
            # Nobody documents that ListRuns gives a time as exactly as GetRun does.
            self._listed_as, self._unlike = self._unlike or self._listed_as, None
        self._note(run["status"])
        ends = {"DELETED"} if self.is_deletion else run_states.TERMINAL
        return summarize_run(run) if run["status"] in ends else None

    def recognize(self, item: Mapping[str, Any]) -> bool:
        """
        Take an item of ListRuns with the id of the run, and say whether it is this run and is active.

        If not, only GetRun can tell what has become of the run.
        """
        listed_as = item.get("creationTime")
        if listed_as != self._listed_as:
            if self.creation_time is None or _parse_time(str(listed_as)) != self.creation_time:
                self._unlike = listed_as
                return False
            self._listed_as = listed_as
        if item["status"] not in run_states.ACTIVE:
            return False
        self._succeed()
        self._note(item["status"])
        return True

    def _missing_run(self) -> dict[str, Any]:
        if self.may_be_invisible:
            return {"id": self.resource_id, "status": "PENDING"}
        return {
            "id": self.resource_id,
            **({"uuid": self.uuid} if self.uuid else {}),
            "status": "DELETED",
            "statusMessage": "GetRun does not find the run. Either it was deleted, by a person or by "
            "retention mode REMOVE, or the run id, the account or the region is wrong.",
        }

    def _note(self, status: str) -> None:
        if status == self.status:
            return
        self.status = status
        if status in run_states.ACTIVE | run_states.TERMINAL:
            self.log.info("HealthOmics run %s is %s", self.resource_id, status)
        else:
            self.log.warning(
                "HealthOmics run %s is %s. This version does not know the status; the wait continues",
                self.resource_id,
                status,
            )
