# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""A sequence store, and its views in the API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_healthomics.testing.clock import to_datetime
from airflow_healthomics.testing.local import LOCAL

from .files import ALGORITHMS
from .read_set import ReadSet
from .upload import Upload

#: Members of Create that Get returns under the same name.
ECHOED: Final = ("name", "description", "sseConfig", "fallbackLocation")


@dataclass(eq=False, kw_only=True)
class SequenceStore:
    """
    A sequence store with its read sets.

    :param changing: Its status for some time after a change: CREATING or UPDATING.
    :param uploads: Those in progress, by id.
    :param policy: Its S3 access policy, and the time of its last change.
    """

    id: str
    arn: str
    account: str
    region: str
    partition: str
    request: Mapping[str, Any]
    created: float
    changed: float
    changing: str = "CREATING"
    read_sets: dict[str, ReadSet] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    policy: tuple[str, float] | None = None

    @property
    def status(self) -> str:
        """The status."""
        pending = LOCAL.clock.now() < self.changed + LOCAL.options.store_changing_seconds
        return self.changing if pending else "ACTIVE"

    @property
    def family(self) -> str:
        """The ETag algorithm family. "The default value is MD5up" (API reference of CreateSequenceStore)."""
        return str(self.request.get("eTagAlgorithmFamily") or "MD5up")

    @property
    def algorithm(self) -> str:
        """The algorithm of the digests in ETags."""
        return ALGORITHMS[self.family]

    @property
    def access_point_arn(self) -> str:
        """The ARN of the S3 access point."""
        prefix = f"arn:{self.partition}:s3:{self.region}:{self.account}:accesspoint"
        return f"{prefix}/{self.account}-{self.id}"

    @property
    def uri(self) -> str:
        """The S3 URI of the read sets."""
        alias = hashlib.sha256(self.arn.encode()).hexdigest()[:26]
        bucket = f"{self.account}-{self.id[:7]}-{alias}-s3alias"
        return f"s3://{bucket}/{self.account}/sequenceStore/{self.id}/"

    def default_policy(self) -> str:
        """Return the S3 access policy of a new store (user guide, page "s3-sharing")."""
        prefix = f"{self.account}/sequenceStore/{self.id}/*"
        actions = {
            f"{self.access_point_arn}/object/{prefix}": ["s3:GetObject", "s3:GetObjectTagging"],
            f"{self.access_point_arn}/{prefix}": "s3:ListBucket",
        }
        statements = [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{self.partition}:iam::{self.account}:root"},
                "Action": action,
                "Resource": resource,
            }
            for resource, action in actions.items()
        ]
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    def item(self) -> dict[str, Any]:
        """Return the store for ListSequenceStores."""
        return {
            "id": self.id,
            "arn": self.arn,
            **{name: self.request.get(name) for name in ECHOED},
            "eTagAlgorithmFamily": self.family,
            "status": self.status,
            "creationTime": to_datetime(self.created),
            "updateTime": to_datetime(self.changed),
        }

    def view(self) -> dict[str, Any]:
        """Return the store for Get and Update."""
        logs = (self.request.get("s3AccessConfig") or {}).get("accessLogLocation")
        return {
            **self.item(),
            "propagatedSetLevelTags": self.request.get("propagatedSetLevelTags") or [],
            "s3Access": {
                "s3Uri": self.uri,
                "s3AccessPointArn": self.access_point_arn,
                "accessLogLocation": logs,
            },
        }

    def created_view(self) -> dict[str, Any]:
        """Return the store for CreateSequenceStore."""
        return {name: value for name, value in self.view().items() if name != "updateTime"}
