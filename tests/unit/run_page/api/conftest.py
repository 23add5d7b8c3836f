# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the run page's API, by the names that tests use. Airflow has no views of plugins before 3.1."""

from __future__ import annotations

from airflow_healthomics.run_page.plugin import HAS_VIEWS

if HAS_VIEWS:
    from tests.unit.run_page.api.api_server import (  # noqa: F401
        database,
        page,
        server,
        start,
        start_batch,
        tasks_db,
    )
else:
    collect_ignore_glob = ["test_*.py"]
