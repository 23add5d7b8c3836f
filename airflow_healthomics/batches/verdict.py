# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The verdict on a batch: whether enough of its runs completed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_healthomics.batches.settings import RunSettings
from airflow_healthomics.batches.success_policy import SuccessPolicy, parse_success_policy

if TYPE_CHECKING:
    from airflow_healthomics.batches.result import BatchReview


class BatchVerdict:
    """
    Decides whether enough runs of a batch completed, with those of the batches before it.

    :param review: returns the outcomes of the task's batches
    :param success_policy: as the task has it
    :param settings: the run settings of the task
    """

    def __init__(self, review: Callable[[], BatchReview], success_policy: Any, settings: RunSettings) -> None:
        self._review = review
        self._success_policy = success_policy
        self._settings = settings

    @cached_property
    def policy(self) -> SuccessPolicy:
        """How many runs must complete."""
        return parse_success_policy(self._success_policy)

    def is_success(self, batch: Mapping[str, Any], earlier: Sequence[str]) -> bool:
        """
        Whether the runs of a batch that has ended, and those that needed no repetition, are enough.

        :param batch: GetBatch's response
        :param earlier: ids of the batches before it, a part of which it repeats
        """
        completed = batch.get("runSummary", {}).get("completedRunCount", 0)
        is_met = self.policy.is_met(completed, batch.get("totalRuns", 0))
        # The counts of a batch that is PROCESSED are final.
        if is_met and not earlier and batch["status"] == "PROCESSED":
            return True
        self._settings.read_again()
        return self._review().result(batch, earlier, self._settings.ids).meets(self.policy)
