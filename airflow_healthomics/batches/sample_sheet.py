# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Convert a sample sheet to the run settings of a batch.

A sample sheet has one sample per row and arbitrary column names. ``columns`` maps targets to columns:

.. code-block:: python

    columns = {
        "run_setting_id": "sample",
        "parameters.fastq_1": "fastq_1",
        "parameters.min_depth": "depth",
        "run_tags.cohort": "cohort",
    }
    types = {"parameters.min_depth": "integer"}

The key is the text after the first dot, so ``parameters.Main.fastq`` is the parameter ``Main.fastq`` of a WDL
workflow. A column may have several targets. Columns without a target are ignored.

A cell of a CSV or TSV sheet is unchanged text, such as "0042", unless ``types`` declares a type for its
target:

- ``string``: text, the default.
- ``integer``, ``number``: a number in JSON syntax, so not "0042", "+1", "1,000" or " 1".
- ``boolean``: ``true`` or ``false``, ``TRUE`` or ``FALSE`` (spreadsheets), ``True`` or ``False`` (Python).
- ``json``: any JSON value, for example a list, or all parameters at once.

A JSON sheet is an array of flat objects. Its values keep their types. A declared type is only checked.
Without a declaration, all values of a column must have the same type; integers and other numbers count as one
type. Lists, objects and mixed types require ``json``.

An empty cell, a null or a missing key omits its target from the run settings; a null with the type ``json``
is kept. Empty rows of a CSV or TSV sheet are skipped.

Errors name the row and the column, but never the content of a cell, because it may identify a patient. They
do not quote the header either, because a sheet may lack one and start with a sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from airflow_healthomics.batches.sheet_columns import ID_TARGET, OPERATION, Target, read_targets
from airflow_healthomics.batches.sheet_rows import EMPTY, REFUSED, Place, name_of_item, name_of_row, read_rows
from airflow_healthomics.compat import ObjectStoragePath
from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.hooks.base import check_connection
from airflow_healthomics.requests.fields import Problems
from airflow_healthomics.requests.json_values import json_problems
from airflow_healthomics.service.errors import error_code, is_transient

#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_ROWS: Final = 100_000
#: A limit of this package, since a worker holds the sheet in memory: 1,000 bytes per row of the largest
#: batch.
MAX_SHEET_BYTES: Final = 100_000_000

FORMATS: Final = ("csv", "tsv", "json")

