# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The current HealthOmics service model, for use with an older botocore.

Amazon MWAA pins botocore, from 1.37.3 on. Old releases lack run batches and half of the fields of StartRun.
The folder ``botocore-<version>`` has the additions of that release since 1.37.3, without documentation, in
the format of extras: botocore's loader merges them into the model. It also lists the regions with an
endpoint. ``make api-model`` writes it.

The folder ``promql`` has a model of CloudWatch's Prometheus-compatible API, which no botocore has.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore
from botocore.loaders import ExtrasProcessor, Loader

#: Search path for botocore's loader.
DATA: Final = next(path for path in Path(__file__).parent.iterdir() if path.name.startswith("botocore-"))

#: The botocore release of the additions.
SOURCE: Final = DATA.name.removeprefix("botocore-")

#: Search path with the service ``cloudwatch-promql``:
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-PromQL-API-QueryMetrics.html
PROMQL: Final = Path(__file__).parent / "promql"

_SERVICE_MODEL: Final = DATA / "omics" / "2022-11-28" / "service-2.sdk-extras.json"


#: AWS regions with a HealthOmics endpoint, according to :data:`SOURCE`.

_loaders: dict[tuple[str, ...], Loader] = {}


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


def is_needed() -> bool:
    """Whether the installed botocore is older than :data:`SOURCE`, and so lacks some of the API."""
    return _release(botocore.__version__) < _release(SOURCE)


def extend_session(session: Any) -> None:
    """
    Add the current API, and that of CloudWatch's PromQL, to the clients of a session. Other sessions stay
    unchanged.

    The sessions share botocore's loader, so that a process reads the model and the endpoints once, not once
    per connection and region.

    :param session: a ``boto3.session.Session`` without a HealthOmics client yet
    """
    loader = session._session.get_component("data_loader")
    for path in (*([DATA] if is_needed() else ()), PROMQL):
        if str(path) not in loader.search_paths:
            loader.search_paths.append(str(path))
    # The search paths depend on the user's AWS configuration.
    shared = _loaders.setdefault(tuple(loader.search_paths), loader)
    session._session.register_component("data_loader", shared)


@cache
def listed_regions() -> frozenset[str]:
    """Return the AWS regions with a HealthOmics endpoint, according to :data:`SOURCE`."""
    return frozenset(json.loads((DATA / "regions.json").read_text()))


def regions_of(session: Any) -> frozenset[str]:
    """
    Return the AWS regions with a HealthOmics endpoint, according to the installed botocore or :data:`SOURCE`.

    :param session: a ``boto3.session.Session``
    """
    known = (session.get_available_regions("omics", each) for each in session.get_available_partitions())
    return listed_regions().union(*known)


def extend_model(model: dict[str, Any]) -> None:
    """
    Add the operations and fields that the installed botocore lacks.

    :param model: parsed ``service-2.json`` of HealthOmics; changed in place
    """
    if is_needed():
        ExtrasProcessor().process(model, [json.loads(_SERVICE_MODEL.read_text())])
