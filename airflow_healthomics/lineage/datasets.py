# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
What OpenLineage is told of a run or batch: the data sets among its parameters, its outputs, and facts of it.

Values of parameters that are no URIs never get here. Data sets are named as OpenLineage's naming rules say,
https://github.com/OpenLineage/OpenLineage/blob/main/spec/Naming.md: the namespace is the URI's scheme and
authority, and the name is its path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from airflow_healthomics.service import run_states
from airflow_healthomics.service.times import as_time, seconds_between

#: Input data sets of one event. A batch may have a hundred thousand of them, and what receives events often
#: takes no more than a megabyte.
MAX_INPUTS: Final = 1000

#: The parts of a text that is a list of URIs, as Nextflow takes it.
_SEPARATOR: Final = re.compile(r"[,;\s]+(?=(?:s3|omics)://)")

_S3_URI: Final = re.compile(r"(?P<namespace>s3://[A-Za-z0-9][A-Za-z0-9._-]{2,62})(?:/(?P<name>\S*))?")

#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-inputs.html. A read set is one data set,
#: whichever of its files a workflow reads, and so is a reference with its index.
_OMICS_URI: Final = re.compile(
    r"(?P<namespace>omics://[A-Za-z0-9][A-Za-z0-9.-]{1,253})"
    r"/(?P<name>[0-9]+/(?:readSet|reference)/[0-9]+)(?:/(?:source[12]?|index))?/?"
)

#: Facts of a run, by names of the facet, and GetRun's names for them. The status message is not among them,
#: as it may name a sample; nor is the run's name, which is the user's own.
_RUN_FACTS: Final[Mapping[str, str]] = {
    "runId": "id",
    "uuid": "uuid",
    "arn": "arn",
    "status": "status",
    "failureReason": "failureReason",
    "duplicateOf": "runId",
    "batchId": "batchId",
    "runGroupId": "runGroupId",
    "cacheId": "cacheId",
    "workflowId": "workflowId",
    "workflowUuid": "workflowUuid",
    "workflowType": "workflowType",
    "workflowVersionName": "workflowVersionName",
    "digest": "digest",
    "engine": "engine",
    "engineVersion": "engineVersion",
    "storageType": "storageType",
    "storageCapacity": "storageCapacity",
    "creationTime": "creationTime",
    "startTime": "startTime",
    "stopTime": "stopTime",
}

#: The same for a batch, by GetBatch's names and those of its default run setting.
_BATCH_FACTS: Final[Mapping[str, str]] = {
    "batchId": "id",
    "uuid": "uuid",
    "arn": "arn",
    "status": "status",
    "totalRuns": "totalRuns",
    "runSummary": "runSummary",
    "submissionSummary": "submissionSummary",
    "runGroupId": "runGroupId",
    "cacheId": "cacheId",
    "workflowId": "workflowId",
    "workflowType": "workflowType",
    "workflowVersionName": "workflowVersionName",
    "engine": "engine",
    "storageType": "storageType",
    "storageCapacity": "storageCapacity",
    "creationTime": "creationTime",
    "submittedTime": "submittedTime",
    "processedTime": "processedTime",
}


class DataSet(NamedTuple):
    """A data set by OpenLineage's naming rules."""

    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """
    What one event tells.

    :param kind: of what it tells, ``run`` or ``batch``
    :param facts: of the run or batch, by names of its facet
    :param inputs: data sets that it reads
    :param outputs: data sets that it has written
    """

    kind: str
    facts: Mapping[str, Any]
    inputs: tuple[DataSet, ...] = ()
    outputs: tuple[DataSet, ...] = ()


def run_lineage(run: Mapping[str, Any], parameters: Any = None, *, engine: str | None = None) -> Lineage:
    """
    Return what there is to tell of a run. Only one that completed has outputs.

    :param run: its summary, or what StartRun or GetRun answered
    :param parameters: its parameters; None leaves the inputs out
    :param engine: of its workflow, if known
    """
    inputs, more = bounded_inputs([parameters])
    facts = _facts({**run, "engine": engine}, _RUN_FACTS)
    return Lineage(
        kind="run",
        facts={**facts, **_duration(run, "startTime", "stopTime"), **more},
        inputs=inputs,
        outputs=tuple(data_sets(run.get("runOutputUri"))) if _is_success(run) else (),
    )


