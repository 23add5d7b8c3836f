# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Register HealthOmics with moto. There is no official way, so only this module uses moto's registry."""

from __future__ import annotations

import re
import sys

from moto import backend_index
from moto.cloudwatch import urls as cloudwatch_urls
from moto.core.utils import get_service_model

from airflow_healthomics.api_model import extend_model

from .omics import models, urls
from .omics.run_metrics import PATH, RunMetricsResponse

SERVICE = "omics"


def register() -> None:
    """
    Make ``mock_aws`` and the moto server answer HealthOmics requests. Idempotent.

    moto looks up the service of a host in ``backend_index.backend_url_patterns``, and the backends of a
    service as ``moto.<service>.<service>_backends``. It caches the parsed service model.
    """
    known = sys.modules.get(f"moto.{SERVICE}")
    if known is models:
        return
    sys.modules[f"moto.{SERVICE}"] = models
    # Independent of the installed botocore.
    extend_model(get_service_model(SERVICE)._service_description)  # type: ignore[attr-defined]
    # A path that moto's CloudWatch lacks.
    cloudwatch_urls.url_paths[f"{{0}}{PATH}$"] = RunMetricsResponse.dispatch
    # First, so that no wider pattern of another service matches the host.
    backend_index.backend_url_patterns[:0] = [(SERVICE, re.compile(url)) for url in urls.url_bases]
