# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
All runs of a batch for the run page: their settings, states, times and outputs.

Each hundred runs cost a page of ListRunsInBatch, which has the settings, and one of ListRuns, which has the
states. A fetch reads a few pages and continues where the previous one ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from airflow_healthomics.batches.outcomes import NOT_STARTED, PAGE_SIZE, RunOutcome, counts_of_batch
from airflow_healthomics.batches.output_uris import common_template, fill_template
from airflow_healthomics.links import HealthOmicsOutputsLink, run_urls
from airflow_healthomics.run_page.answers import ENDED_SECONDS, PageError
from airflow_healthomics.run_page.calls import Calls
from airflow_healthomics.run_page.payload import is_active_batch
from airflow_healthomics.service import run_states

#: Maximum number of runs to list, and pages of a fetch.
MAX_RUNS: Final = 10_000
MAX_PAGES: Final = 10

#: Seconds until the states of an active batch are read again, and per page of the lists.
REFRESH_SECONDS: Final = 15.0
_SECONDS_PER_PAGE: Final = 2.0
#: Lifetime in seconds of an incomplete list.
_INCOMPLETE_SECONDS: Final = 2.0

#: Completed runs whose output URI is read. Those of the others are derived.
_SAMPLES: Final = 3

#: Bytes of a row in memory, roughly.
_ROW_BYTES: Final = 1_000

#: Status of a run setting whose run is not submitted yet.
WAITING: Final = "WAITING"


@dataclass
class _Pass:
    """
    A pass over a list, page by page.

    :param items: of all passes, by key
    :param token: of the next page
    :param is_over: whether the last page was read
    """

    items: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    token: str | None = None
    is_over: bool = False

    def restart(self) -> None:
        """Begin again, and keep the items until they are read again."""
        self.token, self.is_over = None, False

    def add(self, items: Sequence[Mapping[str, Any]], key: str, token: str | None) -> None:
        """Add a page."""
        self.items.update((item[key], item) for item in items)
        # A repeated token would loop forever.
        self.is_over = token in (None, "", self.token) or len(self.items) >= MAX_RUNS
        self.token = token


