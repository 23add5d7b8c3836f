# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The S3 folder of a request ID, for inputs that are too large for the request."""

from __future__ import annotations

import hashlib
import re
from typing import ClassVar, Final, NamedTuple

from botocore.exceptions import ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code, is_transient

_DIGEST_LENGTH: Final = 16

_PREFIX: Final = r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?"


class RequestFolder:
    """
    The S3 folder of a request ID, under a prefix from the task's arguments.

    :param uri: S3 URI of the prefix
    :param request_id: request ID of the start
    :param hook: hook of the task's connection
    :raises HealthOmicsRequestError: if ``uri`` is not an S3 URI
    :cvar operation: API operation that uses the folder
    :cvar argument: the argument with the prefix
    """

    operation: ClassVar[str]
    argument: ClassVar[str]

    def __init__(self, uri: str, request_id: str, hook: HealthOmicsHook) -> None:
        match = re.fullmatch(_PREFIX, uri)
        if match is None:
            raise HealthOmicsRequestError(
                self.operation, [f"{self.argument} must be an S3 URI, like s3://bucket/prefix"]
            )
        self._hook = hook
        self._bucket = match["bucket"]
        folder = re.sub(r"[^\w.-]", "-", request_id, flags=re.ASCII)
        if folder != request_id:
            # Request IDs that differ only in replaced characters must not share a folder.
            folder += f".{hashlib.sha256(request_id.encode()).hexdigest()[:_DIGEST_LENGTH]}"
        self._prefix = f"{(match['prefix'] or '').strip('/')}/{folder}".lstrip("/")

    def uri(self, name: str) -> str:
        """Return the S3 URI of an object."""
        return f"s3://{self._bucket}/{self._prefix}/{name}"

    def input_file(self, stem: str, content: bytes) -> InputFile:
        """
        Return an input file of the start. Its name depends on its content, which may change between attempts.

        :param stem: prefix of the file's name
        :param content: JSON
        """
        digest = hashlib.sha256(content).hexdigest()[:_DIGEST_LENGTH]
        return InputFile(self, f"{stem}-{digest}.json", content)

    def read(self, name: str) -> bytes:
        """
        Return the content of an object.

        :param name: name of the object
        """
        answer = self._hook.s3_client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")
        content: bytes = answer["Body"].read()
        return content

    def write(self, name: str, content: bytes, **conditions: str) -> None:
        """
        Write an object if its conditions are met.

        :param name: name of the object
        :param content: JSON
        :param conditions: conditions of PutObject, such as ``IfNoneMatch``
        :raises HealthOmicsApiError: if S3 refuses the call
        """
        try:
            self._hook.s3_client.put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}/{name}",
                Body=content,
                ContentType="application/json",
                **conditions,
            )
        except ClientError as error:
            code = error_code(error)
            if conditions and code == "PreconditionFailed":
                return
            if is_transient(error):
                raise
            advice = " The IAM policy must allow s3:PutObject." if code.startswith("AccessDenied") else ""
            raise HealthOmicsApiError(
                f"{self.uri(name)} ({self.argument}) could not be written: PutObject was refused with {code}."
                f"{advice}",
                code,
            ) from error


class RunFolder(RequestFolder):
    """The folder of a run, for parameters that are too large for a request."""

    operation = "StartRun"
    argument = "parameters_s3_uri"


class InputFile(NamedTuple):
    """
    An S3 object that the start refers to.

    :param folder: folder of the object
    :param name: name of the object
    :param content: JSON
    """

    folder: RequestFolder
    name: str
    content: bytes

    @property
    def uri(self) -> str:
        """Its S3 URI."""
        return self.folder.uri(self.name)

    def write(self) -> None:
        """
        Write the object unless an earlier attempt has written it.

        That attempt may have started a run that reads it, so it is never overwritten. HealthOmics fails a
        batch whose settings change after StartRunBatch.

        :raises HealthOmicsApiError: if S3 refuses the call
        """
        self.folder.write(self.name, self.content, IfNoneMatch="*")
