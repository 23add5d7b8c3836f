# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Endpoints of HealthOmics: host prefixes, and regions without an endpoint."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urlsplit

import botocore

from airflow_healthomics.api_model import listed_regions, regions_of
from airflow_healthomics.exceptions import HealthOmicsRequestError

#: Beginnings and ends of the hosts of AWS, including FIPS and dual-stack ones. Only these have host prefixes.
_SERVICES: Final = ("omics.", "omics-fips.")
_DOMAINS: Final = (".amazonaws.com", ".api.aws")

#: botocore's setting: https://docs.aws.amazon.com/sdkref/latest/guide/feature-host-prefix.html
_HOST_PREFIX_VARIABLE: Final = "AWS_DISABLE_HOST_PREFIX_INJECTION"


def needs_host_prefix(endpoint_url: str) -> bool:
    """
    Whether botocore must prepend the host prefix of each operation, such as ``workflows-``.

    A custom endpoint has no such hosts: botocore would call ``http://workflows-localhost:5000``.

    :param endpoint_url: endpoint URL of the client
    """
    # botocore itself reads the variable since 1.37.5.
    is_forced = os.environ.get(_HOST_PREFIX_VARIABLE, "").lower() == "false"
    host = urlsplit(endpoint_url).hostname or ""
    return is_forced or (host.startswith(_SERVICES) and host.endswith(_DOMAINS))


def is_region_in_doubt(meta: Any) -> bool:
    """
    Whether the endpoint may not exist: botocore derives a host name for any region.

    :param meta: of a client
    """
    region, host = meta.region_name, urlsplit(meta.endpoint_url).hostname or ""
    return region not in listed_regions() and host.startswith((f"omics.{region}.", f"omics-fips.{region}."))


def check_region(region: str, session: Any) -> None:
    """
    Refuse a region without HealthOmics.

    :param region: AWS region
    :param session: a ``boto3.session.Session``
    :raises HealthOmicsRequestError: if neither this package nor botocore knows an endpoint in the region
    """
    # This is slow, since botocore's list covers all services.
    regions = regions_of(session)
    if region not in regions:
        raise HealthOmicsRequestError(
            "The request",
            [
                f"region_name {region} has no HealthOmics endpoint in botocore {botocore.__version__}: use "
                f"one of {', '.join(sorted(regions))}, or set endpoint_url in the connection's extra "
                "(service_config.omics)"
            ],
        )
