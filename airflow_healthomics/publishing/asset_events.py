# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a task's asset events tell to the DAGs that are scheduled on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_healthomics.compat import Asset, AssetAlias
from airflow_healthomics.service.errors import error_code

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: What an event tells of a run, by GetRun's names, and as what.
_OF_A_RUN = {"id": "runId", "uuid": "uuid", "runOutputUri": "runOutputUri", "workflowId": "workflowId"}

#: The same of a batch, by names of its summary.
_OF_A_BATCH = {"id": "batchId", "uuid": "uuid", "outputUri": "outputUri", "workflowId": "workflowId"}


def emit_run_event(task: Any, context: Context, run: Mapping[str, Any]) -> None:
    """
    Let the events of a task's outlets tell of a run. An alias gets an event for the run's outputs.

    :param task: operator or sensor that is about to succeed
    :param context: the task's context
    :param run: what StartRun or GetRun answered, or the run's summary
    """
    _tell(task, context, _extra(run, _OF_A_RUN), run.get("runOutputUri"))


def emit_batch_event(
    task: Any, context: Context, batch: Mapping[str, Any], manifest: str | None = None
) -> None:
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
                _tell_alias(task, context, outlet, uri, extra)
        elif isinstance(outlet, Asset):
            # A pre_execute of the user's own may have put something there.
            context["outlet_events"][outlet].extra.update(extra)
        elif _is_reference(outlet):
            _tell_reference(task, context, outlet, extra)


def _tell_alias(task: Any, context: Context, alias: AssetAlias, uri: str, extra: Mapping[str, Any]) -> None:
    try:
        context["outlet_events"][alias].add(Asset(uri), extra=dict(extra))
    except ValueError:
        # Airflow 2.11 and 3.0, or any with MySQL, take ASCII only. The URI may name a sample.
        task.log.warning("The task has no event for its alias %s: Airflow takes no such URI", alias.name)


def _tell_reference(task: Any, context: Context, reference: Any, extra: Mapping[str, Any]) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        context["outlet_events"][reference].extra.update(extra)
    except AirflowRuntimeError as error:  # Airflow asks its API server for the asset
        task.log.warning(
            "The event of the task's %s tells nothing of what was run: %s",
            type(reference).__name__,
            error_code(error),
        )


def _is_reference(outlet: Any) -> bool:
    try:
        from airflow.sdk.definitions.asset import AssetRef
    except ImportError:  # Airflow 2 has no references, and its other outlets are of no asset
        return False
    return isinstance(outlet, AssetRef)
