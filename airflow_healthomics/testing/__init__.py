# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A local AWS HealthOmics for tests, built on moto (extra ``testing``).

It reads the AWS model for itself and imports nothing of the rest of this package: two readings of the model
must agree, and that is its worth.
"""

from __future__ import annotations

try:
    import moto.server  # noqa: F401 - names the extra when moto or its server is not installed
except ImportError as error:
    raise ImportError(
        "The local HealthOmics needs moto: pip install 'airflow-provider-healthomics[testing]'"
    ) from error

from .control import Control
from .mocking import mock_healthomics
from .options import Options
from .plans import TaskPlan
from .server import HealthOmicsServer

__all__ = ["Control", "HealthOmicsServer", "Options", "TaskPlan", "mock_healthomics"]
