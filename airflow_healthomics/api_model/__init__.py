# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The HealthOmics API of a current botocore, for sessions of an older one.

Amazon MWAA pins botocore from 1.37.3 on, which lacks run batches and half of StartRun's fields. The folder
``botocore-<version>`` has what that release knows beyond 1.37.3, without documentation, as the extras that
botocore's loader merges into a model. It also lists
the regions with an endpoint. ``make api-model`` writes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import botocore
from botocore.loaders import ExtrasProcessor

#: Search path for botocore's loader.
DATA: Final = next(Path(__file__).parent.glob("botocore-*"))

#: The botocore release that the supplement was taken from.
SOURCE: Final = DATA.name.removeprefix("botocore-")

_SERVICE_MODEL: Final = DATA / "omics" / "2022-11-28" / "service-2.sdk-extras.json"


#: AWS regions with a HealthOmics endpoint, as :data:`SOURCE` knows them.
REGIONS: Final = frozenset(json.loads((DATA / "regions.json").read_text()))


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


def is_needed() -> bool:
    """Whether the installed botocore is older than :data:`SOURCE`; a newer one knows all of this and more."""
    return _release(botocore.__version__) < _release(SOURCE)


def extend_session(session: Any) -> None:
    """
    Let the clients of a session know the whole API; other sessions are left as they are.

    :param session: a ``boto3.session.Session`` that has made no client for HealthOmics yet
    """
    search_paths: list[str] = session._session.get_component("data_loader").search_paths
    if is_needed() and str(DATA) not in search_paths:
        search_paths.append(str(DATA))


def regions_of(session: Any) -> frozenset[str]:
    """
    Return the AWS regions in which the installed botocore or :data:`SOURCE` knows a HealthOmics endpoint.

    :param session: a ``boto3.session.Session``
    """
    known = (session.get_available_regions("omics", each) for each in session.get_available_partitions())
    return REGIONS.union(*known)


def extend_model(model: dict[str, Any]) -> None:
    """
    Add what the installed botocore lacks to a service model.

    :param model: a parsed ``service-2.json`` of HealthOmics, which is changed in place
    """
    if is_needed():
        ExtrasProcessor().process(model, [json.loads(_SERVICE_MODEL.read_text())])
