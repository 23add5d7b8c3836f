# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The read sets of the sequence stores."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import (
    HealthOmicsError,
    ResourceNotFoundException,
    ValidationException,
    error_of,
)
from airflow_healthomics.testing.omics.listing import page

from . import events
from .changes import PlannedChange
from .files import StoredFile, file_of
from .filters import matches
from .read_set import ALIGNED, ReadSet
from .reference_stores import ReferenceStores
from .s3_access import publish, withdraw
from .sequence_store import SequenceStore
from .sequence_stores import SequenceStores

#: Filters of ListReadSets by equality.
EQUAL = ("status", "referenceArn", "sampleId", "subjectId", "generatedFrom", "creationType")
#: Suffixes of the indexes of aligned formats.
INDEXES: Mapping[str, str] = {"BAM": "bai", "CRAM": "crai"}


class ReadSets:
    """The read sets."""

    def __init__(self, backend: Backend, stores: SequenceStores, references: ReferenceStores) -> None:
        self._backend = backend
        self._stores = stores
        self._references = references

    # --- operations ---

    def get_read_set(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a part of a file of an ACTIVE read set, which counts as a use of it."""
        read_set = self.find(params["sequenceStoreId"], params["id"])
        check_active(read_set)
        name = params.get("file", "SOURCE1")
        file = read_set.files.get(name.lower())
        if file is None:
            raise error_of(LOCAL.options.missing_file_error, f"Read set {read_set.id} has no {name}")
        part = file.part(params["partNumber"])
        read_set.used = LOCAL.clock.now()
        return {"payload": part}

    def get_read_set_metadata(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a read set, without its tags."""
        return self.find(params["sequenceStoreId"], params["id"]).view()

    def list_read_sets(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the read sets of a store."""
        return page(
            self._stores.find(params["sequenceStoreId"]).read_sets.values(),
            params,
            key=lambda read_set: int(read_set.id),
            item=ReadSet.item,
            wanted=lambda read_set: matches(params, read_set.fields(), EQUAL),
            result_member="readSets",
            token_member="nextToken",
        )

    def batch_delete_read_set(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Delete read sets, and return an error for each that does not exist."""
        self._stores.find(params["sequenceStoreId"])
        errors = []
        for read_set_id in params["ids"]:
            try:
                read_set = self.find(params["sequenceStoreId"], read_set_id)
            except HealthOmicsError as error:
                errors.append({"id": read_set_id, "code": error.code, "message": error.message})
                continue
            del self._stores.find(read_set.store_id).read_sets[read_set.id]
            self.enter(read_set, "DELETED", LOCAL.clock.now())
        return {"errors": errors}

    # --- for jobs, uploads and the control ---

    def __iter__(self) -> Iterator[ReadSet]:
        for store in self._stores:
            yield from list(store.read_sets.values())

    def find(self, store_id: str, read_set_id: str) -> ReadSet:
        """Return a read set of a store."""
        read_sets = self._stores.find(store_id).read_sets
        if read_set_id not in read_sets:
            raise ResourceNotFoundException(f"Read set {read_set_id} of store {store_id} not found")
        return read_sets[read_set_id]

    def check_source(self, source: Mapping[str, Any]) -> None:
        """
        Require that an aligned source has a reference, and that the reference exists.

        "Aligned read sets require a reference genome" (user guide, page "create-sequence-store"). AWS does
        not document the error; here it is ValidationException.
        """
        if source["sourceFileType"] in ALIGNED and "referenceArn" not in source:
            raise ValidationException(f"referenceArn is required for {source['sourceFileType']}")
        self._references.check_reference(source.get("referenceArn"))

    def add(
        self,
        store: SequenceStore,
        request: Mapping[str, Any],
        files: Mapping[str, StoredFile],
        at: float,
        *,
        creation_type: str,
        job_id: str | None = None,
        status: str = "ACTIVE",
    ) -> ReadSet:
        """Add a read set. The content of an index is made up."""
        read_set_id = self._backend.new_storage_id()
        if len({file.name for file in files.values()}) < len(files):
            files = {key: replace(file, name=_unique(file.name, key)) for key, file in files.items()}
        suffix = INDEXES.get(request["sourceFileType"])
        if suffix is not None:
            name = f"{files['source1'].name}.{suffix}"
            files = {**files, "index": file_of(f"index of {name}\n".encode(), name)}
        read_set = store.read_sets[read_set_id] = ReadSet(
            id=read_set_id,
            arn=f"{store.arn}/readSet/{read_set_id}",
            store_id=store.id,
            request=request,
            created=at,
            creation_type=creation_type,
            files=files,
            family=store.family,
            prefix=f"{store.uri}readSet/{read_set_id}/",
            used=at,
            job_id=job_id,
        )
        self.enter(read_set, status, at)
        return read_set

    def enter(self, read_set: ReadSet, status: str, at: float, message: str | None = None) -> None:
        """
        Move a read set to a status.

        An ACTIVE one has objects in S3, and is archived once it was not used for some time.
        """
        if read_set.published:
            withdraw(read_set, self._backend)
        read_set.published = status == "ACTIVE"
        read_set.status, read_set.message = status, message
        events.announce(
            "Read Set",
            (self._backend.account_id, self._backend.region_name),
            at,
            resource=read_set.arn,
            arn=read_set.arn,
            id=read_set.id,
            sequenceStoreId=read_set.store_id,
            creationJobId=read_set.job_id,
            status=status,
            statusMessage=message,
        )
        if read_set.published:
            read_set.used = at
            publish(read_set, self._backend)
            self._backend.schedule.add(
                PlannedChange(
                    at,
                    lambda options: options.read_set_archive_seconds,
                    lambda at: self._archive_unused(read_set, at),
                )
            )

    def archive(self, read_set: ReadSet, at: float) -> None:
        """Archive an ACTIVE read set."""
        if read_set.status == "ACTIVE":
            self.enter(read_set, "ARCHIVED", at)

    def _archive_unused(self, read_set: ReadSet, at: float) -> float | None:
        """Archive a read set, or return the time of its last use to look again later."""
        unused = LOCAL.options.read_set_archive_seconds
        if unused is not None and read_set.status == "ACTIVE" and read_set.used + unused > at:
            return read_set.used
        self.archive(read_set, at)
        return None


def check_active(read_set: ReadSet) -> None:
    """Require an ACTIVE read set: "To access archived data, you can reactivate it" (user guide)."""
    if read_set.status != "ACTIVE":
        raise error_of(
            LOCAL.options.inactive_error, f"Read set {read_set.id} is {read_set.status}, not ACTIVE"
        )


def _unique(name: str, key: str) -> str:
    """Return a name with its source before the extension (user guide, page "s3-access")."""
    extension = next((each for each in (".fastq.gz", ".fq.gz") if name.endswith(each)), "")
    stem, suffix = (name.removesuffix(extension), extension) if extension else posixpath.splitext(name)
    return f"{stem}_{key}{suffix}"
