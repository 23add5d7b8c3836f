# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The result of a task's batches: the last one, and earlier ones whose failed runs it repeats."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from airflow_healthomics.batches.outcomes import (
    RunOutcome,
    collect_outcomes,
    count_outcomes,
    find_lost,
    lists_lag,
    patient_client,
    uncounted,
)
from airflow_healthomics.batches.success_policy import SuccessPolicy
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.reports.usage import BatchUsage
from airflow_healthomics.service import batch_states
from airflow_healthomics.service.log import Log
from airflow_healthomics.service.times import as_time

#: Seconds to wait for lists that show fewer completed runs than GetBatch counts. AWS documents no such delay.
#: The counts are final once a batch is PROCESSED.
_LISTS_PATIENCE: Final = 60
_LISTS_INTERVAL: Final = 5


@dataclass(frozen=True)
class BatchResult:
    """
    All runs of a task, and their outcomes.

    :param outcomes: of the listed runs
    :param total: number of all runs
    :param completed: number of completed runs
    """

    outcomes: Sequence[RunOutcome]
    total: int
    completed: int

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of runs by status."""
        return count_outcomes(self.outcomes, self.total)

    def meets(self, policy: SuccessPolicy) -> bool:
        """Whether enough runs completed."""
        return policy.is_met(self.completed, self.total)


class BatchReview:
    """
    Reads the outcomes of a task's batches.

    :param hook: hook of the task's connection
    :param log: the task's log
    :param client: a client that waits out throttling; a new one by default
    :ivar usage: of all runs, including those that were repeated later
    """

    def __init__(self, hook: HealthOmicsHook, log: Log, client: Any = None) -> None:
        self._hook = hook
        self._log = log
        self.client = client or patient_client(hook)
        self.usage = BatchUsage()
        self._known: dict[str, dict[str, RunOutcome]] = {}

    def outcomes(self, batch_ids: Sequence[str]) -> dict[str, RunOutcome]:
        """
        Return the outcome of each run setting of earlier batches.

        :param batch_ids: latest last. The latest outcome of a run setting wins.
        :raises HealthOmicsResultUnavailableError: if a list is refused
        """
        outcomes: dict[str, RunOutcome] = {}
        for batch_id in batch_ids:
            if batch_id not in self._known:
                found = collect_outcomes(self.client, [batch_id], self.usage)
                if any(outcome.is_lost for outcome in found.values()):
                    found = find_lost(self._hook, found, self._hook.get_batch(batch_id), self._log)
                self._known[batch_id] = found
            outcomes.update(self._known[batch_id])
        return outcomes

    def result(
        self, batch: Mapping[str, Any], earlier: Sequence[str], wanted: Set[str] | None
    ) -> BatchResult:
        """
        Return the result of a batch together with the earlier ones that it continues.

        :param batch: answer of GetBatch for the last batch, or a summary of it
        :param earlier: ids of the batches whose failed runs it repeats
        :param wanted: ids of the task's current run settings. If unknown, failed run settings that the last
            batch did not repeat count as removed.
        :raises HealthOmicsResultUnavailableError: if a list is refused
        """
        before, last = self.outcomes(earlier), self._listed(batch)
        if batch["status"] in batch_states.MEASURED:
            last = self._known[batch["id"]] = find_lost(self._hook, last, batch, self._log)
        # The lists may lag behind GetBatch.
        unlisted = max(0, uncounted(last, batch))
        if wanted is not None:
            outcomes = {key: each for key, each in {**before, **last}.items() if key in wanted}
            completed = sum(each.is_success for each in outcomes.values())
            completed += unlisted if last.keys() <= wanted else 0
            return BatchResult(list(outcomes.values()), len(wanted), completed)
        if last:
            began = as_time(batch.get("creationTime"))
            before = {
                key: each for key, each in before.items() if key in last or not _was_removed(each, began)
            }
        outcomes = {**before, **last}
        done = sum(each.is_success for key, each in before.items() if key not in last)
        completed = sum(each.is_success for each in outcomes.values()) + unlisted
        total = max(len(outcomes), done + batch.get("totalRuns", 0))
        return BatchResult(list(outcomes.values()), total, completed)

    def _listed(self, batch: Mapping[str, Any]) -> dict[str, RunOutcome]:
        """Return the outcomes of the last batch. Wait until the lists agree with the counts of GetBatch."""
        retrying = Retrying(
            retry=retry_if_result(lambda answer: lists_lag(answer[0], batch)),
            stop=stop_after_delay(_LISTS_PATIENCE),
            wait=wait_fixed(_LISTS_INTERVAL),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        outcomes, self.usage = retrying(self._collect, batch["id"])
        if lists_lag(outcomes, batch):
            self._log.warning(
                "ListRuns shows fewer completed runs of batch %s than GetBatch counts, so XComs and manifest "
                "are incomplete",
                batch["id"],
            )
        return outcomes

    def _collect(self, batch_id: str) -> tuple[dict[str, RunOutcome], BatchUsage]:
        usage = copy.deepcopy(self.usage)
        return collect_outcomes(self.client, [batch_id], usage), usage


def _was_removed(outcome: RunOutcome, began: datetime | None) -> bool:
    """Whether the next batch started without a run setting that had no success by then."""
    if outcome.is_success or outcome.is_active:
        return False
    return outcome.stopped is None or began is None or outcome.stopped <= began
