# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Plug HealthOmics into moto, which has no official way to do that: nothing else touches moto's registry."""

from __future__ import annotations

import re
import sys

from moto import backend_index
from moto.core.utils import get_service_model

from airflow_healthomics.api_model import extend_model

from .omics import models, urls

SERVICE = "omics"


def register() -> None:
    """
    Make ``mock_aws`` and the moto server answer HealthOmics requests; doing it again changes nothing.

    moto finds the service of a host in ``backend_index.backend_url_patterns`` and the backends of a service
    as ``moto.<service>.<service>_backends``. It keeps the service model that it has parsed once.
    """
    known = sys.modules.get(f"moto.{SERVICE}")
    if known is models:
        return
    sys.modules[f"moto.{SERVICE}"] = models
    # Whatever the installed botocore knows of it.
    extend_model(get_service_model(SERVICE)._service_description)  # type: ignore[attr-defined]
    # First, so that no wider pattern of another service takes the host.
    backend_index.backend_url_patterns[:0] = [(SERVICE, re.compile(url)) for url in urls.url_bases]
