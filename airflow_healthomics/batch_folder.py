# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What a batch keeps in S3: its run settings, and what has become of its runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.exceptions import ClientError

from airflow_healthomics.aws_errors import error_code, is_transient
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsError, HealthOmicsRequestError

#: Successes that one object names, and so one mapped task may get.
PART_SIZE: Final = 1000

_DIGEST_LENGTH: Final = 16

_PREFIX: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


class BatchFolder:
    """
    The folder of one batch.

    :param uri: S3 URI that the task was given for all its batches
    :param request_id: of the batch
    :param hook: S3 hook of the task's connection
    :raises HealthOmicsRequestError: if the URI is none
    """

    def __init__(self, uri: str, request_id: str, hook: S3Hook) -> None:
        match = _PREFIX.fullmatch(uri)
        if match is None:
            raise HealthOmicsRequestError(
                "StartRunBatch", ["settings_s3_uri must be an S3 URI, like s3://bucket/prefix"]
            )
        self._hook = hook
        self._bucket = match["bucket"]
        folder = re.sub(r"[^\w.-]", "-", request_id, flags=re.ASCII)
        if folder != request_id:
            # Request IDs that look alike now must not share their run settings.
            folder += f".{hashlib.sha256(request_id.encode()).hexdigest()[:_DIGEST_LENGTH]}"
        self._prefix = f"{(match['prefix'] or '').strip('/')}/{folder}".lstrip("/")

    def uri(self, name: str) -> str:
        """Return the S3 URI of an object."""
        return f"s3://{self._bucket}/{self._prefix}/{name}"

    @property
    def settings_uri(self) -> str:
        """Where the run settings stand."""
        return self.uri("settings.json")

    def write_settings(self, content: bytes) -> bool:
        """
        Write the run settings, unless an earlier attempt has written some, and return whether it was done.

        HealthOmics fails a batch whose settings have changed since StartRunBatch, and that attempt may have
        made the call.

        :param content: the JSON array
        :raises HealthOmicsApiError: if S3 refuses for good
        """
        return self._put("settings.json", content, IfNoneMatch="*")

    def write_outcomes(
        self, manifest: Sequence[dict[str, Any]], successes: Sequence[dict[str, Any]]
    ) -> tuple[str, list[str]]:
        """
        Write what has become of the runs, and return the URIs of the manifest and of the parts of successes.

        :param manifest: an entry for each run
        :param successes: those that completed
        :raises HealthOmicsError: if S3 refuses. It is not for good: a Clear would run everything again, where
            a retry goes on once the IAM policy is repaired.
        """
        starts = range(0, len(successes), PART_SIZE)
        parts = {
            f"successes-{number:03}.json": successes[start : start + PART_SIZE]
            for number, start in enumerate(starts, 1)
        }
        try:
            for name, entries in {"manifest.json": manifest, **parts}.items():
                self._put(name, _json(entries))
        except HealthOmicsApiError as error:
            raise HealthOmicsError(str(error)) from error
        return self.uri("manifest.json"), [self.uri(name) for name in parts]

    def _put(self, name: str, content: bytes, **conditions: str) -> bool:
        """Write an object, and return whether its conditions let that be."""
        client: Any = self._hook.conn
        try:
            client.put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}/{name}",
                Body=content,
                ContentType="application/json",
                **conditions,
            )
        except ClientError as error:
            code = error_code(error)
            if conditions and code == "PreconditionFailed":
                return False
            if is_transient(error):
                raise
            advice = " The IAM policy must allow s3:PutObject." if code.startswith("AccessDenied") else ""
            raise HealthOmicsApiError(
                f"{self.uri(name)} (settings_s3_uri) could not be written: PutObject was refused with {code}."
                f"{advice}",
                code,
            ) from error
        return True


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
