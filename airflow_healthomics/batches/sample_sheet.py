# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
From a sample sheet to the settings of a batch's runs.

A person keeps a sheet, with one sample to a row and columns of their own naming; ``columns`` says which
column goes where:

.. code-block:: python

    columns = {
        "run_setting_id": "sample",
        "parameters.fastq_1": "fastq_1",
        "parameters.min_depth": "depth",
        "run_tags.cohort": "cohort",
    }
    types = {"parameters.min_depth": "integer"}

Everything behind the first dot is the key as it is, so ``parameters.Main.fastq`` is the parameter
``Main.fastq`` of a WDL workflow. A column may go to several places; one that is not named goes nowhere.

A cell of a CSV or TSV sheet is text and stays what it is ("0042"), unless ``types`` declares its target:

- ``string``: text, as without a declaration.
- ``integer``, ``number``: as JSON writes them, so neither "0042" nor "+1", "1,000" or " 1".
- ``boolean``: ``true`` or ``false``, or as spreadsheets and scripts spell them, ``TRUE`` and ``True``.
- ``json``: any JSON, so that a cell may hold a list, or all parameters at once.

In a JSON sheet, an array of flat objects, values keep their types. A declared type is only compared there,
and a column without one must have the same type in all objects; the numbers are one type. Only ``json`` lets
lists, objects and different types in.

An empty cell, a null and a key that an object lacks leave their target out of the settings; a null that is
declared ``json`` stays. Rows of a CSV or TSV sheet that are empty as a whole are passed over.

Errors name the row and the column, and never what is in a cell: that identifies a patient. For the same
reason they do not quote the header either, since a sheet may have none.
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
from airflow_healthomics.hooks.omics import check_connection
from airflow_healthomics.requests.fields import Problems
from airflow_healthomics.requests.json_values import json_problems
from airflow_healthomics.service.errors import error_code, is_transient

#: https://docs.aws.amazon.com/omics/latest/dev/workflows-batch.html
MAX_ROWS: Final = 100_000
#: Ours, as a worker holds the sheet in memory: 1,000 bytes for each row of the largest batch.
MAX_SHEET_BYTES: Final = 100_000_000

FORMATS: Final = ("csv", "tsv", "json")

_S3: Final = re.compile(r"s3[an]?://(?:(?P<conn_id>[^/@]*)@)?(?P<bucket>[^/]+)/(?P<key>.+)", re.DOTALL)

#: What opening a file or an object answers when another try cannot help: it is not there, or not for us.
_FOR_GOOD: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
#: What Airflow's object storage raises for a URI that it does not know.
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
    Read a sample sheet, and return the settings of one run for each of its rows.

    An object of S3 is read with boto3 and the connection's credentials; s3fs, which Airflow's object storage
    needs for S3, would pin an older botocore. Any other URI is read by Airflow's object storage, with the
    connection that it names, as in ``gs://my_connection@bucket/sheet.csv``.

    :param uri: local path, ``s3://`` URI, or any other URI that Airflow's object storage can read
    :param columns: the column for each target; see the module
    :param types: the type for a target, where it is not plain text; see the module
    :param format: ``csv``, ``tsv`` or ``json``; None goes by how the URI ends
    :param aws_conn_id: connection for S3; one in the URI (``s3://my_connection@bucket/key``) goes before it
    :param region_name: region of the S3 client
    :param verify: TLS verification of the S3 client
    :param botocore_config: configuration of the S3 client
    :raises HealthOmicsRequestError: if the arguments, the object or the sheet's content are at fault. What
        may pass, such as a broken connection, is let through for the next try of the task.
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
    Return the settings of one run for each row of a sample sheet, by argument name.

    That each row has a ``run_setting_id`` of its own is checked here, where the rows have numbers. What else
    HealthOmics asks of the settings (lengths, characters, ranges) is checked for all batches alike, when the
    request is built.

    :param sheet: the sheet's content, UTF-8 with or without a byte order mark
    :param format: ``csv``, ``tsv`` or ``json``
    :param columns: the column for each target; see the module
    :param types: the type for a target, where it is not plain text; see the module
    :raises HealthOmicsRequestError: with what is wrong, by row and column
    """
    return _settings(sheet, _checked_format(format), read_targets(columns, types))


def _settings(sheet: bytes, format: str, targets: list[Target]) -> list[dict[str, Any]]:
    problems = Problems(OPERATION)
    shown = name_of_item if format == "json" else name_of_row
    rows = read_rows(sheet, format, targets, problems)
    del sheet  # A large one need not be held twice, as bytes and as text.
    id_index = [target.path for target in targets].index(ID_TARGET)
    places: dict[str, Place] = {}
    settings: list[dict[str, Any]] = []
    for count, (place, values) in enumerate(rows, 1):
        if count > MAX_ROWS:
            problems.add_first(
                f"the sample sheet has more than {MAX_ROWS:,} rows, the most that a batch may have"
            )
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
            problem = f"is that of {shown(places[run_setting_id])}, too; each row needs its own"
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
    """Return what is wrong, and the id as text: a JSON sheet may number its samples."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is empty", ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return "must be text or a whole number", ""
    return "", str(value)


def _checked_format(format: Any) -> str:
    if format not in FORMATS:
        raise HealthOmicsRequestError(
            OPERATION,
            [f"the sample sheet must be {', '.join(FORMATS)}: by the end of its URI, or by its format"],
        )
    return str(format)


def _format_of(uri: str) -> str:
    # Not as a URI, since a key of S3 may have any character; but a link may be signed in its query.
    name = urlsplit(uri).path if uri.startswith(("http://", "https://")) else uri
    return name.rpartition(".")[2].lower()


def _shown_uri(uri: str) -> str:
    """Return the URI without a password or a signature."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _read(uri: str, aws_conn_id: str | None, hook_arguments: Mapping[str, Any]) -> bytes:
    parts = _S3.fullmatch(uri)
    try:
        data = _read_s3(parts, aws_conn_id, hook_arguments) if parts else _read_file(uri)
    except _FOR_GOOD as error:
        reason = type(error).__name__
    except _UNKNOWN_SCHEME as error:
        reason = f"{type(error).__name__}; perhaps nothing is installed that reads such URIs"
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
    # Local files take the short way, which is the same beside every version of fsspec and Airflow.
    with ObjectStoragePath(uri).open("rb") if "://" in path else Path(path).open("rb") as file:
        return _bounded(file)


def _bounded(file: Any) -> bytes:
    """Return the content, or its beginning if that is too large already."""
    chunks = []
    size = 0
    while size <= MAX_SHEET_BYTES and (chunk := file.read(1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
