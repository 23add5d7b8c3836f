# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The local HealthOmics that the unit tests call: in this process, or over HTTP.

Some of Airflow's constraints pin a moto that is too old for it. Then ``HEALTHOMICS_PYTHON`` names the Python
of another environment, which serves it.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from airflow_healthomics.api_model import extend_session

try:
    from moto.core.exceptions import JsonRESTError
    from moto.logs.models import LogsBackend, LogStream

    from airflow_healthomics.testing import Control, HealthOmicsServer, mock_healthomics
    from airflow_healthomics.testing.omics.runs import Runs
    from airflow_healthomics.testing.validation import violations
except ImportError:
    from tests.remote_healthomics import (  # type: ignore[assignment]
        Control,
        HealthOmicsServer,
        Inside,
        mock_healthomics,
    )

    IS_REMOTE = True
    JsonRESTError = LogsBackend = LogStream = Runs = violations = Inside()  # type: ignore[assignment,misc]
else:
    IS_REMOTE = False

__all__ = [
    "Control",
    "HealthOmicsServer",
    "JsonRESTError",
    "LogStream",
    "LogsBackend",
    "Runs",
    "input_shape",
    "mock_healthomics",
    "omics_client",
    "service_model",
    "violations",
]


def omics_client(region_name: str | None = None) -> Any:
    """Return a separate client, which knows the whole API."""
    return _session(region_name).client(
        "omics", config=Config(inject_host_prefix=False) if IS_REMOTE else None
    )


def service_model() -> Any:
    """Return the model of the whole API."""
    return _session(None)._session.get_service_model("omics")


def input_shape(operation: str) -> Any:
    """Return the shape of an operation's request."""
    return service_model().operation_model(operation).input_shape


def _session(region_name: str | None) -> Any:
    session = boto3.session.Session(region_name=region_name)
    extend_session(session)
    return session
