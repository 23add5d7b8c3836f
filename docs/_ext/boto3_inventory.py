# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The intersphinx inventory of boto3's HealthOmics client, made from the installed botocore."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import botocore

BOTO3_URL = "https://docs.aws.amazon.com/boto3/latest/"

_HEAD = "# Sphinx inventory version 2\n# Project: boto3\n# Version: {}\n# The rest is compressed by zlib.\n"


def write_inventory(path: Path) -> Path:
    """
    Write the names of the client's methods and paginators, with the page of each, and return the path.

    :param path: the file to write
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(f"{line}\n" for line in _lines())
    path.write_bytes(_HEAD.format(boto3.__version__).encode() + zlib.compress(body.encode()))
    return path


def _lines() -> Iterator[str]:
    folder = Path(botocore.__file__).parent / "data" / "omics" / "2022-11-28"
    yield "Omics.Client py:class 1 reference/services/omics.html#Omics.Client -"
    client = boto3.client("omics", region_name="us-east-1")
    for method in sorted(client.meta.method_to_api_mapping):
        yield f"Omics.Client.{method} py:method 1 reference/services/omics/client/{method}.html#$ -"
    for file in folder.glob("paginators-1.json*"):
        for operation in sorted(_read(file)["pagination"]):
            page = f"reference/services/omics/paginator/{operation}.html"
            yield f"Omics.Paginator.{operation} py:class 1 {page}#$ -"


def _read(path: Path) -> dict[str, dict[str, object]]:
    if path.suffix == ".gz":
        import gzip

        return dict(json.loads(gzip.decompress(path.read_bytes())))
    return dict(json.loads(re.sub(r"^\ufeff", "", path.read_text())))
