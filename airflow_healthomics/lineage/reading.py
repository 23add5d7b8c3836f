# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Read the lineage of a run or batch from HealthOmics, with optional calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

from airflow_healthomics.compat import conf
from airflow_healthomics.hooks.best_effort import BestEffortClient
from airflow_healthomics.lineage.datasets import Lineage, batch_lineage, common_prefixes, run_lineage


def read_run_lineage(aws: BestEffortClient, run: Mapping[str, Any]) -> Lineage:
    """
    Return the lineage of a run.

    :param aws: optional AWS calls
    :param run: answer of StartRun or GetRun, or a summary of it
    """
    answer = aws.call("omics:GetRun", id=run["id"])
    if answer.get("uuid") != run.get("uuid"):
        # No answer, or a different run that got the same id.
        answer = {}
    whole = {**answer, **run}
    parameters = None
    if inputs_enabled():
        parameters = answer.get("parameters")
        if parameters is None and "runId" in answer:
            # AWS does not document whether GetRun returns the inherited parameters of a duplicate.
            parameters = aws.call("omics:GetRun", id=answer["runId"]).get("parameters")
    return run_lineage(whole, parameters, engine=_engine(aws, whole))


def read_batch_lineage(
    aws: BestEffortClient,
    batch: Mapping[str, Any],
    settings: Callable[[bool], Iterable[Mapping[str, Any]]],
    sheet: str | None,
    manifest: str | None,
) -> Lineage:
    """
    Return the lineage of a batch.

    :param aws: optional AWS calls
    :param batch: answer of StartRunBatch or GetBatch, or a summary of it
    :param settings: returns the run settings, given whether any run is complete
    :param sheet: S3 URI of the sample sheet
    :param manifest: S3 URI of the manifest
    """
    answer = aws.call("omics:GetBatch", batchId=batch["id"])
    if answer.get("uuid") != batch.get("uuid"):
        answer = {}
    common = answer.get("defaultRunSetting", {})
    engine = _engine(aws, common)
    is_any_complete = bool(batch.get("runSummary", {}).get("completedRunCount"))
    own = settings(is_any_complete)
    inputs: Iterable[Any] = ()
    if inputs_enabled():
        inputs = chain([sheet, common.get("parameters")], (each.get("parameters") for each in own))
    outputs: list[Any] = []
    if is_any_complete:
        places = (each.get("outputUri", each.get("output_uri")) for each in own)
        outputs = [common.get("outputUri"), *common_prefixes(places)]
    return batch_lineage({**answer, **batch}, inputs, engine=engine, outputs=[*outputs, manifest])


def _engine(aws: BestEffortClient, run: Mapping[str, Any]) -> str | None:
    if "workflowId" not in run:
        return None
    scope = {"type": run.get("workflowType"), "workflowOwnerId": run.get("workflowOwnerId")}
    given = {name: value for name, value in scope.items() if value}
    return aws.call("omics:GetWorkflow", id=run["workflowId"], **given).get("engine")


def inputs_enabled() -> bool:
    """Whether ``[healthomics] lineage_inputs`` allows inputs in the lineage."""
    return bool(conf.getboolean("healthomics", "lineage_inputs", fallback=True))
