# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The report on a batch that has ended, made on a worker or in the triggerer.

The outcomes of 10,000 runs take 200 calls, so a task that waits in the triggerer receives the report with the
event. Airflow logs and stores events, and the ids of run settings may identify patients. Therefore the report
contains none of them. They are in the manifest in S3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from airflow_healthomics.batches.outcomes import (
    RunOutcome,
    count_outcomes,
    describe_shortfall,
)
from airflow_healthomics.batches.success_policy import SuccessPolicy, parse_success_policy
from airflow_healthomics.service import batch_states
from airflow_healthomics.service.log import Log


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """
    The outcomes of the runs, in figures. All fields are JSON values.

    :param counts: number of runs by status
    :param is_success: whether enough runs completed
    :param text: why the batch is no success
    :param successes: number of completed runs
    :param output_uris: source of their output URIs; None if those were not read
    :param usage: figures of all runs; see :meth:`airflow_healthomics.reports.usage.BatchUsage.figures`
    """

    counts: Mapping[str, int]
    is_success: bool
    text: str = ""
    successes: int = 0
    output_uris: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)

    def to_event(self, plan: ReportPlan) -> dict[str, Any]:
        """
        Return the part of an event that carries the report.

        :param plan: what the task needed to know when it deferred
        """
        return {"report": asdict(self), "plan": plan.as_json()}

    @classmethod
    def from_event(cls, event: Mapping[str, Any] | None, plan: ReportPlan) -> BatchReport | None:
        """
        Return the report in an event, or None if there is none that answers the plan.

        :param event: payload of the event
        :param plan: what the resumed task needs to know; the DAG may have been edited meanwhile
        """
        match event:
            case {"report": dict(report), "plan": known} if known == plan.as_json():
                names = {each.name for each in fields(cls)}
                return cls(**report) if report.keys() == names else None
        return None


@dataclass(frozen=True, kw_only=True)
class ReportPlan:
    """
    What a task needs to know about its batch. All fields are JSON values.

    :param success_policy: how many runs must complete, as the task has it
    :param is_started_here: whether the task has started the batch
    :param earlier: ids of the batches whose failed runs it repeats
    :param output_uris: whether to read the output URIs of completed runs
    :param is_last_attempt: whether no retry can repeat the other runs
    :param folder: ``uri`` and ``request_id`` of the S3 folder for the manifest, if there is one
    """

    success_policy: str | float
    is_started_here: bool = False
    earlier: Sequence[str] = ()
    output_uris: bool = False
    is_last_attempt: bool = False
    folder: Mapping[str, str] | None = None

    @property
    def policy(self) -> SuccessPolicy:
        """How many runs must complete."""
        return parse_success_policy(self.success_policy)

    def as_json(self) -> dict[str, Any]:
        """Return the plan for a trigger."""
        return {**asdict(self), "earlier": list(self.earlier)}


def report_on_runs(
    client: Any,
    summary: Mapping[str, Any],
    outcomes: Sequence[RunOutcome],
    policy: SuccessPolicy,
    log: Log,
) -> BatchReport:
    """
    Return the report on a batch that another task has started.

    :param client: a botocore client
    :param summary: of the batch
    :param outcomes: of its runs, as far as they are known
    :param policy: how many runs must complete
    :param log: the task's log
    """
    total = summary.get("totalRuns", 0)
    completed = sum(each.is_success for each in outcomes)
    if summary["status"] in batch_states.MEASURED and policy.is_met(completed, total):
        return BatchReport(counts=count_outcomes(outcomes, total), is_success=True)
    text, counts = describe_shortfall(client, summary, outcomes, policy, log, total=total)
    return BatchReport(counts=counts, is_success=False, text=text)


def has_enough_completed(summary: Mapping[str, Any], policy: SuccessPolicy) -> bool:
    """
    Whether a batch is a success by the counts of GetBatch, so that its runs need not be listed.

    :param summary: of the batch
    :param policy: how many runs must complete
    """
    completed = summary.get("runSummary", {}).get("completedRunCount", 0)
    is_over = summary["status"] in batch_states.MEASURED
    return is_over and policy.is_met(completed, summary.get("totalRuns", 0))
