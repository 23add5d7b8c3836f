# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of imports in S3."""

from __future__ import annotations

from typing import Final

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.s3_objects import exists, region_of_bucket

from .job import SourceError

#: Extensions of references, each also with ".gz" of bgzip (user guide, page "create-reference-store").
FASTA_EXTENSIONS: Final = tuple(
    f".{extension}{compressed}"
    for extension in ("fasta", "fa", "fas", "fsa", "faa", "fna", "ffn", "frn", "mpfa", "seq", "txt")
    for compressed in ("", ".gz")
)


def check_fasta(uri: str) -> None:
    """Require the extension of a FASTA file, if the option ``check_sources`` is on."""
    if LOCAL.options.enforces("check_sources") and not uri.endswith(FASTA_EXTENSIONS):
        raise SourceError("The source file does not have the extension of a FASTA file.")


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
