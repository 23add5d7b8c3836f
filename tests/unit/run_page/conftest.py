# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the run page, found by their names."""

from __future__ import annotations

from airflow_healthomics.run_page.plugin import HAS_VIEWS

if HAS_VIEWS:
    from tests.unit.run_page.api_server import (  # noqa: F401
        database,
        page,
        server,
        start,
        start_batch,
        tasks_db,
    )
