# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The outcome of each run of a batch, including the batches that repeated its failed runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.batches.success_policy import SuccessPolicy
from airflow_healthomics.exceptions import HealthOmicsResultUnavailableError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.reports.usage import BatchUsage
from airflow_healthomics.resources.run_end import recorded_end
from airflow_healthomics.service import run_states
from airflow_healthomics.service.errors import api_error, error_code, is_not_found, is_transient
from airflow_healthomics.service.log import Log
from airflow_healthomics.service.text import shorten
from airflow_healthomics.service.times import as_time

#: Status of a run that could not be started, or whose batch was cancelled before its start.
NOT_STARTED: Final = "NOT_STARTED"

#: Thousands of calls of ListRuns, ListRunsInBatch and GetRun may be necessary, and all callers share the
#: account's limits.
_PATIENCE: Final = Config(retries={"mode": "adaptive", "total_max_attempts": 15})

#: Maximum of ListRuns and ListRunsInBatch.
PAGE_SIZE: Final = 100

#: Failed runs whose reason is fetched, with one GetRun call each.
MAX_REASONS: Final = 100
#: Failed runs and messages to name in a text.
MAX_EXAMPLES: Final = 5

_NO_REASON: Final = "no reason given"

#: Characters of a message in a text.
MAX_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """
    The outcome of one run setting.

    :param run_setting_id: its id
    :param run_id: HealthOmics run id, if a run was started
    :param status: a run state, or NOT_STARTED. DELETED if the run is no longer listed.
    :param uuid: uuid of the run
    :param stopped: stop time, if the run is listed
    :param reason: StartRun error code of a run that was not started
    :param message: HealthOmics message for ``reason``
    """

    run_setting_id: str
    run_id: str | None = None
    status: str = NOT_STARTED
    uuid: str | None = None
    stopped: datetime | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the run completed."""
        return self.status in run_states.SUCCEEDED

    @property
    def is_active(self) -> bool:
        """Whether the run is not in a terminal state."""
        return self.status not in run_states.TERMINAL | {NOT_STARTED}

    @property
    def is_lost(self) -> bool:
        """Whether the run was started, but its outcome is unknown."""
        return self.status == "DELETED"


def patient_client(hook: HealthOmicsHook) -> Any:
    """Return a client that waits out throttling."""
    return hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(_PATIENCE))


def collect_outcomes(
    client: Any, batch_ids: Iterable[str], usage: BatchUsage | None = None
) -> dict[str, RunOutcome]:
    """
    Return the outcome of each run setting, by its id, in the order of the batches.

    Each hundred runs cost one page of ListRuns and one of ListRunsInBatch. A deleted batch has no outcomes.

    :param client: a botocore client
    :param batch_ids: batches of the same task, latest last. The latest outcome of a run setting wins.
    :param usage: collects the usage of all runs, including those that were repeated later
    :raises HealthOmicsResultUnavailableError: if a list is refused
    """
    outcomes: dict[str, RunOutcome] = {}
    for batch_id in batch_ids:
        try:
            outcomes.update(_outcomes_of(client, batch_id, usage or BatchUsage()))
        except ClientError as error:
            if is_not_found(error):
                continue
            if is_transient(error):
                raise
            refusal = api_error(error.operation_name, f"batch {batch_id}", error)
            raise HealthOmicsResultUnavailableError(str(refusal)) from error
    return outcomes


def _outcomes_of(client: Any, batch_id: str, usage: BatchUsage) -> dict[str, RunOutcome]:
    outcomes = {}
    ends: dict[str, tuple[str, datetime | None]] = {}
    for run in _items(client, "list_runs", "items", batchId=batch_id):
        ends[run["id"]] = run.get("status", "DELETED"), as_time(run.get("stopTime"))
        usage.add(run)
    for item in _items(client, "list_runs_in_batch", "runs", batchId=batch_id):
        run_id = item.get("runId") or None
        if run_id and run_id not in ends:
            usage.add_unlisted()
        # Retention mode REMOVE, or somebody, deleted a run that is no longer listed.
        status, stopped = ends.get(run_id, ("DELETED", None)) if run_id else (NOT_STARTED, None)
        outcomes[item["runSettingId"]] = RunOutcome(
            run_setting_id=item["runSettingId"],
            run_id=run_id,
            status=status,
            uuid=item.get("runInternalUuid"),
            stopped=stopped,
            reason=item.get("submissionFailureReason"),
            message=item.get("submissionFailureMessage"),
        )
    return outcomes


def find_lost(
    hook: HealthOmicsHook, outcomes: Mapping[str, RunOutcome], batch: Mapping[str, Any], log: Log
) -> dict[str, RunOutcome]:
    """
    Return the outcomes of a batch, replacing those of deleted runs where possible.

    The counts of GetBatch include deleted runs, and CloudWatch has a manifest of each.

    :param hook: hook of the task's connection
    :param outcomes: of one batch
    :param batch: answer of GetBatch
    :param log: the task's log
    """
    lost = [outcome for outcome in outcomes.values() if outcome.is_lost]
    if not lost:
        return dict(outcomes)
    if uncounted(outcomes, batch) == len(lost):
        ends: Iterable[tuple[RunOutcome, str]] = ((each, "COMPLETED") for each in lost)
    else:
        looked_up = lost[:MAX_REASONS]
        found = ((each, recorded_end(hook, str(each.run_id), each.uuid, log)) for each in looked_up)
        ends = ((each, end["status"]) for each, end in found if end)
    return {**outcomes, **{each.run_setting_id: replace(each, status=status) for each, status in ends}}


def lists_lag(outcomes: Mapping[str, RunOutcome], batch: Mapping[str, Any]) -> bool:
    """
    Whether the lists show fewer completed runs of a batch than GetBatch counts.

    :param outcomes: of the batch
    :param batch: answer of GetBatch
    """
    lost = sum(outcome.is_lost for outcome in outcomes.values())
    return uncounted(outcomes, batch) > lost


def uncounted(outcomes: Mapping[str, RunOutcome], batch: Mapping[str, Any]) -> int:
    """
    Return the number of completed runs that the lists do not show yet; 0 while the counts are not final.

    :param outcomes: of the batch, from the lists
    :param batch: answer of GetBatch
    """
    if batch.get("status") != "PROCESSED":
        return 0
    counted: int = batch.get("runSummary", {}).get("completedRunCount", 0)
    return counted - sum(outcome.is_success for outcome in outcomes.values())


def count_outcomes(outcomes: Iterable[RunOutcome], total: int) -> dict[str, int]:
    """
    Return the number of runs by status.

    :param outcomes: of the listed runs
    :param total: number of all runs. AWS does not document whether runs are listed before their submission.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    if (unlisted := total - counts.total()) > 0:
        counts[NOT_STARTED] += unlisted
    return dict(counts)


