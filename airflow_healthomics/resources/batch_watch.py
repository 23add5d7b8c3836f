# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""State of a run batch being polled, updated from responses of GetBatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from airflow_healthomics.exceptions import HealthOmicsBatchReplacedError
from airflow_healthomics.resources.watch import Watch
from airflow_healthomics.service import batch_states
from airflow_healthomics.service.errors import checked_answer, is_not_found

if TYPE_CHECKING:
    from airflow_healthomics.service.log import Log

#: Fields of a summary, by GetBatch's names. Fields with the user's values are omitted.
SUMMARY_FIELDS: Final = (
    "id",
    "arn",
    "uuid",
    "name",
    "status",
    "totalRuns",
    "submissionSummary",
    "runSummary",
    "creationTime",
    "submittedTime",
    "processedTime",
    "failedTime",
    "failureReason",
)

#: Fields of a summary from the batch's default run setting.
_SETTING_FIELDS: Final = ("workflowId", "outputUri")

_TIMES: Final = ("creationTime", "submittedTime", "processedTime", "failedTime")

#: Counts of ended and active runs in a log line, in this order.
_ENDED: Final = (
    ("completedRunCount", "completed"),
    ("failedRunCount", "failed"),
    ("cancelledRunCount", "cancelled"),
)
_ACTIVE: Final = (
    ("stoppingRunCount", "stopping"),
    ("runningRunCount", "running"),
    ("startingRunCount", "starting"),
    ("pendingRunCount", "pending"),
)


def summarize_batch(batch: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the summary of a batch for the next task, as JSON values; absent fields stay absent.

    :param batch: response of GetBatch; times become ISO 8601 text
    """
    setting = batch.get("defaultRunSetting", {})
    summary = {field: setting[field] for field in _SETTING_FIELDS if field in setting}
    summary |= {field: batch[field] for field in SUMMARY_FIELDS if field in batch}
    return {
        field: value.isoformat() if isinstance(value, datetime) else value for field, value in summary.items()
    }


def describe_progress(batch: Mapping[str, Any]) -> str:
    """
    Return the progress of a batch, such as ``9 of 96 runs ended (7 completed, 2 failed), 87 running``.

    :param batch: response of GetBatch
    """
    runs, submission = batch.get("runSummary", {}), batch.get("submissionSummary", {})
    total = batch.get("totalRuns")
    of_total = "" if total is None else f"of {total:,} "
    ended = ", ".join(_words(runs, _ENDED))
    number = sum(runs.get(key, 0) for key, _ in _ENDED)
    parts = [f"{number:,} {of_total}runs ended" + (f" ({ended})" if ended else ""), *_words(runs, _ACTIVE)]
    if failed := submission.get("failedStartSubmissionCount"):
        parts.append(f"{failed:,} not started")
    if pending := submission.get("pendingStartSubmissionCount"):
        parts.append(f"{pending:,} to be started")
    return ", ".join(parts)


def _words(runs: Mapping[str, int], counts: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{runs[key]:,} {word}" for key, word in counts if runs.get(key)]


class BatchWatch(Watch):
    """
    State of a run batch being polled. Logs its status and the counts of its runs when they change.

    :param resource_id: HealthOmics batch id
    :param uuid: uuid of the batch, if known; else it is read from the first response
    :param grace: seconds from now in which a not-found response is ignored, because GetBatch may lag behind
        StartRunBatch
    :param is_deletion: whether the wait is for the deletion of its runs
    :param log: the task's log
    """

    __slots__ = ("_logged", "is_deletion")

    noun = "batch"
    operation = "GetBatch"

    def __init__(
        self,
        resource_id: str,
        *,
        uuid: str | None = None,
        grace: float = 0.0,
        is_deletion: bool = False,
        log: Log,
    ) -> None:
        super().__init__(resource_id, uuid=uuid, grace=grace, log=log)
        self.is_deletion = is_deletion
        self._logged = ""

    def fetch(self, client: Any) -> dict[str, Any] | None:
        """Call GetBatch."""
        try:
            batch: dict[str, Any] = client.get_batch(batchId=self.resource_id)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        checked_answer(self.operation, batch, self.uuid)
        # The poller's client leaves times as text.
        return batch | {
            name: parse_timestamp(batch[name]) for name in _TIMES if isinstance(batch.get(name), str)
        }

    def update(self, answer: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Process a response of GetBatch. The wait continues if the status is unknown to this version."""
        self._succeed()
        if answer is None and self.may_be_invisible:
            return None
        batch = answer or {
            "id": self.resource_id,
            "status": "DELETED",
            "failureReason": "GetBatch does not find the batch. Either it was deleted, or the batch id, the "
            "account or the region is wrong.",
        }
        uuid = batch.get("uuid")
        if self.uuid and uuid and uuid != self.uuid:
            raise HealthOmicsBatchReplacedError(self.resource_id, self.uuid, uuid)
        self.uuid = uuid or self.uuid
        if answer is not None:
            self.grace = 0.0
            self._visible_at = 0.0
        self.status = batch["status"]
        self._log_progress(batch)
        ends = batch_states.DELETION_ENDS if self.is_deletion else batch_states.TERMINAL
        return summarize_batch(batch) if self.status in ends else None

    def _log_progress(self, batch: Mapping[str, Any]) -> None:
        news = f"{batch['status']}: {describe_progress(batch)}"
        if news == self._logged:
            return
        self._logged = news
        if batch["status"] in batch_states.ACTIVE | batch_states.TERMINAL:
            self.log.info("HealthOmics batch %s is %s", self.resource_id, news)
        else:
            self.log.warning(
                "HealthOmics batch %s is %s. This version does not know the status; the wait continues",
                self.resource_id,
                news,
            )
