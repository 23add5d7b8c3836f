# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""References and read sets as inputs of runs (user guide, page "workflows-run-inputs")."""

from __future__ import annotations

import re
from typing import Final

from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import HealthOmicsError

from .read_sets import ReadSets
from .reference_stores import ReferenceStores

_OMICS_URI: Final = re.compile(
    r"omics://(\d{12})\.storage\.([a-z0-9-]+)\.amazonaws\.com/(\d+)/(readSet|reference)/(\d+)(?:/(\w+))?"
)
_S3_PATH: Final = re.compile(r"/sequenceStore/(\d+)/readSet/(\d+)/")
NOT_FOUND: Final = "INPUT_URI_NOT_FOUND"
INACTIVE: Final = "INACTIVE_OMICS_STORAGE_RESOURCE"


class Inputs:
    """The inputs that runs can use from the stores of one account in one region."""

    def __init__(self, backend: Backend, references: ReferenceStores, read_sets: ReadSets) -> None:
        self._backend = backend
        self._references = references
        self._read_sets = read_sets

    def failure(self, uri: str) -> str | None:
        """
        Return the failureReason of a run with an input, or None if it can be used.

        The S3 URI of a read set is one of S3, except that it must be ACTIVE.
        """
        if uri.startswith("omics://"):
            return self._failure_of_omics_uri(uri)
        found = _S3_PATH.search(uri)
        return self._failure_of_read_set(*found.groups(), file=None) if found else None

    def _failure_of_omics_uri(self, uri: str) -> str | None:
        found = _OMICS_URI.fullmatch(uri)
        if found is None:
            return "INVALID_URI_INPUT"
        account, region, store_id, kind, resource_id, file = found.groups()
        if (account, region) != (self._backend.account_id, self._backend.region_name):
            return NOT_FOUND
        if kind == "readSet":
            return self._failure_of_read_set(store_id, resource_id, file=file)
        try:
            files = self._references.find_reference(store_id, resource_id).files
        except HealthOmicsError:
            return NOT_FOUND
        return None if file is None or file.lower() in files else NOT_FOUND

    def _failure_of_read_set(self, store_id: str, read_set_id: str, *, file: str | None) -> str | None:
        try:
            read_set = self._read_sets.find(store_id, read_set_id)
        except HealthOmicsError:
            return NOT_FOUND
        if file is not None and file.lower() not in read_set.files:
            return NOT_FOUND
        return None if read_set.status == "ACTIVE" else INACTIVE