def describe_counts(counts: Mapping[str, int]) -> str:
    """
    Return the number of runs by status in words, such as ``38 completed, 2 failed``.

    :param counts: number of runs by status
    """
    words = [f"{count:,} {status.lower().replace('_', ' ')}" for status, count in counts.items() if count]
    return ", ".join(words) or "none"


def manifest_entries(
    outcomes: Iterable[RunOutcome], uris: Mapping[str, str | None] | None = None
) -> list[dict[str, Any]]:
    """
    Return an entry for each run for downstream tasks: ids, status and the URI of its outputs, if completed.

    :param outcomes: of the runs
    :param uris: output URIs by run id; None leaves them out
    """
    return [
        {
            "runSettingId": each.run_setting_id,
            "runId": each.run_id,
            "status": each.status,
            **({"runOutputUri": uris.get(str(each.run_id))} if uris is not None and each.is_success else {}),
        }
        for each in outcomes
    ]


def describe_shortfall(
    client: Any,
    summary: Mapping[str, Any],
    outcomes: Sequence[RunOutcome],
    policy: SuccessPolicy,
    log: Log,
    *,
    total: int,
) -> tuple[str, dict[str, int]]:
    """
    Return a text on the failure of a batch, and the number of its runs by status.

    :param client: a botocore client
    :param summary: of the batch
    :param outcomes: of the listed runs of the task
    :param policy: the unmet policy
    :param log: the task's log
    :param total: number of all runs of the task; 0 if unknown
    """
    counts = count_outcomes(outcomes, total) if outcomes else counts_of_batch(summary)
    lead = f"HealthOmics batch {summary['id']} ended as {summary['status']}"
    if total:
        completed = counts.get("COMPLETED", 0)
        lead += f": {completed:,} of {total:,} runs completed, but success requires {policy.describe(total)}"
    lines = [lead]
    if reason := summary.get("failureReason"):
        lines.append(_on_one_line(reason))
    if outcomes:
        lines += describe_failures(client, outcomes, log, unlisted=total - len(outcomes))
    return "\n".join(lines), counts


