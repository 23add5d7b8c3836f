# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The definition of a workflow, from a folder, a zip file, S3 or a commit of git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.exceptions import HealthOmicsApiError, HealthOmicsRequestError
from airflow_healthomics.hooks.omics import HealthOmicsHook
from airflow_healthomics.service.errors import error_code, is_access_denied, is_transient
from airflow_healthomics.workflows.archive import (
    Archive,
    archive_of,
    files_in_commit,
    files_in_folder,
    files_in_zip,
    resolved_commit,
)

OPERATION: Final = "CreateWorkflowVersion"

#: Largest archive in a request, and in S3, in bytes.
#: https://docs.aws.amazon.com/omics/latest/dev/workflow-defn-packaging.html
MAX_INLINE: Final = 4_400_000
MAX_IN_S3: Final = 100_000_000

#: Tag with the commit that a definition comes from.
COMMIT_TAG: Final = "airflow-healthomics:commit"

_S3_URI: Final = r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)"


class Definition(NamedTuple):
    """
    The definition of a workflow.

    :param digest: SHA-256 of the content, as hexadecimal digits
    :param archive: the zip archive
    :param file_count: number of its files
    :param uri: S3 URI of the archive, if that is its source
    :param tags: tags that say where it comes from
    """

    digest: str
    archive: bytes
    file_count: int
    uri: str | None
    tags: Mapping[str, str]

    def source_fields(self, hook: HealthOmicsHook, archive_s3_uri: str | None) -> dict[str, Any]:
        """
        Return the field of the request with the archive, or with its S3 URI. A large one is written to S3.

        :param hook: hook of the task's connection
        :param archive_s3_uri: S3 URI of a prefix for large archives
        :raises HealthOmicsRequestError: if the archive is too large
        :raises HealthOmicsApiError: if S3 refuses it
        """
        size = len(self.archive)
        if size <= MAX_INLINE:
            return {"definitionZip": self.archive}
        if size > MAX_IN_S3:
            _refuse(f"source has {size:,} bytes as a zip archive; HealthOmics accepts {MAX_IN_S3:,}")
        if self.uri is not None:
            return {"definitionUri": self.uri}
        if archive_s3_uri is None:
            _refuse(
                f"source has {size:,} bytes as a zip archive, and a request accepts {MAX_INLINE:,}: set "
                "archive_s3_uri, so that it is written to S3"
            )
        uri = f"{str(archive_s3_uri).rstrip('/')}/{self.digest}.zip"
        bucket, key = _parts(uri, "archive_s3_uri")
        # Its name has the digest, so one that exists has this content.
        _call_s3(hook, "PutObject", Bucket=bucket, Key=key, Body=self.archive, IfNoneMatch="*")
        return {"definitionUri": uri}


def read_definition(source: Any, git_ref: Any, hook: HealthOmicsHook) -> Definition:
    """
    Read the definition of a workflow.

    :param source: path of a folder or zip file, or S3 URI of a zip file
    :param git_ref: commit, tag or branch, if the source is a folder of a git checkout
    :param hook: hook of the task's connection, for S3
    :raises HealthOmicsRequestError: if the source cannot be read
    :raises HealthOmicsApiError: if S3 refuses it
    """
    if not isinstance(source, str) or not source:
        _refuse("source must be the path of a folder or zip file, or the S3 URI of a zip file")
    try:
        if source.startswith("s3://"):
            if git_ref is not None:
                _refuse("git_ref requires the folder of a git checkout as source")
            bucket, key = _parts(source, "source")
            answer = _call_s3(hook, "GetObject", Bucket=bucket, Key=key)
            if answer["ContentLength"] > MAX_IN_S3:
                _refuse(f"source has {answer['ContentLength']:,} bytes; HealthOmics accepts {MAX_IN_S3:,}")
            return _of(archive_of(files_in_zip(answer["Body"].read())), uri=source)
        path = Path(source)
        if git_ref is not None:
            if not path.is_dir():
                _refuse("git_ref requires the folder of a git checkout as source")
            commit = resolved_commit(path, str(git_ref))
            return _of(archive_of(files_in_commit(path, commit)), tags={COMMIT_TAG: commit})
        if path.is_dir():
            return _of(archive_of(files_in_folder(path)))
        return _of(archive_of(files_in_zip(path.read_bytes())))
    except OSError as error:
        _refuse(f"source {source} cannot be read: {error.strerror or error}")
    except HealthOmicsRequestError:
        raise
    except ValueError as error:
        _refuse(f"source {source} {error}")


def _of(archive: Archive, *, uri: str | None = None, tags: Mapping[str, str] | None = None) -> Definition:
    return Definition(archive.digest, archive.content, archive.file_count, uri, tags or {})


def _parts(uri: str, argument: str) -> tuple[str, str]:
    match = re.fullmatch(_S3_URI, uri)
    if match is None:
        _refuse(f"{argument} must be an S3 URI, like s3://bucket/key")
    return match["bucket"], match["key"]


def _call_s3(hook: HealthOmicsHook, operation: str, **request: Any) -> Any:
    method = {"GetObject": "get_object", "PutObject": "put_object"}[operation]
    try:
        return getattr(hook.s3_client, method)(**request)
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        if is_transient(error):
            raise
        if code == "PreconditionFailed":
            return {}
        advice = f" The IAM policy must allow s3:{operation}." if is_access_denied(error) else ""
        uri = f"s3://{request['Bucket']}/{request['Key']}"
        raise HealthOmicsApiError(f"{operation} for {uri} failed with {code}.{advice}", code) from error


def _refuse(problem: str) -> NoReturn:
    raise HealthOmicsRequestError(OPERATION, [problem])
