# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Jobs of sequence and reference stores: their kinds, their states, and what their answers mean.

URIs and names of sources identify samples, so a source is known by its index, its status and the id that
HealthOmics gave it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

#: States before the end: botocore model, shapes ReadSetImportJobStatus and the like.
ACTIVE: Final = frozenset({"SUBMITTED", "IN_PROGRESS", "CANCELLING"})

SUCCEEDED: Final = frozenset({"COMPLETED"})

#: Terminal states in which sources are missing. A job that is no longer found counts as DELETED.
FAILED: Final = frozenset({"COMPLETED_WITH_FAILURES", "FAILED", "CANCELLED", "DELETED"})

TERMINAL: Final = SUCCEEDED | FAILED

#: Status of a source that was processed: botocore model, shapes ReadSetImportJobItemStatus and the like.
FINISHED: Final = "FINISHED"

#: The run state that a job state corresponds to, for the task that started the job.
AS_RUN_STATE: Final[Mapping[str, str]] = {
    "SUBMITTED": "PENDING",
    "IN_PROGRESS": "RUNNING",
    "CANCELLING": "STOPPING",
    "CANCELLED": "CANCELLED",
    "COMPLETED": "COMPLETED",
    "COMPLETED_WITH_FAILURES": "FAILED",
    "FAILED": "FAILED",
    "DELETED": "DELETED",
}

#: Fields of a summary, by the names of the API, besides the id of the store.
_SUMMARY_FIELDS: Final = ("id", "status", "statusMessage", "creationTime", "completionTime")

#: Fields of a source with the user's values. A message of HealthOmics may repeat them.
_PRIVATE_FIELDS: Final = (
    "sourceFile",
    "sourceFiles",
    "subjectId",
    "sampleId",
    "name",
    "description",
    "generatedFrom",
    "tags",
)

_S3_URI: Final = re.compile(r"s3://\S+")


class JobType(NamedTuple):
    """
    A kind of job.

    :param noun: what log lines and errors call it
    :param operation: its part of the names of operations, such as ``ReadSetImportJob``
    :param store: field with the id of its store
    :param sources: field of a Get answer with the sources
    :param list_key: field of a List answer with the jobs
    :param key: fields that distinguish a source from the others of a job
    :param result: field of a source with the id that an import gave it; for other jobs the id of its read set
    """

    noun: str
    operation: str
    store: str
    sources: str
    list_key: str
    key: tuple[str, ...]
    result: str = "readSetId"

    @property
    def store_argument(self) -> str:
        """The argument with the id of the store."""
        return f"{self.store.removesuffix('StoreId')}_store_id"

    @property
    def store_noun(self) -> str:
        """What log lines and errors call the store."""
        return f"{self.store.removesuffix('StoreId')} store"


READ_SET_IMPORT: Final = JobType(
    noun="read set import job",
    operation="ReadSetImportJob",
    store="sequenceStoreId",
    sources="sources",
    list_key="importJobs",
    key=("sourceFiles", "sourceFileType", "subjectId", "sampleId"),
)

REFERENCE_IMPORT: Final = JobType(
    noun="reference import job",
    operation="ReferenceImportJob",
    store="referenceStoreId",
    sources="sources",
    list_key="importJobs",
    key=("sourceFile", "name"),
    result="referenceId",
)

READ_SET_EXPORT: Final = JobType(
    noun="read set export job",
    operation="ReadSetExportJob",
    store="sequenceStoreId",
    sources="readSets",
    list_key="exportJobs",
    key=("readSetId",),
)

READ_SET_ACTIVATION: Final = JobType(
    noun="read set activation job",
    operation="ReadSetActivationJob",
    store="sequenceStoreId",
    sources="sources",
    list_key="activationJobs",
    key=("readSetId",),
)

#: The kinds of jobs by noun.
JOB_TYPES: Final[Mapping[str, JobType]] = {
    each.noun: each for each in (READ_SET_IMPORT, REFERENCE_IMPORT, READ_SET_EXPORT, READ_SET_ACTIVATION)
}


def sources_of(job_type: JobType, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Return the sources in a Get answer, by the names of the Start request.

    :param job_type: kind of the job
    :param job: the answer
    """
    # An export has the ids of read sets as "id".
    return [
        {"readSetId": each["id"], **each} if "id" in each else dict(each)
        for each in job.get(job_type.sources, ())
    ]


def key_of(job_type: JobType, source: Mapping[str, Any]) -> str:
    """
    Return what distinguishes a source from the others, equal in the Start request and in Get answers.

    :param job_type: kind of the job
    :param source: a source of either
    """
    return json.dumps([source.get(name) for name in job_type.key], sort_keys=True)


def results_by_key(job_type: JobType, job: Mapping[str, Any]) -> dict[str, str | None]:
    """
    Return the ids of the read sets or references of the processed sources, by :func:`key_of`.

    :param job_type: kind of the job
    :param job: Get answer
    """
    return {
        key_of(job_type, source): source.get(job_type.result)
        for source in sources_of(job_type, job)
        if source.get("status") == FINISHED
    }


def summarize_job(job_type: JobType, job: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the summary of a job for the next task, as JSON values without the user's.

    Each source has its ``index`` in the job, its ``status``, the service's ``statusMessage`` if it was not
    processed, and the id of its read set or reference.

    :param job_type: kind of the job
    :param job: Get answer; times become ISO 8601 text
    """
    sources = sources_of(job_type, job)
    fields = ("id", job_type.store, *_SUMMARY_FIELDS[1:], "destination")
    summary = {field: _json(job[field]) for field in fields if job.get(field) is not None}
    if "statusMessage" in summary:
        summary["statusMessage"] = without_values(summary["statusMessage"], sources)
    summary["sources"] = [
        _summarize_source(job_type, index, source, sources) for index, source in enumerate(sources)
    ]
    return summary


def _summarize_source(
    job_type: JobType, index: int, source: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    summary = {"index": index, "status": source.get("status")}
    if source.get("status") != FINISHED and source.get("statusMessage"):
        summary["statusMessage"] = without_values(source["statusMessage"], sources)
    if source.get(job_type.result):
        summary[job_type.result] = source[job_type.result]
    return summary


def unprocessed(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """
    Return the sources that a job has not processed.

    :param summary: from :func:`summarize_job`
    """
    return [source for source in summary.get("sources", ()) if source["status"] != FINISHED]


def without_values(message: str, sources: Iterable[Mapping[str, Any]]) -> str:
    """
    Return a message of HealthOmics without the values of the sources, which may identify samples.

    A value is replaced by the name of its field, such as ``<sampleId>``.

    :param message: a ``statusMessage``
    :param sources: the sources of the job
    """
    values = {
        text: name for source in sources for name in _PRIVATE_FIELDS for text in _texts(source.get(name))
    }
    # The longest first, since a URI contains the name of its file.
    for text in sorted(values, key=len, reverse=True):
        message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", f"<{values[text]}>", message)
    return _S3_URI.sub("<S3 URI>", message)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a field of a source; for a URI also its key and the name of its file."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, str) and value:
        yield value
        if value.startswith("s3://"):
            key = value.removeprefix("s3://").partition("/")[2]
            yield from {key, key.rpartition("/")[2]} - {""}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
