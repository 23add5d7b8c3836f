# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A request in a line of the log, without values of parameters and names that may identify patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

#: Fields that contain an id or name of something that may not exist.
_ID_FIELDS: Final = (
    "workflowId",
    "workflowOwnerId",
    "runId",
    "runGroupId",
    "cacheId",
    "configurationName",
    "sequenceStoreId",
    "referenceStoreId",
)


def describe_start(request: Mapping[str, Any]) -> str:
    """
    Return what a request starts, such as ``a run of workflow 1234567, DYNAMIC storage, outputs below s3://b/c``.

    :param request: fields of StartRun, StartRunBatch or the start of a job
    """
    return ", ".join(_parts({**request.get("defaultRunSetting", {}), **request}))


def describe_ids(request: Mapping[str, Any]) -> str:
    """
    Return the ids in a request, one of which may not exist, in parentheses for an error.

    :param request: fields of StartRun, StartRunBatch or the start of a job
    """
    fields = {**request.get("defaultRunSetting", {}), **request}
    return f" ({', '.join(f'{name} {fields[name]}' for name in _ID_FIELDS if name in fields)})"


def _parts(fields: Mapping[str, Any]) -> Iterator[str]:
    if "sources" in fields:
        store = "sequence" if "sequenceStoreId" in fields else "reference"
        count = len(fields["sources"])
        yield f"a job for {count} source{'s' * (count != 1)} of {store} store {fields[f'{store}StoreId']}"
        if destination := fields.get("destination"):
            yield f"outputs below {destination}"
        return
    if "runId" in fields:
        yield f"a duplicate of run {fields['runId']}"
    else:
        kind = "a batch of runs" if "batchRunSettings" in fields else "a run"
        yield f"{kind} of workflow {fields.get('workflowId')}"
    if version := fields.get("workflowVersionName"):
        yield f"version {version}"
    if storage := fields.get("storageType"):
        capacity = fields.get("storageCapacity")
        yield f"{storage} storage" + (f" of {capacity:,} GiB" if capacity else "")
    if output_uri := fields.get("outputUri"):
        yield f"outputs below {output_uri}"
