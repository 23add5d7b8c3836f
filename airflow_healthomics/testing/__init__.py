# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
A local AWS HealthOmics for tests, built on moto (extra ``testing``).

Inside the test process, for boto3::

    with mock_healthomics(any_workflow=True) as control: ...

As a server, for any client in any process with the variables ``server.environ``::

    with HealthOmicsServer(any_workflow=True) as server: ...

As a command that prints those variables: ``python -m airflow_healthomics.testing --port 5000``. As pytest
fixtures: see :mod:`airflow_healthomics.pytest_plugin`. The keyword arguments are the fields of
:class:`Options`; :class:`Control` sets the pace, plans outcomes and injects faults.

It imports nothing from the rest of this package except the AWS model, and interprets that independently. So
the tests show that two interpretations of the model agree.
"""

from __future__ import annotations

from . import requirement  # noqa: F401 - first, as everything below needs moto
from .control import Control
from .mocking import mock_healthomics
from .options import Options
from .plans import TaskPlan
from .server import HealthOmicsServer

__all__ = ["Control", "HealthOmicsServer", "Options", "TaskPlan", "mock_healthomics"]
