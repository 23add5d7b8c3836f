# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task's asset events tell to the DAGs that are scheduled on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: What an event tells of a run, by GetRun's names, and as what.
_OF_A_RUN = {"id": "runId", "uuid": "uuid", "runOutputUri": "runOutputUri", "workflowId": "workflowId"}

#: The same of a batch, by names of its summary.
_OF_A_BATCH = {"id": "batchId", "uuid": "uuid", "outputUri": "outputUri", "workflowId": "workflowId"}


def tell_run(task: Any, context: Context, run: Mapping[str, Any]) -> None:
    """
    Let the events of a task's outlets tell of a run. An alias gets an event for the run's outputs.

    :param task: operator or sensor that is about to succeed
    :param context: the task's context
    :param run: what StartRun or GetRun answered, or the run's summary
    """
    _tell(task, context, _extra(run, _OF_A_RUN), run.get("runOutputUri"))


def tell_batch(task: Any, context: Context, batch: Mapping[str, Any], manifest: str | None = None) -> None:
    """
    Let the events of a task's outlets tell of a batch: one event, however many runs.

    An alias gets an event for the manifest, or else for the folder of the outputs.

    :param task: operator or sensor that is about to succeed
    :param context: the task's context
    :param batch: the batch's summary, or what StartRunBatch answered
    :param manifest: S3 URI of the manifest, if there is one
    """
    extra = _extra(batch, _OF_A_BATCH)
    if manifest:
        extra["manifest"] = manifest
    _tell(task, context, extra, manifest or batch.get("outputUri"))


def _extra(source: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {name: source[field] for field, name in names.items() if source.get(field) is not None}


def _tell(task: Any, context: Context, extra: Mapping[str, Any], uri: str | None) -> None:
    for outlet in task.outlets:
        if isinstance(outlet, AssetAlias):
            if uri:
                context["outlet_events"][outlet].add(Asset(uri), extra=dict(extra))
        elif _is_asset(outlet):
            # A pre_execute of the user's own may have put something there.
            context["outlet_events"][outlet].extra.update(extra)


def _is_asset(outlet: Any) -> bool:
    if isinstance(outlet, Asset):
        return True
    try:
        from airflow.sdk.definitions.asset import AssetRef
    except ImportError:  # Airflow 2 has no references, and its other outlets are of no asset
        return False
    return isinstance(outlet, AssetRef)
