# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Imports, exports and activations of read sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import HealthOmicsError

from .files import imported_file
from .job import Job, Source, SourceError
from .jobs import Jobs
from .read_set import ReadSet
from .read_sets import ReadSets, check_active
from .sequence_stores import SequenceStores
from .sources import check_source

MEMBER = "sequenceStoreId"


class ReadSetJobs:
    """The jobs on read sets."""

    def __init__(self, backend: Backend, stores: SequenceStores, read_sets: ReadSets) -> None:
        self._backend = backend
        self._stores = stores
        self._read_sets = read_sets
        self.imports = Jobs(
            backend, "Read Set Import Job", "StartReadSetImportJob", MEMBER, ("roleArn",), self._import
        )
        self.exports = Jobs(
            backend, "Read Set Export Job", "StartReadSetExportJob", MEMBER, ("destination",), self._export
        )
        self.activations = Jobs(
            backend,
            "Read Set Activation Job",
            "StartReadSetActivationJob",
            MEMBER,
            (),
            self._activate,
            begin=self._begin_activation,
            give_up=self._give_up_activation,
        )

    # --- operations ---

    def start_read_set_import_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start an import of read sets from S3."""
        job = self.imports.repeated(params)
        if job is None:
            store = self._stores.find(params[MEMBER])
            for source in params["sources"]:
                self._read_sets.check_source(source)
            job = self.imports.start(params, store.arn)
        return job.started_view()

    def get_read_set_import_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return an import job with the status of each source."""
        self._stores.find(params[MEMBER])
        return self.imports.get(params).view(
            "sources", lambda source: {**source.request, "readSetId": source.result}
        )

    def list_read_set_import_jobs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the import jobs of a store."""
        self._stores.find(params[MEMBER])
        return self.imports.page(params, "importJobs")

    def start_read_set_export_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Start an export of ACTIVE read sets to S3.

        AWS does not document the keys of the exported files; here they are
        ``<destination>/<read set id>/<name of the file>``.
        """
        return self._start(self.exports, params)

    def get_read_set_export_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return an export job with the status of each read set."""
        self._stores.find(params[MEMBER])
        return self.exports.get(params).view("readSets", lambda source: {"id": source.request["readSetId"]})

    def list_read_set_export_jobs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the export jobs of a store."""
        self._stores.find(params[MEMBER])
        return self.exports.page(params, "exportJobs")

    def start_read_set_activation_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Start an activation of ARCHIVED read sets.

        AWS does not document the activation of a read set that is already ACTIVE. Here it succeeds without an
        effect.
        """
        return self._start(self.activations, params)

    def get_read_set_activation_job(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return an activation job with the status of each read set."""
        self._stores.find(params[MEMBER])
        return self.activations.get(params).view("sources", lambda source: dict(source.request))

    def list_read_set_activation_jobs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the activation jobs of a store."""
        self._stores.find(params[MEMBER])
        return self.activations.page(params, "activationJobs")

    def _start(self, jobs: Jobs, params: Mapping[str, Any]) -> dict[str, Any]:
        job = jobs.repeated(params)
        if job is None:
            store = self._stores.find(params[MEMBER])
            if LOCAL.options.unknown_read_set != "FAILED":
                for source in params["sources"]:
                    self._read_sets.find(store.id, source["readSetId"])
            job = jobs.start(params, store.arn)
        return job.started_view()

    # --- sources ---

    def _import(self, job: Job, source: Source, at: float) -> None:
        try:
            store = self._stores.find(job.store_id)
        except HealthOmicsError as deleted:
            raise SourceError(deleted.message) from None
        uris = source.request["sourceFiles"]
        for uri in uris.values():
            check_source(uri, self._backend)
        files = {
            name: imported_file(uri, self._backend.account_id, self._backend.partition, store.algorithm)
            for name, uri in uris.items()
        }
        read_set = self._read_sets.add(
            store, source.request, files, at, creation_type="IMPORT", job_id=job.id
        )
        source.result = read_set.id

    def _export(self, job: Job, source: Source, at: float) -> None:
        read_set = self._find(job, source)
        try:
            check_active(read_set)
            contents = {file.name: file.read() for file in read_set.files.values()}
        except HealthOmicsError as error:
            raise SourceError(error.message) from None
        location = urlsplit(job.request["destination"])
        folder = f"{location.path.strip('/')}/{read_set.id}".lstrip("/")
        s3 = s3_backends[self._backend.account_id][self._backend.partition]
        try:
            s3.get_bucket(location.netloc)
        except MissingBucket:
            if not LOCAL.options.create_buckets:
                raise SourceError("The destination bucket does not exist.") from None
            s3.create_bucket(location.netloc, self._backend.region_name)
        for name, content in contents.items():
            s3.put_object(location.netloc, f"{folder}/{name}", content)
        read_set.used = at

    def _begin_activation(self, job: Job, source: Source, at: float) -> None:
        read_set = self._archived(job, source)
        if read_set is not None and read_set.status == "ARCHIVED":
            self._read_sets.enter(read_set, "ACTIVATING", at)

    def _activate(self, job: Job, source: Source, at: float) -> None:
        read_set = self._find(job, source)
        if read_set.status in ("ARCHIVED", "ACTIVATING"):
            self._read_sets.enter(read_set, "ACTIVE", at)

    def _give_up_activation(self, job: Job, source: Source, at: float) -> None:
        read_set = self._archived(job, source)
        if read_set is not None and read_set.status == "ACTIVATING":
            self._read_sets.enter(read_set, "ARCHIVED", at)

    def _archived(self, job: Job, source: Source) -> ReadSet | None:
        try:
            return self._find(job, source)
        except SourceError:
            return None

    def _find(self, job: Job, source: Source) -> ReadSet:
        try:
            return self._read_sets.find(job.store_id, source.request["readSetId"])
        except HealthOmicsError as error:
            raise SourceError(error.message) from None
