# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What has become of each run of a batch, and of the batches that repeated its failed part."""

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

#: The status here of a run that could not be started, or was not yet when its batch was cancelled.
NOT_STARTED: Final = "NOT_STARTED"

#: ListRuns, ListRunsInBatch and GetRun share the account's limits with everybody, and there may be thousands
#: of calls.
_PATIENCE: Final = Config(retries={"mode": "adaptive", "total_max_attempts": 15})

#: Runs whose reason is asked for, and failed runs and messages that a text names.
MAX_REASONS: Final = 100
MAX_EXAMPLES: Final = 5

_NO_REASON: Final = "no reason given"

#: Characters of a message in a text.
MAX_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """
    What has become of one run setting.

    :param run_setting_id: its id
    :param run_id: HealthOmics run id, if a run was started
    :param status: a state of a run, or NOT_STARTED; DELETED if its record is gone
    :param uuid: uuid of the run
    :param stopped: when it ended, if it is listed
    :param reason: why the run was not started, an error code of StartRun
    :param message: the service's words for that
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
        """Whether the run has not ended, as far as its status is known."""
        return self.status not in run_states.TERMINAL | {NOT_STARTED}

    @property
    def is_lost(self) -> bool:
        """Whether a run was started, and nothing says how it ended."""
        return self.status == "DELETED"


def patient_client(hook: HealthOmicsHook) -> Any:
    """Return a client that waits out throttling."""
    return hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(_PATIENCE))


def collect_outcomes(
    client: Any, batch_ids: Iterable[str], use: BatchUsage | None = None
) -> dict[str, RunOutcome]:
    """
    Return the outcome of each run setting, by its id, in the order of the batches.

    Takes a page of ListRuns and one of ListRunsInBatch for each hundred runs.

    A batch that was deleted tells nothing.

    :param client: a botocore client
    :param batch_ids: batches of the same task, the latest last; its word counts
    :param use: takes what all their runs have used, those among them that were repeated
    :raises HealthOmicsResultUnavailableError: if a list is refused
    """
    outcomes: dict[str, RunOutcome] = {}
    for batch_id in batch_ids:
        try:
            outcomes.update(_outcomes_of(client, batch_id, use or BatchUsage()))
        except ClientError as error:
            if is_not_found(error):
                continue
            if is_transient(error):
                raise
            refusal = api_error(error.operation_name, f"batch {batch_id}", error)
            raise HealthOmicsResultUnavailableError(str(refusal)) from error
    return outcomes


def _outcomes_of(client: Any, batch_id: str, use: BatchUsage) -> dict[str, RunOutcome]:
    outcomes = {}
    runs = {}
    for run in _items(client, "list_runs", "items", batchId=batch_id):
        runs[run["id"]] = run
        use.add(run)
    for item in _items(client, "list_runs_in_batch", "runs", batchId=batch_id):
        run_id = item.get("runId") or None
        if run_id and run_id not in runs:
            use.miss()
        run = runs.get(run_id, {})
        outcomes[item["runSettingId"]] = RunOutcome(
            run_setting_id=item["runSettingId"],
            run_id=run_id,
            # A run that is not listed any more was deleted, by a person or by retention mode REMOVE.
            status=run.get("status", "DELETED") if run_id else NOT_STARTED,
            uuid=item.get("runInternalUuid"),
            stopped=run.get("stopTime"),
            reason=item.get("submissionFailureReason"),
            message=item.get("submissionFailureMessage"),
        )
    return outcomes


def find_lost(
    hook: HealthOmicsHook, outcomes: Mapping[str, RunOutcome], batch: Mapping[str, Any], log: Log
) -> dict[str, RunOutcome]:
    """
    Return the outcomes of a batch with the ends of those runs whose record is gone, as far as they are known.

    GetBatch counts them, and the manifest of each is in CloudWatch.

    :param hook: hook of the task's connection
    :param outcomes: of one batch
    :param batch: what GetBatch says of it
    :param log: the task's log
    """
    lost = [outcome for outcome in outcomes.values() if outcome.is_lost]
    if not lost:
        return dict(outcomes)
    if uncounted(outcomes, batch) == len(lost):
        ends: Iterable[tuple[RunOutcome, str]] = ((each, "COMPLETED") for each in lost)
    else:
        asked = lost[:MAX_REASONS]
        found = ((each, recorded_end(hook, str(each.run_id), each.uuid, log)) for each in asked)
        ends = ((each, end["status"]) for each, end in found if end)
    return {**outcomes, **{each.run_setting_id: replace(each, status=status) for each, status in ends}}


def lists_lag(outcomes: Mapping[str, RunOutcome], batch: Mapping[str, Any]) -> bool:
    """
    Whether the lists show fewer completed runs of a batch than GetBatch has counted.

    :param outcomes: of the batch
    :param batch: what GetBatch says of it
    """
    lost = sum(outcome.is_lost for outcome in outcomes.values())
    return uncounted(outcomes, batch) > lost


def uncounted(outcomes: Mapping[str, RunOutcome], batch: Mapping[str, Any]) -> int:
    """
    Return how many completed runs the lists do not show; 0 while the counts are not final.

    :param outcomes: of a batch, as listed
    :param batch: what GetBatch says of it
    """
    if batch.get("status") != "PROCESSED":
        return 0
    counted: int = batch.get("runSummary", {}).get("completedRunCount", 0)
    return counted - sum(outcome.is_success for outcome in outcomes.values())


def count_outcomes(outcomes: Iterable[RunOutcome], total: int) -> dict[str, int]:
    """
    Return how many runs there are of each status.

    :param outcomes: of the runs that HealthOmics lists
    :param total: number of all runs; nobody documents that those are listed which were never submitted
    """
    counts = Counter(outcome.status for outcome in outcomes)
    if (unlisted := total - counts.total()) > 0:
        counts[NOT_STARTED] += unlisted
    return dict(counts)


def manifest_entries(
    client: Any, outcomes: Iterable[RunOutcome], log: Log, *, with_outputs: bool = True
) -> Iterator[dict[str, Any]]:
    """
    Yield what the next task needs of each run: ids, status and, if it completed, where its outputs are.

    That a run is gone meanwhile, or GetRun is denied, costs the latter only.

    :param client: a botocore client
    :param outcomes: of the runs
    :param log: the task's log
    :param with_outputs: whether to ask for ``runOutputUri``, which takes a GetRun for each completed run
    """
    may_ask = True
    for outcome in outcomes:
        entry = {
            "run_setting_id": outcome.run_setting_id,
            "run_id": outcome.run_id,
            "status": outcome.status,
        }
        if with_outputs and outcome.is_success:
            entry["run_output_uri"] = None
        if with_outputs and outcome.is_success and may_ask:
            try:
                entry["run_output_uri"] = client.get_run(id=outcome.run_id).get("runOutputUri")
            except ClientError as error:
                if is_transient(error):
                    raise
                may_ask = is_not_found(error)
                log.warning(
                    "The outputs of run %s could not be asked for: GetRun, %s",
                    outcome.run_id,
                    error_code(error),
                )
        yield entry


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
    Return the lines that tell a person why a batch is no success, and its runs by status.

    :param client: a botocore client
    :param summary: of the batch
    :param outcomes: of all runs that the task wants, as far as HealthOmics lists them
    :param policy: which is not met
    :param log: the task's log
    :param total: number of all runs that the task wants; 0 if nobody knows
    """
    counts = count_outcomes(outcomes, total) if outcomes else counts_of_batch(summary)
    lead = f"HealthOmics batch {summary['id']} ended as {summary['status']}"
    if total:
        completed = counts.get("COMPLETED", 0)
        lead += f": {completed:,} of {total:,} runs completed, and {policy.describe(total)} must"
    lines = [lead]
    if reason := summary.get("failureReason"):
        lines.append(_shorten(reason))
    if outcomes:
        lines += describe_failures(client, outcomes, log, unlisted=total - len(outcomes))
    return "\n".join(lines), counts