def batch_lineage(
    batch: Mapping[str, Any],
    parameters: Iterable[Any] = (),
    *,
    engine: str | None = None,
    outputs: Iterable[Any] = (),
) -> Lineage:
    """
    Return what there is to tell of a batch: where its runs' outputs lie, but not of each run.

    :param batch: its summary, or what GetBatch answered
    :param parameters: what its inputs are among; they are read as far as :data:`MAX_INPUTS` reaches
    :param engine: of its workflow, if known
    :param outputs: S3 URIs
    """
    inputs, more = bounded_inputs(parameters)
    setting = batch.get("defaultRunSetting", {})
    facts = _facts({**setting, **batch, "engine": engine}, _BATCH_FACTS)
    return Lineage(
        kind="batch",
        facts={**facts, **_duration(batch, "creationTime", "processedTime"), **more},
        inputs=inputs,
        outputs=tuple(dict.fromkeys(each for uri in outputs for each in data_sets(uri))),
    )


def bounded_inputs(values: Iterable[Any]) -> tuple[tuple[DataSet, ...], dict[str, Any]]:
    """
    Return the first data sets among some values, and the fact that there are more of them, if so.

    :param values: JSON values
    """
    found: dict[DataSet, None] = {}
    for each in (each for value in values for each in data_sets(value)):
        found[each] = None
        if len(found) > MAX_INPUTS:
            return tuple(islice(found, MAX_INPUTS)), {"inputsTruncated": True}
    return tuple(found), {}


def data_sets(value: Any) -> Iterator[DataSet]:
    """
    Yield the data sets that a JSON value names: texts in it that are S3 URIs, or those of read sets and
    references, or a list of such. A text that has anything else in it is left out as a whole.

    :param value: such as a run's parameters
    """
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield from _uris(each)
        elif isinstance(each, Mapping):
            rest.extend(reversed(list(each.values())))
        elif isinstance(each, (list, tuple)):
            rest.extend(reversed(each))


def common_prefixes(uris: Iterable[Any]) -> list[str]:
    """
    Return the S3 URI of the innermost folder that has all that lies in a bucket, for each bucket.

    :param uris: S3 URIs
    """
    folders: dict[str, list[str]] = {}
    for namespace, name in (each for uri in uris for each in data_sets(uri)):
        parts = name.split("/")
        known = folders.setdefault(namespace, parts)
        same = next((n for n, (a, b) in enumerate(zip(known, parts, strict=False)) if a != b), None)
        folders[namespace] = known[: min(len(known), len(parts)) if same is None else same]
    return ["/".join([namespace, *parts]) for namespace, parts in folders.items()]


def _uris(text: str) -> Iterator[DataSet]:
    parts = [_S3_URI.fullmatch(part) or _OMICS_URI.fullmatch(part) for part in _SEPARATOR.split(text.strip())]
    if not all(parts):
        return
    for part in parts:
        if part:
            # A bucket's root is "/", as Airflow names it too.
            yield DataSet(part["namespace"], (part["name"] or "").strip("/") or "/")


def _facts(source: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found = {fact: source.get(name) for fact, name in names.items()}
    return {
        fact: value.isoformat() if isinstance(value, datetime) else value
        for fact, value in found.items()
        if value is not None
    }


def _duration(source: Mapping[str, Any], begin: str, end: str) -> dict[str, float]:
    seconds = seconds_between(as_time(source.get(begin)), as_time(source.get(end)))
    return {} if seconds is None else {"durationSeconds": seconds}


def _is_success(run: Mapping[str, Any]) -> bool:
    return run.get("status") in run_states.SUCCEEDED
