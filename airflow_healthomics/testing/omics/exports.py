# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the parameter ``export`` of the Get operations adds: URLs of a definition and of its README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.s3.exceptions import MissingBucket
from moto.s3.models import s3_backends

from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .s3_objects import presigned
from .workflow import Definition, check_own

BUCKET = "healthomics-exports"


def exported(definition: Definition, params: Mapping[str, Any], backend: Backend) -> dict[str, Any]:
    """
    Return the members that a request exports.

    AWS's samples download ``definition`` as the URL of a ZIP archive. AWS does not document the form of
    ``readme``; the model's limit of 256 characters fits a URL too.
    """
    asked = params.get("export") or ()
    if asked:
        check_own(definition, backend.account_id, "exported")
    exports: dict[str, Any] = {}
    if "DEFINITION" in asked and definition.inspection.archive is not None:
        exports["definition"] = _stored(definition, "definition.zip", definition.inspection.archive, backend)
    readme = definition.request.get("readmeMarkdown") or definition.inspection.readme
    if "README" in asked and readme:
        exports["readme"] = _stored(definition, "README.md", readme.encode(), backend)
    return exports


def _stored(definition: Definition, name: str, content: bytes, backend: Backend) -> str:
    """Put an object into the local S3, and return a URL that needs no credentials."""
    s3 = s3_backends[backend.account_id][backend.partition]
    try:
        s3.get_bucket(BUCKET)
    except MissingBucket:
        s3.create_bucket(BUCKET, backend.region_name)
    key = f"{definition.uuid}/{name}"
    s3.put_object(BUCKET, key, content)
    return presigned(f"s3://{BUCKET}/{key}", backend.region_name, LOCAL.endpoint_url)
