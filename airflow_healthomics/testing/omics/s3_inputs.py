# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Files that HealthOmics reads from S3: run settings of a batch, and parameters of a run."""

from __future__ import annotations

import json
import re
from typing import Any

from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from .exceptions import ValidationException
from .run import Run
from .run_rules import check_parameters

S3_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")


def stored_object(uri: str, account: str, partition: str) -> Any:
    """Return moto's object, or None if it does not exist."""
    location = S3_URI.fullmatch(uri)
    if location is None:
        return None
    try:
        return s3_backends[account][partition].get_object(location[1], location[2])
    except MissingBucket:
        return None


def parameters_problem(run: Run, *, check_names: bool) -> str | None:
    """
    Return the problem with the parameters file of a run, or None. The text has no parameter value.

    AWS documents the failure reason INVALID_RUN_PARAMETERS, but not its messages.
    """
    uri = run.request.get("parametersUri")
    if uri is None:
        return None
    stored = stored_object(uri, run.account, run.partition)
    if stored is None:
        return "The parameters file cannot be read"
    try:
        parameters = json.loads(stored.value)
    except ValueError:
        return "The parameters file is not JSON"
    if not isinstance(parameters, dict):
        return "The parameters file must have a JSON object"
    try:
        if check_names:
            check_parameters(parameters, run.definition)
    except ValidationException as error:
        return str(error)
    return None


def presigned(uri: str, region: str) -> str:
    """Return a URL in the form of a presigned URL, with fake credentials."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE&X-Amz-Signature=0123456789abcdef"
    return f"https://{bucket}.s3.{region}.amazonaws.com/{key}?{query}"
