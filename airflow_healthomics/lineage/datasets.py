# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The lineage of a run or batch: data sets in its parameters, its outputs, and metadata.

Parameter values other than URIs are never included. Data sets follow the naming rules of OpenLineage,
https://github.com/OpenLineage/OpenLineage/blob/main/spec/Naming.md: the namespace is the scheme and authority
of the URI, and the name is its path.
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

#: Input data sets per event. A batch may have 100,000 of them, but consumers of events often accept at most a
#: megabyte.
MAX_INPUTS: Final = 1000

#: Separator of a text that is a list of URIs, a form that Nextflow accepts.
_SEPARATOR: Final = re.compile(r"[,;\s]+(?=(?:s3|omics)://)")

_S3_URI: Final = re.compile(r"(?P<namespace>s3://[A-Za-z0-9][A-Za-z0-9._-]{2,62})(?:/(?P<name>\S*))?")

#: https://docs.aws.amazon.com/omics/latest/dev/workflows-run-inputs.html. A read set is one data set
#: with all its files, and so is a reference with its index.
_OMICS_URI: Final = re.compile(
    r"(?P<namespace>omics://[A-Za-z0-9][A-Za-z0-9.-]{1,253})"
    r"/(?P<name>[0-9]+/(?:readSet|reference)/[0-9]+)(?:/(?:source[12]?|index))?/?"
)

#: Facts of a run: facet name to GetRun name. The status message and the run's name are excluded, because they
#: may identify a sample.
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

#: Facts of a batch: facet name to the name in GetBatch or in its default run setting.
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
    """A data set, named by OpenLineage's rules."""

    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """
    The content of one event.

    :param kind: ``run`` or ``batch``
    :param facts: of the run or batch, by facet name
    :param inputs: data sets it reads
    :param outputs: data sets it wrote
    """

    kind: str
    facts: Mapping[str, Any]
    inputs: tuple[DataSet, ...] = ()
    outputs: tuple[DataSet, ...] = ()


def run_lineage(run: Mapping[str, Any], parameters: Any = None, *, engine: str | None = None) -> Lineage:
    """
    Return the lineage of a run. Only a completed run has outputs.

    :param run: answer of StartRun or GetRun, or a summary of it
    :param parameters: its parameters; None for no inputs
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
    Return the lineage of a batch, without individual runs.

    :param batch: answer of GetBatch, or a summary of it
    :param parameters: values with inputs; they are read only until :data:`MAX_INPUTS` is reached
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
    Return the data sets in the values, up to a maximum, and the fact ``inputsTruncated`` if there are more.

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
    Yield the data sets in a JSON value: texts that are URIs of S3, read sets or references, or lists of
    these.

    A text with any other content is skipped as a whole.

    :param value: for example the parameters of a run
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
    Return, for each bucket, the S3 URI of the innermost common folder.

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
            # The root of a bucket is "/", as in Airflow.
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
