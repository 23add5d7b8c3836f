# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""State of a run being polled, updated from responses of GetRun and ListRuns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from airflow_healthomics.exceptions import HealthOmicsRunReplacedError
from airflow_healthomics.resources.watch import ListFilter, Watch
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import checked_answer, is_not_found
from airflow_healthomics.service.summaries import summarize_run

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log

_TIMES: Final = ("creationTime", "startTime", "stopTime")

#: Filters of ListRuns, which GetRun returns under the same names, the narrowest first. Only runs with equal
#: names share a list, because AWS does not document that the filter accepts a prefix.
_FILTERS: Final = ("batchId", "runGroupId", "name")


def _parse_time(text: str) -> datetime:
    try:
        # A hundred times faster than botocore, which matters for 10,000 runs.
        return datetime.fromisoformat(text)
    except ValueError:
        parsed: datetime = parse_timestamp(text)
        return parsed


class RunWatch(Watch):
    """
    State of a run being polled. Logs its status when it changes.

    A run is identified by id and uuid, because AWS may give the id of a deleted run to another run. ListRuns
    does not return the uuid, so in lists a run is identified by id and creation time.

    :param resource_id: HealthOmics run id
    :param uuid: uuid of the run, if known; else it is read from the first response
    :param creation_time: creation time of the run as ISO 8601 text, if known; else it is read from the first
        response
    :param grace: seconds from now in which a not-found response is ignored, because GetRun may lag behind
        StartRun
    :param is_deletion: whether the wait is for the deletion of the run
    :param list_filter: the narrowest filter of ListRuns that the run matches, if known; else it is read from
        the first response of GetRun
    :param log: the task's log
    """

    __slots__ = ("_listed_as", "_unlike", "creation_time", "is_deletion", "list_filter")

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
        list_filter: ListFilter | None = None,
        log: Log,
    ) -> None:
        super().__init__(resource_id, uuid=uuid, grace=grace, log=log)
        self.is_deletion = is_deletion
        self.list_filter: ListFilter | None = list_filter
        self.creation_time = datetime.fromisoformat(creation_time) if creation_time else None
        self._listed_as: Any = None
        self._unlike: Any = None

    @property
    def key(self) -> str:
        """The run id."""
        return self.resource_id

    @property
    def list_status(self) -> str | None:
        """
        The last known status.

        A wait for a deletion uses no list, because a deleted run is in none. Neither does a wait for a run
        whose creation time is unknown, because nothing else in a list identifies it.
        """
        return super().list_status if self.is_deletion or self.creation_time is None else self.status

    def fetch(self, client: Any) -> dict[str, Any] | None:
        """Call GetRun."""
        try:
            run: dict[str, Any] = client.get_run(id=self.resource_id)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        checked_answer(self.operation, run, self.uuid)
        # The poller's client leaves times as text.
        return run | {name: _parse_time(run[name]) for name in _TIMES if isinstance(run.get(name), str)}

    def update(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Process a response of GetRun. The wait continues if the status is unknown to this version."""
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
            self.list_filter = next(((name, run[name]) for name in _FILTERS if run.get(name)), None)
            self.grace = 0.0
            self._visible_at = 0.0
            # AWS does not document that ListRuns returns times as precisely as GetRun.
            self._listed_as, self._unlike = self._unlike or self._listed_as, None
        self._set_status(run["status"])
        ends = {"DELETED"} if self.is_deletion else run_states.TERMINAL
        return summarize_run(run) if run["status"] in ends else None

    def update_from_list(self, item: Mapping[str, Any]) -> bool:
        """
        Process an item of ListRuns with this run's id. Return whether it is this run and active.

        If not, GetRun must confirm the status of the run.
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
        self._set_status(item["status"])
        return True

    def _missing_run(self) -> dict[str, Any]:
        if self.may_be_invisible:
            return {"status": "PENDING"}
        return {
            "id": self.resource_id,
            **({"uuid": self.uuid} if self.uuid else {}),
            "status": "DELETED",
            "statusMessage": "GetRun does not find the run. Either it was deleted, by a person or by "
            "retention mode REMOVE, or the run id, the account or the region is wrong.",
        }

    def _set_status(self, status: str) -> None:
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
