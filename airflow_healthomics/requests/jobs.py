# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Build and validate the request of a job of a sequence or reference store.

Errors name a source by its index, ``sources[17]``, counted from 0, because its files and names may identify a
patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore import xform_name

from airflow_healthomics.requests.fields import (
    Problems,
    api_field,
    checked_fields,
    checked_id,
    convert_field,
)
from airflow_healthomics.requests.json_values import BrokenTemplate, json_problems, type_name
from airflow_healthomics.requests.run import FROM_SOMEWHERE, without_none
from airflow_healthomics.service.jobs import JobType, key_of


def checked_job_id(operation: str, job_id: Any) -> str:
    """
    Validate the id of a job.

    :param operation: API operation to name in errors
    :param job_id: the argument after rendering
    :raises HealthOmicsRequestError: if it is not an id of a job
    """
    return checked_id(operation, "job_id", job_id)


def checked_store_id(operation: str, job_type: JobType, store_id: Any) -> str:
    """
    Validate the id of a job's store.

    :param operation: API operation to name in errors
    :param job_type: kind of the job
    :param store_id: the argument after rendering
    :raises HealthOmicsRequestError: if it is not an id of a store
    """
    return checked_id(operation, job_type.store_argument, store_id)


def build_job_request(
    job_type: JobType,
    arguments: Mapping[str, Any],
    sources: Any,
    defaults: Mapping[str, Any],
    shape: Any,
) -> dict[str, Any]:
    """
    Build and validate the request of a job.

    :param job_type: kind of the job
    :param arguments: arguments other than the sources, by name; None means not set
    :param sources: a list of mappings for an import, of ids of read sets for an export or an activation
    :param defaults: the connection's defaults; only ``role_arn`` applies
    :param shape: the operation's input shape in botocore, the source of lengths, ranges and enums
    :raises HealthOmicsRequestError: with all problems
    """
    problems = Problems(f"Start{job_type.operation}")
    given = without_none(arguments)
    if "roleArn" in shape.members and defaults.get("role_arn") is not None:
        given.setdefault("role_arn", defaults["role_arn"])
    request = checked_fields(given, shape, problems)
    names = {api_field(name) for name in given}
    for field in shape.required_members:
        if field != "sources" and field not in names:
            advice = f", {FROM_SOMEWHERE}" if field == "roleArn" else ""
            problems.add(f"{xform_name(field)} is required{advice}")
    reader = _SourceReader(job_type, shape.members["sources"], problems)
    request["sources"] = reader.read(sources)
    problems.refuse()
    if "destination" in request:
        # The model's pattern of a destination, shape S3Destination, requires the slash.
        request["destination"] = request["destination"].rstrip("/") + "/"
    return request


def build_job_sources(job_type: JobType, sources: Any, shape: Any) -> list[dict[str, Any]]:
    """
    Build and validate the sources of a job.

    :param job_type: kind of the job
    :param sources: as for :func:`build_job_request`
    :param shape: as for :func:`build_job_request`
    :raises HealthOmicsRequestError: with all problems
    """
    problems = Problems(f"Start{job_type.operation}")
    built = _SourceReader(job_type, shape.members["sources"], problems).read(sources)
    problems.refuse()
    return built


class _SourceReader:
    """
    Validates the sources of a job.

    :param job_type: kind of the job
    :param shape: shape of the list in botocore
    :param problems: collects problems
    """

    def __init__(self, job_type: JobType, shape: Any, problems: Problems) -> None:
        self._job_type = job_type
        self._shape = shape
        self._problems = problems
        #: The argument with the sources.
        self._argument = "read_set_ids" if job_type.key == ("readSetId",) else "sources"
        self._names = {xform_name(field): field for field in shape.member.members}

    def read(self, sources: Any) -> list[dict[str, Any]]:
        """Return the valid parts of the sources, by API name."""
        if unfit := list(self._unfit(sources)):
            self._problems.add(*unfit)
            return []
        positions: dict[str, int] = {}
        fields = []
        for index, source in enumerate(sources):
            path = f"{self._argument}[{index}]"
            if isinstance(source, BrokenTemplate):
                self._problems.add(*json_problems(source, path))
                continue
            fields.append(self._read_set(source, path) if self._is_of_ids else self._source(source, path))
            first = positions.setdefault(key_of(self._job_type, fields[-1]), index)
            if fields[-1] and first != index:
                self._problems.add(f"{path} is the same as {self._argument}[{first}]")
        return fields

    @property
    def _is_of_ids(self) -> bool:
        return self._argument == "read_set_ids"

    def _unfit(self, sources: Any) -> Iterator[str]:
        """Yield reasons why a value is not a list of sources at all."""
        low, high = self._shape.metadata.get("min", 1), self._shape.metadata["max"]
        if sources is None:
            yield f"{self._argument} is required"
        elif isinstance(sources, BrokenTemplate):
            yield from json_problems(sources, self._argument)
        elif not isinstance(sources, Sequence) or isinstance(sources, (str, bytes, bytearray)):
            yield f"{self._argument} must be a list, not {type_name(sources)}"
        elif not low <= len(sources) <= high:
            yield f"{self._argument} must have {low} to {high} elements, not {len(sources):,}"

    def _read_set(self, read_set_id: Any, path: str) -> dict[str, Any]:
        shape = self._shape.member.members["readSetId"]
        converted, complaints = convert_field("read_set_id", read_set_id, shape, path)
        self._problems.add(*complaints)
        return {} if complaints else {"readSetId": converted}

    def _source(self, source: Any, path: str) -> dict[str, Any]:
        if not isinstance(source, Mapping):
            self._problems.add(f"{path} must be a mapping, not {type_name(source)}")
            return {}
        given = self._known(source, self._names, path)
        files = given.pop("source_files", None)
        fields = checked_fields(given, self._shape.member, self._problems, f"{path}.")
        if files is not None:
            fields["sourceFiles"] = self._files(files, f"{path}.source_files")
        self._require(self._shape.member, {*given, *(["source_files"] if files is not None else [])}, path)
        return fields

    def _files(self, files: Any, path: str) -> dict[str, Any]:
        if isinstance(files, BrokenTemplate):
            self._problems.add(*json_problems(files, path))
            return {}
        if not isinstance(files, Mapping):
            self._problems.add(
                f"{path} must be a mapping with source1 and, for paired reads, source2, not "
                f"{type_name(files)}"
            )
            return {}
        shape = self._shape.member.members["sourceFiles"]
        given = self._known(files, {field: field for field in shape.members}, path)
        self._require(shape, given, path)
        return checked_fields(given, shape, self._problems, f"{path}.")

    def _known(self, values: Mapping[Any, Any], names: Mapping[str, str], path: str) -> dict[str, Any]:
        """Return the values that are set and have a known name."""
        for key in values:
            if not isinstance(key, str):
                self._problems.add(f"{path} has a key of type {type(key).__name__} instead of text")
            elif key not in names:
                spelling = next((name for name, field in names.items() if field == key), None)
                advice = f"must be written {spelling}" if spelling else "is unknown"
                self._problems.add(f"{path}.{key} {advice}")
        return {name: values[name] for name in names if values.get(name) is not None}

    def _require(self, shape: Any, given: Any, path: str) -> None:
        names = [xform_name(field) for field in shape.required_members]
        self._problems.add(*(f"{path}.{name} is required" for name in names if name not in given))