@dataclass(kw_only=True, eq=False)
class Progress:
    """
    The runs of a batch, as far as they were read.

    :param settings: items of ListRunsInBatch by run setting
    :param states: items of ListRuns by run
    :param has_states: whether all states were read once
    :param uris: output URIs of a few completed runs
    """

    settings: _Pass = field(default_factory=_Pass)
    states: _Pass = field(default_factory=_Pass)
    has_states: bool = False
    uris: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether both lists were read to their end."""
        return self.settings.is_over and self.states.is_over


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchRuns:
    """
    The runs of a batch.

    :param batch: answer of GetBatch
    :param rows: a row for each run setting
    :param is_complete: whether all were read
    :param as_of: time of the AWS calls
    :param lifetime: in seconds
    :param notices: messages about refused calls
    :param progress: for the next fetch
    """

    batch: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    is_complete: bool
    as_of: datetime
    lifetime: float
    notices: Sequence[str]
    progress: Progress

    @property
    def size(self) -> int:
        """Number of bytes, roughly."""
        return len(self.rows) * _ROW_BYTES


class BatchRunsSource(Calls):
    """Runs of a batch, fetched with the connection of a task."""

    def runs(self, batch_id: str, *, uuid: str | None, latest: BatchRuns | None) -> BatchRuns:
        """
        Fetch some more of the runs, or their states again.

        :param batch_id: HealthOmics batch id
        :param uuid: its uuid, if known
        :param latest: the previous answer
        :raises PageError: if AWS refuses a call
        """
        as_of = datetime.now(UTC)
        batch = self._get_batch(batch_id, uuid)
        active = is_active_batch(batch["status"])
        progress = latest.progress if latest else Progress()
        if latest and progress.is_over and (active or _may_change(latest)):
            progress.states.restart()
            # A run that was submitted keeps its setting.
            if len(progress.settings.items) < batch.get("totalRuns", 0) or any(
                not item.get("runId") for item in progress.settings.items.values()
            ):
                progress.settings.restart()
        pages = self._read(batch_id, progress)
        notices: list[str] = []
        outcomes = _outcomes(progress, active)
        uris = self._output_uris(outcomes, progress, notices) if progress.is_over else progress.uris
        if not progress.is_over:
            lifetime = _INCOMPLETE_SECONDS
        elif active:
            lifetime = max(REFRESH_SECONDS, _SECONDS_PER_PAGE * pages)
        else:
            lifetime = float(ENDED_SECONDS)
        return BatchRuns(
            batch=batch,
            rows=[self._row(each, progress.states.items, uris) for each in outcomes],
            is_complete=progress.has_states,
            as_of=as_of,
            lifetime=lifetime,
            notices=notices,
            progress=progress,
        )

    def _read(self, batch_id: str, progress: Progress) -> int:
        """Read the next pages, and return the number of pages of the whole."""
        settings, states = progress.settings, progress.states
        for _ in range(MAX_PAGES):
            if not settings.is_over:
                request: dict[str, Any] = {"batchId": batch_id, "maxItems": PAGE_SIZE, **_token(settings)}
                with self._calling("ListRunsInBatch", f"batch {batch_id}"):
                    page: Any = self._hook.conn.list_runs_in_batch(**request)
                settings.add(page["runs"], "runSettingId", page.get("nextToken"))
            elif not states.is_over:
                request = {"batchId": batch_id, "maxResults": PAGE_SIZE, **_token(states)}
                with self._calling("ListRuns", f"batch {batch_id}"):
                    page = self._hook.conn.list_runs(**request)
                states.add(page["items"], "id", page.get("nextToken"))
                progress.has_states = progress.has_states or states.is_over
        return 2 * (len(settings.items) // PAGE_SIZE + 1)

    def _output_uris(
        self, outcomes: Sequence[RunOutcome], progress: Progress, notices: list[str]
    ) -> Mapping[str, str | None]:
        """Return the output URIs of completed runs by run; those that a few do not reveal are missing."""
        completed = [each for each in outcomes if each.is_success and each.run_id]
        sample = {each.run_id: each for each in (completed[:1] + completed[len(completed) // 2 :][:1])}
        sample |= {each.run_id: each for each in completed[-1:]}
        for run_id in sample:
            if run_id is None or run_id in progress.uris:
                continue
            progress.uris[run_id] = None
            try:
                with self._calling("GetRun", f"run {run_id}", notices):
                    progress.uris[run_id] = self._hook.get_run(run_id).get("runOutputUri")
            except PageError:
                # A transient error. The list works without the URI.
                del progress.uris[run_id]
                break
        known = [(each, uri) for each in completed if (uri := progress.uris.get(str(each.run_id)))]
        template = common_template(known[-_SAMPLES:])
        if template is None:
            return progress.uris
        return {str(each.run_id): fill_template(template, each) for each in completed} | progress.uris

    def _row(
        self,
        outcome: RunOutcome,
        states: Mapping[str, Mapping[str, Any]],
        uris: Mapping[str, str | None],
    ) -> dict[str, Any]:
        listed = states.get(str(outcome.run_id), {})
        row = {
            "runSettingId": outcome.run_setting_id,
            "id": outcome.run_id,
            "status": outcome.status,
            "failureReason": outcome.reason,
            **{name: listed.get(name) for name in ("creationTime", "startTime", "stopTime")},
        }
        if outcome.is_success and (uri := uris.get(str(outcome.run_id))):
            run = {"id": outcome.run_id, "runOutputUri": uri}
            urls = run_urls(run, self._region, self._hook.conn_partition)
            row |= {"runOutputUri": uri, "outputsUrl": urls[HealthOmicsOutputsLink.key]}
        return {name: value for name, value in row.items() if value}


def _may_change(latest: BatchRuns) -> bool:
    """Whether an answer shows an active batch or run. The lists may lag behind GetBatch."""
    statuses = {row.get("status") for row in latest.rows}
    return is_active_batch(latest.batch["status"]) or not statuses.isdisjoint(run_states.ACTIVE)


def _token(part: _Pass) -> dict[str, str]:
    return {"startingToken": part.token} if part.token else {}


def _outcomes(progress: Progress, active: bool) -> list[RunOutcome]:
    """Return the outcome of each run setting. One whose state is not read yet has the status ''."""
    # A run that is not in the whole list was deleted.
    is_whole = progress.has_states and len(progress.states.items) < MAX_RUNS
    missing = "DELETED" if is_whole else ""
    outcomes = []
    for item in progress.settings.items.values():
        run_id = item.get("runId") or None
        if run_id:
            status = progress.states.items.get(run_id, {}).get("status", missing)
        else:
            status = WAITING if active and item.get("submissionStatus") != "FAILED" else NOT_STARTED
        outcomes.append(
            RunOutcome(
                run_setting_id=item["runSettingId"],
                run_id=run_id,
                status=status,
                uuid=item.get("runInternalUuid"),
                reason=item.get("submissionFailureReason"),
                message=item.get("submissionFailureMessage"),
            )
        )
    return outcomes


def completed_and_lost(batch: Mapping[str, Any]) -> tuple[int, int]:
    """
    Return the number of runs that completed, and of those that ended in another way.

    :param batch: answer of GetBatch
    """
    counts = counts_of_batch(batch)
    lost = sum(counts.get(status, 0) for status in ("FAILED", "CANCELLED", NOT_STARTED))
    return counts.get("COMPLETED", 0), lost
