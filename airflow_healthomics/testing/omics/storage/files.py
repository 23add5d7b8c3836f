# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The files of references and read sets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_healthomics.testing.local import LOCAL
from airflow_healthomics.testing.omics.exceptions import RangeNotSatisfiableException, error_of
from airflow_healthomics.testing.omics.s3_objects import stored_object

#: Larger imported files are not copied, but read from their source in S3.
MAX_COPIED_BYTES: Final = 1_048_576
#: The model's limit of parts.
MAX_PARTS: Final = 10_000
#: Algorithms of digests by ETag algorithm family (user guide, page "etags-and-provenance").
ALGORITHMS: Final[Mapping[str, str]] = {"MD5up": "md5", "SHA256up": "sha256", "SHA512up": "sha512"}


@dataclass(kw_only=True)
class StoredFile:
    """
    A file: a copy of its content, or the S3 object with the content.

    :param digest: Of the content, in hexadecimal.
    :param source: URI, account and partition of the object, and its ETag at the time of the import.
    """

    name: str
    size: int
    digest: str
    content: bytes | None = None
    source: tuple[str, str, str, str] | None = None
    part_size: int = field(default_factory=lambda: LOCAL.options.storage_part_bytes)

    def __post_init__(self) -> None:
        self.part_size = max(self.part_size, math.ceil(self.size / MAX_PARTS))

    def information(self, uri: str | None = None) -> dict[str, Any]:
        """
        Return the file for a Get operation of metadata.

        :param uri: Its S3 URI, if the service gives it one.
        """
        return {
            "totalParts": self.total_parts,
            "partSize": self.part_size,
            "contentLength": self.size,
            "s3Access": None if uri is None else {"s3Uri": uri},
        }

    @property
    def total_parts(self) -> int:
        """The number of parts."""
        return math.ceil(self.size / self.part_size)

    def read(self) -> bytes:
        """
        Return the content.

        :raises HealthOmicsError: if the S3 object with the content was changed or deleted.
        """
        if self.content is not None or self.source is None:
            return self.content or b""
        *location, etag = self.source
        stored = stored_object(*location)
        if stored is None or stored.etag != etag:
            raise error_of(
                "InternalServerException",
                f"The local HealthOmics does not copy files of more than {MAX_COPIED_BYTES} bytes, and the "
                "source of this one in S3 was changed or deleted",
            )
        return bytes(stored.value)

    def part(self, number: int) -> bytes:
        """
        Return a part.

        :param number: Begins with 1.
        :raises RangeNotSatisfiableException: for a number after the last part.
        """
        if number > self.total_parts:
            raise RangeNotSatisfiableException(f"The file has {self.total_parts} parts")
        start = (number - 1) * self.part_size
        return self.read()[start : start + self.part_size]


def file_of(content: bytes, name: str, algorithm: str = "md5") -> StoredFile:
    """Return a file with a content."""
    return StoredFile(name=name, size=len(content), digest=_digest(content, algorithm), content=content)


def imported_file(uri: str, account: str, partition: str, algorithm: str = "md5") -> StoredFile:
    """Return the file of an S3 object, or one with a made-up content if the object is absent or empty."""
    name = uri.rpartition("/")[2] or "file"
    stored = stored_object(uri, account, partition)
    content = bytes(stored.value) if stored is not None else b""
    if stored is None or not content:
        return file_of(f"made up for {name}\n".encode(), name, algorithm)
    if len(content) <= MAX_COPIED_BYTES:
        return file_of(content, name, algorithm)
    return StoredFile(
        name=name,
        size=len(content),
        digest=_digest(content, algorithm),
        source=(uri, account, partition, stored.etag),
    )


def _digest(content: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
