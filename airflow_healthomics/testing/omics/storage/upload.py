# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A multipart upload of a read set, and its views in the API."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from airflow_healthomics.testing.clock import to_datetime

from .files import StoredFile, file_of

#: Extensions of the files of an upload (user guide, page "s3-access").
EXTENSIONS: Final[Mapping[str, str]] = {"FASTQ": "fastq.gz", "BAM": "bam", "UBAM": "bam", "CRAM": "cram"}
#: Members of the request that each response has.
ECHOED: Final = (
    "sourceFileType",
    "subjectId",
    "sampleId",
    "generatedFrom",
    "referenceArn",
    "name",
    "description",
    "tags",
)


@dataclass(eq=False, kw_only=True)
class Part:
    """A part of a source of an upload."""

    source: str
    number: int
    content: bytes
    created: float
    updated: float

    @cached_property
    def checksum(self) -> str:
        """A SHA-256 in base64, as in the user guide, page "synchronous-uploads"."""
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()

    def item(self) -> dict[str, Any]:
        """Return the part for ListReadSetUploadParts."""
        return {
            "partNumber": self.number,
            "partSize": len(self.content),
            "partSource": self.source,
            "checksum": self.checksum,
            "creationTime": to_datetime(self.created),
            "lastUpdatedTime": to_datetime(self.updated),
        }


@dataclass(eq=False, kw_only=True)
class Upload:
    """
    An upload.

    :param parts: By source and number.
    :param completed: Whether CompleteMultipartReadSetUpload was called.
    """

    id: str
    store_id: str
    request: Mapping[str, Any]
    created: float
    parts: dict[tuple[str, int], Part] = field(default_factory=dict)
    completed: bool = False

    @property
    def size(self) -> int:
        """The size of all parts in bytes."""
        return sum(len(part.content) for part in self.parts.values())

    def view(self) -> dict[str, Any]:
        """Return the upload."""
        return {
            "sequenceStoreId": self.store_id,
            "uploadId": self.id,
            **{name: self.request[name] for name in ECHOED if name in self.request},
            "creationTime": to_datetime(self.created),
        }

    def files(self, chosen: set[tuple[str, int]], algorithm: str) -> dict[str, StoredFile]:
        """Return the files that consist of some of the parts, by the names of GetReadSetMetadata."""
        contents: dict[str, list[bytes]] = {}
        for key in sorted(chosen):
            source = key[0].lower()
            contents.setdefault(source, []).append(self.parts[key].content)
        return {
            source: file_of(b"".join(parts), self._name(source), algorithm)
            for source, parts in contents.items()
        }

    def _name(self, source: str) -> str:
        kind = self.request["sourceFileType"]
        middle = f"_{source}" if kind == "FASTQ" else ""
        return f"{self.request['name']}{middle}.{EXTENSIONS[kind]}"
