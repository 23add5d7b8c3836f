# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads of read sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import (
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    ValidationException,
)
from airflow_healthomics.testing.omics.listing import page

from .changes import PlannedChange
from .filters import matches
from .read_set import ReadSet
from .read_sets import ReadSets
from .sequence_store import SequenceStore
from .sequence_stores import SequenceStores
from .upload import Part, Upload

#: Limit of the local HealthOmics, which keeps the parts of an upload in memory. AWS limits a part to 100 MB
#: (user guide, page "fixed-quotas").
MAX_UPLOAD_BYTES: Final = 67_108_864
#: In plans of failures.
KIND: Final = "Read Set Upload"


class Uploads:
    """The uploads that are in progress. They belong to their stores."""

    def __init__(self, backend: Backend, stores: SequenceStores, read_sets: ReadSets) -> None:
        self._backend = backend
        self._stores = stores
        self._read_sets = read_sets

    # --- operations ---

    def create_multipart_read_set_upload(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Begin an upload."""
        operation = "CreateMultipartReadSetUpload"
        upload: Upload | None = self._backend.client_tokens.result(operation, params)
        if upload is None:
            store = self._stores.find(params["sequenceStoreId"])
            self._read_sets.check_source(params)
            upload_id = self._backend.new_storage_id()
            upload = store.uploads[upload_id] = Upload(
                id=upload_id, store_id=store.id, request=params, created=LOCAL.clock.now()
            )
            self._backend.client_tokens.remember(operation, params, upload)
        return upload.view()

    def upload_read_set_part(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Add or replace a part. The local HealthOmics limits an upload to 64 MiB."""
        upload = self._upload(params)
        content, key = params["payload"], (params["partSource"], params["partNumber"])
        replaced = upload.parts.get(key)
        if not content:
            raise ValidationException("payload must have at least 1 byte")
        if upload.size - (len(replaced.content) if replaced else 0) + len(content) > MAX_UPLOAD_BYTES:
            message = f"The local HealthOmics limits an upload to {MAX_UPLOAD_BYTES} bytes"
            raise ServiceQuotaExceededException(message)
        now = LOCAL.clock.now()
        part = upload.parts[key] = Part(
            source=key[0],
            number=key[1],
            content=content,
            created=replaced.created if replaced else now,
            updated=now,
        )
        return {"checksum": part.checksum}

    def complete_multipart_read_set_upload(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Make a read set of uploaded parts. It is PROCESSING_UPLOAD, then ACTIVE or UPLOAD_FAILED.

        AWS does not document the error of a wrong checksum or of an unknown part. Here it is
        ValidationException.
        """
        upload = self._upload(params)
        chosen = set()
        for each in params["parts"]:
            key = (each["partSource"], each["partNumber"])
            if key not in upload.parts or upload.parts[key].checksum != each["checksum"]:
                raise ValidationException(f"part {key[1]} of {key[0]} was not uploaded with this checksum")
            chosen.add(key)
        store, now = self._stores.find(upload.store_id), LOCAL.clock.now()
        files = upload.files(chosen, store.algorithm)
        if "source1" not in files:
            raise ValidationException("parts must have at least one part of SOURCE1")
        upload.completed = True
        read_set = self._read_sets.add(
            store, upload.request, files, now, creation_type="UPLOAD", status="PROCESSING_UPLOAD"
        )
        self._backend.schedule.add(
            PlannedChange(
                now,
                lambda options: options.upload_processing_seconds,
                lambda at: self._process(store, upload, read_set, at),
            )
        )
        return {"readSetId": read_set.id}

    def abort_multipart_read_set_upload(self, params: Mapping[str, Any]) -> None:
        """Remove an upload with its parts."""
        upload = self._upload(params)
        del self._stores.find(upload.store_id).uploads[upload.id]

    def list_multipart_read_set_uploads(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the uploads whose read sets are not ACTIVE or UPLOAD_FAILED yet."""
        return page(
            self._stores.find(params["sequenceStoreId"]).uploads.values(),
            params,
            key=lambda upload: int(upload.id),
            item=Upload.view,
            result_member="uploads",
            token_member="nextToken",
        )

    def list_read_set_upload_parts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the parts of a source."""
        parts = self._upload(params).parts
        return page(
            (parts[key] for key in sorted(parts) if key[0] == params["partSource"]),
            params,
            key=lambda part: part.number,
            item=Part.item,
            wanted=lambda part: matches(params, part.item()),
            result_member="parts",
            token_member="nextToken",
        )

    # --- processing ---

    def _process(self, store: SequenceStore, upload: Upload, read_set: ReadSet, at: float) -> None:
        """End the processing of an upload, as its plan says."""
        store.uploads.pop(upload.id, None)
        if read_set.status != "PROCESSING_UPLOAD":
            return
        names = {upload.request[name] for name in ("name", "sampleId", "subjectId")}
        failure = LOCAL.planned_source_failure(KIND, names)
        if failure is None:
            self._read_sets.enter(read_set, "ACTIVE", at)
            return
        self._read_sets.enter(read_set, "UPLOAD_FAILED", at, failure)
        if location := store.request.get("fallbackLocation"):
            self._save_parts(upload, location)

    def _save_parts(self, upload: Upload, fallback: str) -> None:
        """
        Write the parts of a failed upload to the fallback location, if its bucket exists.

        "The file parts for those read sets are transferred to the fallback location" (user guide, page
        "synchronous-uploads"). AWS does not document their keys.
        """
        location = urlsplit(fallback)
        s3 = s3_backends[self._backend.account_id][self._backend.partition]
        try:
            s3.get_bucket(location.netloc)
        except MissingBucket:
            return
        for (source, number), part in upload.parts.items():
            key = f"{location.path.strip('/')}/{upload.id}/{source}/{number}".lstrip("/")
            s3.put_object(location.netloc, key, part.content)

    def _upload(self, params: Mapping[str, Any]) -> Upload:
        """Return an upload that is not completed."""
        upload = self._stores.find(params["sequenceStoreId"]).uploads.get(params["uploadId"])
        if upload is None or upload.completed:
            raise ResourceNotFoundException(f"Upload {params['uploadId']} not found")
        return upload
