# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The ends of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from airflow_healthomics.events.ends import DELETED, Candidate, End, EndSource, as_text
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import is_not_found
from airflow_healthomics.service.times import as_time

#: The payload of an event. ``parameters`` and ``tags`` are not in it, since they may identify patients.
PAYLOAD: Final = (
    "runId",
    "uuid",
    "name",
    "status",
    "workflowId",
    "workflowName",
    "runOutputUri",
    "failureReason",
    "startTime",
    "stopTime",
)


class RunEnds(EndSource):
    """The ends of runs, found by ListRuns and confirmed by GetRun."""

    noun = "run"
    terminal = run_states.TERMINAL
    detail_type = "Run Status Change"
    id_field = "runId"
    name_field = "runName"

    def candidates(self, hook: HealthOmicsHook, search: EndSearch, horizon: datetime) -> Iterator[Candidate]:
        """Yield runs that ended after a time. AWS documents no order of ListRuns, so each page is read."""
        for status in sorted(search.statuses):
            for item in hook.list_runs(status=status, run_group_id=search.run_group_id):
                ended = as_time(item.get("stopTime"))
                # A run that was cancelled before it started may have no stop time.
                latest = ended or as_time(item.get("creationTime"))
                if latest is not None and latest >= horizon and search.may_match(item):
                    yield Candidate(item["id"], item, ended)

    def confirm(self, hook: HealthOmicsHook, candidate: Candidate) -> End | None:
        """Confirm by GetRun. A run that no longer exists is confirmed by what was told, if its uuid was."""
        told = candidate.told
        try:
            run: Mapping[str, Any] | None = hook.get_run(candidate.id)
        except ClientError as error:
            if not is_not_found(error):
                raise
            run = None
        if run is not None and told.get("uuid") not in (None, run.get("uuid")):
            # The id belongs to another run now, so the reported run was deleted.
            run = None
        if run is None:
            payload = _payload(told, told, candidate)
            return End(payload, at=candidate.ended) if told.get("uuid") else None
        if run["status"] not in (told["status"], DELETED) or not run.get("uuid"):
            return None
        payload = _payload({**run, "status": told["status"]}, told, candidate)
        return End(payload, run, candidate.ended or as_time(payload["stopTime"]))


def _payload(run: Mapping[str, Any], told: Mapping[str, Any], candidate: Candidate) -> dict[str, Any]:
    values = {
        **run,
        "runId": candidate.id,
        "workflowName": told.get("workflowName"),
        "stopTime": run.get("stopTime") or candidate.ended,
    }
    return {field: as_text(values.get(field)) for field in PAYLOAD}
