# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Objects in the local S3 at the S3 URIs of read sets.

"HealthOmics doesn't support Amazon S3 URI access to archived read sets. When you activate a read set, it's
restored to the same URI path each time" (user guide, page "s3-access").
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.omics.backend import Backend
from airflow_healthomics.testing.omics.exceptions import HealthOmicsError

from .read_set import ReadSet
from .sequence_store import SequenceStore

#: Owns the buckets behind the access points, which are in no user's list of buckets.
SERVICE_ACCOUNT: Final = "000000000000"


def publish(read_set: ReadSet, backend: Backend) -> None:
    """Write the objects of a read set, except those of large files whose source was changed or deleted."""
    s3 = s3_backends[SERVICE_ACCOUNT][backend.partition]
    bucket, prefix = _place(read_set.prefix)
    try:
        s3.get_bucket(bucket)
    except MissingBucket:
        s3.create_bucket(bucket, backend.region_name)
    for file in read_set.files.values():
        try:
            content = file.read()
        except HealthOmicsError:
            continue
        s3.put_object(bucket, prefix + file.name, content)


def withdraw(read_set: ReadSet, backend: Backend) -> None:
    """Delete the objects of a read set."""
    s3 = s3_backends[SERVICE_ACCOUNT][backend.partition]
    bucket, prefix = _place(read_set.prefix)
    for file in read_set.files.values():
        s3.delete_object(bucket, prefix + file.name)


def forget(store: SequenceStore, backend: Backend) -> None:
    """Delete the bucket of a store without read sets."""
    s3 = s3_backends[SERVICE_ACCOUNT][backend.partition]
    bucket, _ = _place(store.uri)
    if bucket in s3.buckets:
        s3.delete_bucket(bucket)


def _place(uri: str) -> tuple[str, str]:
    location = urlsplit(uri)
    return location.netloc, location.path.lstrip("/")
