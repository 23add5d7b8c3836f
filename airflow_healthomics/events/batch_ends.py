# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The ends of run batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from airflow_healthomics.events.ends import DELETED, Candidate, End, EndSource, as_text
from airflow_healthomics.events.search import EndSearch
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service import batch_states
from airflow_healthomics.service.errors import is_not_found
from airflow_healthomics.service.times import as_time

#: The payload of an event.
PAYLOAD: Final = (
    "batchId",
    "uuid",
    "name",
    "status",
    "workflowId",
    "workflowName",
    "totalRuns",
    "failureReason",
    "startTime",
    "stopTime",
)

#: Statuses that HealthOmics has; DELETED is this package's name for a batch that no longer exists.
TERMINAL: Final = batch_states.TERMINAL - {DELETED}

#: How long a batch may take. ListBatch has the creation of a batch but not its end.
_LONGEST: Final = timedelta(days=14)


class BatchEnds(EndSource):
    """The ends of batches, found by ListBatch and confirmed by GetBatch."""

    noun = "batch"
    terminal = TERMINAL
    detail_type = "RunBatch Status Change"
    id_field = "batchId"
    name_field = "batchName"

    def candidates(self, hook: HealthOmicsHook, search: EndSearch, horizon: datetime) -> Iterator[Candidate]:
        """Yield the ended batches that may have ended after a time."""
        for status in sorted(search.statuses):
            for item in hook.list_batches(status=status):
                created = as_time(item.get("createdAt"))
                if created is not None and created >= horizon - _LONGEST and search.may_match(item):
                    yield Candidate(item["id"], {**item, "creationTime": item["createdAt"]})

    def confirm(self, hook: HealthOmicsHook, candidate: Candidate) -> End | None:
        """Confirm by GetBatch. A batch that no longer exists is confirmed by its event."""
        told = candidate.told
        try:
            batch: Mapping[str, Any] | None = hook.get_batch(candidate.id)
        except ClientError as error:
            if not is_not_found(error):
                raise
            batch = None
        if batch is None or told.get("uuid") not in (None, batch.get("uuid")):
            payload = _payload(told, {}, candidate)
            return End(payload, at=candidate.ended) if told.get("uuid") else None
        # A batch that is PROCESSED may be deleted before its event arrives.
        is_later = batch["status"] in batch_states.DELETION and told["status"] in batch_states.MEASURED
        if (batch["status"] != told["status"] and not is_later) or not batch.get("uuid"):
            return None
        payload = _payload({**batch, "status": told["status"]}, told, candidate)
        return End(payload, batch, as_time(payload["stopTime"]) or candidate.ended)


def _payload(batch: Mapping[str, Any], told: Mapping[str, Any], candidate: Candidate) -> dict[str, Any]:
    settings = batch.get("defaultRunSetting") or {}
    total = batch.get("totalRuns")
    values = {
        **batch,
        "batchId": candidate.id,
        "workflowId": batch.get("workflowId") or told.get("workflowId") or settings.get("workflowId"),
        "workflowName": told.get("workflowName"),
        # The counts of an event are text.
        "totalRuns": int(total) if isinstance(total, str) and total.isdigit() else total,
        # In an event, failureReason is a code and failureMessage the text of GetBatch's failureReason.
        "failureReason": batch.get("failureMessage") or batch.get("failureReason"),
        "startTime": batch.get("submittedTime"),
        "stopTime": batch.get("processedTime") or batch.get("failedTime") or candidate.ended,
    }
    return {field: as_text(values.get(field)) for field in PAYLOAD}
