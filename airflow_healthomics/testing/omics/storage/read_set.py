# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A read set, and its views in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_healthomics.testing.clock import to_datetime

from .files import StoredFile

#: Formats that need a reference (user guide, page "create-sequence-store").
ALIGNED: Final = ("BAM", "CRAM")
#: Members of an import or upload that List and Get return under the same name.
ECHOED: Final = ("subjectId", "sampleId", "name", "description", "referenceArn")


@dataclass(eq=False, kw_only=True)
class ReadSet:
    """
    A read set.

    :param request: The source of its import, or the request of its upload.
    :param files: By the names of GetReadSetMetadata: source1, source2, index.
    :param family: ETag algorithm family of its store.
    :param prefix: S3 URI of its folder.
    :param used: When its content was last used.
    :param published: Whether its objects are in S3.
    """

    id: str
    arn: str
    store_id: str
    request: Mapping[str, Any]
    created: float
    creation_type: str
    files: Mapping[str, StoredFile]
    family: str
    prefix: str
    used: float
    job_id: str | None = None
    status: str = "ACTIVE"
    message: str | None = None
    published: bool = False

    @property
    def etag(self) -> dict[str, Any]:
        """
        The ETag of the sources.

        The service makes it of the reads in them, so that it survives a recompression; here it is made of the
        bytes.
        """
        file_type = self.request["sourceFileType"]
        return {
            # The enum has no algorithm for UBAM.
            "algorithm": f"{'BAM' if file_type == 'UBAM' else file_type}_{self.family}",
            **{name: file.digest for name, file in self.files.items() if name != "index"},
        }

    def item(self) -> dict[str, Any]:
        """Return the read set for ListReadSets."""
        file_type = self.request["sourceFileType"]
        return {
            "id": self.id,
            "arn": self.arn,
            "sequenceStoreId": self.store_id,
            **{name: self.request.get(name) for name in ECHOED},
            "status": self.status,
            "statusMessage": self.message,
            "fileType": file_type,
            "sequenceInformation": {
                "generatedFrom": self.request.get("generatedFrom"),
                "alignment": "ALIGNED" if file_type in ALIGNED else "UNALIGNED",
            },
            "creationTime": to_datetime(self.created),
            "creationType": self.creation_type,
            "etag": self.etag,
        }

    def view(self) -> dict[str, Any]:
        """Return the read set for GetReadSetMetadata."""
        return {
            **self.item(),
            "files": {
                name: file.information(f"{self.prefix}{file.name}") for name, file in self.files.items()
            },
            "creationJobId": self.job_id,
        }

    def fields(self) -> dict[str, Any]:
        """Return the members by which ListReadSets filters."""
        return {**self.item(), "generatedFrom": self.request.get("generatedFrom")}
