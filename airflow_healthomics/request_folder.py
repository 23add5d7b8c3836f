# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The folder in S3 that belongs to one request ID."""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar, Final

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.exceptions import ClientError

from airflow_healthomics.aws_errors import error_code, is_transient
from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError

_DIGEST_LENGTH: Final = 16

_PREFIX: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


class RequestFolder:
    """
    The folder of one request ID, below a prefix that the task was given.

    :param uri: S3 URI of the prefix
    :param request_id: request ID of the start
    :param hook: S3 hook of the task's connection
    :raises HealthOmicsRequestError: if the URI is none
    :cvar operation: API operation that the folder is for
    :cvar argument: the argument that has the prefix
    """

    operation: ClassVar[str]
    argument: ClassVar[str]

    def __init__(self, uri: str, request_id: str, hook: S3Hook) -> None:
        match = _PREFIX.fullmatch(uri)
        if match is None:
            raise HealthOmicsRequestError(
                self.operation, [f"{self.argument} must be an S3 URI, like s3://bucket/prefix"]
            )
        self._hook = hook
        self._bucket = match["bucket"]
        folder = re.sub(r"[^\w.-]", "-", request_id, flags=re.ASCII)
        if folder != request_id:
            # Request IDs that look alike now must not share their folder.
            folder += f".{hashlib.sha256(request_id.encode()).hexdigest()[:_DIGEST_LENGTH]}"
        self._prefix = f"{(match['prefix'] or '').strip('/')}/{folder}".lstrip("/")

    def uri(self, name: str) -> str:
        """Return the S3 URI of an object."""
        return f"s3://{self._bucket}/{self._prefix}/{name}"

    def write_once(self, name: str, content: bytes) -> bool:
        """
        Write an object, unless an earlier attempt has written it, and return whether it was written.

        That attempt may have started what reads it, so it stays as it is.

        :param name: of the object
        :param content: JSON
        :raises HealthOmicsApiError: if S3 refuses
        """
        return self._put(name, content, IfNoneMatch="*")

    def write(self, name: str, content: bytes) -> None:
        """
        Write an object.

        :param name: of the object
        :param content: JSON
        :raises HealthOmicsApiError: if S3 refuses
        """
        self._put(name, content)

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
                f"{self.uri(name)} ({self.argument}) could not be written: PutObject was refused with {code}."
                f"{advice}",
                code,
            ) from error
        return True


class RunFolder(RequestFolder):
    """What a run reads: parameters that are too large for a request."""

    operation = "StartRun"
    argument = "parameters_s3_uri"

    @property
    def parameters_uri(self) -> str:
        """Where the parameters are."""
        return self.uri("parameters.json")

    def write_parameters(self, content: bytes) -> bool:
        """Write the parameters once, and return whether they were written."""
        return self.write_once("parameters.json", content)
