# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Extras of a task's asset events, for the DAGs that they trigger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_healthomics.compat import Asset, AssetAlias
from airflow_healthomics.service.errors import error_code

if TYPE_CHECKING:
    from airflow_healthomics.compat import Context

#: Extras by kind of resource: name in the answer or summary to name of the extra.
_EXTRAS = {
    "run": {"id": "runId", "uuid": "uuid", "runOutputUri": "runOutputUri", "workflowId": "workflowId"},
    "batch": {"id": "batchId", "uuid": "uuid", "outputUri": "outputUri", "workflowId": "workflowId"},
}

#: Extras of a job of a store, whatever its kind.
_JOB_EXTRAS = {
    "id": "jobId",
    "sequenceStoreId": "sequenceStoreId",
    "referenceStoreId": "referenceStoreId",
    "destination": "destination",
    "read_set_ids": "readSetIds",
    "reference_ids": "referenceIds",
}

#: The field with the folder of the outputs. Of jobs, only exports have one.
_FOLDER = {"run": "runOutputUri", "batch": "outputUri"}
_JOB_FOLDER = "destination"


def emit_event(
    task: Any, context: Context, described: Mapping[str, Any], manifest: str | None = None
) -> None:
    """
    Add a run, batch or job to the asset events of a task's outlets: one event, whatever the number of runs.

    An alias gets an event for the manifest of a batch, or else for the folder of the outputs.

    :param task: operator or sensor that is about to succeed
    :param context: the task's context
    :param described: answer of the start or of GetRun, or a summary
    :param manifest: S3 URI of the manifest of a batch, if there is one
    """
    kind = task.resource_type.noun
    extra = {
        name: described[field]
        for field, name in _EXTRAS.get(kind, _JOB_EXTRAS).items()
        if described.get(field) is not None
    }
    if manifest:
        extra["manifest"] = manifest
    _emit(task, context, extra, manifest or described.get(_FOLDER.get(kind, _JOB_FOLDER)))


def _emit(task: Any, context: Context, extra: Mapping[str, Any], uri: str | None) -> None:
    for outlet in task.outlets:
        if isinstance(outlet, AssetAlias):
            if uri:
                _emit_for_alias(task, context, outlet, uri, extra)
        elif isinstance(outlet, Asset):
            # A custom pre_execute may have added extras.
            context["outlet_events"][outlet].extra.update(extra)
        elif _is_reference(outlet):
            _emit_for_reference(task, context, outlet, extra)


def _emit_for_alias(
    task: Any, context: Context, alias: AssetAlias, uri: str, extra: Mapping[str, Any]
) -> None:
    try:
        context["outlet_events"][alias].add(Asset(uri), extra=dict(extra))
    except ValueError:
        # Airflow 2.11 and 3.0, and any Airflow with MySQL, accept only ASCII. The URI may identify a sample.
        task.log.warning("Asset alias %s gets no event: Airflow refuses the URI", alias.name)


def _emit_for_reference(task: Any, context: Context, reference: Any, extra: Mapping[str, Any]) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        context["outlet_events"][reference].extra.update(extra)
    except AirflowRuntimeError as error:  # Airflow looks up the asset in its API server
        task.log.warning(
            "The asset event of an %s has no extras: looking up the asset failed with %s",
            type(reference).__name__,
            error_code(error),
        )


def _is_reference(outlet: Any) -> bool:
    try:
        from airflow.sdk.definitions.asset import AssetRef
    except ImportError:  # Airflow 2 has no references
        return False
    return isinstance(outlet, AssetRef)
