# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Objects in the local S3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

S3_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")


def stored_object(uri: str, account: str, partition: str) -> Any:
    """Return moto's object, or None if it does not exist."""
    location = S3_URI.fullmatch(uri)
    if location is None:
        return None
    try:
        return s3_backends[account][partition].get_object(location[1], location[2])
    except MissingBucket:
        return None


def exists(uri: str, account: str, partition: str) -> bool:
    """Whether an object exists or, for a URI that ends with a slash, an object below that prefix."""
    if not uri.endswith("/"):
        return stored_object(uri, account, partition) is not None
    return bool(objects_below(uri, account, partition))


def objects_below(uri: str, account: str, partition: str) -> dict[str, Any]:
    """Return moto's objects below a URI that ends with a slash, by the rest of their keys."""
    name, _, prefix = uri.removeprefix("s3://").partition("/")
    try:
        bucket = s3_backends[account][partition].get_bucket(name)
    except MissingBucket:
        return {}
    keys = (key for key in bucket.keys if key.startswith(prefix) and not key.endswith("/"))
    found = {
        key.removeprefix(prefix): stored_object(f"s3://{name}/{key}", account, partition) for key in keys
    }
    return {key: stored for key, stored in found.items() if stored is not None}


def region_of_bucket(uri: str, account: str, partition: str) -> str | None:
    """Return the region of a URI's bucket, or None if it does not exist."""
    try:
        found = s3_backends[account][partition].get_bucket(uri.removeprefix("s3://").partition("/")[0])
    except MissingBucket:
        return None
    return str(found.region_name)


def uris_in(value: Any, schemes: tuple[str, ...] = ("s3://",)) -> Iterator[str]:
    """Yield the S3 URIs in a JSON value, or those with other schemes."""
    if isinstance(value, str):
        if value.startswith(schemes):
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from uris_in(each, schemes)
    elif isinstance(value, list):
        for each in value:
            yield from uris_in(each, schemes)


def etags_in(value: Any, account: str, partition: str) -> list[str]:
    """Return the ETags of the objects in a JSON value."""
    objects = (stored_object(uri, account, partition) for uri in uris_in(value))
    return [str(each.etag) for each in objects if each is not None]


def presigned(uri: str, region: str, endpoint_url: str | None = None) -> str:
    """
    Return a URL in the form of a presigned URL, with fake credentials.

    :param endpoint_url: URL of the server with the object; None for a URL of AWS, which moto intercepts.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE&X-Amz-Signature=0123456789abcdef"
    host = (
        f"https://{bucket}.s3.{region}.amazonaws.com" if endpoint_url is None else f"{endpoint_url}/{bucket}"
    )
    return f"{host}/{key}?{query}"
