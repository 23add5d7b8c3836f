# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""References, and the jobs that import them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import (
    RangeNotSatisfiableException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    ValidationException,
    error_of,
)
from airflow_healthomics.testing.omics.listing import page

from . import events
from .files import file_of, imported_file
from .filters import matches
from .job import Job, Source, SourceError
from .jobs import Jobs
from .reference_stores import Reference, ReferenceStores
from .sources import check_fasta, check_source

_RANGE = re.compile(r"(\d*)-(\d*)")


class References:
    """
    The references and their import jobs.

    :param users: Returns the ARNs of the references that read sets use.
    """

    def __init__(self, backend: Backend, stores: ReferenceStores, users: Callable[[], Iterable[str]]) -> None:
        self._backend = backend
        self._stores = stores
        self._users = users
        self.imports = Jobs(
            backend,
            "Reference Import Job",
            "StartReferenceImportJob",
            "referenceStoreId",
            ("roleArn",),
            self._import,
        )

    # --- operations ---

    def get_reference(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return a part of a reference or of its index, or a range of it.

        The model allows no letters in a range, so it is ``0-99``, without ``bytes=``. The content of an index
        is made up.
        """
        reference = self._stores.find_reference(params["referenceStoreId"], params["id"])
        file = reference.files[params.get("file", "SOURCE").lower()]
        part = file.part(params["partNumber"])
        if "range" in params and LOCAL.options.reference_range == "file":
            part = file.read()
        return {"payload": _range_of(part, params["range"]) if "range" in params else part}

    def get_reference_metadata(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a reference, without its tags."""
        return self._stores.find_reference(params["referenceStoreId"], params["id"]).view()

    def list_references(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the references of a store."""
        return page(
            self._stores.find(params["referenceStoreId"]).references.values(),
            params,
            key=lambda reference: int(reference.id),
            item=Reference.item,
            wanted=lambda reference: matches(params, reference.item(), ("md5",)),
            result_member="references",
            token_member="nextToken",
        )

    def delete_reference(self, params: Mapping[str, Any]) -> None:
        """Delete a reference that no read set uses (API reference)."""
        reference = self._stores.find_reference(params["referenceStoreId"], params["id"])
        if reference.arn in self._users():
            raise error_of(LOCAL.options.delete_error, f"Reference {reference.id} is used by read sets")
        del self._stores.find(reference.store_id).references[reference.id]
        self._announce(reference, "DELETED", LOCAL.clock.now())

    def start_reference_import_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Start an import of references from S3.

        "You can only import reference genomes one at a time into each reference store" (API reference). The
        option ``check_reference_imports`` enforces it.
        """
        job = self.imports.repeated(params)
        if job is None:
            store = self._stores.find(params["referenceStoreId"])
            if LOCAL.options.enforces("check_reference_imports") and any(
                each.active and each.store_id == store.id for each in self.imports
            ):
                raise ServiceQuotaExceededException(f"Reference store {store.id} has an active import job")
            job = self.imports.start(params, store.arn)
        return job.started_view()

    def get_reference_import_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return an import job with the status of each source."""
        self._stores.find(params["referenceStoreId"])
        return self.imports.get(params).view(
            "sources", lambda source: {**source.request, "referenceId": source.result}
        )

    def list_reference_import_jobs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the import jobs of a store."""
        self._stores.find(params["referenceStoreId"])
        return self.imports.page(params, "importJobs")

    # --- imports ---

    def _import(self, job: Job, source: Source, at: float) -> None:
        try:
            store = self._stores.find(job.store_id)
        except ResourceNotFoundException as deleted:
            raise SourceError(deleted.message) from None
        uri = source.request["sourceFile"]
        check_fasta(uri)
        check_source(uri, self._backend)
        file = imported_file(uri, self._backend.account_id, self._backend.partition)
        reference_id = self._backend.new_storage_id()
        reference = store.references[reference_id] = Reference(
            id=reference_id,
            arn=f"{store.arn}/reference/{reference_id}",
            store_id=store.id,
            request=source.request,
            created=at,
            job_id=job.id,
            files={"source": file, "index": file_of(f"index of {file.name}\n".encode(), f"{file.name}.fai")},
        )
        source.result = reference_id
        self._announce(reference, "ACTIVE", at)

    def _announce(self, reference: Reference, status: str, at: float) -> None:
        events.announce(
            "Reference",
            (self._backend.account_id, self._backend.region_name),
            at,
            resource=reference.arn,
            arn=reference.arn,
            id=reference.id,
            referenceStoreId=reference.store_id,
            creationJobId=reference.job_id,
            status=status,
        )


def _range_of(content: bytes, text: str) -> bytes:
    """Return the bytes of a range as in RFC 9110, where the last position is part of the range."""
    found = _RANGE.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValidationException("range must have the form first-last, first- or -count")
    first, last = found.groups()
    chosen = content[-int(last) :] if not first and int(last) else b""
    if first:
        chosen = content[int(first) : int(last) + 1 if last else None]
    if not chosen:
        raise RangeNotSatisfiableException("range selects nothing")
    return chosen