def counts_of_batch(summary: Mapping[str, Any]) -> dict[str, int]:
    """
    Return the runs by status as far as GetBatch tells.

    :param summary: what GetBatch answered, or its summary
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
    Return lines that say why runs are missing: counts by reason, and the first few of each kind.

    :param client: a botocore client
    :param outcomes: of all runs that HealthOmics lists
    :param log: the task's log
    :param unlisted: how many more there are
    """
    lines = []
    not_started = [outcome for outcome in outcomes if outcome.status == NOT_STARTED]
    ended = [outcome for outcome in outcomes if outcome.status != NOT_STARTED and not outcome.is_success]
    reasons_not_started = Counter(each.reason or _NO_REASON for each in not_started)
    if unlisted > 0:
        reasons_not_started[_NO_REASON] += unlisted
    for reason, count in reasons_not_started.most_common():
        lines.append(f"{count:,} not started: {reason}")
    # Not the ids of the settings, which may be patients'.
    messages = Counter(_shorten(each.message) for each in not_started if each.message)
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
    may_ask = True
    for outcome in outcomes:
        reason = ""
        if may_ask and outcome.status == "FAILED":
            try:
                reason = client.get_run(id=outcome.run_id).get("failureReason", "")
            except (ClientError, BotoCoreError) as error:
                may_ask = False
                log.warning("Why the runs failed could not be asked for: GetRun, %s", error_code(error))
        yield outcome.run_id, outcome.status, reason


def _items(client: Any, operation: str, key: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 100}, **request):
        yield from page[key]


def _shorten(text: str | None) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]} ..."