_S3: Final = re.compile(r"s3[an]?://(?:(?P<conn_id>[^/@]*)@)?(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL)

#: Errors of opening a file or an object that a retry cannot fix.
_PERMANENT_ERRORS: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
#: Errors of Airflow's object storage for an unsupported URI.
_UNKNOWN_SCHEME: Final = (ImportError, TypeError, ValueError)


def read_sample_sheet(
    uri: str,
    *,
    columns: Mapping[str, str],
    types: Mapping[str, str] | None = None,
    format: str | None = None,
    aws_conn_id: str | None = "aws_default",
    region_name: str | None = None,
    verify: bool | str | None = None,
    botocore_config: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """
    Read a sample sheet, and return the run settings for its rows.

    S3 objects are read with boto3 and the credentials of the connection. (Airflow's object storage would
    require s3fs for S3, and s3fs pins an older botocore.) Any other URI is read by Airflow's object storage,
    with the connection in the URI, if any: ``gs://my_connection@bucket/sheet.csv``.

    :param uri: local path, ``s3://`` URI, or any other URI that Airflow's object storage can read
    :param columns: column of each target; see this module's documentation
    :param types: type of a target other than plain text; see this module's documentation
    :param format: ``csv``, ``tsv`` or ``json``; by default the file extension of the URI
    :param aws_conn_id: connection for S3. A connection in the URI (``s3://my_connection@bucket/key``) takes
        precedence.
    :param region_name: region of the S3 client
    :param verify: TLS verification of the S3 client
    :param botocore_config: configuration of the S3 client
    :raises HealthOmicsRequestError: if the arguments, the object or the content of the sheet are invalid.
        Temporary errors, such as a broken network connection, are raised unchanged, so that a retry can help.
    """
    targets = read_targets(columns, types)
    if not isinstance(uri, str) or not uri:
        problems = list(json_problems(uri, "the sample sheet's URI"))
        raise HealthOmicsRequestError(OPERATION, problems or ["the sample sheet's URI must be text"])
    chosen = _checked_format(format or _format_of(uri))
    hook_arguments = {
        "region_name": region_name,
        "verify": verify,
        "config": Config(**botocore_config) if botocore_config else None,
    }
    return _settings(_read(uri, aws_conn_id, hook_arguments), chosen, targets)


def settings_of(
    sheet: bytes,
    format: str,
    columns: Mapping[str, str],
    types: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """
    Return the run settings for the rows of a sample sheet, by argument name.

    Missing and repeated ``run_setting_id`` values are reported here, by row number. Other rules of
    HealthOmics (lengths, characters, ranges) are checked later, when the request is built.

    :param sheet: content of the sheet, UTF-8 with or without a byte order mark
    :param format: ``csv``, ``tsv`` or ``json``
    :param columns: column of each target; see this module's documentation
    :param types: type of a target other than plain text; see this module's documentation
    :raises HealthOmicsRequestError: with the problems by row and column
    """
    return _settings(sheet, _checked_format(format), read_targets(columns, types))


def _settings(sheet: bytes, format: str, targets: list[Target]) -> list[dict[str, Any]]:
    problems = Problems(OPERATION)
    shown = name_of_item if format == "json" else name_of_row
    rows = read_rows(sheet, format, targets, problems)
    del sheet  # Saves memory: the rows may already hold it as text.
    id_index = [target.path for target in targets].index(ID_TARGET)
    places: dict[str, Place] = {}
    settings: list[dict[str, Any]] = []
    for count, (place, values) in enumerate(rows, 1):
        if count > MAX_ROWS:
            problems.add_first(f"the sample sheet has more than {MAX_ROWS:,} rows, the maximum of a batch")
            break
        setting: dict[str, Any] = {}
        for target, value in zip(targets, values, strict=True):
            if value is EMPTY:
                continue
            if target.key is None:
                setting[target.field] = value
            else:
                setting.setdefault(target.field, {})[target.key] = value
        if values[id_index] is REFUSED:
            continue
        problem, run_setting_id = _checked_id(setting.get(ID_TARGET))
        if not problem and run_setting_id in places:
            problem = f"is the same as in {shown(places[run_setting_id])}; it must be unique"
        if problem:
            problems.add(f"{shown(place)}, column {targets[id_index].column!r}: the {ID_TARGET} {problem}")
        else:
            places[run_setting_id] = place
            setting[ID_TARGET] = run_setting_id
            settings.append(setting)
    if not settings and not problems:
        problems.add("the sample sheet has no rows")
    problems.refuse()
    return settings


def _checked_id(value: Any) -> tuple[str, str]:
    """Return (problem, id as text). JSON sheets may use integer ids."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is empty", ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "must be text or a whole number", ""
    return "", str(value)


def _checked_format(format: Any) -> str:
    if format not in FORMATS:
        raise HealthOmicsRequestError(
            OPERATION,
            [f"the sample sheet needs a file extension, or the argument format: {', '.join(FORMATS)}"],
        )
    return str(format)


def _format_of(uri: str) -> str:
    # Only web links have a query, such as a signature. An S3 key may contain any character.
    name = urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri
    return name.rpartition(".")[2].lower()


def _shown_uri(uri: str) -> str:
    """Return the URI without password and signature."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _read(uri: str, aws_conn_id: str | None, hook_arguments: Mapping[str, Any]) -> bytes:
    parts = _S3.fullmatch(uri)
    try:
        data = _read_s3(parts, aws_conn_id, hook_arguments) if parts else _read_file(uri)
    except _PERMANENT_ERRORS as error:
        reason = type(error).__name__
    except _UNKNOWN_SCHEME as error:
        reason = f"{type(error).__name__}; a package for such URIs may be missing"
    except (ClientError, BotoCoreError) as error:
        if is_transient(error) or isinstance(error, IncompleteReadError):
            raise
        reason = error_code(error)
    else:
        if len(data) <= MAX_SHEET_BYTES:
            return data
        reason = f"it is larger than {MAX_SHEET_BYTES:,} bytes"
    raise HealthOmicsRequestError(
        OPERATION, [f"the sample sheet {_shown_uri(uri)} could not be read: {reason}"]
    )


def _read_s3(parts: re.Match[str], aws_conn_id: str | None, hook_arguments: Mapping[str, Any]) -> bytes:
    hook = S3Hook(aws_conn_id=parts["conn_id"] or aws_conn_id, **hook_arguments)
    check_connection(hook)
    client: Any = hook.get_conn()
    with client.get_object(Bucket=parts["bucket"], Key=parts["key"])["Body"] as body:
        return _bounded(body)


def _read_file(uri: str) -> bytes:
    path = uri.removeprefix("file://")
    # Local files need no fsspec, whose behaviour depends on its version and Airflow's.
    with ObjectStoragePath(uri).open("rb") if "://" in path else Path(path).open("rb") as file:
        return _bounded(file)


def _bounded(file: Any) -> bytes:
    """Return the content; of a file that is too large, return just more than the limit."""
    chunks = []
    size = 0
    while size <= MAX_SHEET_BYTES and (chunk := file.read(1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
