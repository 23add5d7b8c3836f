# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of imports in S3."""

from __future__ import annotations

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.s3_objects import exists, region_of_bucket

from .job import SourceError


def check_source(uri: str, backend: Backend) -> None:
    """
    Require that a source exists, in a bucket of the same region, if the option ``check_sources`` is on.

    "Your Amazon S3 bucket must be in the same Region as your sequence store" (user guide, page
    "import-sequence-store").
    """
    if not LOCAL.options.enforces("check_sources"):
        return
    if not exists(uri, backend.account_id, backend.partition):
        raise SourceError("The source file does not exist.")
    if region_of_bucket(uri, backend.account_id, backend.partition) != backend.region_name:
        raise SourceError("The bucket of the source file is in another region.")