def counts_of_batch(summary: Mapping[str, Any]) -> dict[str, int]:
    """
    Return the number of runs by status, from the counts of GetBatch.

    :param summary: answer of GetBatch, or a summary of it
    """
    counts = {
        field.removesuffix("RunCount").upper(): count
        for field, count in summary.get("runSummary", {}).items()
        if count
    }
    if failed := summary.get("submissionSummary", {}).get("failedStartSubmissionCount"):
        counts[NOT_STARTED] = failed
    return counts


def describe_failures(
    client: Any, outcomes: Sequence[RunOutcome], log: Log, *, unlisted: int = 0
) -> list[str]:
    """
    Return lines on runs without success: counts by reason, and a few examples of each kind.

    :param client: a botocore client
    :param outcomes: of the listed runs
    :param log: the task's log
    :param unlisted: number of further runs, which are not listed
    """
    lines = []
    not_started = [outcome for outcome in outcomes if outcome.status == NOT_STARTED]
    ended = [outcome for outcome in outcomes if outcome.status != NOT_STARTED and not outcome.is_success]
    reasons_not_started = Counter(each.reason or _NO_REASON for each in not_started)
    if unlisted > 0:
        reasons_not_started[_NO_REASON] += unlisted
    for reason, count in reasons_not_started.most_common():
        lines.append(f"{count:,} not started: {reason}")
    # Without the ids of the run settings, since they may identify patients.
    messages = Counter(_on_one_line(each.message) for each in not_started if each.message)
    lines += [f"  {message}" for message, _ in messages.most_common(MAX_EXAMPLES)]
    reasons = list(_reasons(client, ended[:MAX_REASONS], log))
    of = f" (of the first {MAX_REASONS})" if len(ended) > MAX_REASONS else ""
    for (status, reason), count in Counter((status, reason) for _, status, reason in reasons).most_common():
        lines.append(f"{count:,} {status}{': ' + reason if reason else ''}{of}")
    lines += [
        f"  run {run_id}: {status}{': ' + reason if reason else ''}"
        for run_id, status, reason in reasons[:MAX_EXAMPLES]
    ]
    return lines


def _reasons(client: Any, outcomes: Iterable[RunOutcome], log: Log) -> Iterator[tuple[str | None, str, str]]:
    may_call = True
    for outcome in outcomes:
        reason = ""
        if may_call and outcome.status == "FAILED":
            try:
                reason = client.get_run(id=outcome.run_id).get("failureReason", "")
            except (ClientError, BotoCoreError) as error:
                may_call = False
                log.warning(
                    "The failure reasons of runs are missing: GetRun failed with %s", error_code(error)
                )
        yield outcome.run_id, outcome.status, reason


def _items(client: Any, operation: str, key: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator(operation).paginate(PaginationConfig={"PageSize": PAGE_SIZE}, **request):
        yield from page[key]


def _on_one_line(text: str) -> str:
    return shorten(" ".join(text.split()), MAX_MESSAGE)
